"""Who gets past the handshake and how many do, with openssl s_client and curl as witnesses."""

import contextlib
import datetime
import pathlib
import re
import resource
import socket
import subprocess
import unittest

import harness
from harness import ServerTest


def openssl(*arguments, directory, stdin=None):
    result = subprocess.run(["openssl", *map(str, arguments)], cwd=directory, input=stdin, capture_output=True,
                            text=True)
    if result.returncode != 0:
        raise AssertionError(f"openssl {arguments}: {result.stderr}")
    return result.stdout


class Certificates:
    """Client certificates that a device of this server might show, good ones and bad ones."""

    def __init__(self, server):
        self.server = server
        self.directory = server.directory / "made"
        self.directory.mkdir()
        self.ca = (server.root / "pki/ca.crt", server.root / "pki/ca.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", "/CN=Another CA", "-keyout", "other.key", "-out", "other.crt", directory=self.directory)
        self.other_ca = (self.directory / "other.crt", self.directory / "other.key")

    def make(self, name, ca=None, san="URI:spiffe://test.example/device/good", start=None, end=None):
        certificate, key = ca or self.ca
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr", directory=self.directory)
        now = datetime.datetime.utcnow()
        start = now + (start or datetime.timedelta(minutes=-5))
        end = now + (end or datetime.timedelta(days=1))
        extensions = ["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=clientAuth"]
        if san:
            extensions.append(f"subjectAltName={san}")
        (self.directory / f"{name}.ext").write_text("[v3]\n" + "\n".join(extensions) + "\n")
        (self.directory / "index.txt").write_text("")
        (self.directory / "index.txt.attr").write_text("unique_subject = no\n")
        (self.directory / "ca.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n"
            "default_md=sha256\npolicy=p\n"
            "[p]\ncommonName=supplied\n")
        form = "%Y%m%d%H%M%SZ"
        openssl("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", certificate, "-keyfile", key, "-in",
                f"{name}.csr",
                "-out", f"{name}.crt", "-extfile", f"{name}.ext", "-extensions", "v3",
                "-startdate", start.strftime(form), "-enddate", end.strftime(form), directory=self.directory)
        return self.directory / f"{name}.crt", self.directory / f"{name}.key"


