"""Who may do what on the api listener: roles of certificates and of access tokens, and what is kept of a token."""

import json
import os
import pathlib
import re
import subprocess
import time
import unittest

import harness
from harness import NO_PRIVACY, ServerTest, task_text

ROLES = ("viewer", "scientist", "operator", "auditor", "admin")
ALL = set(ROLES)
WORKERS = {"scientist", "operator", "admin"}
OPERATORS = {"operator", "admin"}

#: Every operation of the api listener, and who may: written down here once more, so that a change of the server's own
#: table is seen. What is sent is harmless: an operation that is allowed then fails at what it is asked for.
OPERATIONS = {
    ("GET", "/api/v1/version"): ALL,
    ("GET", "/api/v1/openapi.json"): ALL,
    ("GET", "/api/v1/whoami"): ALL,
    ("GET", "/api/v1/tasks"): ALL,
    ("POST", "/api/v1/tasks"): OPERATORS,
    ("GET", "/api/v1/tasks/{task}"): ALL,
    ("POST", "/api/v1/tasks/{task}:stop"): OPERATORS,
    ("POST", "/api/v1/tasks/{task}:adjust"): OPERATORS,
    ("GET", "/api/v1/tasks/{task}/rounds"): ALL,
    ("GET", "/api/v1/tasks/{task}/rounds/{round}"): ALL,
    ("GET", "/api/v1/tasks/{task}/events"): ALL,
    ("GET", "/api/v1/tasks/{task}/privacy"): ALL,
    ("GET", "/api/v1/tasks/{task}/privacy/forecast"): ALL,
    ("GET", "/api/v1/tasks/{task}/ledger"): ALL - {"viewer"},
    ("GET", "/api/v1/tasks/{task}/ledger/verification"): ALL - {"viewer"},
    ("GET", "/api/v1/tasks/{task}/models/{version}"): WORKERS,
    ("GET", "/api/v1/tasks/{task}/models/{version}/content"): WORKERS,
    ("POST", "/api/v1/plan"): WORKERS,
    ("POST", "/api/v1/enrolment/tokens"): OPERATORS,
    ("GET", "/api/v1/fleet"): OPERATORS | {"auditor"},
    ("GET", "/api/v1/enrolment/tokens"): OPERATORS,
    ("POST", "/api/v1/enrolment/tokens/{enrolment_token}:revoke"): OPERATORS,
    ("GET", "/api/v1/devices"): OPERATORS | {"auditor"},
    ("GET", "/api/v1/devices/{device}"): OPERATORS | {"auditor"},
    ("GET", "/api/v1/tasks/{task}/deployment"): OPERATORS | {"auditor"},
    ("GET", "/api/v1/tasks/{task}/edge"): OPERATORS | {"auditor"},
    ("GET", "/api/v1/devices/{device}/privacy"): {"auditor"},
    ("POST", "/api/v1/devices/{device}:revoke"): OPERATORS,
    ("POST", "/api/v1/access/tokens"): {"admin"},
    ("GET", "/api/v1/access/tokens"): {"admin"},
    ("POST", "/api/v1/access/tokens/{token}:revoke"): {"admin"},
    ("GET", "/api/v1/audit"): {"auditor", "admin"},
    ("GET", "/api/v1/audit/verification"): {"auditor", "admin"},
    ("POST", "/api/v1/tasks/{task}/claims"): {"admin"},
    ("POST", "/api/v1/tasks/{task}/traces"): OPERATORS,
    ("GET", "/api/v1/alerts"): OPERATORS | {"auditor"},
    ("GET", "/api/v1/metrics"): OPERATORS | {"auditor"},
}
ARGUMENTS = {"task": "t", "version": "latest", "round": "1", "device": "nobody", "token": "00",
             "enrolment_token": "00" * 8}


def filled(pattern):
    return re.sub(r"{(\w+)}", lambda part: ARGUMENTS[part[1]], pattern)


class AccessTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.create_task(task_text(privacy=NO_PRIVACY))

    def token(self, role, *options, name="ada"):
        return self.server.cli("access", "token", "create", "--name", name, "--role", role, *options)["data"]

    def ask(self, secret, method, path, body=None, scheme="Bearer"):
        headers = {} if secret is None else {"Authorization": f"{scheme} {secret}"}
        return harness.request(self.server.ports["api"], method, path, body, headers,
                               ca=self.server.root / "pki/ca.crt")

    def refusals(self, reason):
        return self.server.metric(f'tacit_access_refused_total{{reason="{reason}"}}')


