"""The Open Inference Protocol by a real agent: its worker, its socket, and clients that share no code with it."""

import concurrent.futures
import datetime
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import numpy
from cryptography import x509

import harness
from harness import BIN, NO_PRIVACY, ServerTest, parameters, task_text

ROW = [1.0, 2.0, 3.0, 4.0]


def answer_of(scale, row):
    """What serving_probe's linear model says of a row."""
    total = sum((feature + 1) * value for feature, value in enumerate(row))
    return [scale * (cls + 1) * total for cls in range(3)]


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix domain socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=harness.PATIENCE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Agent:
    """`tacit-agent serve` of a device that has joined, with one task."""

    def __init__(self, state, task="har"):
        self.state = pathlib.Path(state)
        self.task = task
        self.socket = self.state / "serving.sock"
        self.process = None
        self.events = []

    def deploy(self, version=1, model="linear:1", lifetime_ms=86_400_000):
        """Puts a model there while no agent runs."""
        signer = self.state / "test_signer.pem"
        if not signer.exists():
            subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", signer], check=True,
                           capture_output=True)
        subprocess.run([BIN / "serving_probe", "deploy", self.state, signer, self.task, str(version), model,
                        str(lifetime_ms)], check=True, timeout=harness.PATIENCE)

    def bundle(self):
        """The file of the model that is held, when there is one alone."""
        [file] = (self.state / "delivery" / self.task).glob("*.tacit")
        return file

    def start(self, *arguments):
        if self.process is not None:
            self.process.stderr.close()
        self.process = subprocess.Popen(
            [BIN / "tacit-agent", "serve", "--state", self.state, "--task", self.task, *arguments],
            stderr=subprocess.PIPE, text=True)
        self.events = []
        threading.Thread(target=self._read, args=(self.process, self.events), daemon=True).start()

    @staticmethod
    def _read(process, events):
        for line in process.stderr:
            events.append(json.loads(line) if line.startswith("{") else {"event": "", "line": line})

    def named(self, name):
        return [event for event in self.events if event["event"] == name]

    def wait_for(self, name, count=1):
        harness.wait_until(lambda: len(self.named(name)) >= count, f"{count} of {name} in {self.events}", self.process)

    def ask(self, method, path, body=None, headers=None, connection=None):
        mine = connection or Connection(self.socket)
        try:
            mine.request(method, path, body, headers or {})
            answer = mine.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            if connection is None:
                mine.close()

    def asked(self, method, path, body=None, headers=None, connection=None):
        text = json.dumps(body) if body is not None else None
        status, _, answer = self.ask(method, path, text, headers, connection)
        return status, json.loads(answer)

    def infer(self, rows, connection=None, **more):
        body = {"inputs": [{"name": "features", "shape": [len(rows), 4], "datatype": "FP32", "data": rows}], **more}
        return self.asked("POST", f"/v2/models/{self.task}/infer", body, connection=connection)

    def workers(self):
        """The processes that this agent started."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task")
        return [int(child) for task in children.iterdir() for child in (task / "children").read_text().split()]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(harness.PATIENCE)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None:
            self.process.stderr.close()


def damage(file):
    """Another file in place of this one, with a byte that changed."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    fresh = file.with_name("fresh")
    fresh.write_bytes(data)
    fresh.rename(file)


class ServingFixture(unittest.TestCase):
    """A device that has joined, and an agent of it, without a server."""

    @classmethod
    def setUpClass(cls):
        server = harness.Server().start()
        cls.addClassCleanup(server.close)
        cls.joined = server.enrol_agent("pump-3").state
        server.stop()

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tacit-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        shutil.copytree(self.joined, self.directory / "state")
        self.agent = Agent(self.directory / "state")
        self.addCleanup(self.agent.close)

    def serve(self, *arguments, **deployment):
        self.agent.deploy(**deployment)
        self.agent.start(*arguments)
        self.agent.wait_for("model_serving")
        return self.agent


