"""The OpenAPI document against the server: every operation, with what it takes and with what it must not take.

What is sent is made from the document's own schemas: values that fit, values at and beyond their bounds, values of
other types, bytes that do not parse. Whatever comes, the server answers as the document says, and never with a 5xx.
"""

import contextlib
import copy
import http.client
import json
import os
import pathlib
import random
import re
import time
import unittest
import urllib.parse

import jsonschema
import numpy
from cryptography.hazmat.primitives.asymmetric import ec

import harness
from harness import GAUSSIAN, NO_PRIVACY, ServerTest, agent_pb2, task_text
from test_bundle_format import point

SOURCE = pathlib.Path(os.environ["TACIT_SOURCE"], "server/api/openapi.json")
METHODS = ("get", "post", "put", "patch", "delete")
LOCAL = """mechanism = "none"
clip_norm = 1.0
[privacy.local]
mechanism = "gaussian"
noise_multiplier = 2.0
delta = 1e-5
"""

formats = jsonschema.FormatChecker()


@formats.checks("date-time")
def is_date_time(value):
    return not isinstance(value, str) or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value) is not None


class Document:
    def __init__(self, document):
        self.document = document

    def resolve(self, node):
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def operations(self):
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method.upper(), path, item[method]

    def parameters(self, operation, place):
        found = [self.resolve(each) for each in operation.get("parameters", [])]
        return [each for each in found if each["in"] == place]

    def validator(self, schema):
        whole = {**schema, "components": self.document["components"]}
        return jsonschema.Draft202012Validator(whole, format_checker=formats)

    def fits(self, schema, value):
        return self.validator(schema).is_valid(value)

    def answer_fault(self, operation, answer):
        """What the document does not say of this answer, or nothing."""
        response = operation["responses"].get(str(answer.status))
        if response is None:
            return f"status {answer.status} is not documented: {answer.body[:300]}"
        response = self.resolve(response)
        for header in response.get("headers", {}):
            if header not in answer.headers:
                return f"{answer.status} without its header {header}"
        content = response.get("content", {})
        kind = answer.headers.get("Content-Type")
        if not content:
            return f"{answer.status} has a body" if answer.body else None
        if kind not in content:
            return f"{answer.status} is {kind}, documented are {sorted(content)}"
        if not kind.endswith("json"):
            return None
        errors = list(self.validator(content[kind]["schema"]).iter_errors(json.loads(answer.body)))
        return "; ".join(f"{answer.status}, {list(e.path)}: {e.message[:300]}" for e in errors)


class Values:
    """Values for a schema: some that fit it, and some next to it."""

    ODD = (None, True, -1, 0, 1.5, 1e308, 2**63, 2**64, 10**30, "", "x", "A", "a" * 300, "é", "\u0000", "a\nb", "../x",
           "' OR 1=1 --", [], {}, [[]], {"a": 1})

    def __init__(self, document, seed):
        self.document = document
        self.random = random.Random(seed)

    def good(self, schema):
        schema = self.document.resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "oneOf" in schema:
            return self.good(self.random.choice(schema["oneOf"]))
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self.random.choice(kind)
        if kind == "object":
            properties = schema.get("properties", {})
            wanted = [name for name in properties
                      if name in schema.get("required", []) or self.random.random() < 0.5]
            return {name: self.good(properties[name]) for name in wanted}
        if kind == "array":
            return [self.good(schema["items"]) for _ in range(max(1, schema.get("minItems", 1)))]
        if kind in ("integer", "number"):
            low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
            high = min(schema.get("maximum", low + 1000), low + 1000)
            return self.random.randint(int(low), int(high)) if kind == "integer" else self.random.uniform(low, high)
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind == "null":
            return None
        return "a" * max(1, schema.get("minLength", 1))

    def near(self, schema):
        """Values at the bounds of the schema and of other kinds, whether they fit it or not."""
        schema = self.document.resolve(schema)
        values = list(self.ODD)
        for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if bound in schema:
                values += [schema[bound] - 1, schema[bound], schema[bound] + 1]
        for bound in ("minLength", "maxLength"):
            if bound in schema:
                values += ["a" * max(0, schema[bound] + step) for step in (-1, 0, 1)]
        return values

    def bodies(self, schema):
        """Objects next to one that fits: a member less, one more, one of another value."""
        schema = self.document.resolve(schema)
        properties = schema.get("properties", {})
        for name, member in properties.items():
            for value in self.near(member):
                body = self.good(schema)
                body[name] = value
                yield body
        for name in properties:
            body = {each: self.good(properties[each]) for each in properties if each != name}
            yield body
        yield {**self.good(schema), "unknown": 1}
        yield {}