class Table(AccessTest):
    def test_it_names_every_operation_of_the_server(self):
        sources = pathlib.Path(os.environ["TACIT_SOURCE"], "server/api")
        routes = set()
        for source in sources.glob("*_api.cc"):
            routes |= set(re.findall(r'\{"(GET|POST|PUT|PATCH|DELETE)", "(/api/[^"]+)"', source.read_text()))
        self.assertEqual(routes, set(OPERATIONS))

    def test_each_role_may_do_what_it_says_and_nothing_else(self):
        secrets = {role: self.token(role)["secret"] for role in ROLES}
        for (method, pattern), allowed in OPERATIONS.items():
            for role, secret in secrets.items():
                # What goes on for ever is asked for its head.
                asked = "HEAD" if pattern.endswith("/events") else method
                answer = self.ask(secret, asked, filled(pattern), b"?" if method == "POST" else None)
                if role in allowed:
                    self.assertNotIn(answer.status, (401, 403, 429, 500), (method, pattern, role, answer.body))
                else:
                    self.assertEqual(answer.status, 403, (method, pattern, role))
                    self.assertIn(f"role {role} may not do this", answer.problem()["detail"])
        self.assertEqual(self.refusals("role"), sum(len(ROLES) - len(allowed) for allowed in OPERATIONS.values()))
        self.assertEqual(self.server.task()["state"], "active", "nothing was stopped")

    def test_a_certificate_has_the_role_that_it_names(self):
        for person, role in (("admin", "admin"), ("auditor", "auditor")):
            operators = self.server.root / "operators"
            who = self.server.cli("whoami", "--cert", operators / f"{person}.crt", "--key",
                                  operators / f"{person}.key")["data"]
            self.assertEqual((who["name"], who["role"], who["proven_by"], who["tasks"]),
                             (person, role, "certificate", None))
            may = {action for action in who["actions"]}
            self.assertEqual("manage_access" in may, role == "admin")
            self.assertEqual("read_device_privacy" in may, role == "auditor")


