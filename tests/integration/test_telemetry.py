"""What a server tells others: traces to an OpenTelemetry collector, models to an MLflow server.

Both others are imitations: neither is a package of Debian. They know nothing of our code, take only what the public
descriptions of their interfaces allow, and misbehave when a test asks them to.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import ssl
import struct
import subprocess
import threading
import unittest
import urllib.parse

import numpy

import harness
from harness import Server, parameters, task_text, wait_until
from test_privacy import coin_task
from test_rounds import open_round

SECRET = "Bearer " + base64.b64encode(b"not to be seen in any log").decode()


class Outside:
    """A server of somebody else, over TLS, whose answers come from `answer(method, path, query, headers, body)`.

    An answer is (status, headers, body); None closes the connection without one.
    """

    def __init__(self, answer, certificate, key):
        outside = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                url = urllib.parse.urlsplit(self.path)
                outside.requests.append((self.command, url.path))
                said = answer(self.command, url.path, urllib.parse.parse_qs(url.query), self.headers, body)
                self.close_connection = True
                if said is None:
                    return
                status, headers, text = said
                self.send_response(status)
                for name, value in {"Content-Length": len(text), **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(text)

            do_GET = do_POST = do_PUT = _serve

            def log_message(self, *_):
                pass

        class TlsServer(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                raw, address = self.socket.accept()
                return context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, request, client_address):
                pass  # who does not believe our certificate leaves in the middle

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.requests = []
        self.server = TlsServer(("127.0.0.1", 0), Handler)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Told(unittest.TestCase):
    """A server with more in its configuration, and somebody outside with a certificate of its CA."""

    def make_server(self):
        self.server = Server()
        self.addCleanup(self._close)
        (self.server.root / "outside.headers").write_text(f"# a secret\nAuthorization: {SECRET}\n")
        (self.server.root / "outside.headers").chmod(0o600)

    def outside(self, answer, certificate=None, key=None):
        pki = self.server.root / "pki"
        outside = Outside(answer, certificate or pki / "server.crt", key or pki / "server.key")
        self.addCleanup(outside.close)
        return outside

    def start(self, section):
        with open(self.server.config, "a") as config:
            config.write(f'\n{section}\nca_file = "pki/ca.crt"\nheaders_file = "outside.headers"\n')
        self.server.start()

    def _close(self):
        log = list(self.server.log)
        self.assertEqual(self.server.close(), 0, log[-10:])
        self.assertNotIn(SECRET, json.dumps(log))

    def run_round(self, devices, number, name="t"):
        for device, lease in zip(devices, open_round(devices, name)):
            answer = device.upload(lease, numpy.full(parameters(lease), 0.01))
            self.assertEqual(answer.status, 200, answer.body)
        return self.server.published(number, name)


# ---- Traces ----

def one_of(kinds, value):
    """The value of an OTLP AnyValue, which has exactly one member, in the JSON of Protobuf."""
    assert len(value) == 1, value
    (kind, held), = value.items()
    assert kind in kinds, value
    if kind == "intValue":
        assert isinstance(held, str) and re.fullmatch(r"-?\d+", held), value  # int64 is a text
        return int(held)
    expected = {"stringValue": str, "boolValue": bool, "doubleValue": (int, float)}[kind]
    assert isinstance(held, expected), value
    return held


def attributes(owner):
    found = {}
    for each in owner.get("attributes", ()):
        assert set(each) == {"key", "value"} and each["key"] not in found, each
        found[each["key"]] = one_of({"stringValue", "boolValue", "intValue", "doubleValue"}, each["value"])
    return found


def nanos(text):
    assert isinstance(text, str) and re.fullmatch(r"\d{19}", text), text  # fixed64, and of our time
    return int(text)


SPAN = {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes",
        "status"}


def read_spans(body):
    """The spans of an ExportTraceServiceRequest; fails for whatever opentelemetry-proto does not have."""
    request = json.loads(body)
    assert set(request) == {"resourceSpans"}, request.keys()
    spans = []
    for of_resource in request["resourceSpans"]:
        assert set(of_resource) == {"resource", "scopeSpans"}, of_resource.keys()
        assert set(of_resource["resource"]) == {"attributes"}
        assert attributes(of_resource["resource"])["service.name"] == "tacitd"
        for of_scope in of_resource["scopeSpans"]:
            assert set(of_scope) == {"scope", "spans"}, of_scope.keys()
            assert set(of_scope["scope"]) == {"name", "version"}
            spans += of_scope["spans"]
    for span in spans:
        assert set(span) <= SPAN and {"traceId", "spanId", "name"} <= set(span), span.keys()
        assert re.fullmatch("[0-9a-f]{32}", span["traceId"]) and int(span["traceId"], 16), span
        assert re.fullmatch("[0-9a-f]{16}", span["spanId"]) and int(span["spanId"], 16), span
        assert span["kind"] == 1, "enumerations are numbers"
        assert nanos(span["startTimeUnixNano"]) <= nanos(span["endTimeUnixNano"]), span
        if "status" in span:
            assert set(span["status"]) <= {"code", "message"} and span["status"]["code"] in (1, 2), span
        attributes(span)
    return spans


class Collector:
    """Takes traces as OTLP/HTTP says; `script` are the answers to come before those that take all."""

    TAKEN = (200, {"Content-Type": "application/json"}, b'{"partialSuccess":{}}')

    def __init__(self):
        self.spans, self.faults, self.bodies, self.script = [], [], [], []

    def __call__(self, method, path, _query, headers, body):
        self.bodies.append(body)
        if self.script:
            step = self.script.pop(0)
            return step() if callable(step) else step
        try:
            assert (method, path) == ("POST", "/v1/traces"), (method, path)
            assert headers["Content-Type"] == "application/json"
            assert headers["Authorization"] == SECRET
            self.spans += read_spans(body)
        except (AssertionError, KeyError, TypeError, ValueError) as fault:
            self.faults.append(repr(fault))
            return 400, {}, b"{}"
        return self.TAKEN

    def traces(self):
        """Each as (root, children), in the order of their coming."""
        for root in [span for span in self.spans if "parentSpanId" not in span]:
            children = [span for span in self.spans
                        if span["traceId"] == root["traceId"] and span is not root]
            assert all(child["parentSpanId"] == root["spanId"] for child in children)
            yield root, children


class Traces(Told):
    def setUp(self):
        self.make_server()
        self.collector = Collector()
        self.outer = self.outside(self.collector)

    def start_traced(self, url=None):
        self.start(f'[traces]\nendpoint = "{url or self.outer.url}"')

    def wait_for_traces(self, count):
        wait_until(lambda: self.collector.faults or len(list(self.collector.traces())) >= count, f"{count} traces",
                   self.server.process)
        self.assertEqual(self.collector.faults, [])
        return list(self.collector.traces())

    def test_a_round_is_a_trace_and_so_is_one_that_came_to_nothing(self):
        self.start_traced()
        self.server.create_task(task_text(size=2))
        devices = [self.server.enrol(name) for name in ("pump-17", "valve-4")]
        self.run_round(devices, 1)
        self.server.cli("task", "stop", "t")
        (published, stages), (abandoned, _) = self.wait_for_traces(2)
        self.assertEqual([stage["name"] for stage in stages],
                         ["wait", "collect", "close", "charge", "noise", "publish"])
        self.assertEqual([stage["endTimeUnixNano"] for stage in stages[:-1]],
                         [stage["startTimeUnixNano"] for stage in stages[1:]])
        self.assertEqual(stages[0]["startTimeUnixNano"], published["startTimeUnixNano"])
        self.assertLessEqual(int(stages[-1]["endTimeUnixNano"]), int(published["endTimeUnixNano"]))
        said = attributes(published)
        epsilon = said.pop("tacit.epsilon_spent")
        self.assertAlmostEqual(epsilon, self.server.rounds()[0]["epsilon_after"])
        self.assertEqual(said, {"tacit.task": "t", "tacit.round": 1, "tacit.outcome": "published",
                                "tacit.cohort.size": 2, "tacit.cohort.counted": 2, "tacit.resumed": False})
        self.assertNotIn("status", published)
        self.assertEqual(attributes(abandoned)["tacit.outcome"], "abandoned")
        self.assertEqual(abandoned["status"]["code"], 2)
        self.assertTrue(abandoned["status"]["message"])
        self.assertNotEqual(published["traceId"], abandoned["traceId"])
        for body in self.collector.bodies:
            for name in (b"pump-17", b"valve-4", b"127.0.0.1"):
                self.assertNotIn(name, body)
        wait_until(lambda: self.server.metric('tacit_trace_spans_total{result="sent"}') == len(self.collector.spans),
                   "all spans to be counted")

    def test_a_busy_collector_gets_the_same_again_after_the_time_it_asked_for(self):
        self.collector.script = [(503, {"Retry-After": "1"}, b""), lambda: None]
        self.start_traced()
        self.server.create_task(task_text(size=1, minimum=1))
        self.run_round([self.server.enrol("a")], 1)
        self.wait_for_traces(1)
        self.assertEqual(len(set(self.collector.bodies)), 1)
        self.assertEqual(len(self.collector.bodies), 3)
        waits = [event["delay_ms"] for event in self.server.events_named("traces_not_sent")]
        self.assertEqual(len(waits), 2)
        self.assertGreaterEqual(waits[0], 1000)
        self.assertEqual(self.server.metric("tacit_trace_attempts_failed_total"), 2)

    def test_what_a_collector_refuses_is_counted_and_not_sent_again(self):
        partial = json.dumps({"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}).encode()
        self.collector.script = [(200, {}, partial), (400, {}, b"no")]
        self.start_traced()
        self.server.create_task(task_text(size=1, minimum=1))
        devices = [self.server.enrol("a")]
        self.run_round(devices, 1)
        self.assertEqual(self.server.wait_for_event("traces_refused")["spans"], 2)
        self.run_round(devices, 2)
        self.assertEqual(self.server.wait_for_event("traces_refused", count=2)["spans"], 7)
        self.assertEqual(self.server.metric('tacit_trace_spans_total{result="refused"}'), 9)
        self.assertEqual(self.server.metric('tacit_trace_spans_total{result="sent"}'), 5)
        self.assertEqual(len(self.collector.bodies), 2)

    def test_rounds_go_on_while_a_collector_hangs_and_so_does_the_stop(self):
        hanging = threading.Event()
        self.addCleanup(hanging.set)
        self.collector.script = [lambda: (hanging.wait(harness.PATIENCE), None)[1]] * 3
        self.start_traced()
        self.server.create_task(task_text(size=1, minimum=1))
        devices = [self.server.enrol("a")]
        for number in (1, 2, 3):
            self.run_round(devices, number)
        self.assertEqual(self.collector.spans, [])
        self.assertEqual(self.server.stop(), 0)
        self.assertTrue(self.server.events_named("traces_dropped"))

    def test_a_collector_with_a_certificate_of_somebody_else_gets_nothing(self):
        files = self.server.directory / "other.crt", self.server.directory / "other.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0],
                        "-keyout", files[1]], check=True, capture_output=True)
        impostor = self.outside(self.collector, *files)
        self.start_traced(impostor.url)
        self.server.create_task(task_text(size=1, minimum=1))
        self.run_round([self.server.enrol("a")], 1)
        reason = self.server.wait_for_event("traces_not_sent")["reason"]
        self.assertIn("CA file", reason)
        self.assertIn(impostor.url, reason)
        self.assertEqual(impostor.requests, [])

    def test_behind_a_coin_a_trace_is_one_span_without_counts(self):
        self.start_traced()
        self.server.create_task(coin_task(deadline="1s"))
        devices = [self.server.enrol(f"d{i}") for i in range(4)]
        for device in devices:
            device.check_in()
        self.server.wait_for_event("round_opened")
        for device in devices:
            reply = device.check_in()
            if reply.HasField("lease"):
                device.upload(reply.lease, numpy.zeros(parameters(reply.lease)))
        (root, children), = self.wait_for_traces(1)
        self.assertEqual(children, [])
        self.assertEqual(set(attributes(root)), {"tacit.task", "tacit.round", "tacit.outcome", "tacit.cohort.size",
                                                 "tacit.resumed", "tacit.epsilon_spent"})


# ---- Models ----

class Mlflow:
    """The calls of MLflow's REST API that are documented for registered models, model versions and artifacts."""

    API = "/api/2.0/mlflow/"
    ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"

    def __init__(self):
        self.models, self.artifacts, self.faults = {}, {}, []
        self.down = False
        self.lose_next_answer = False

    def __call__(self, method, path, query, headers, body):
        if self.down:
            return 503, {}, b"<html>no</html>"
        try:
            assert headers["Authorization"] == SECRET
            return self._answer(method, path, query, headers, body)
        except (AssertionError, KeyError, TypeError, ValueError) as fault:
            self.faults.append(repr(fault))
            return self._error(400, "INVALID_PARAMETER_VALUE")

    def _answer(self, method, path, query, headers, body):
        if path.startswith(self.ARTIFACTS):
            assert method == "PUT" and ".." not in path
            self.artifacts[path[len(self.ARTIFACTS):]] = body
            return 200, {}, b"{}"
        call = (method, path.removeprefix(self.API))
        if call == ("GET", "model-versions/search"):
            return self._search(query)
        assert headers["Content-Type"] == "application/json"
        wish = json.loads(body)
        if call == ("POST", "registered-models/create"):
            return self._create_model(wish)
        assert call == ("POST", "model-versions/create"), call
        return self._create_version(wish)

    @staticmethod
    def _error(status, code):
        return status, {"Content-Type": "application/json"}, json.dumps({"error_code": code, "message": "no"}).encode()

    @staticmethod
    def _tags(wish):
        for tag in wish.get("tags", ()):
            assert set(tag) == {"key", "value"} and isinstance(tag["value"], str), tag
        tags = {tag["key"]: tag["value"] for tag in wish.get("tags", ())}
        assert len(tags) == len(wish.get("tags", ())), "a key stands once"
        return tags

    def _create_model(self, wish):
        assert set(wish) <= {"name", "tags", "description"} and re.fullmatch(r"[^/:.]+", wish["name"]), wish
        if wish["name"] in self.models:
            return self._error(400, "RESOURCE_ALREADY_EXISTS")
        self._tags(wish)
        self.models[wish["name"]] = []
        return 200, {}, json.dumps({"registered_model": {"name": wish["name"]}}).encode()

    def _create_version(self, wish):
        allowed = {"name", "source", "run_id", "tags", "run_link", "description"}
        assert set(wish) <= allowed and isinstance(wish["source"], str), wish
        if wish["name"] not in self.models:
            return self._error(404, "RESOURCE_DOES_NOT_EXIST")
        versions = self.models[wish["name"]]
        versions.append({"name": wish["name"], "version": str(len(versions) + 1), "source": wish["source"],
                         "tags": self._tags(wish)})
        if self.lose_next_answer:
            self.lose_next_answer = False
            return None
        return 200, {}, json.dumps({"model_version": self._shown(versions[-1])}).encode()

    @staticmethod
    def _shown(version):
        return {**version, "tags": [{"key": key, "value": value} for key, value in version["tags"].items()]}

    def _search(self, query):
        assert set(query) <= {"filter", "max_results", "order_by", "page_token"}, query
        (name,) = re.fullmatch(r"name='([^']+)'", query["filter"][0]).groups()
        assert query["order_by"] == ["version_number DESC"]
        limit, begin = int(query["max_results"][0]), int(query.get("page_token", ["0"])[0])
        versions = self.models.get(name, [])[::-1]
        page = {"model_versions": [self._shown(each) for each in versions[begin:begin + limit]]}
        if begin + limit < len(versions):
            page["next_page_token"] = str(begin + limit)
        return 200, {}, json.dumps(page).encode()

    def tags(self, name="tacit-t"):
        return [version["tags"] for version in self.models.get(name, ())]