class ServingTest(ServingFixture):
    """What is held is served as long as its lease holds."""

    def refused(self, body, status, *words, headers=None, path="/v2/models/har/infer"):
        """A request that is refused in the protocol's own form, with these words."""
        text = body if isinstance(body, (bytes, str)) else json.dumps(body)
        got, headers, answer = self.agent.ask("POST", path, text, headers)
        error = json.loads(answer)
        self.assertEqual(list(error), ["error"])
        self.assertEqual(got, status, error)
        for word in words:
            self.assertIn(word, error["error"])

    def test_every_endpoint_answers_as_the_protocol_says(self):
        agent = self.serve()
        status, server = agent.asked("GET", "/v2")
        self.assertEqual((status, server["name"], server["extensions"]), (200, "tacit-agent", ["binary_tensor_data"]))
        self.assertEqual(agent.asked("GET", "/v2/health/live"), (200, {"live": True}))
        self.assertEqual(agent.asked("GET", "/v2/health/ready"), (200, {"ready": True}))
        for path in ("/v2/models/har", "/v2/models/har/versions/1"):
            status, model = agent.asked("GET", path)
            self.assertEqual(status, 200)
            self.assertEqual((model["name"], model["versions"], model["platform"]), ("har", ["1"], "tacit_graph"))
            self.assertEqual(model["inputs"], [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}])
            self.assertEqual(model["outputs"], [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}])
        for path in ("/v2/models/har/ready", "/v2/models/har/versions/1/ready"):
            self.assertEqual(agent.asked("GET", path), (200, {"name": "har", "ready": True}))
        for path in ("/v2/models/other", "/v2/models/har/versions/2", "/v2/nothing", "/"):
            status, error = agent.asked("GET", path)
            self.assertEqual((status, list(error)), (404, ["error"]), path)
        status, headers, _ = agent.ask("DELETE", "/v2/models/har")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))
        self.assertEqual(agent.ask("GET", "/v2/models/har/infer")[0], 405)
        self.assertEqual(stat.S_IMODE(os.stat(agent.socket).st_mode), 0o660)
        self.assertEqual(agent.stop(), 0)
        self.assertFalse(agent.socket.exists())
        self.assertTrue(agent.named("serving_stopped"))

    def test_json_tensors_flat_and_nested(self):
        agent = self.serve(model="linear:0.5")
        rows = [ROW, [0.5, -1.5, 2e-3, 0]]
        wanted = [value for row in rows for value in answer_of(0.5, row)]
        for data in (rows, sum(rows, [])):
            body = {"id": "seven \u20ac", "inputs": [
                {"data": data, "datatype": "FP32", "name": "features", "shape": [2, 4]}]}
            for path in ("/v2/models/har/infer", "/v2/models/har/versions/1/infer"):
                status, answer = agent.asked("POST", path, body)
                self.assertEqual(status, 200, answer)
                self.assertEqual((answer["model_name"], answer["model_version"], answer["id"]),
                                 ("har", "1", "seven \u20ac"))
                output, = answer["outputs"]
                self.assertEqual((output["name"], output["datatype"], output["shape"]), ("logits", "FP32", [2, 3]))
                for got, want in zip(output["data"], wanted, strict=True):
                    self.assertAlmostEqual(got, want, places=5)

    def test_binary_tensors_in_and_out(self):
        agent = self.serve()
        head = json.dumps({"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32",
                                       "parameters": {"binary_data_size": 16}}],
                           "outputs": [{"name": "logits", "parameters": {"binary_data": True}}]}).encode()
        lengths = {"Inference-Header-Content-Length": str(len(head))}
        status, headers, body = agent.ask("POST", "/v2/models/har/infer", head + struct.pack("<4f", *ROW), lengths)
        self.assertEqual(status, 200, body)
        length = int(headers["Inference-Header-Content-Length"])
        output, = json.loads(body[:length])["outputs"]
        self.assertEqual(output["parameters"], {"binary_data_size": 12})
        self.assertEqual(list(struct.unpack("<3f", body[length:])), answer_of(1, ROW))
        # All outputs by one parameter, of numbers in JSON.
        plain = {"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": ROW}],
                 "parameters": {"binary_data_output": True}}
        status, headers, body = agent.ask("POST", "/v2/models/har/infer", json.dumps(plain))
        self.assertEqual(struct.unpack("<3f", body[int(headers["Inference-Header-Content-Length"]):]),
                         tuple(answer_of(1, ROW)))

    def test_refuses_what_does_not_fit_and_says_what(self):
        self.serve("--max-rows", "8", "--max-body-mib", "1")

        def request(**changes):
            tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": ROW}
            for key, value in changes.items():
                if value is None:
                    del tensor[key]
                else:
                    tensor[key] = value
            return {"inputs": [tensor]}

        self.refused(request(name="image"), 400, "inputs[0].name", "'features'")
        self.refused(request(datatype="FP64"), 400, "inputs[0].datatype", "FP32")
        self.refused(request(shape=[1, 5]), 400, "inputs[0].shape", "[-1, 4]")
        self.refused(request(shape=[4]), 400, "inputs[0].shape")
        self.refused(request(shape=[0, 4]), 400, "at least 1")
        self.refused(request(shape=[-1, 4]), 400, "inputs[0].shape")
        self.refused(request(shape=[9, 4], data=[0] * 36), 413, "9 rows", "8")
        self.refused(request(data=ROW[:3]), 400, "4 numbers")
        self.refused(request(data=ROW + [5]), 400, "4 numbers")
        self.refused(request(data=[[1, 2], [3, 4]]), 400, "'shape' says")
        self.refused(request(data=["1", 2, 3, 4]), 400, "numbers")
        self.refused(request(data=7), 400, "array")
        self.refused(request(data=None), 400, "binary_data_size")
        self.refused(request(extra=1), 400, "unknown field")
        self.refused({"inputs": []}, 400, "'features'")
        self.refused({}, 400, "inputs")
        self.refused({**request(), "outputs": [{"name": "x"}]}, 400, "outputs[0].name", "'logits'")
        self.refused({**request(), "id": 5}, 400, "id")
        self.refused("[1", 400, "bracket")
        self.refused("", 400, "JSON")
        self.refused(json.dumps(request()).replace("1.0", "NaN"), 400, "not a number")
        self.refused(json.dumps(request()).replace("1.0", "1e999"), 400, "range")
        self.refused(json.dumps(request()).replace("1.0", "01"), 400, "not a number")
        self.refused("[" * 1000 + "]" * 1000, 400, "nested")
        self.refused(b"x" * (1 << 20) + b"x", 413, "1048576")
        self.refused(request(), 404, "version", path="/v2/models/har/versions/9/infer")
        self.refused(request(), 404, "'har'", path="/v2/models/rah/infer")
        head = json.dumps({"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32",
                                       "parameters": {"binary_data_size": 16}}]}).encode()
        lengths = {"Inference-Header-Content-Length": str(len(head))}
        self.refused(head + bytes(15), 400, "16 bytes", headers=lengths)
        self.refused(head + bytes(17), 400, "1 bytes behind", headers=lengths)
        self.refused(head + struct.pack("<4f", 1, float("nan"), 3, 4), 400, "not finite", headers=lengths)
        self.refused(head, 400, "Content-Length", headers={"Inference-Header-Content-Length": "9999"})
        self.refused(head, 400, "number", headers={"Inference-Header-Content-Length": "-1"})

    def test_batches_give_what_single_requests_give(self):
        agent = self.serve("--max-delay-ms", "200", "--max-batch", "16")
        rows = [[i + 0.25, -i, i * 0.5, 1] for i in range(24)]
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda row: agent.infer([row]), rows))
        for row, (status, answer) in zip(rows, answers, strict=True):
            self.assertEqual(status, 200, answer)
            for got, want in zip(answer["outputs"][0]["data"], answer_of(1, row), strict=True):
                self.assertAlmostEqual(got, want, places=4)

    def test_two_hundred_clients_at_once(self):
        agent = self.serve()
        connections = [Connection(agent.socket) for _ in range(200)]
        for connection in connections:
            connection.connect()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda each: agent.infer([ROW], connection=each), connections))
        for connection in connections:
            connection.close()
        self.assertEqual({status for status, _ in answers}, {200})
        self.assertEqual({tuple(answer["outputs"][0]["data"]) for _, answer in answers}, {tuple(answer_of(1, ROW))})

    def test_quotas_refuse_with_the_time_to_wait(self):
        agent = self.serve("--quota-requests", "3", "--quota-rows", "100")
        for _ in range(3):
            self.assertEqual(agent.infer([ROW])[0], 200)
        body = json.dumps({"inputs": []})
        status, headers, answer = agent.ask("POST", "/v2/models/har/infer", body)
        self.assertEqual(status, 429, answer)
        self.assertIn("3 requests", json.loads(answer)["error"])
        self.assertGreaterEqual(int(headers["Retry-After"]), 1)
        # What asks the model nothing costs nothing.
        self.assertEqual(agent.asked("GET", "/v2/models/har")[0], 200)

    def test_rows_are_counted_too(self):
        agent = self.serve("--quota-rows", "10")
        self.assertEqual(agent.infer([ROW] * 8)[0], 200)
        status, answer = agent.infer([ROW] * 8)
        self.assertEqual(status, 429)
        self.assertIn("10 rows", answer["error"])

    def test_starts_without_a_server_and_says_so(self):
        agent = self.serve(version=7)
        agent.wait_for("agent_model_not_refreshed")
        self.assertEqual(agent.named("agent_model_not_refreshed")[0]["code"], "unavailable")
        self.assertEqual(agent.infer([ROW])[1]["model_version"], "7")
        self.assertEqual(agent.asked("GET", "/v2/health/ready")[0], 200)
        # A worker that is started again needs none either.
        os.kill(agent.workers()[0], signal.SIGKILL)
        agent.wait_for("model_serving", 2)
        self.assertEqual(agent.infer([ROW])[1]["outputs"][0]["data"], answer_of(1, ROW))
        self.assertEqual(agent.stop(), 0)

    def test_a_version_that_cannot_be_used_gives_way_to_the_one_before(self):
        agent = self.agent
        agent.deploy(4)
        good = agent.bundle()
        agent.deploy(5, "bad")
        agent.start()
        agent.wait_for("model_serving")
        self.assertIn("not finite", agent.named("model_refused")[0]["detail"])
        self.assertEqual(agent.named("agent_model_discarded")[0]["version"], 5)
        self.assertEqual(agent.infer([ROW])[1]["model_version"], "4")
        self.assertEqual(agent.bundle(), good)

    def test_an_older_version_is_refused(self):
        agent = self.serve(version=5)
        self.assertEqual(agent.stop(), 0)
        agent.deploy(4)
        agent.start()
        agent.wait_for("model_refused")
        self.assertEqual(agent.infer([ROW])[0], 503)
        self.assertTrue((agent.state / "delivery" / "har" / "current").exists(), "it is kept, and tried again")

    def test_nothing_is_ready_without_a_model_or_after_its_lease(self):
        agent = self.agent
        agent.deploy(lifetime_ms=3_000)
        agent.start()
        agent.wait_for("model_expired")
        for path in ("/v2/health/ready", "/v2/models/har/ready"):
            status, error = agent.asked("GET", path)
            self.assertEqual((status, list(error)), (503, ["error"]))
        self.assertEqual(agent.infer([ROW])[0], 503)
        self.assertEqual(agent.asked("GET", "/v2/health/live")[0], 200)
        self.assertEqual(agent.stop(), 0)
        agent.start()
        agent.wait_for("model_not_held")
        self.assertEqual(agent.named("model_not_held")[0]["code"], "gone")
        self.assertEqual(agent.asked("GET", "/v2/health/ready")[0], 503)

    def test_recovers_when_its_worker_is_killed_under_load(self):
        agent = self.serve()
        stop = threading.Event()
        seen = []

        def ask():
            connection = Connection(agent.socket)
            while not stop.is_set():
                seen.append(agent.infer([ROW], connection=connection))
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for kills in (1, 2):
                os.kill(agent.workers()[0], signal.SIGKILL)
                agent.wait_for("model_serving", kills + 1)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for status, answer in seen:
            self.assertIn(status, (200, 503), answer)
            if status != 200:
                self.assertEqual(list(answer), ["error"])
        self.assertEqual(agent.infer([ROW])[0], 200)

    def test_a_socket_that_was_left_is_replaced_and_one_in_use_is_not(self):
        agent = self.serve()
        agent.process.kill()
        agent.process.wait()
        self.assertTrue(agent.socket.exists())
        agent.start()
        agent.wait_for("model_serving")
        self.assertEqual(agent.infer([ROW])[0], 200)
        other = subprocess.run([BIN / "tacit-agent", "serve", "--state", agent.state, "--task", "har"],
                               capture_output=True, text=True, timeout=harness.PATIENCE)
        self.assertEqual(other.returncode, 1, other.stderr)
        self.assertIn("another tacit-agent", other.stderr)
        fetch = subprocess.run([BIN / "tacit-agent", "model", "fetch", "--state", agent.state, "--task", "har"],
                               capture_output=True, text=True, timeout=harness.PATIENCE)
        self.assertEqual(fetch.returncode, 1, fetch.stderr)
        self.assertIn("another tacit-agent", fetch.stderr)

    def test_says_what_is_missing(self):
        (self.agent.state / "identity.json").unlink()
        for arguments, code, word in ((("--task", "har"), 2, "identity.json"), (("--task", "No Name"), 2, "task"),
                                      (("--task", "har", "--key", "nowhere"), 2, "nowhere"),
                                      (("--task", "har", "--socket-mode", "9"), 2, "octal")):
            done = subprocess.run([BIN / "tacit-agent", "serve", "--state", self.agent.state, *arguments],
                                  capture_output=True, text=True, timeout=harness.PATIENCE)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(word, done.stderr)

    # A program without a sanitizer cannot load a library with one.
    if not os.environ.get("TACIT_SANITIZE"):

        def test_a_program_in_c_asks_by_the_library(self):
            source = pathlib.Path(os.environ["TACIT_SOURCE"], "edge_agent", "capi")
            library = BIN.parent / "lib"
            program = self.directory / "example"
            subprocess.run(["clang-19", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", source, "-o",
                            program, source / "example.c", "-L", library, f"-Wl,-rpath,{library}", "-ltacit-agent"],
                           check=True, timeout=harness.PATIENCE)

            def run(*arguments):
                return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=harness.PATIENCE)

            agent = self.serve(model="linear:0.5")
            done = run(agent.socket, "har", "1", "2", "3", "4")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual([float(line) for line in done.stdout.split()], answer_of(0.5, ROW))
            done = run(agent.socket, "other", "1")
            self.assertEqual(done.returncode, 1)
            self.assertIn("no model is named 'other'", done.stderr)
            done = run(self.directory / "nothing", "har", "1")
            self.assertIn("cannot connect", done.stderr)
            symbols = subprocess.run(["nm", "-D", "--defined-only", library / "libtacit-agent.so"], check=True,
                                     capture_output=True, text=True).stdout
            names = {line.split()[-1] for line in symbols.splitlines()}
            self.assertEqual(names, {f"tacit_agent_{name}" for name in (
                "close", "error", "infer", "input_size", "metadata", "open", "output_size", "version")})