class Browsers(AccessTest):
    def test_what_a_page_of_another_site_asks_for_is_refused_whoever_the_browser_shows(self):
        host = f"127.0.0.1:{self.server.ports['api']}"
        strange = ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
                   {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": f"http://{host}"})
        own = ({"Sec-Fetch-Site": "same-origin", "Origin": f"https://{host}"}, {"Sec-Fetch-Site": "none"}, {})
        for headers in strange:
            for method, path in (("GET", "/api/v1/tasks"), ("POST", "/api/v1/tasks/t:stop")):
                refused = self.server.operator(method, path, headers=headers)
                self.assertEqual(refused.status, 403, headers)
                self.assertIn("another site", refused.problem()["detail"])
        for headers in own:
            self.assertEqual(self.server.operator("GET", "/api/v1/tasks", headers=headers).status, 200, headers)
        self.assertEqual(self.server.task()["state"], "active", "nothing was stopped")
        self.assertEqual(self.refusals("cross_site"), 2 * len(strange))


class Tokens(AccessTest):
    def test_without_an_identity_nothing_is_told(self):
        for secret, scheme, reason in ((None, None, "no_identity"), ("tacit_" + "0" * 64, "Bearer", "bad_token"),
                                       ("YWRhOmFkYQ==", "Basic", "malformed"), ("", "Bearer", "malformed"),
                                       ("e30.e30.AA", "Bearer", "bad_identity_token")):
            answer = self.ask(secret, "GET", "/api/v1/tasks", scheme=scheme)
            self.assertEqual((answer.status, answer.problem()["code"]), (401, "unauthenticated"), reason)
            self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="tacit"')
            self.assertNotIn('"t"', answer.body.decode())
        self.assertEqual(self.refusals("bad_token"), 1)
        self.assertEqual(self.refusals("bad_identity_token"), 1, "no issuer is configured")
        self.assertEqual(self.refusals("no_identity"), 1)
        self.assertEqual(self.refusals("malformed"), 2)

    def test_a_scheme_is_taken_in_any_case_and_a_token_decides_over_a_certificate(self):
        secret = self.token("viewer")["secret"]
        self.assertEqual(self.ask(secret, "GET", "/api/v1/tasks", scheme="bearer").status, 200)
        self.assertEqual(self.server.operator("GET", "/api/v1/devices").status, 200)
        both = self.server.operator("GET", "/api/v1/devices", headers={"Authorization": f"Bearer {secret}"})
        self.assertEqual(both.status, 403)

    def test_a_token_for_a_task_opens_that_one_only(self):
        self.server.create_task(task_text(name="u", privacy=NO_PRIVACY))
        secret = self.token("operator", "--task", "t")["secret"]
        self.assertEqual(json.loads(self.ask(secret, "GET", "/api/v1/whoami").body)["tasks"], ["t"])
        listed = json.loads(self.ask(secret, "GET", "/api/v1/tasks").body)["items"]
        self.assertEqual([task["name"] for task in listed], ["t"])
        for path, status in (("/api/v1/tasks/t", 200), ("/api/v1/tasks/t/rounds", 200), ("/api/v1/tasks/u", 403),
                             ("/api/v1/tasks/u/rounds", 403), ("/api/v1/tasks/absent", 403), ("/api/v1/tasks/T", 403),
                             ("/api/v1/devices", 403)):
            self.assertEqual(self.ask(secret, "GET", path).status, status, path)
        self.assertEqual(self.ask(secret, "POST", "/api/v1/tasks", task_text(name="v").encode()).status, 403)
        self.assertEqual(self.ask(secret, "POST", "/api/v1/tasks/u:stop").status, 403)
        self.assertEqual(self.ask(secret, "POST", "/api/v1/tasks/t:stop").status, 200)
        self.assertEqual(self.server.task("u")["state"], "active")

    def test_it_ends_by_its_time_and_by_being_revoked_at_once_and_for_ever(self):
        short = self.token("viewer", "--ttl", "1s")["secret"]
        kept, gone = self.token("viewer"), self.token("viewer", name="bob")
        with harness.connect(self.server.ports["api"], self.server.root / "pki/ca.crt") as connection:
            def status():
                connection.sendall(b"GET /api/v1/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                                   + gone["secret"].encode() + b"\r\n\r\n")
                answer = b""
                while b"\r\n\r\n" not in answer or b"}" not in answer:
                    answer += connection.recv(65536)
                return int(answer.split()[1])
            self.assertEqual(status(), 200)
            self.assertEqual(self.server.cli("access", "token", "revoke", gone["id"])["data"]["state"], "revoked")
            self.assertEqual(status(), 401, "the connection it was used on is no way around")
        time.sleep(1.1)
        self.assertEqual(self.ask(short, "GET", "/api/v1/version").status, 401)
        self.server.kill()
        self.server.restart()
        self.assertEqual(self.ask(kept["secret"], "GET", "/api/v1/version").status, 200)
        self.assertEqual(self.ask(gone["secret"], "GET", "/api/v1/version").status, 401)
        states = {item["name"] + item["state"] for item in self.server.cli("access", "token", "list")["data"]["items"]}
        self.assertEqual(states, {"adaexpired", "adaactive", "bobrevoked"})
        again = self.server.cli("access", "token", "revoke", gone["id"])["data"]
        self.assertEqual(again["state"], "revoked")
        self.assertEqual(self.server.cli("access", "token", "revoke", "00ff", expect=1)["error"]["code"], "not_found")

    def test_nothing_keeps_or_tells_the_secret(self):
        secret = self.token("scientist")["secret"]
        self.assertEqual(len(secret), len("tacit_") + 64)
        self.assertEqual(self.ask(secret, "GET", "/api/v1/whoami").status, 200)
        self.ask(secret, "GET", "/api/v1/devices")
        told = json.dumps(self.server.cli("access", "token", "list")) + json.dumps(self.server.cli("audit", "list"))
        told += self.ask(secret, "GET", "/api/v1/whoami").body.decode() + json.dumps(self.server.log)
        told += self.server.metrics()
        self.server.stop()
        written = b"".join(path.read_bytes() for path in self.server.data.rglob("*") if path.is_file())
        digits = secret.removeprefix("tacit_")
        self.assertNotIn(digits, told)
        self.assertNotIn(digits.encode(), written)
        self.assertNotIn(bytes.fromhex(digits), written)

    def test_who_made_and_revoked_it_is_in_the_audit_log_for_auditors_and_admins(self):
        token = self.token("operator", "--task", "t", "--ttl", "1h")
        self.ask(token["secret"], "POST", "/api/v1/tasks/t:stop")
        self.server.cli("access", "token", "revoke", token["id"])
        records = self.server.cli("audit", "list")["data"]["items"]
        done = [(record["actor"], record["action"], record["target"]) for record in records]
        self.assertEqual(done[-3:], [("admin/admin", "access_token_create", f"access_token/{token['id']}"),
                                     (f"operator/ada by token/{token['id']}", "task_stop", "task/t"),
                                     ("admin/admin", "access_token_revoke", f"access_token/{token['id']}")])
        self.assertTrue(records[-3]["detail"].startswith("role operator for ada until "))
        self.assertTrue(records[-3]["detail"].endswith(", task t"))
        self.assertEqual([record["sequence"] for record in records], list(range(1, len(records) + 1)))
        self.assertEqual(self.server.cli("audit", "list", "--after", len(records) - 1)["data"]["items"], records[-1:])

    def test_bad_wishes_are_refused_with_what_is_wrong(self):
        for body, status, said in ((b"", 400, "JSON object"), (b"[]", 400, "JSON object"),
                                   (b"{}", 422, "name and role must be given"),
                                   (b'{"name": "Ada", "role": "viewer"}', 422, "a person's name"),
                                   (b'{"name": "ada", "role": "root"}', 422, "not 'root'"),
                                   (b'{"name": "ada", "role": "viewer", "ttl_s": 0}', 422, "ttl_s"),
                                   (b'{"name": "ada", "role": "viewer", "ttl_s": 99999999999}', 422, "ttl_s"),
                                   (b'{"name": "ada", "role": "viewer", "tasks": []}', 422, "tasks must be"),
                                   (b'{"name": "ada", "role": "viewer", "tasks": ["absent"]}', 404, "absent"),
                                   (b'{"name": "ada", "role": "viewer", "admin": true}', 422, "'admin' is unknown")):
            answer = self.server.operator("POST", "/api/v1/access/tokens", body)
            self.assertEqual(answer.status, status, (body, answer.body))
            self.assertIn(said, answer.problem()["detail"])
        self.assertEqual(self.server.cli("access", "token", "list")["data"]["items"], [])

    def test_a_problem_points_to_the_field_that_is_at_fault(self):
        tokens, enrolment = "/api/v1/access/tokens", "/api/v1/enrolment/tokens"
        for method, path, body, field in (
                ("POST", tokens, {"name": "Ada", "role": "viewer"}, {"pointer": "#/name"}),
                ("POST", tokens, {"name": "ada"}, {"pointer": "#/role"}),
                ("POST", tokens, {"name": "ada", "role": "viewer", "a/b~ c": 1}, {"pointer": "#/a~1b~0%20c"}),
                ("POST", enrolment, {"uses": 0}, {"pointer": "#/uses"}),
                ("POST", enrolment, {"name": "A"}, {"pointer": "#/name"}),
                ("POST", "/api/v1/tasks/t:stop", {"reason": ""}, {"pointer": "#/reason"}),
                ("GET", "/api/v1/tasks/t/rounds?limit=0", None, {"parameter": "limit"}),
                ("GET", "/api/v1/tasks/t/rounds?after=x", None, {"parameter": "after"}),
                ("GET", enrolment + "?after=x", None, {"parameter": "after"})):
            answer = self.server.operator(method, path, json.dumps(body).encode() if body else None)
            self.assertEqual(answer.status, 422, (path, body, answer.body))
            problem = answer.problem()
            self.assertEqual(problem["errors"], [{**field, "detail": problem["detail"]}], (path, body))
        absent = self.server.operator("GET", "/api/v1/tasks/absent")
        self.assertNotIn("errors", absent.problem(), "what is at fault is no field")


class EnrolmentTokens(AccessTest):
    def test_are_listed_without_their_secrets_and_admit_nobody_once_they_are_revoked(self):
        made = [self.server.cli("device", "token", "create", *options)["data"]
                for options in (["--uses", "3"], ["--name", "pump-3"])]
        listed = {item["id"]: item for item in self.server.cli("device", "token", "list")["data"]["items"]}
        self.assertEqual(set(listed), {token["id"] for token in made})
        self.assertEqual([(listed[token["id"]]["uses_left"], listed[token["id"]]["device"]) for token in made],
                         [(3, None), (1, "pump-3")])
        text = json.dumps(listed)
        for token in made:
            self.assertNotIn(token["token"].removeprefix("tct_").split(".")[0], text)
        pages = [self.server.asked("GET", f"/api/v1/enrolment/tokens?limit=1&after={after}")
                 for after in ("", sorted(listed)[0])]
        self.assertEqual([page["items"][0]["id"] for page in pages], sorted(listed))
        open_to_all = made[0]
        self.server.enrol("a", token=open_to_all["token"])
        revoked = self.server.cli("device", "token", "revoke", open_to_all["id"])["data"]
        self.assertEqual((revoked["state"], revoked["uses_left"]), ("used_up", 0))
        with self.assertRaisesRegex(AssertionError, "used up"):
            self.server.enrol("b", token=open_to_all["token"])
        self.assertEqual([item["name"] for item in self.server.cli("device", "list")["data"]["items"]], ["a"])
        self.assertIn("no enrolment token", self.server.cli("device", "token", "revoke", "00" * 8,
                                                            expect=1)["error"]["message"])
        entry = self.server.asked("GET", "/api/v1/audit")["items"][-1]
        self.assertEqual((entry["action"], entry["target"]), ("token_revoke", "token/" + open_to_all["id"]))


class Guessing(AccessTest):
    server_options = {"config_edits": [(r"(?m)^# *failed_tokens_per_minute_per_source *=.*",
                                        "failed_tokens_per_minute_per_source = 5")]}

    def test_is_slowed_down_by_source_and_a_right_token_costs_nothing(self):
        good = self.token("viewer")["secret"]
        for _ in range(20):
            self.assertEqual(self.ask(good, "GET", "/api/v1/version").status, 200)
        statuses = [self.ask(f"tacit_{guess:064}", "GET", "/api/v1/version").status for guess in range(8)]
        self.assertEqual(statuses[:5], [401] * 5)
        self.assertEqual(statuses[-1], 429)
        self.assertGreaterEqual(self.refusals("rate_limited"), 2)
        answer = self.ask(good, "GET", "/api/v1/version")
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "60"), "not even a right guess tells")
        self.assertEqual(self.server.operator("GET", "/api/v1/version").status, 200, "certificates are no guesses")


