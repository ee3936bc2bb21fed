"""Runs the real binaries and speaks to them over real TLS sockets, for the tests beside this file.

Environment: TACIT_BIN (directory of the built programs), TACIT_PROTO (directory of the generated protocol modules).
"""

import contextlib
import functools
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import numpy
import xxhash

BIN = pathlib.Path(os.environ["TACIT_BIN"])
# What the one who runs the tests has set up for the command line is no part of them.
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"
os.environ.pop("TACIT_CONTEXT", None)
os.environ.pop("TACIT_TOKEN_FILE", None)
sys.path.insert(0, os.environ["TACIT_PROTO"])

from tacit.v1 import agent_pb2, enrolment_pb2  # noqa: E402

# Sanitizers and a busy machine make everything slower, never wrong.
PATIENCE = float(os.environ.get("TACIT_TEST_PATIENCE", "60"))

TASK = """
name = "{name}"
[model]
kind = "softmax"
inputs = {inputs}
classes = 3
seed = 1
[training]
epochs = 1
batch_size = 8
learning_rate = 0.1
momentum = 0.0
proximal_mu = 0.0
[rounds]
count = {rounds}
max_participations = {participations}
[cohort]
size = {size}
min = {minimum}
over_selection = {over_selection}
deadline = "{deadline}"
[privacy]
{privacy}
[aggregation]
{aggregation}
"""

GAUSSIAN = """mechanism = "gaussian"
clip_norm = 1.0
noise_multiplier = 1.0
delta = 1e-5
epsilon_budget = 50.0
population = 100
"""
NO_PRIVACY = """mechanism = "none"
clip_norm = 10.0
"""
FED_AVG = """optimizer = "fedavg"
learning_rate = 1.0
"""


def task_text(name="t", inputs=4, rounds=5, participations=None, size=3, minimum=2, over_selection=1.0, deadline="300s",
              privacy=GAUSSIAN, aggregation=FED_AVG):
    return TASK.format(name=name, inputs=inputs, rounds=rounds, participations=participations or rounds, size=size,
                       minimum=minimum, over_selection=over_selection, deadline=deadline, privacy=privacy,
                       aggregation=aggregation)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def problem(self):
        return json.loads(self.body)


def rows(database, sql, values=()):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql, values).fetchall()