class PortTest(ServingFixture):
    """TLS on this machine alone, for who shows a token; curl and openssl are the clients."""

    def token(self, *arguments, expect=0):
        done = subprocess.run([BIN / "tacit-agent", "--json", "token", *map(str, arguments)], capture_output=True,
                              text=True, timeout=harness.PATIENCE)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        return answer["data"] if expect == 0 else answer["error"]

    def create(self, name, *arguments):
        return self.token("create", "--tokens", self.tokens, "--name", name, *arguments)["token"]

    def setUp(self):
        super().setUp()
        self.tokens = self.directory / "tokens"

    def listen(self, *arguments):
        agent = self.serve("--listen", "127.0.0.1:0", "--tokens", self.tokens, *arguments)
        [opened] = agent.named("serving_port_opened")
        self.port = opened["port"]
        return opened["trust"]

    def curl(self, path, *arguments, trust=None, token=None, expect=0, host="127.0.0.1"):
        """The status, the headers in lower case, and the body."""
        command = ["curl", "-sS", "-i", "--cacert", trust or self.agent.state / "serving/ca.crt", *arguments]
        if token is not None:
            # From a file, as a careful client has it: not in the list of processes.
            header = self.directory / "header"
            header.write_text(f"Authorization: Bearer {token}")
            command += ["-H", f"@{header}"]
        done = subprocess.run([*command, f"https://{host}:{self.port}{path}"], capture_output=True, text=True,
                              timeout=harness.PATIENCE)
        self.assertEqual(done.returncode, expect, done.stderr)
        if expect != 0:
            return None
        head, _, body = done.stdout.partition("\n\n")  # as text, without the carriage returns
        lines = head.splitlines()
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), headers, body

    def body(self):
        return json.dumps({"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": ROW}]})

    def infer(self, token):
        return self.curl("/v2/models/har/infer", "-d", self.body(), token=token)

    def test_answers_who_shows_a_token_and_nobody_else(self):
        token = self.create("camera")
        self.listen()
        status, _, body = self.infer(token)
        self.assertEqual(status, 200, body)
        self.assertEqual(json.loads(body)["outputs"][0]["data"], answer_of(1, ROW))
        self.assertEqual(self.curl("/v2", token=token, host="localhost")[0], 200)
        for wrong in (None, "tst_" + "0" * 64, token[:-1], ""):
            status, headers, body = self.curl("/v2/models/har", token=wrong)
            self.assertEqual((status, headers["www-authenticate"]), (401, 'bearer realm="tacit-agent"'), wrong)
            self.assertEqual(list(json.loads(body)), ["error"])
        self.assertEqual(self.agent.infer([ROW])[0], 200, "the socket asks for none")
        self.assertEqual(self.agent.stop(), 0)
        told = json.dumps(self.agent.events)
        self.assertIn("serving_token_refused", told)
        self.assertNotIn(token[4:], told)
        self.assertNotIn(token[4:], self.tokens.read_text(), "the file has its hash alone")

    def test_a_token_that_is_revoked_opens_nothing_any_more(self):
        token, other = self.create("camera"), self.create("gateway")
        self.listen()
        self.assertEqual(self.infer(token)[0], 200)
        self.token("revoke", "--tokens", self.tokens, "--name", "camera")
        self.assertEqual(self.infer(token)[0], 401)
        self.assertEqual(self.infer(other)[0], 200)
        self.assertEqual([each["name"] for each in self.token("list", "--tokens", self.tokens)["items"]], ["gateway"])
        self.tokens.chmod(0o644)
        self.assertEqual(self.infer(other)[0], 503, "others can read the file: nobody is let in")
        self.agent.wait_for("serving_tokens_not_read")

    def test_wrong_tokens_are_limited_and_right_ones_are_not(self):
        token = self.create("camera")
        self.listen()
        statuses = set()
        for _ in range(200):
            status, headers, _ = self.curl("/v2", token="wrong")
            statuses.add(status)
            if status == 429:
                break
        self.assertEqual(statuses, {401, 429})
        self.assertEqual(headers["retry-after"], "60")
        self.assertEqual(self.infer(token)[0], 200)

    def test_quotas_are_those_of_the_tokens_name(self):
        one, two = self.create("camera"), self.create("gateway")
        self.listen("--quota-requests", "2")
        self.assertEqual([self.infer(one)[0] for _ in range(3)], [200, 200, 429])
        self.assertEqual(self.infer(two)[0], 200)

    def test_speaks_tls_1_3_alone_and_keeps_its_certificate(self):
        self.create("camera")
        trust = self.listen()
        for version, expect in (("-tls1_3", 0), ("-tls1_2", 1)):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", version, "-CAfile",
                                   trust, "-verify_ip", "127.0.0.1", "-verify_return_error"], input="",
                                  capture_output=True, text=True, timeout=harness.PATIENCE)
            self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        self.curl("/v2", trust=self.agent.state / "ca.crt", expect=60)
        identity = self.agent.state / "serving/server.pem"
        self.assertEqual(stat.S_IMODE(identity.stat().st_mode), 0o600)
        first = identity.read_bytes()
        self.assertEqual(self.agent.stop(), 0)
        self.agent.start("--listen", "[::1]:0", "--tokens", self.tokens)
        self.agent.wait_for("serving_port_opened")
        self.assertEqual(identity.read_bytes(), first)
        self.assertEqual(self.agent.stop(), 0)
        # What a crash between its two files leaves is made again.
        pathlib.Path(trust).write_bytes((self.agent.state / "ca.crt").read_bytes())
        self.agent.start("--listen", "127.0.0.1:0", "--tokens", self.tokens)
        self.agent.wait_for("serving_port_opened")
        self.assertNotEqual(identity.read_bytes(), first)

    def test_takes_a_certificate_that_it_is_given(self):
        token = self.create("camera")
        certificate, key = self.directory / "own.crt", self.directory / "own.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
                        "-out", certificate], check=True, capture_output=True)
        key.chmod(0o600)
        self.assertEqual(self.listen("--tls-cert", certificate, "--tls-key", key), "")
        self.assertEqual(self.curl("/v2", trust=certificate, token=token)[0], 200)
        self.assertFalse((self.agent.state / "serving").exists())

    def test_refuses_to_listen_where_others_could_reach_it(self):
        self.create("camera")
        for listen in ("0.0.0.0:0", "[::]:0", "192.0.2.1:8446", "localhost:8446", "127.0.0.1", "::1:8446",
                       "[127.0.0.1]:1", "127.0.0.1:65536", "127.0.0.1:x", "[::ffff:127.0.0.1]:1", ":8446"):
            done = subprocess.run([BIN / "tacit-agent", "serve", "--state", self.agent.state, "--task", "har",
                                   "--listen", listen, "--tokens", self.tokens], capture_output=True, text=True,
                                  timeout=harness.PATIENCE)
            self.assertEqual((done.returncode, "this machine alone" in done.stderr), (2, True), done.stderr)
        for arguments in (("--listen", "127.0.0.1:0"), ("--tokens", self.tokens),
                          ("--listen", "127.0.0.1:0", "--tokens", self.tokens, "--tls-cert", self.tokens)):
            done = subprocess.run([BIN / "tacit-agent", "serve", "--state", self.agent.state, "--task", "har",
                                   *map(str, arguments)], capture_output=True, text=True, timeout=harness.PATIENCE)
            self.assertEqual(done.returncode, 2, done.stderr)

    def test_a_token_goes_to_a_file_of_its_own_and_a_name_has_one(self):
        output = self.directory / "token"
        answer = self.token("create", "--tokens", self.tokens, "--name", "camera", "-o", output)
        self.assertNotIn("token", answer)
        self.assertEqual(stat.S_IMODE(output.stat().st_mode), 0o600)
        for command, name, expect, code in (("create", "camera", 1, "conflict"), ("revoke", "other", 2, "not_found"),
                                            ("create", "No Name", 2, "invalid_argument")):
            refused = self.token(command, "--tokens", self.tokens, "--name", name, expect=expect)
            self.assertEqual(refused["code"], code, refused)
        self.listen()
        self.assertEqual(self.infer(output.read_text().strip())[0], 200)