class Handshake(ServerTest):
    def setUp(self):
        super().setUp()
        self.made = Certificates(self.server)

    def curl(self, certificate=None, *extra):
        command = ["curl", "-sS", "--max-time", "20", "--cacert", str(self.server.root / "pki/ca.crt"),
                   "-o", "/dev/null",
                   "-w", "%{http_code}", f"https://127.0.0.1:{self.server.ports['agents']}/v1/checkin", *extra]
        if certificate:
            command += ["--cert", str(certificate[0]), "--key", str(certificate[1])]
        return subprocess.run(command, capture_output=True, text=True)

    def s_client(self, certificate=None, *extra):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.ports['agents']}", "-CAfile",
                   str(self.server.root / "pki/ca.crt"), "-quiet", *extra]
        if certificate:
            command += ["-cert", str(certificate[0]), "-key", str(certificate[1])]
        return subprocess.run(command, input="GET /v1/models/00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                              capture_output=True, text=True, timeout=harness.PATIENCE)

    def assert_refused_in_handshake(self, certificate, reason):
        before = self.server.metric(f'tacit_tls_handshake_failures_total{{listener="agents",reason="{reason}"}}')
        self.assertNotEqual(self.curl(certificate).returncode, 0)
        self.assertNotIn("HTTP/1.1", self.s_client(certificate).stdout)
        self.server.wait_for_event("handshake_failed", 2, reason=reason, listener="agents")
        after = self.server.metric(f'tacit_tls_handshake_failures_total{{listener="agents",reason="{reason}"}}')
        self.assertGreaterEqual(after - before, 2)

    def test_no_certificate(self):
        self.assert_refused_in_handshake(None, "no_certificate")

    def test_a_certificate_of_another_ca(self):
        self.assert_refused_in_handshake(self.made.make("stranger", ca=self.made.other_ca), "unknown_ca")

    def test_an_expired_certificate(self):
        self.assert_refused_in_handshake(
            self.made.make("old", start=datetime.timedelta(days=-3), end=datetime.timedelta(days=-1)), "expired")

    def test_a_certificate_that_is_not_yet_valid(self):
        self.assert_refused_in_handshake(
            self.made.make("early", start=datetime.timedelta(days=1), end=datetime.timedelta(days=2)), "not_yet_valid")

    def test_tls_1_2_is_refused(self):
        good = self.server.enrol("good").state
        certificate = (good / "device.crt", good / "device.key")
        self.assertNotEqual(self.curl(certificate, "--tls-max", "1.2").returncode, 0)
        self.assertNotIn("HTTP/1.1", self.s_client(certificate, "-tls1_2").stdout)
        self.server.wait_for_event("handshake_failed", 2, reason="protocol_version")

    def test_a_certificate_without_a_name_for_a_device_gets_403(self):
        for name, san in (("nosan", None), ("dns", "DNS:good"),
                          ("operator", "URI:spiffe://test.example/operator/admin"),
                          ("domain", "URI:spiffe://elsewhere.example/device/good"),
                          ("two", "URI:spiffe://test.example/device/good,URI:spiffe://test.example/device/b")):
            answer = self.curl(self.made.make(name, san=san), "-X", "POST", "-d", "x")
            self.assertEqual(answer.stdout, "403", name)
            self.assertIn("HTTP/1.1 403", self.s_client(self.made.make(name, san=san)).stdout)
        # An answer is logged and counted after it was sent.
        self.server.wait_for_event("request", 10)
        self.assertGreaterEqual(self.server.metric(
            'tacit_http_requests_total{code="403",listener="agents",route="/v1/checkin"}'), 5)

    def test_a_certificate_of_our_ca_for_a_device_that_never_enrolled_gets_403(self):
        self.assertEqual(self.curl(self.made.make("never"), "-X", "POST", "-d", "x").stdout, "403")

    def test_an_enrolled_device_gets_in(self):
        good = self.server.enrol("good").state
        certificate = (good / "device.crt", good / "device.key")
        self.assertEqual(self.curl(certificate, "-X", "POST", "--data-binary", "x").stdout, "400")
        self.assertIn("HTTP/1.1 422", self.s_client(certificate).stdout)

    def test_a_device_may_not_use_the_operators_listener_nor_an_operator_the_devices(self):
        device = self.server.enrol("good").state
        answer = harness.request(self.server.ports["api"], "GET", "/api/v1/tasks", ca=device / "ca.crt",
                                 certificate=device / "device.crt", key=device / "device.key")
        self.assertEqual(answer.status, 403)
        operator = (self.server.root / "operators/admin.crt", self.server.root / "operators/admin.key")
        self.assertEqual(self.curl(operator, "-X", "POST", "-d", "x").stdout, "403")

    def test_every_operator_route_refuses_a_device(self):
        device = self.server.enrol("good").state
        for method, path in (("GET", "/api/v1/version"), ("POST", "/api/v1/tasks"), ("GET", "/api/v1/tasks"),
                             ("GET", "/api/v1/tasks/t"), ("GET", "/api/v1/tasks/t/rounds"),
                             ("GET", "/api/v1/tasks/t/privacy"), ("GET", "/api/v1/tasks/t/models/latest/content"),
                             ("POST", "/api/v1/plan"), ("POST", "/api/v1/enrolment/tokens"), ("GET", "/api/v1/devices"),
                             ("POST", "/api/v1/devices/good:revoke")):
            answer = harness.request(self.server.ports["api"], method, path, body="" if method == "POST" else None,
                                     ca=device / "ca.crt", certificate=device / "device.crt", key=device / "device.key")
            self.assertEqual(answer.status, 403, (method, path, answer.body))

    def test_the_servers_certificate_is_verified_by_the_agent(self):
        token = self.server.cli("device", "token", "create")["data"]
        path = self.server.directory / "token"
        path.write_text(token["token"])
        wrong = "sha256:" + "0" * 64
        result = subprocess.run(
            [harness.BIN / "tacit-agent", "join", "--server", "127.0.0.1", "--enrolment-port",
             str(self.server.ports["enrolment"]), "--ca-fingerprint", wrong, "--token-file", path, "--state",
             self.server.directory / "victim"], capture_output=True, text=True)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("fingerprint", result.stdout + result.stderr)


class SessionTest(ServerTest):
    """What `openssl s_client` makes of a session that it kept in a file."""

    def connect(self, device, *extra, listener="agents"):
        """Whether the session was taken up, and the status of the answer to a request for a model that is not there."""
        result = subprocess.run(
            ["openssl", "s_client", "-ign_eof", "-connect", f"127.0.0.1:{self.server.ports[listener]}", "-CAfile",
             str(self.server.root / "pki/ca.crt"), "-cert", str(device.state / "device.crt"), "-key",
             str(device.state / "device.key"), *map(str, extra)],
            input="GET /v1/models/00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", capture_output=True, text=True,
            timeout=harness.PATIENCE)
        self.assertRegex(result.stdout, "(New|Reused), TLSv1.3", result.stderr)
        status = re.search(r"HTTP/1\.1 (\d+)", result.stdout)
        return "Reused, TLSv1.3" in result.stdout, int(status.group(1)) if status else None

    def begin(self, device):
        path = self.server.directory / f"{device.name}.session"
        self.assertEqual(self.connect(device, "-sess_out", path), (False, 422))
        return path


class Sessions(SessionTest):
    def handshakes(self, kind):
        return self.server.metric(f'tacit_tls_handshakes_total{{kind="{kind}",listener="agents"}}')

    def test_a_device_comes_back_with_its_session(self):
        device = self.server.enrol("a")
        session = self.begin(device)
        self.assertEqual(self.connect(device, "-sess_in", session, "-sess_out", session), (True, 422))
        self.assertEqual(self.connect(device, "-sess_in", session), (True, 422))
        self.assertEqual((self.handshakes("full"), self.handshakes("resumed")), (1, 2))

    def test_a_revoked_device_does_not(self):
        device, other = self.devices("a", "b")
        session, others = self.begin(device), self.begin(other)
        self.server.cli("device", "revoke", "a")
        self.assertEqual(self.connect(device, "-sess_in", session, "-sess_out", session), (False, 403))
        # What it was given since then is resumed, and as good as the certificate that it showed.
        self.assertEqual(self.connect(device, "-sess_in", session), (True, 403))
        self.assertEqual(self.connect(other, "-sess_in", others), (True, 422))

    def test_a_device_whose_key_was_replaced_does_not(self):
        device = self.server.enrol("a")
        session = self.begin(device)
        token = self.server.cli("device", "token", "create", "--name", "a")["data"]
        again = self.server.join(token, self.server.directory / "again")
        self.assertEqual(self.connect(device, "-sess_in", session), (False, 403))
        self.assertEqual(self.connect(again), (False, 422))

    def test_a_session_is_good_for_no_other_listener(self):
        device = self.server.enrol("a")
        session = self.begin(device)
        self.assertEqual(self.connect(device, "-sess_in", session, listener="api"), (False, 404))
        self.assertEqual(self.connect(device, "-sess_in", session), (True, 422))

    def test_a_session_does_not_outlive_the_server(self):
        device = self.server.enrol("a")
        session = self.begin(device)
        self.server.stop()
        self.server.restart()
        self.assertEqual(self.connect(device, "-sess_in", session), (False, 422))


class SessionsOfBriefCertificates(SessionTest):
    server_options = {"config_edits": [(r"(?m)^#? *certificate_lifetime *=.*", 'certificate_lifetime = "10s"')]}

    def test_a_session_ends_with_its_certificate(self):
        device = self.server.enrol("a")
        session = self.begin(device)
        self.assertEqual(self.connect(device, "-sess_in", session, "-sess_out", session), (True, 422))
        has_ended = ["openssl", "x509", "-in", device.state / "device.crt", "-noout", "-checkend", "0"]
        harness.wait_until(lambda: subprocess.run(has_ended, capture_output=True).returncode != 0, "its end")
        self.assertEqual(self.connect(device, "-sess_in", session), (False, None))
        self.server.wait_for_event("handshake_failed", reason="expired", listener="agents")


class WithoutSessions(SessionTest):
    server_options = {"config_edits": [(r"(?m)^#? *session_lifetime *=.*", 'session_lifetime = "0s"')]}

    def test_a_device_is_given_none(self):
        self.assertFalse(self.begin(self.server.enrol("a")).exists())


class Flood(ServerTest):
    server_options = {"config_edits": [(r"(?m)^#? *failed_handshakes_per_minute_per_source *=.*",
                                        "failed_handshakes_per_minute_per_source = 60")]}

    def refused(self):
        return self.server.metric(
            'tacit_connections_refused_total{listener="agents",reason="failed_handshakes_per_source"}')

    def fail(self):
        with socket.create_connection(("127.0.0.1", self.server.ports["agents"])) as bad:
            with contextlib.suppress(ConnectionError):
                bad.sendall(b"this is no TLS, and long enough to be seen as none")
                bad.recv(1)

    def served(self, device):
        with contextlib.suppress(OSError):
            return device.request("POST", "/v1/checkin", b"x").status == 400

    def test_an_address_that_keeps_failing_is_held_up_for_a_moment(self):
        device = self.server.enrol("a")
        failures = 0
        while self.refused() == 0:
            self.fail()
            failures += 1
            self.assertLess(failures, 1000)
        self.assertGreaterEqual(failures, 60)
        line = self.server.wait_for_event("connection_refused", listener="agents",
                                          reason="failed_handshakes_per_source")
        self.assertEqual((line["level"], line["address"]), ("warn", "127.0.0.1"))
        harness.wait_until(lambda: self.served(device), "an answer", patience=10)
        for _ in range(5):
            self.assertTrue(self.served(device))


class OpenFiles(unittest.TestCase):
    """A server that could run out of files does not start, and one that may have more takes them."""

    def setUp(self):
        self.server = harness.Server()
        self.addCleanup(self.server.close)

    def test_the_soft_limit_is_raised_to_the_hard_one(self):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 11_000:
            self.skipTest("this machine allows too few files")
        self.server.file_limits = (256, 11_000)
        self.server.start()
        limits = pathlib.Path(f"/proc/{self.server.process.pid}/limits").read_text()
        self.assertEqual(re.search(r"Max open files +(\d+) +(\d+)", limits).groups(), ("11000", "11000"))

    def test_a_hard_limit_that_is_too_low_says_what_to_do(self):
        limit = (256, 2000)
        run = subprocess.run([harness.BIN / "tacitd", "--config", self.server.config], capture_output=True, text=True,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
                             timeout=harness.PATIENCE)
        self.assertEqual(run.returncode, 1, run.stderr)
        for words in ("server_cannot_run", "the system allows 2000", "LimitNOFILE=", "lower agents.max_connections to"):
            self.assertIn(words, run.stderr)
        self.assertFalse((self.server.root / "data").exists())
        lower = re.search(r"lower agents.max_connections to (\d+)", run.stderr).group(1)
        text = self.server.config.read_text()
        self.server.config.write_text(text.replace("# max_connections = 10000", f"max_connections = {lower}"))
        self.server.file_limits = limit
        self.server.start()


if __name__ == "__main__":
    unittest.main(verbosity=2)