class Models(Told):
    def setUp(self):
        self.make_server()
        self.mlflow = Mlflow()
        outer = self.outside(self.mlflow)
        self.start(f'[mlflow]\ntracking_uri = "{outer.url}"')

    def wait_for_rounds(self, expected, name="tacit-t"):
        wait_until(lambda: self.mlflow.faults or [int(tags["tacit.round"]) for tags in self.mlflow.tags(name)
                                                  if "tacit.round" in tags] == expected,
                   f"versions of {expected}; there are {self.mlflow.tags(name)}", self.server.process)
        self.assertEqual(self.mlflow.faults, [])

    def check_file(self, version):
        folder = version["source"].removeprefix("mlflow-artifacts:/")
        file = self.mlflow.artifacts[f"{folder}/model.safetensors"]
        length, = struct.unpack("<Q", file[:8])
        header = json.loads(file[8:8 + length])
        self.assertEqual(hashlib.sha256(file[8 + length:]).hexdigest(), version["tags"]["tacit.model_digest"])
        self.assertLessEqual(version["tags"].items(), header["__metadata__"].items())
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        self.assertEqual(max(ends), len(file) - 8 - length)

    def test_each_published_round_is_one_version_whatever_fails_in_between(self):
        self.server.create_task(task_text(size=2, rounds=10))
        devices = [self.server.enrol(name) for name in ("a", "b")]
        for number in (1, 2):
            self.run_round(devices, number)
        self.wait_for_rounds([1, 2])
        ledger = self.server.asked("GET", "/api/v1/tasks/t/ledger?limit=100")["items"]
        charges = {entry["round"]: entry["hash"] for entry in ledger if entry["kind"] == "charge"}
        for version, row in zip(self.mlflow.models["tacit-t"], self.server.rounds()):
            tags = version["tags"]
            self.assertEqual(float(tags["tacit.epsilon"]), row["epsilon_after"])
            self.assertEqual(float(tags["tacit.delta"]), 1e-5)
            self.assertEqual(tags["tacit.cohort"], "2")
            self.assertEqual(tags["tacit.mechanism"], "gaussian")
            self.assertEqual(tags["tacit.model_digest"], row["model_digest"])
            self.assertEqual(tags["tacit.receipt_digest"], charges[row["round"]])
            self.check_file(version)
        # A restart makes nothing again, nor does one after a version was made of which the answer was lost.
        self.server.stop()
        self.server.restart()
        self.mlflow.lose_next_answer = True
        self.run_round(devices, 3)
        self.server.wait_for_event("model_not_pushed")
        self.run_round(devices, 4)
        self.wait_for_rounds([1, 2, 3, 4])
        # While MLflow is away rounds go on; what it missed comes in its order.
        self.mlflow.down = True
        for number in (5, 6):
            self.run_round(devices, number)
        self.server.wait_for_event("model_not_pushed", count=2)
        self.assertEqual(self.server.metric("tacit_mlflow_behind_rounds") > 0, True)
        self.mlflow.down = False
        self.wait_for_rounds([1, 2, 3, 4, 5, 6])
        wait_until(lambda: self.server.metric("tacit_mlflow_behind_rounds") == 0, "MLflow to have all")
        self.assertGreater(self.server.metric("tacit_mlflow_attempts_failed_total"), 1)

    def test_versions_of_another_task_of_the_name_stop_that_task_alone(self):
        self.mlflow.models["tacit-t"] = [
            {"name": "tacit-t", "version": "1", "source": "x",
             "tags": {"tacit.round": "1", "tacit.model_digest": "00" * 32}},
            *({"name": "tacit-t", "version": str(i), "source": "x", "tags": {"owner": "x"}} for i in range(2, 40))]
        for name in ("t", "u"):
            self.server.create_task(task_text(name=name, size=1, minimum=1, rounds=2,
                                              privacy=harness.NO_PRIVACY if name == "u" else harness.GAUSSIAN))
        devices = [self.server.enrol("a")]
        for name in ("t", "u"):
            self.run_round(devices, 1, name)
        self.wait_for_rounds([1], "tacit-u")
        tags, = self.mlflow.tags("tacit-u")
        self.assertEqual(tags["tacit.mechanism"], "none")
        for key in ("tacit.epsilon", "tacit.delta", "tacit.receipt_digest"):
            self.assertNotIn(key, tags)
        refused = self.server.wait_for_event("model_not_pushed", task="t", code="conflict")
        self.assertIn("name_prefix", refused["reason"])
        self.assertEqual(len(self.mlflow.models["tacit-t"]), 39)

    def test_behind_a_coin_a_version_has_no_cohort(self):
        self.server.create_task(coin_task(deadline="1s"))
        for device in [self.server.enrol(f"d{i}") for i in range(2)]:
            device.check_in()
        self.wait_for_rounds([1])
        tags, = self.mlflow.tags()
        self.assertNotIn("tacit.cohort", tags)
        self.assertIn("tacit.epsilon", tags)


if __name__ == "__main__":
    unittest.main(verbosity=2)
