"""What a real Prometheus makes of a real server: its scrapes, the rules, and every expression of the dashboard."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import unittest
import urllib.parse

import numpy

import harness
from harness import ServerTest, parameters, request, task_text, wait_until
from test_privacy import coin_task
from test_rounds import open_round

SOURCE = pathlib.Path(os.environ["TACIT_SOURCE"])
DEPLOY = SOURCE / "deploy/prometheus"
DASHBOARD = SOURCE / "deploy/grafana/tacit.json"
SAMPLE = re.compile(r"^([a-z_]+)(\{.*\})? \S+$")
LABEL = re.compile(r'([a-z_]+)="(?:[^"\\]|\\.)*"')
MEMBERS = ("_bucket", "_count", "_sum")


class Prometheus:
    """One with a configuration of deploy/prometheus, but for what `edits` replace, and every second for every 15 s."""

    def __init__(self, name, edits):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tacit-prometheus-"))
        for rules in ("records.yml", "alerts.yml"):
            shutil.copy(DEPLOY / rules, self.directory)
        text = (DEPLOY / name).read_text()
        for old, new in {"_interval: 15s": "_interval: 1s", **edits}.items():
            assert old in text, f"{old} is not in {name}"
            text = text.replace(old, str(new))
        config = self.directory / "prometheus.yml"
        config.write_text(text)
        subprocess.run(["promtool", "check", "config", config], check=True, capture_output=True)
        self.log = open(self.directory / "log", "w+")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.directory / 'data'}",
             "--web.listen-address=127.0.0.1:0"], stdout=self.log, stderr=subprocess.STDOUT)
        self.port = int(wait_until(self._find_port, "Prometheus to listen", self.process))
        wait_until(self._is_ready, "Prometheus to be ready", self.process)

    def _find_port(self):
        log = (self.directory / "log").read_text()
        found = re.search(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', log)
        return found and found.group(1)

    def _fetch(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _is_ready(self):
        return self._fetch("/-/ready")[0] == 200

    def get(self, path, **query):
        answer = json.loads(self._fetch(f"/api/v1/{path}?{urllib.parse.urlencode(query)}")[1])
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    def query(self, expression):
        return self.get("query", query=expression)["result"]

    def value(self, expression):
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def rules(self, kind):
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"] if rule["type"] == kind]

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=harness.PATIENCE)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def expressions():
    """(panel, expression) of the dashboard, with all jobs, instances and tasks chosen."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$__rate_interval", "1m")
            yield panel["title"], re.sub(r"\$(job|instance|task)\b", ".*", text)


def samples(page):
    """name and labels -> value"""
    return dict(line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))


