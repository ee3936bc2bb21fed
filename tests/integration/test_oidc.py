"""Identity tokens of an OpenID Connect issuer: a real one over HTTPS, which openssl signs for."""

import base64
import contextlib
import http.client
import http.server
import json
import pathlib
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import NO_PRIVACY, Server, task_text, wait_until

ROLES = {"watchers": "viewer", "science": "scientist", "fleet operators": "operator", "revision": "auditor",
         "https://example.com/admins": "admin"}


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, capture_output=True).stdout


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make_certificates(directory):
    """A CA of the issuer's own, and a certificate for this machine under it."""
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-subj", "/CN=issuer CA", "-days", "2", "-keyout", directory / "ca.key", "-out",
            directory / "ca.crt")
    openssl("req", *key, "-subj", "/CN=issuer", "-keyout", directory / "tls.key", "-out", directory / "tls.csr")
    openssl("x509", "-req", "-in", directory / "tls.csr", "-CA", directory / "ca.crt", "-CAkey", directory / "ca.key",
            "-CAcreateserial", "-days", "1", "-extfile", extensions, "-out", directory / "tls.crt")


class Key:
    """A key pair of the issuer."""

    def __init__(self, directory, name, algorithm="ES256"):
        self.id, self.algorithm, self.file = name, algorithm, directory / f"{name}.key"
        if algorithm == "ES256":
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.file)
            point = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-64:]
            numbers = {"kty": "EC", "crv": "P-256", "x": url64(point[:32]), "y": url64(point[32:])}
        else:
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.file)
            modulus = openssl("rsa", "-in", self.file, "-noout", "-modulus").decode().strip().partition("=")[2]
            numbers = {"kty": "RSA", "n": url64(bytes.fromhex(modulus)), "e": "AQAB"}
        self.jwk = {"kid": name, "use": "sig", "alg": algorithm, **numbers}

    def sign(self, text):
        signature = openssl("dgst", "-sha256", "-sign", self.file, data=text.encode())
        if self.algorithm != "ES256":
            return signature
        # Two integers in DER: each has a type, a length, and perhaps a zero in front.
        size = signature[3]
        numbers = signature[4:4 + size], signature[6 + size:]
        return b"".join(number.lstrip(b"\x00").rjust(32, b"\x00") for number in numbers)