class WithServer(ServerTest):
    """What a server publishes is what is served."""

    def setUp(self):
        super().setUp()
        self.trainer = self.server.enrol("trainer")
        self.device = self.server.enrol_agent("cam")
        self.agent = Agent(self.device.state, "t")
        self.addCleanup(self.agent.close)

    def create(self, lease):
        text = task_text(size=1, minimum=1, privacy=NO_PRIVACY)
        self.server.create_task(text + f'[deployment]\nlease = "{lease}"\ncopies = "shared"\n')

    def publish(self, number):
        lease = self.trainer.lease("t")
        self.assertEqual(lease.round, number)
        values = numpy.random.default_rng(number).normal(0, 0.5, parameters(lease))
        self.assertEqual(self.trainer.upload(lease, values).status, 200)
        self.server.published(number)

    def answer_of(self, version):
        """What a published model says of ROW: weights by class, then biases."""
        model = self.server.models()[version]
        return model[:12].reshape(3, 4) @ ROW + model[12:]

    def serves(self, version):
        return self.agent.asked("GET", "/v2/models/t")[1].get("versions") == [str(version)]

    def assert_answers(self, answer):
        numpy.testing.assert_allclose(answer["outputs"][0]["data"], self.answer_of(int(answer["model_version"])),
                                      rtol=1e-4, atol=1e-5)