class Dashboard(unittest.TestCase):
    def test_each_panel_has_an_id_a_place_and_a_source_of_its_own(self):
        board = json.loads(DASHBOARD.read_text())
        variables = {variable["name"] for variable in board["templating"]["list"]}
        ids, taken = set(), set()
        for panel in board["panels"]:
            ids.add(panel["id"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            self.assertFalse(cells & taken, f"{panel['title']} covers another")
            taken |= cells
            for target in panel.get("targets", ()):
                self.assertEqual(target["datasource"]["uid"], "${datasource}")
                used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
                self.assertLessEqual(used, variables, panel["title"])
        self.assertEqual(len(ids), len(board["panels"]))


class Monitoring(ServerTest):
    def run_a_round(self):
        self.server.create_task(task_text(size=2) + "[watermark]\ntriggers = 60\nsteps = 10\n[deployment]\n")
        first, second = self.devices("a", "b")
        leases = open_round([first, second])
        nothing = numpy.full(parameters(leases[0]), numpy.nan)
        self.assertEqual(first.upload(leases[0], nothing).status, 422)
        for device, lease in zip((first, second), open_round([first, second])):
            self.assertEqual(device.upload(lease, numpy.zeros(parameters(lease))).status, 200)
        self.server.published()
        wait_until(lambda: self.server.metric('tacit_round_current{task="t"}') == 2, "the next round")

    def start_prometheus(self):
        prometheus = Prometheus("prometheus.yml", {"127.0.0.1:9464": f"127.0.0.1:{self.server.ports['metrics']}"})
        self.addCleanup(prometheus.close)
        wait_until(lambda: prometheus.value('up{job="tacit"}') == 1, "the first scrape")
        return prometheus

    def test_every_panel_and_every_rule_has_an_answer(self):
        prometheus = self.start_prometheus()
        self.run_a_round()
        records = prometheus.rules("recording")
        self.assertGreater(len(records), 5)
        for record in records:
            wait_until(lambda: prometheus.query(record["name"]), f"{record['name']} = {record['query']}")
        shown = list(expressions())
        self.assertGreater(len(shown), 40)
        for title, expression in shown:
            with self.subTest(panel=title):
                wait_until(lambda: prometheus.query(expression), f"an answer to {expression}")
        for rule in prometheus.rules("recording") + prometheus.rules("alerting"):
            self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])
        firing = [rule["name"] for rule in prometheus.rules("alerting") if rule["state"] == "firing"]
        self.assertEqual(firing, [], "a server in order")
        self.server.stop()
        wait_until(lambda: [rule for rule in prometheus.rules("alerting")
                            if rule["name"] == "TacitDown" and rule["state"] != "inactive"], "TacitDown to be seen")

    def test_what_is_shown_is_what_is_documented(self):
        self.run_a_round()
        page = self.server.metrics()
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
        labels = {name: set() for name in types}
        for line in page.splitlines():
            if sample := SAMPLE.match(line):
                name = sample.group(1)
                family = next((name[:-len(end)] for end in MEMBERS if name.endswith(end) and name not in types), name)
                labels[family] |= set(LABEL.findall(sample.group(2) or "")) - {"le"}
        text = (SOURCE / "docs/OPERATING.md").read_text()
        section = text[text.index("\n## Metrics\n"):text.index("\n## Alerts\n")]
        rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|([^|]*)\|([^|]*)\|([^|]*)\|$", section, re.MULTILINE)
        documented = {name: (kind, set(of.replace(",", " ").split())) for name, kind, of, _, _ in rows}
        phases = set(re.findall(r'tacit_round_phase_duration_seconds_count\{phase="(\w+)"', page))
        self.assertEqual(phases, {"scheduled", "open", "closing", "charged"})
        self.maxDiff = None
        self.assertEqual({name: (types[name], labels[name]) for name in types}, documented)
        reasons = set(re.findall(r"^- \*\*(\w+)\*\*:", section, re.MULTILINE))
        for name, _, _, _, why in rows:
            self.assertIn(why.strip(), reasons, f"why {name} may be told")

    def test_the_page_is_told_as_json_as_well(self):
        self.run_a_round()
        items = {item["name"]: item for item in self.server.asked("GET", "/api/v1/metrics")["items"]}
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", self.server.metrics(), re.MULTILINE))
        self.assertEqual({name: item["type"] for name, item in items.items()}, types)
        spent, = items["tacit_privacy_epsilon_spent"]["series"]
        self.assertEqual(spent["labels"], {"task": "t"})
        self.assertAlmostEqual(spent["value"], self.server.metric('tacit_privacy_epsilon_spent{task="t"}'))
        commits, = items["tacit_ledger_commit_duration_seconds"]["series"]
        self.assertEqual((commits["buckets"][-1], commits["count"] >= 2),
                         ({"up_to": None, "count": commits["count"]}, True))
        chosen = self.server.cli("metrics", "epsilon_spent")["data"]["items"]
        self.assertEqual([item["name"] for item in chosen], ["tacit_privacy_epsilon_spent"])

    def test_what_a_person_should_look_at_has_the_name_of_its_alert(self):
        self.assertEqual(self.server.cli("alerts")["data"]["items"], [])
        text = task_text(size=1, minimum=1, rounds=1)
        cost = self.server.asked("POST", "/api/v1/plan", text.encode())["epsilon"]
        self.server.create_task(text.replace("epsilon_budget = 50.0", f"epsilon_budget = {1.05 * cost}"))
        device, = self.devices("a")
        open_round([device])
        alert, = self.server.cli("alerts")["data"]["items"]
        self.assertEqual((alert["name"], alert["task"], alert["severity"]), ("TacitBudgetNearlySpent", "t", "ticket"))
        self.assertIn(alert["name"], (SOURCE / "deploy/prometheus/alerts.yml").read_text())

    def test_agents_and_certificates_are_told_as_counts(self):
        self.run_a_round()
        self.assertEqual(self.server.metric('tacit_agents{version="other"}'), 2)  # these devices say "test"
        name = "tacit_device_certificate_remaining_seconds"
        self.assertEqual(self.server.metric(name + "_count"), 2)
        self.assertEqual(self.server.metric(name + '_bucket{le="345600"}'), 0)
        self.assertEqual(self.server.metric(name + '_bucket{le="1209600"}'), 2)
        self.server.cli("device", "revoke", "a")
        self.assertEqual(self.server.metric(name + "_count"), 1)
        for use in ("server", "ca"):
            path = self.server.root / "pki" / f"{use}.crt"
            said = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", path], capture_output=True).stdout
            end = ssl.cert_time_to_seconds(said.decode().strip().removeprefix("notAfter="))
            self.assertEqual(self.server.metric(f'tacit_certificate_expiry_timestamp_seconds{{use="{use}"}}'), end)