class Disk:
    """A file system of its own, in memory and as small as is asked, on a directory in a name space of its own."""

    def __init__(self, directory, size):
        # Root of a name space of one's own is enough, where one may be had.
        own, enter = ([], []) if os.geteuid() == 0 else (["--user", "--map-root-user"],
                                                         ["--user", "--preserve-credentials"])
        directory.mkdir()
        self.directory = directory
        self.holder = subprocess.Popen(
            ["unshare", "--mount", *own, "sh", "-c",
             'mount -t tmpfs -o "size=$1,mode=700" tmpfs "$2" && echo mounted && exec sleep infinity', "sh", size,
             directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        mounted = self.holder.stdout.readline() == "mounted\n"
        if not mounted:
            raise unittest.SkipTest("needs the right to mount: " + self.holder.stderr.read())
        #: What a command is run with to see the disk where it is mounted.
        self.enter = ["nsenter", f"--target={self.holder.pid}", "--mount", "--root", *enter]
        #: The same directory, seen from outside.
        self.path = pathlib.Path(f"/proc/{self.holder.pid}/root{directory}")

    def fill(self):
        with open(self.path / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(512)):
                pass

    def free(self):
        (self.path / "filler").unlink()

    def remount(self, how):
        subprocess.run([*self.enter, "mount", "-o", f"remount,{how}", self.directory], check=True)

    def close(self):
        self.holder.kill()
        self.holder.communicate()


class Ports(dict):
    """Of the listeners, by name; of a server that is gone, none: its numbers may be another's by now."""

    def __missing__(self, name):
        raise ConnectionRefusedError(f"the server is gone, and with it its port for {name}")


class Server:
    """A data directory made by `tacit init`, and a tacitd on ports of its own choosing."""

    def __init__(self, binary="tacitd", io_threads=2, config_edits=(), copy_of=None, disk_size=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tacit-test-"))
        self.root = self.directory / "server"
        self.binary = binary
        self.process = None
        self.file_limits = None  # soft and hard, of open files
        self.ports = Ports()
        self.log = []
        self.enrolled = set()
        if copy_of:
            shutil.copytree(copy_of, self.directory, dirs_exist_ok=True)
        else:
            run(["tacit", "init", "--dir", self.root, "--trust-domain", "test.example"])
        path = self.root / "tacitd.toml"
        text = path.read_text()
        text = re.sub(r"(?m)^port *= *\d+", "port = 0", text)
        text = re.sub(r"(?m)^#? *io_threads *=.*", f"io_threads = {io_threads}", text)
        text = re.sub(r"(?m)^#? *log_level *=.*", 'log_level = "debug"', text)
        for pattern, replacement in config_edits:
            text, changes = re.subn(pattern, replacement, text)
            assert changes > 0, f"{pattern} is not in the configuration"
        path.write_text(text)
        self.config = path
        self.data = self.root / "data"
        self.command = [BIN / self.binary, "--config", self.config]
        self.disk = None
        if disk_size:
            self.disk = Disk(self.data, disk_size)
            self.data = self.disk.path
            self.command = [*self.disk.enter, *self.command]

    def start(self, environment=None):
        started = time.monotonic()
        limit = self.file_limits and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, self.file_limits))
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(environment or {})}, preexec_fn=limit)
        self.events = threading.Event()
        threading.Thread(target=self._read_log, args=(self.process,), daemon=True).start()
        ready = self.wait_for_event("server_ready")
        self.seconds_to_ready = time.monotonic() - started
        self.ports = Ports({name: ready[name + "_port"] for name in ("agents", "enrolment", "api", "metrics")})
        return self

    def _read_log(self, process):
        for line in process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": "not_json", "line": line})
                sys.stderr.write(line)

    def events_named(self, name):
        return [event for event in list(self.log) if event.get("event") == name]

    def wait_for_event(self, name, count=1, **fields):
        def found():
            matching = [event for event in self.events_named(name)
                        if all(event.get(key) == value for key, value in fields.items())]
            return matching[count - 1] if len(matching) >= count else None
        return wait_until(found, f"event {name} {fields}; last events: {self.log[-5:]}", self.process)

    def kill(self):
        self.ports = Ports()
        self.process.kill()
        self.process.wait()

    def wait_for_death(self):
        self.process.wait(timeout=PATIENCE)
        self.ports = Ports()
        return self.process.returncode

    def restart(self, environment=None):
        self.log = []
        return self.start(environment)

    def cannot_start(self):
        """The event with which it says why."""
        ended = subprocess.run(self.command, capture_output=True, text=True, timeout=PATIENCE)
        assert ended.returncode == 1, (ended.returncode, ended.stderr)
        event = json.loads(ended.stderr.splitlines()[-1])
        assert event["event"] == "server_cannot_run", event
        return event

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise AssertionError(f"the server did not stop; last events: {self.log[-10:]}")
        return self.process.returncode if self.process else None

    def close(self):
        code = self.stop()
        if self.disk:
            self.disk.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        return code

    def cli(self, *arguments, expect=0):
        result = subprocess.run([BIN / "tacit", "--context", self.root, "--server", f"127.0.0.1:{self.ports['api']}",
                                 "--json", *map(str, arguments)], capture_output=True, text=True)
        assert result.returncode == expect, f"tacit {arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return json.loads(result.stdout)

    # What tests need often goes without our programs: to start one that is sanitized takes longer than most requests.

    def create_task(self, text, expect=0):
        """With another exit code than 0 expected: what the command line says of it."""
        path = self.directory / "task.toml"
        path.write_text(text)
        if expect != 0:
            return self.cli("task", "create", "-f", path, expect=expect)
        return self.asked("POST", "/api/v1/tasks", text.encode(), {"X-Tacit-File": str(path)})

    def task(self, name="t"):
        return self.asked("GET", f"/api/v1/tasks/{name}")

    def asked(self, method, path, body=None, headers=None):
        answer = self.operator(method, path, body, headers)
        assert answer.status in (200, 201), f"{method} {path}: {answer.status} {answer.body.decode()}"
        return json.loads(answer.body)

    def operator(self, method, path, body=None, headers=None):
        return request(self.ports["api"], method, path, body, headers, ca=self.root / "pki/ca.crt",
                       certificate=self.root / "operators/admin.crt", key=self.root / "operators/admin.key")

    def rounds(self, name="t"):
        return json.loads(self.operator("GET", f"/api/v1/tasks/{name}/rounds?limit=1000").body)["items"]

    def published(self, number=1, name="t"):
        """The round, once it is published, and its model the newest that the task tells of: the store knows first."""
        def found():
            row = next((each for each in self.rounds(name) if each["round"] == number), None)
            published = row is not None and row["phase"] == "published"
            return row if published and self.task(name)["latest_version"] >= row["model_version"] else None
        return wait_until(found, f"round {number} of {name} to be published", self.process)

    def metrics(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["metrics"], timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def metric(self, line_start):
        for line in self.metrics().splitlines():
            if line.startswith(line_start):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def query(self, sql, *values):
        """Rows of the server's database, while it runs or after."""
        if not self.disk:
            return rows(self.data / "tacit.db", sql, values)
        return wait_until(lambda: self._query_copy(sql, values), "a copy of the database", self.process)[0]

    def _query_copy(self, sql, values):
        """SQLite looks for a database in another name space where it is not. A copy that is made while the server moves
        its log is no database, and is made again."""
        with tempfile.TemporaryDirectory() as copy, contextlib.suppress(sqlite3.DatabaseError):
            for name in ("tacit.db", "tacit.db-wal"):
                shutil.copy(self.data / name, copy)
            return [rows(pathlib.Path(copy) / "tacit.db", sql, values)]
        return None

    def models(self, task="t"):
        """Every published model, by its version, as it is on the disk."""
        digests = self.query("SELECT version, lower(hex(digest)) FROM models WHERE task = ?", task)
        return {version: numpy.fromfile(self.data / "models" / digest, "<f4").astype(float)
                for version, digest in digests}

    def enrol(self, name, token=None):
        """A device without an agent: its state holds certificates and key, and nothing that an agent reads."""
        token = token or self.asked("POST", "/api/v1/enrolment/tokens", json.dumps({"name": name}).encode())["token"]
        key, csr = key_and_request(len(self.enrolled))
        self.enrolled.add(name)
        wish = enrolment_pb2.EnrolRequest(token=token, csr_pem=csr, label=name)
        answer = request(self.ports["enrolment"], "POST", "/v1/enrol", wish.SerializeToString(),
                         ca=self.root / "pki/ca.crt")
        assert answer.status == 200, (answer.status, answer.body)
        enrolled = enrolment_pb2.EnrolResponse.FromString(answer.body)
        state = self.directory / "devices" / name
        state.mkdir(parents=True)
        (state / "device.key").write_bytes(key)
        (state / "device.crt").write_bytes(enrolled.certificate_chain_pem)
        (state / "ca.crt").write_bytes(enrolled.ca_pem)
        return Device(self, state)

    def enrol_agent(self, name):
        """A device by `tacit-agent join`, for an agent to run on."""
        return self.join(self.cli("device", "token", "create", "--name", name)["data"],
                         self.directory / "devices" / name)

    def join(self, token, state):
        state.mkdir(parents=True, exist_ok=True)
        token_file = state / "token"
        token_file.write_text(token["token"])
        run(["tacit-agent", "join", "--server", "127.0.0.1", "--enrolment-port", self.ports["enrolment"],
             "--ca-fingerprint", token["ca_fingerprint"], "--token-file", token_file, "--state", state])
        return Device(self, state)


class Device:
    """One enrolled device, spoken for byte by byte."""

    def __init__(self, server, state):
        self.server = server
        self.state = pathlib.Path(state)
        self.name = self.state.name

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        return request(self.server.ports["agents"], method, path, body, headers, ca=self.state / "ca.crt",
                       certificate=self.state / "device.crt", key=self.state / "device.key", timeout=timeout)

    def connect(self):
        return connect(self.server.ports["agents"], ca=self.state / "ca.crt", certificate=self.state / "device.crt",
                       key=self.state / "device.key")

    def check_in(self, wait_ms=0, task="", inputs=0, classes=0):
        wish = agent_pb2.CheckInRequest(protocol_version=1, agent_version="test", wait_ms=wait_ms, task=task,
                                        inputs=inputs, classes=classes)
        answer = self.request("POST", "/v1/checkin", wish.SerializeToString())
        assert answer.status == 200, (answer.status, answer.body)
        reply = agent_pb2.CheckInResponse()
        reply.ParseFromString(answer.body)
        return reply

    def lease(self, task="", patience=PATIENCE):
        def leased():
            reply = self.check_in(wait_ms=2000, task=task)
            return reply.lease if reply.HasField("lease") else None
        return wait_until(leased, f"a lease for {self.name}", self.server.process, patience)

    def upload(self, lease, values, examples=1, **overrides):
        return self.upload_frame(lease.task, lease.round, frame(lease, values, examples, **overrides))

    def upload_frame(self, task, round_number, body):
        return self.request("PUT", f"/v1/tasks/{task}/rounds/{round_number}/update", body)


TYPES = {agent_pb2.ENCODING_FLOAT32: "<f4", agent_pb2.ENCODING_GRID_INT32: "<i4", agent_pb2.ENCODING_GRID_INT16: "<i2",
         agent_pb2.ENCODING_GRID_INT8: "<i1"}


@functools.cache
def key_and_request(number):
    """A key and a request for a certificate of it, in PEM; the same for the same number."""
    with tempfile.TemporaryDirectory() as directory:
        key, csr = pathlib.Path(directory, "key"), pathlib.Path(directory, "csr")
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", f"/CN=device-{number}", "-keyout", key, "-out", csr], check=True, capture_output=True)
        return key.read_bytes(), csr.read_bytes()


def frame(lease, values, examples=1, encoding=agent_pb2.ENCODING_FLOAT32, digest=None, schema=None, payload_bytes=None,
          clipped=False, shift=0, bits=None):
    payload = numpy.asarray(values, dtype=TYPES[encoding]).tobytes() + (b"" if bits is None else bits)
    header = agent_pb2.UpdateHeader(
        schema_digest=schema if schema is not None else lease.schema_digest, encoding=encoding,
        payload_bytes=len(payload) if payload_bytes is None else payload_bytes,
        payload_digest=digest if digest is not None else xxhash.xxh3_128(payload).digest(),
        example_count=examples, clipped=clipped, shift=shift, sparse=bits is not None).SerializeToString()
    return struct.pack("<I", len(header)) + header + payload


def bits_of(places, parameters):
    """Of a sparse update that has values at these places."""
    chosen = numpy.zeros(parameters, bool)
    chosen[list(places)] = True
    return numpy.packbits(chosen, bitorder="little").tobytes()


def parameters(lease):
    widths = [lease.model.inputs, *lease.model.hidden, lease.model.classes]
    return sum(a * b + b for a, b in zip(widths, widths[1:]))


def tls_context(ca, certificate=None, key=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def connect(port, ca, certificate=None, key=None, timeout=PATIENCE):
    raw = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    return tls_context(ca, certificate, key).wrap_socket(raw, server_hostname="127.0.0.1")


def break_off(connection):
    """Ends a connection in the middle, once all that was sent has arrived.

    Closed at once, with a ticket unread, it would lose what is not on its way yet.
    """
    connection.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def request(port, method, path, body=None, headers=None, ca=None, certificate=None, key=None, timeout=PATIENCE):
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout,
                                             context=tls_context(ca, certificate, key))
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def run(command, expect=0):
    command = [str(BIN / command[0]), *map(str, command[1:])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == expect, f"{command}: {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result


def wait_until(found, what, process=None, patience=None):
    deadline = time.monotonic() + (patience or PATIENCE)
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        if process is not None and process.poll() is not None:
            value = found()
            if value:
                return value
            raise AssertionError(f"the server ended with {process.returncode} while waiting for {what}")
        time.sleep(0.02)
    raise AssertionError(f"waited {patience or PATIENCE} s in vain for {what}")


class ServerTest(unittest.TestCase):
    """A test with a server of its own; its clean stop is part of every test."""

    server_options = {}

    def setUp(self):
        self.server = Server(**self.server_options)
        self.addCleanup(self._close)
        self.server.start()

    def _close(self):
        stopped = self.server.process.returncode
        code = self.server.close()
        if stopped is None:
            self.assertEqual(code, 0, f"the server did not end cleanly: {self.server.log[-10:]}")

    def devices(self, *names):
        return [self.server.enrol(name) for name in names]

    def agents(self, *names):
        return [self.server.enrol_agent(name) for name in names]


if __name__ == "__main__":
    raise SystemExit("this is a library")
