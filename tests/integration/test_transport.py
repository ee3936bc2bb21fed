"""Who gets past the handshake, with openssl s_client and curl as witnesses."""

import datetime
import pathlib
import re
import resource
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