class CommandLine(AccessTest):
    def tacit(self, *arguments, expect=0):
        result = subprocess.run([harness.BIN / "tacit", "--server", f"127.0.0.1:{self.server.ports['api']}", "--ca",
                                 self.server.root / "pki/ca.crt", *map(str, arguments)], capture_output=True, text=True)
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        return result.stdout + result.stderr

    def test_a_token_in_a_file_takes_the_place_of_a_certificate(self):
        file = self.server.directory / "ada.token"
        made = self.token("scientist", "--output", file)
        self.assertNotIn("secret", made)
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        again = self.server.cli("access", "token", "create", "--name", "bob", "--role", "viewer", "--output", file,
                                expect=2)
        self.assertIn("is there already", again["error"]["message"])
        names = [token["name"] for token in self.server.cli("access", "token", "list")["data"]["items"]]
        self.assertEqual(names, ["ada"], "no token was made for it")
        shown = self.tacit("--token-file", file, "whoami")
        self.assertRegex(shown, r"role: +scientist")
        self.assertRegex(shown, r"proven by: +token")
        self.assertIn("t", self.tacit("--token-file", file, "task", "list"))
        refused = self.tacit("--token-file", file, "device", "list", expect=1)
        self.assertIn("tacit whoami", refused)
        file.chmod(0o644)
        self.assertIn("chmod 600", self.tacit("--token-file", file, "whoami", expect=2))
        file.chmod(0o600)
        file.write_text("two words\n")
        self.assertIn("one access token", self.tacit("--token-file", file, "whoami", expect=2))
        self.assertIn("--token-file", self.tacit("whoami", expect=2))


if __name__ == "__main__":
    unittest.main()