class SecretCohort(ServerTest):
    # What tells of these scrapes themselves, and of time.
    CHANGES = re.compile(r'.*listener="metrics"|tacit_device_certificate_remaining_')

    def test_nothing_on_the_page_changes_with_who_is_drawn_and_how_many_send(self):
        self.server.create_task(coin_task(deadline="300s"))
        devices = self.devices(*(f"d{i}" for i in range(8)))
        for device in devices:
            device.check_in()
        self.server.wait_for_event("round_opened")
        before = samples(self.server.metrics())
        self.assertEqual(before["tacit_traffic_withheld"], "1")
        sent = 0
        for device in devices:
            reply = device.check_in()
            if reply.HasField("lease"):
                self.assertEqual(device.upload(reply.lease, numpy.zeros(parameters(reply.lease))).status, 200)
                sent += 1
        self.assertGreater(sent, 0, "one of 256 runs draws nobody")
        self.server.wait_for_event("partial_committed")
        after = samples(self.server.metrics())
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        self.assertEqual([name for name in changed if not self.CHANGES.match(name)], [])

    def test_a_server_without_one_shows_its_traffic(self):
        self.server.create_task(task_text(name="open"))
        self.server.cli("task", "stop", "open")
        self.devices("a")[0].check_in()
        self.assertEqual(self.server.metric("tacit_traffic_withheld"), 0)
        self.assertGreater(self.server.metric('tacit_http_requests_total{code="200",listener="agents"'), 0)
        self.server.create_task(coin_task(deadline="300s"))
        self.server.cli("task", "stop", "t")
        self.assertNotIn('tacit_http_requests_total{code="200",listener="agents"', self.server.metrics())
        self.server.stop()
        self.server.restart()
        self.assertEqual(self.server.metric("tacit_traffic_withheld"), 0, "until the next start")


class MutualTls(ServerTest):
    server_options = {"config_edits": [(r'(?m)^# tls = "none" ', 'tls = "mutual" ')]}

    def get(self, path, person=None):
        files = {"certificate": self.server.root / f"operators/{person}.crt",
                 "key": self.server.root / f"operators/{person}.key"} if person else {}
        return request(self.server.ports["metrics"], "GET", path, ca=self.server.root / "pki/ca.crt", **files)

    def test_only_a_monitor_may_look(self):
        for path in ("/metrics", "/healthz", "/readyz"):
            self.assertEqual(self.get(path, "prometheus").status, 200, path)
            for other in ("admin", "auditor"):
                self.assertEqual(self.get(path, other).status, 403, (path, other))
        device = self.devices("a")[0]
        answer = request(self.server.ports["metrics"], "GET", "/metrics", ca=device.state / "ca.crt",
                         certificate=device.state / "device.crt", key=device.state / "device.key")
        self.assertEqual(answer.status, 403)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.get("/metrics")
        with self.assertRaises((http.client.BadStatusLine, ConnectionError)):
            self.server.metrics()
        # Nor does it open anything else.
        answer = request(self.server.ports["api"], "GET", "/api/v1/tasks", ca=self.server.root / "pki/ca.crt",
                         certificate=self.server.root / "operators/prometheus.crt",
                         key=self.server.root / "operators/prometheus.key")
        self.assertEqual(answer.status, 403)

    def test_prometheus_scrapes_it_with_its_certificate(self):
        root = self.server.root
        prometheus = Prometheus("prometheus-mtls.yml", {
            "tacit.example:9464": f"127.0.0.1:{self.server.ports['metrics']}",
            "/etc/prometheus/tacit/ca.crt": root / "pki/ca.crt",
            "/etc/prometheus/tacit/prometheus.crt": root / "operators/prometheus.crt",
            "/etc/prometheus/tacit/prometheus.key": root / "operators/prometheus.key"})
        self.addCleanup(prometheus.close)
        wait_until(lambda: prometheus.value('up{job="tacit"}') == 1, "a scrape")
        self.assertEqual(prometheus.value("tacit_build_info"), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