RAW_BODIES = (b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe\x00", b'{"a":', b"[" * 5000, b"{}" * 2, b"NaN",
              b'{"name": "a", "name": "b"}', b"x" * 20_000)
QUERY_TEXTS = ("", "-1", "0", "1", "1.5", "1e3", "abc", "9" * 30, "0x10", " 1", "+1", "1 ", "\u0000", "é", "true")
PATH_TEXTS = ("", "A", "-1", "0", "9" * 30, "%00", "%", "%zz", "..", "%2e%2e%2f", "a" * 300, "%C3%A9", "a%20b",
              "{task}", "a:stop", "latest", "'--")


class Conformance(ServerTest):
    #: Refusals of a source are what another test is about.
    server_options = {"config_edits": [(r"(?m)^# *failed_tokens_per_minute_per_source *=.*",
                                        "failed_tokens_per_minute_per_source = 100000")]}

    def setUp(self):
        super().setUp()
        self.connection = None
        self.addCleanup(lambda: self.connection and self.connection.close())
        self.document = Document(json.loads(SOURCE.read_text()))
        self.values = Values(self.document, seed=1)
        # Small enough a budget that its noise may be changed on the way.
        text = task_text(size=1, minimum=1, privacy=GAUSSIAN.replace("50.0", "20.0"))
        self.server.create_task(text + "[deployment]\n")
        self.server.create_task(task_text(name="plain", size=1, minimum=1, privacy=NO_PRIVACY))
        self.server.create_task(task_text(name="local", size=1, minimum=1, privacy=LOCAL))
        self.server.create_task(task_text(name="marked", size=1, minimum=1, privacy=NO_PRIVACY).replace(
            'kind = "softmax"', 'kind = "mlp"\nhidden = [8]') + "[watermark]\ntriggers = 60\n")
        device, = self.devices("pump")
        for task in ("t", "plain", "marked"):
            lease = device.lease(task)
            self.assertEqual(device.upload(lease, numpy.full(lease.model_bytes // 4, 0.01)).status, 200)
            self.server.published(1, task)
        wish = agent_pb2.ModelLeaseRequest(device_key=point(ec.generate_private_key(ec.SECP256R1())), key_tier="file")
        self.assertEqual(device.request("POST", "/v1/tasks/t/lease", wish.SerializeToString()).status, 200)
        self.arguments = {"task": "t", "device": "pump", "version": "1", "round": "1", "token": "00",
                          "enrolment_token": self.server.cli("device", "token", "create")["data"]["id"]}
        self.faults = []
        self.asked = 0

    def token(self, role):
        return self.server.cli("access", "token", "create", "--name", "ada", "--role", role)["data"]

    def send(self, method, path, body=None, headers=None, certificate="admin"):
        """Over one connection that is kept as long as the server keeps it."""
        for _ in range(2):
            if self.connection is None or self.connection.certificate != certificate:
                if self.connection:
                    self.connection.close()
                operators = self.server.root / "operators"
                pair = (operators / f"{certificate}.crt", operators / f"{certificate}.key") if certificate else ()
                self.connection = http.client.HTTPSConnection(
                    "127.0.0.1", self.server.ports["api"], timeout=harness.PATIENCE,
                    context=harness.tls_context(self.server.root / "pki/ca.crt", *pair))
                self.connection.certificate = certificate
            with contextlib.suppress(http.client.RemoteDisconnected, ConnectionError):
                self.connection.request(method, path, body, headers or {})
                response = self.connection.getresponse()
                answer = harness.Answer(response.status, dict(response.getheaders()), response.read())
                if answer.headers.get("Connection") == "close":
                    self.connection.close()
                    self.connection = None
                self.asked += 1
                return answer
            self.connection.close()
            self.connection = None
        raise AssertionError(f"{method} {path}: no answer")

    def filled(self, path, **changes):
        return re.sub(r"{(\w+)}", lambda part: {**self.arguments, **changes}[part[1]], path)

    def certificate_for(self, operation):
        return "auditor" if operation["x-tacit-action"] == "read_device_privacy" else "admin"

    def ask(self, method, path, operation, body=None, headers=None):
        return self.send(method, path, body, headers, certificate=self.certificate_for(operation))

    def hold(self, operation, answer, what):
        fault = f"a {answer.status}" if answer.status >= 500 else self.document.answer_fault(operation, answer)
        if fault:
            self.faults.append(f"{operation['operationId']} {what}: {fault}")

    def expect_no_faults(self, at_least):
        self.assertFalse(self.faults, f"{len(self.faults)} faults:\n" + "\n".join(self.faults[:40]))
        self.assertGreater(self.asked, at_least, "the test has become empty")

    def endless(self, path):
        return path.endswith("/events")

    def good_body(self, operation):
        content = self.document.resolve(operation.get("requestBody", {})).get("content", {})
        if "application/toml" in content:
            return task_text(name=f"made{self.asked}").encode()
        if "application/json" in content:
            return json.dumps(self.GOOD_BODIES[operation["operationId"]]).encode()
        if self.takes_a_model(operation):
            return self.send("GET", "/api/v1/tasks/marked/models/1/content").body
        return None

    def takes_a_model(self, operation):
        content = self.document.resolve(operation.get("requestBody", {})).get("content", {})
        return "application/octet-stream" in content

    GOOD_BODIES = {
        "stopTask": {"reason": "enough"}, "adjustTask": {"noise_multiplier": 1.5, "dry_run": True},
        "createEnrolmentToken": {"uses": 1, "ttl_s": 60, "name": None},
        "createAccessToken": {"name": "bob", "role": "viewer", "ttl_s": 60, "tasks": ["t"]},
    }

    def ordered(self):
        """What ends a task or a device comes last."""
        return sorted(self.document.operations(), key=lambda each: (":stop" in each[1], ":revoke" in each[1]))

    def test_the_document_is_what_is_served_and_sound(self):
        answer = self.send("GET", "/api/v1/openapi.json")
        self.assertEqual(answer.body, SOURCE.read_bytes())
        text = SOURCE.read_text()
        for reference in set(re.findall(r'"\$ref": "([^"]+)"', text)):
            self.document.resolve({"$ref": reference})
        used = set(re.findall(r'"#/components/(\w+/\w+)"', text))
        there = {f"{kind}/{name}" for kind, items in self.document.document["components"].items()
                 if kind != "securitySchemes" for name in items}
        self.assertEqual(there - used, set(), "nothing is defined that is not used")
        for schema in self.document.document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)
        names = [operation["operationId"] for _, _, operation in self.document.operations()]
        self.assertEqual(len(names), len(set(names)))
        sources = "".join(each.read_text() for each in SOURCE.parent.glob("*_api.cc"))
        routes = set(re.findall(r'\{"([A-Z]+)", "(/api/[^"]+)"', sources))
        self.assertEqual({(method, path) for method, path, _ in self.document.operations()}, routes)
        for method, path, operation in self.document.operations():
            self.assertTrue(operation["summary"])
            named = {each["name"] for each in self.document.parameters(operation, "path")}
            self.assertEqual(named, set(re.findall(r"{(\w+)}", path)), path)

    def test_what_fits_is_done_and_answered_as_documented(self):
        self.arguments["token"] = self.token("viewer")["id"]
        for method, path, operation in self.ordered():
            if self.endless(path):
                continue
            tasks = ("marked",) if self.takes_a_model(operation) else ("t",)
            for task in ("t", "plain", "local") if "{task}" in path and method == "GET" else tasks:
                answer = self.ask(method, self.filled(path, task=task), operation, self.good_body(operation))
                self.hold(operation, answer, task)
                refusable = task != "t" and answer.status == 404  # no ledger, no model yet
                if answer.status >= 300 and not refusable:
                    self.faults.append(f"{operation['operationId']} {task}: {answer.status} {answer.body}")
        self.expect_no_faults(35)

    def test_head_options_and_entity_tags_are_as_get_promises(self):
        for method, path, operation in self.ordered():
            filled = self.filled(path)
            allowed = self.ask("OPTIONS", filled, operation)
            self.assertEqual(allowed.status, 204)
            takes = {m for m, p, _ in self.document.operations() if p == path}
            self.assertEqual(set(allowed.headers["Allow"].split(", ")),
                             takes | {"OPTIONS"} | ({"HEAD"} if "GET" in takes else set()), path)
            refused = self.ask("DELETE", filled, operation)
            self.assertEqual((refused.status, refused.headers["Allow"]), (405, allowed.headers["Allow"]))
            if method != "GET" or path.endswith("{token}:revoke"):
                continue
            head = self.ask("HEAD", filled, operation)
            self.assertEqual((head.status, head.body), (200, b""), path)
            self.assertEqual(head.headers["X-Content-Type-Options"], "nosniff", path)
            if self.endless(path):
                continue
            whole = self.ask("GET", filled, operation)
            self.assertEqual(whole.headers["Cache-Control"], "private, no-cache", path)
            again = self.ask("GET", filled, operation, headers={"If-None-Match": whole.headers["ETag"]})
            if again.status == 200:  # the deadline of an open round moves
                self.assertNotEqual(again.body, whole.body, path)
            else:
                self.hold(operation, again, "again")
                self.assertEqual((again.status, again.body), (304, b""), path)
            other = self.ask("GET", filled, operation, headers={"If-None-Match": '"other"'})
            self.assertEqual(other.status, 200)
        self.expect_no_faults(80)

    def test_parts_of_paths_and_queries_are_taken_or_refused_as_their_schemas_say(self):
        for method, path, operation in self.ordered():
            for parameter in self.document.parameters(operation, "path"):
                for text in PATH_TEXTS:
                    answer = self.ask(method, self.filled(path, **{parameter["name"]: text}), operation,
                                      b"{}" if method == "POST" else None)
                    if answer.status not in (400, 404, 405):  # of the path as a whole
                        self.hold(operation, answer, f"{parameter['name']}={text}")
            if self.endless(path):
                continue
            for parameter in self.document.parameters(operation, "query"):
                schema = parameter["schema"]
                texts = QUERY_TEXTS + tuple(str(value) for value in self.values.near(schema)) + tuple(
                    map(str, self.document.resolve(schema).get("enum", ())))
                for text in texts:
                    query = urllib.parse.urlencode({parameter["name"]: text})
                    answer = self.ask(method, self.filled(path) + "?" + query, operation)
                    self.hold(operation, answer, query)
                    whole = self.document.resolve(schema).get("type") == "integer"
                    value = int(text) if whole and re.fullmatch(r"\d+", text) else text
                    fits = self.document.fits(schema, value)
                    if self.takes_a_model(operation):
                        continue  # it hangs on the body, too
                    if fits != (answer.status == 200) and text != "":
                        self.faults.append(f"{operation['operationId']} {query}: {answer.status}, though it "
                                           f"{'fits' if fits else 'does not fit'}")
        self.expect_no_faults(500)

    def test_bodies_are_taken_or_refused_as_their_schemas_say(self):
        bearing = [each for each in self.ordered() if "requestBody" in each[2] and ":stop" not in each[1]]
        for method, path, operation in bearing:
            filled = self.filled(path)
            for raw in RAW_BODIES:
                self.hold(operation, self.ask(method, filled, operation, raw), raw[:20])
            schema = operation["requestBody"]["content"].get("application/json", {}).get("schema")
            for body in self.values.bodies(schema) if schema else ():
                answer = self.ask(method, filled, operation, json.dumps(body).encode())
                self.hold(operation, answer, body)
                if answer.status < 300 and not self.document.fits(schema, body):
                    self.faults.append(f"{operation['operationId']}: took {body}")
        self.expect_no_faults(150)

    def test_a_task_file_with_any_line_gone_or_changed_is_planned_or_refused(self):
        operation = self.document.document["paths"]["/api/v1/plan"]["post"]
        lines = task_text(name="fuzzed").split("\n")
        for at, line in enumerate(lines):
            for value in (None, "-1", "0", '"x"', "1e308", "nan", "[]", "true", "9" * 20, '""', "{}", "1"):
                changed = copy.copy(lines)
                if value is None:
                    del changed[at]
                elif "=" in line:
                    changed[at] = line.split("=")[0] + "= " + value
                else:
                    continue
                answer = self.ask("POST", "/api/v1/plan", operation, "\n".join(changed).encode())
                self.hold(operation, answer, changed[at] if value else f"without {line}")
        self.expect_no_faults(200)

    def test_nobody_gets_in_without_an_identity_or_beyond_a_role(self):
        tokens = {role: self.token(role)["secret"] for role in ("viewer", "scientist", "operator", "auditor", "admin")}
        may = {role: json.loads(self.send("GET", "/api/v1/whoami", headers={"Authorization": f"Bearer {secret}"},
                                          certificate=None).body)["actions"] for role, secret in tokens.items()}
        for method, path, operation in self.ordered():
            for secret in (None, "tacit_" + "0" * 64, "é"):
                headers = {"Authorization": f"Bearer {secret}".encode("utf-8")} if secret else {}
                answer = self.send(method, self.filled(path), b"?" if method == "POST" else None, headers, None)
                self.hold(operation, answer, f"with {secret}")
                self.assertEqual(answer.status, 401, path)
            for role in tokens:
                if operation["x-tacit-action"] in may[role]:
                    continue
                answer = self.send(method, self.filled(path), b"?" if method == "POST" else None,
                                   {"Authorization": f"Bearer {tokens[role]}"}, None)
                self.hold(operation, answer, role)
                self.assertEqual(answer.status, 403, (path, role))
        self.expect_no_faults(90)

    def test_what_carries_an_idempotency_key_is_done_once(self):
        body = b'{"name": "eve", "role": "viewer"}'
        first, second = (self.send("POST", "/api/v1/access/tokens", body, {"Idempotency-Key": "one"}) for _ in "ab")
        self.assertEqual((first.status, second.status), (201, 201))
        self.assertEqual(first.body, second.body)
        self.assertEqual(second.headers.get("Idempotent-Replayed"), "true")
        self.assertNotIn("Idempotent-Replayed", first.headers)
        other = self.send("POST", "/api/v1/access/tokens", body + b" ", {"Idempotency-Key": "one"})
        self.assertEqual(other.status, 422)
        self.assertIn("another body", other.problem()["detail"])
        self.assertEqual(self.send("POST", "/api/v1/access/tokens", body, {"Idempotency-Key": "two"}).status, 201)
        self.assertEqual(self.send("POST", "/api/v1/access/tokens", body, {"Idempotency-Key": "a b"}).status, 422)
        # What failed has changed nothing, and may be tried again.
        for _ in "ab":
            failed = self.send("POST", "/api/v1/access/tokens", b"{}", {"Idempotency-Key": "three"})
            self.assertEqual(failed.status, 422)
        # Another caller's key is another key.
        secret = self.token("admin")["secret"]
        answer = self.send("POST", "/api/v1/access/tokens", body,
                           {"Idempotency-Key": "one", "Authorization": f"Bearer {secret}"}, certificate=None)
        self.assertNotEqual(answer.body, first.body)
        made = self.server.cli("access", "token", "list")["data"]["items"]
        self.assertEqual(sum(item["name"] == "eve" for item in made), 3)


class Events(ServerTest):
    def setUp(self):
        super().setUp()
        self.document = Document(json.loads(SOURCE.read_text()))
        self.server.create_task(task_text(size=1, minimum=1))
        self.responses = []

    def watch(self, query="", headers=None, secret=None):
        """A generator of (event, id, data); ends with the stream."""
        operators = self.server.root / "operators"
        pair = () if secret else (operators / "admin.crt", operators / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.ports["api"], timeout=harness.PATIENCE,
                                                 context=harness.tls_context(self.server.root / "pki/ca.crt", *pair))
        self.addCleanup(connection.close)
        connection.request("GET", "/api/v1/tasks/t/events" + query, headers={
            **(headers or {}), **({"Authorization": f"Bearer {secret}"} if secret else {})})
        response = connection.getresponse()
        self.responses.append(response)
        self.assertEqual((response.status, response.headers["Content-Type"]), (200, "text/event-stream"))

        def events():
            fields = {}
            for line in response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name in ("event", "id", "data"):
                    fields[name] = value
                elif not line.strip() and fields:
                    yield fields["event"], fields.get("id"), json.loads(fields["data"])
                    fields = {}
        return events()

    def next_of(self, stream, wanted):
        for event, number, data in stream:
            if event == wanted:
                return number, data
        raise AssertionError(f"the stream ended before a {wanted}")

    def do_round(self, device, number):
        lease = device.lease("t")
        self.assertEqual(device.upload(lease, numpy.zeros(lease.model_bytes // 4)).status, 200)
        self.server.published(number)

    def test_everything_is_told_in_order_once_and_from_where_one_was(self):
        device, = self.devices("pump")
        stream = self.watch()
        first = [next(stream) for _ in range(2)]
        self.assertEqual([event for event, _, _ in first], ["task", "privacy"])
        for (_, _, data), name in zip(first, ("Task", "Privacy")):
            errors = list(self.document.validator({"$ref": f"#/components/schemas/{name}"}).iter_errors(data))
            self.assertEqual(errors, [])
        for number in (1, 2):
            self.do_round(device, number)
            identity, data = self.next_of(stream, "round")
            self.assertEqual((identity, data["round"], data["phase"]), (str(number), number, "published"))
            self.assertTrue(self.document.fits({"$ref": "#/components/schemas/Round"}, data))
        _, privacy = self.next_of(stream, "privacy")
        self.assertEqual(privacy["rounds_charged"], 2)
        again = self.watch(headers={"Last-Event-ID": "1"})
        self.assertEqual(next(again)[:2], ("round", "2"))
        self.assertEqual(next(self.watch("?after=0"))[:2], ("round", "1"))
        self.assertEqual(next(self.watch("?after=7"))[0], "task")

    def test_one_caller_has_some_and_gets_another_when_one_has_ended(self):
        made = self.server.cli("access", "token", "create", "--name", "ada", "--role", "viewer")["data"]
        streams = [self.watch(secret=made["secret"]) for _ in range(8)]
        for stream in streams:
            self.assertEqual(next(stream)[0], "task")
        headers = {"Authorization": f"Bearer {made['secret']}"}

        def ask():
            return harness.request(self.server.ports["api"], "HEAD", "/api/v1/tasks/t/events", headers=headers,
                                   ca=self.server.root / "pki/ca.crt")

        refused = ask()
        self.assertEqual((refused.status, "Retry-After" in refused.headers), (429, True))
        self.assertEqual(next(self.watch())[0], "task", "another caller has theirs")
        for response in self.responses[:len(streams)]:
            response.close()
        harness.wait_until(lambda: ask().status == 200, "a place to be given back")

    def test_it_ends_with_its_token_and_with_the_server(self):
        made = self.server.cli("access", "token", "create", "--name", "ada", "--role", "viewer")["data"]
        with_token, with_certificate = self.watch(secret=made["secret"]), self.watch()
        for stream in (with_token, with_certificate):
            self.assertEqual(next(stream)[0], "task")
        self.server.cli("access", "token", "revoke", made["id"])
        began = time.monotonic()
        self.assertLess(len(list(with_token)), 3)
        self.assertLess(time.monotonic() - began, harness.PATIENCE / 2)
        self.assertEqual(self.server.stop(), 0)
        self.assertLess(len(list(with_certificate)), 3)
        self.assertLess(time.monotonic() - began, harness.PATIENCE / 2)


if __name__ == "__main__":
    unittest.main()