class PublishedModels(WithServer):
    def test_a_new_round_is_served_without_a_restart_and_loses_no_request(self):
        self.create(lease="10s")
        self.publish(1)
        agent = self.agent
        agent.start()
        agent.wait_for("model_serving")
        stop = threading.Event()
        seen = []

        def ask():
            connection = Connection(agent.socket)
            while not stop.is_set():
                seen.append(agent.infer([ROW], connection=connection))
                time.sleep(0.002)
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for version in (2, 3):
                self.publish(version)
                harness.wait_until(lambda: self.serves(version), f"version {version}", agent.process)
            time.sleep(0.2)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual({answer["model_version"] for status, answer in seen if status == 200}, {"1", "2", "3"})
        self.assertEqual([answer for status, answer in seen if status != 200], [])
        for _, answer in seen[::50]:
            self.assert_answers(answer)
        self.assertEqual(agent.stop(), 0)
        shown = self.server.cli("device", "show", "cam")["data"]
        self.assertEqual(shown["models"][0]["version"], 3)

    def test_a_revoked_device_stops_when_its_lease_ends(self):
        self.create(lease="10s")
        self.publish(1)
        agent = self.agent
        agent.start()
        agent.wait_for("model_serving")
        self.server.cli("device", "revoke", "cam")
        self.assertEqual(agent.infer([ROW])[0], 200, "until then it serves")
        agent.wait_for("model_expired")
        self.assertEqual({event["code"] for event in agent.named("agent_model_not_refreshed")}, {"permission_denied"})
        self.assertEqual(agent.infer([ROW])[0], 503)
        self.assertEqual(agent.asked("GET", "/v2/health/ready")[0], 503)
        self.assertEqual(agent.stop(), 0)

    def test_waits_for_the_first_model_and_later_needs_no_server(self):
        self.create(lease="1h")
        agent = self.agent
        agent.start()
        agent.wait_for("agent_model_not_refreshed")
        self.assertEqual(agent.named("model_not_held")[0]["code"], "not_found")
        self.assertEqual(agent.infer([ROW])[0], 503)
        self.publish(1)
        agent.wait_for("model_serving")
        self.assert_answers(agent.infer([ROW])[1])
        self.assertEqual(agent.stop(), 0)
        self.server.stop()
        agent.start()
        agent.wait_for("model_serving")
        self.assertEqual(agent.infer([ROW])[1]["model_version"], "1")

    def test_a_bad_bundle_leaves_the_good_one_serving_and_is_fetched_anew(self):
        self.create(lease="1h")
        self.publish(1)
        agent = self.agent
        agent.start()
        agent.wait_for("model_serving")
        whole = agent.bundle().read_bytes()
        damage(agent.bundle())
        # A worker that is started after a crash has the good one still.
        os.kill(agent.workers()[0], signal.SIGKILL)
        agent.wait_for("model_serving", 2)
        self.assertEqual(agent.infer([ROW])[0], 200)
        self.assertEqual(agent.stop(), 0)
        agent.start()
        agent.wait_for("model_refused")
        agent.wait_for("model_serving")
        self.assert_answers(agent.infer([ROW])[1])
        self.assertEqual(agent.bundle().read_bytes(), whole)


class ShortCertificates(WithServer):
    server_options = {"config_edits": [(r"(?m)^#? *certificate_lifetime *=.*", 'certificate_lifetime = "20s"')]}

    def test_renews_the_certificate_and_leases_go_on_after_the_old_one_has_ended(self):
        self.create(lease="10s")
        self.publish(1)
        first = (self.device.state / "device.crt").read_bytes()
        agent = self.agent
        agent.start()
        agent.wait_for("agent_certificate_renewed")
        end = x509.load_pem_x509_certificate(first).not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()
        harness.wait_until(lambda: time.time() > end + 1, "the first certificate to end", agent.process)
        leases = len(agent.named("agent_model_renewed"))
        agent.wait_for("agent_model_renewed", leases + 1)
        self.assertEqual(agent.infer([ROW])[0], 200)
        self.assertEqual(agent.named("agent_model_not_refreshed"), [])
        self.assertEqual(agent.stop(), 0)


if __name__ == "__main__":
    unittest.main()