class Issuer:
    """Publishes its keys over HTTPS, as long as it is up; always on the same port."""

    def __init__(self, directory):
        make_certificates(directory)
        self.ca = directory / "ca.crt"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
        self.port, self.asked, self.server = 0, [], None
        self.keys = [Key(directory, "first"), Key(directory, "rsa", "RS256")]
        self.start()
        self.url = f"https://127.0.0.1:{self.port}/fleet"

    def start(self):
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                document = {"/fleet/.well-known/openid-configuration": {"issuer": issuer.url,
                                                                        "jwks_uri": issuer.url + "/keys"},
                            "/fleet/keys": {"keys": [key.jwk for key in issuer.keys]}}.get(self.path)
                body = json.dumps(document).encode()
                self.send_response(200 if document else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # who gives up in the handshake

        self.server = Quiet(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def token(self, *roles, key=None, seconds=300, header=None, **claims):
        key = key or self.keys[0]
        now = int(time.time())
        said = {"iss": self.url, "aud": ["tacit", "account"], "sub": "auth0|ada", "iat": now, "exp": now + seconds,
                "realm_access": {"roles": list(roles)}, **claims}
        text = ".".join(url64(json.dumps(part).encode())
                        for part in ({"alg": key.algorithm, "typ": "JWT", "kid": key.id, **(header or {})}, said))
        return f"{text}.{url64(key.sign(text))}"


def configuration(issuer, failed_tokens, more=""):
    """Edits of the configuration that `tacit init` makes."""
    roles = "\n".join(f'"{value}" = "{role}"' for value, role in ROLES.items())
    return [(r"(?m)^# *failed_tokens_per_minute_per_source *=.*",
             f"failed_tokens_per_minute_per_source = {failed_tokens}\n[api.oidc]\nissuer = \"{issuer.url}\"\n"
             f"audience = \"tacit\"\nca_file = \"{issuer.ca}\"\nrole_claim = \"realm_access.roles\"\nleeway = \"0s\"\n"
             f"{more}[api.oidc.roles]\n{roles}")]


class OidcTest(unittest.TestCase):
    """With one issuer, and one server that takes its tokens."""

    failed_tokens = 100_000
    issuer_is_up = True

    @classmethod
    def setUpClass(cls):
        directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.directory = directory
        cls.issuer = Issuer(directory)
        cls.addClassCleanup(lambda: cls.issuer.stop())
        if not cls.issuer_is_up:
            cls.issuer.stop()
        cls.server = Server(config_edits=configuration(cls.issuer, cls.failed_tokens))
        cls.addClassCleanup(cls.close)
        cls.server.start()

    @classmethod
    def close(cls):
        code = cls.server.close()
        assert code == 0, f"the server did not end cleanly: {cls.server.log[-10:]}"

    def ask(self, token, method="GET", path="/api/v1/whoami", body=None):
        return harness.request(self.server.ports["api"], method, path, body, {"Authorization": f"Bearer {token}"},
                               ca=self.server.root / "pki/ca.crt")

    def refusals(self, reason):
        return self.server.metric(f'tacit_access_refused_total{{reason="{reason}"}}')

    def assert_refused(self, token, said, status=401, reason="bad_identity_token"):
        before = self.refusals(reason)
        answer = self.ask(token)
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn(said, answer.problem()["detail"])
        self.assertEqual(self.refusals(reason), before + 1)
        return answer


class Access(OidcTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.wait_for_event("oidc_keys_taken", keys=2, left_out=0)
        cls.server.create_task(task_text(privacy=NO_PRIVACY))

    def test_a_role_is_what_the_issuer_says_and_no_more(self):
        for key in self.issuer.keys[:2]:
            who = json.loads(self.ask(self.issuer.token("watchers", key=key)).body)
            self.assertEqual((who["name"], who["role"], who["proven_by"], who["token"], who["tasks"]),
                             ("oidc:auth0%7Cada", "viewer", "identity_token", None, None))
        viewer, operator = self.issuer.token("watchers", "unknown"), self.issuer.token("watchers", "fleet operators")
        self.assertEqual(self.ask(viewer, path="/api/v1/tasks/t").status, 200)
        self.assertEqual(self.ask(viewer, path="/api/v1/devices").status, 403)
        self.assertEqual(self.ask(operator, path="/api/v1/devices").status, 200)
        self.assertEqual(self.ask(operator, path="/api/v1/audit").status, 403)
        self.assertEqual(self.ask(self.issuer.token("revision"), path="/api/v1/audit").status, 200)
        self.assertEqual(self.ask(self.issuer.token("https://example.com/admins", "science", "watchers"),
                                  path="/api/v1/access/tokens").status, 200)
        for roles, said in (((), "nothing that stands for a role"), (("admin",), "nothing that stands for a role"),
                            (("revision", "fleet operators"), "nobody is at once")):
            self.assert_refused(self.issuer.token(*roles), said, status=403, reason="role")

    def test_what_is_done_with_it_is_in_the_audit_log_under_its_subject(self):
        operator = self.issuer.token("fleet operators", sub="eve/by token \n")
        task = task_text(name="stopped", privacy=NO_PRIVACY).encode()
        self.assertEqual(self.ask(operator, "POST", "/api/v1/tasks", task).status, 201)
        self.assertEqual(self.ask(operator, "POST", "/api/v1/tasks/stopped:stop").status, 200)
        records = json.loads(self.ask(self.issuer.token("revision"), path="/api/v1/audit").body)["items"]
        done = [(record["actor"], record["action"]) for record in records if record["target"] == "task/stopped"]
        self.assertEqual(done, [("operator/oidc:eve%2Fby%20token%20%0A", "task_create"),
                                ("operator/oidc:eve%2Fby%20token%20%0A", "task_stop")])

    def test_what_is_wrong_with_a_token_is_told_and_counted_but_not_shown(self):
        good = self.issuer.token("watchers")
        header, payload, signature = good.split(".")
        changed = url64(base64.urlsafe_b64decode(payload + "==").replace(b"watchers", b"revision"))
        secrets = []
        for token, said in (
                (self.issuer.token("watchers", seconds=-1), "has expired"),
                (self.issuer.token("watchers", nbf=int(time.time()) + 60), "not valid yet"),
                (self.issuer.token("watchers", aud="account"), "for somebody else"),
                (self.issuer.token("watchers", iss=self.issuer.url + "/"), "another issuer"),
                (self.issuer.token("watchers", seconds=90_000), "for longer"),
                (self.issuer.token("watchers", header={"crit": ["exp"]}), "(crit)"),
                (self.issuer.token("watchers", header={"alg": "none"}), "signed with 'none'"),
                (self.issuer.token("watchers", header={"alg": "HS256", "kid": "rsa"}), "signed with 'HS256'"),
                (self.issuer.token("watchers", key=self.issuer.keys[1], header={"kid": self.issuer.keys[0].id}),
                 "does not sign with"),
                (f"{header}.{changed}.{signature}", "signature is wrong"),
                (f"{header}.{payload}.{signature}=", "base64url"),
                (f"{header}.{payload}.", "signature is wrong")):
            answer = self.assert_refused(token, said)
            self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="tacit"')
            secrets += [token.split(".")[2].rstrip("=")] if token.split(".")[2] else []
            self.assertNotIn(token.split(".")[1], answer.body.decode())
        self.assertEqual(self.ask(good).status, 200)
        told = json.dumps(self.server.log) + self.server.metrics()
        for secret in [*secrets, signature]:
            self.assertNotIn(secret, told)

    def test_a_stream_of_events_ends_with_its_token(self):
        context = harness.tls_context(self.server.root / "pki/ca.crt")
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.ports["api"], timeout=harness.PATIENCE,
                                                 context=context)
        with contextlib.closing(connection):
            ends = int(time.time()) + 3
            connection.request("GET", "/api/v1/tasks/t/events", headers={
                "Authorization": "Bearer " + self.issuer.token("watchers", exp=ends)})
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            self.assertIn(b"event: task", response.read())
            self.assertGreaterEqual(time.time(), ends)
            self.assertLess(time.time(), ends + harness.PATIENCE / 2)

    def test_the_command_line_takes_it_from_a_file(self):
        file = self.directory / "ada.token"
        file.touch(mode=0o600)
        file.write_text(self.issuer.token("science") + "\n")
        shown = harness.run(["tacit", "--server", f"127.0.0.1:{self.server.ports['api']}", "--ca",
                             self.server.root / "pki/ca.crt", "--token-file", file, "whoami"]).stdout
        self.assertRegex(shown, r"role: +scientist")
        self.assertRegex(shown, r"proven by: +identity_token")

    def test_new_keys_are_asked_for_once_and_old_ones_open_nothing(self):
        old, new = self.issuer.keys[0], Key(self.directory, "second")
        before = self.issuer.token("watchers")
        self.assertEqual(self.ask(before).status, 200)
        self.issuer.keys[0] = new
        asked = len(self.issuer.asked)
        after = self.issuer.token("watchers")
        self.assertEqual(self.ask(before).status, 200, "the server does not know yet")
        wait_until(lambda: self.ask(after).status == 200, "the new key to be known")
        self.assertEqual(len(self.issuer.asked), asked + 2, "its description, and its keys")
        self.assert_refused(before, f"no key '{old.id}'")


class Absent(OidcTest):
    """An issuer that is not there when the server starts."""

    failed_tokens = 5
    issuer_is_up = False

    def doctor(self):
        ended = subprocess.run([harness.BIN / "tacit", "--json", "doctor", "--config", self.server.config],
                               capture_output=True, text=True)
        findings = json.loads(ended.stdout)["data"]["findings"]
        return [(finding["verdict"], finding["what"]) for finding in findings if finding["area"] == "issuer"]

    def test_keeps_nobody_else_out_and_is_asked_until_it_answers(self):
        self.server.wait_for_event("oidc_keys_not_taken", code="unavailable")
        self.assertEqual(self.server.operator("GET", "/api/v1/version").status, 200)
        token = self.issuer.token("watchers")
        for _ in range(8):
            answer = self.assert_refused(token, "no keys of the issuer", status=503, reason="no_issuer_keys")
            self.assertEqual(answer.headers["Retry-After"], "5")
        (verdict, what), = self.doctor()
        self.assertEqual(verdict, "problem")
        self.assertIn(f"https://127.0.0.1:{self.issuer.port}", what)
        self.issuer.start()
        self.server.wait_for_event("oidc_keys_taken", keys=2)
        self.assertEqual(self.ask(token).status, 200, "and nothing of it was a guess")
        self.assertEqual(self.doctor(), [("ok", "the issuer answers, with 2 keys to check its tokens with")])
        self.assertEqual(self.server.metric("tacit_oidc_keys"), 2)
        self.assertGreaterEqual(self.server.metric('tacit_oidc_requests_total{result="error"}'), 1)
        # Wrong ones are guesses, as wrong access tokens are; right ones cost nothing.
        for _ in range(8):
            self.assertEqual(self.ask(token).status, 200)
        wrong = self.issuer.token("watchers", aud="account")
        statuses = [self.ask(wrong).status for _ in range(8)]
        self.assertEqual((statuses[:5], statuses[-1]), ([401] * 5, 429))
        self.assertEqual(self.ask(token).status, 429, "not even a right one tells")


if __name__ == "__main__":
    unittest.main()
