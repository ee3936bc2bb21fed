"""What devices that use models report: the real server, and devices that are spoken for by hand.

The signed bytes are made and checked here by another library, from the words of docs/PROTOCOL.md.
"""

import base64
import secrets
import unittest

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import harness
from harness import ServerTest, agent_pb2
from test_delivery import deployed_task
from test_privacy import coin_task

COUNTERS = ("rows", "adversarial", "out_of_distribution", "rejected", "extraction_alarms", "over_budget",
            "drift_windows", "drift_alarms", "worker_endings", "changed_weights", "refused_calls")


def key_of(device):
    return serialization.load_pem_private_key((device.state / "device.key").read_bytes(), None)


def public_der(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def message(device, task, statement):
    return f"tacit-edge-report/1\n{device}\n{task}\n".encode() + statement


def statement(stream, sequence, version=1, degradations=(), calibration=b"", **counts):
    report = agent_pb2.EdgeReport(stream=stream, sequence=sequence, model_version=version, calibration=calibration,
                                  counts=agent_pb2.EdgeCounts(**counts), degradations=sorted(degradations))
    return report.SerializeToString()


class ByHand(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.create_task(deployed_task())
        self.device = self.server.enrol("cam")
        self.stream = secrets.token_bytes(16)

    def send(self, said, device=None, task="t", key=None, signed=None, public=None):
        device = device or self.device
        key = key or key_of(device)
        signature = key.sign(signed or message(device.name, task, said), ec.ECDSA(hashes.SHA256()))
        batch = agent_pb2.ReportBatch(statement=said, public_key=public or public_der(key), signature=signature)
        return device.request("POST", f"/v1/tasks/{task}/reports", batch.SerializeToString())

    def counted(self, said, **options):
        answer = self.send(said, **options)
        self.assertEqual(answer.status, 200, answer.body)
        return agent_pb2.ReportAck.FromString(answer.body).sequence

    def edge(self):
        return self.server.cli("task", "edge", "t")["data"]

    def alerts(self):
        return [each["name"] for each in self.server.cli("alerts")["data"]["items"]]

    def test_a_report_is_counted_once_and_shown(self):
        self.assertEqual(self.edge()["reports"], 0)
        said = statement(self.stream, 1, version=3, degradations=["secret_pages", "sealed_pages"], rows=100,
                         adversarial=5, drift_windows=2)
        for _ in range(3):
            self.assertEqual(self.counted(said), 1)
        self.server.kill()
        self.server.restart()
        self.assertEqual(self.counted(said), 1, "and also after a restart")
        self.assertEqual(self.counted(statement(self.stream, 2, version=3, degradations=["secret_pages"], rows=11)), 2)
        edge = self.edge()
        self.assertEqual({name: count for name, count in edge["totals"].items() if count},
                         {"rows": 111, "adversarial": 5, "drift_windows": 2})
        self.assertEqual(tuple(edge["totals"]), COUNTERS)
        self.assertEqual((edge["reports"], edge["devices"], edge["reporting"], edge["drifted"]), (2, 1, 1, 0))
        self.assertEqual(edge["versions"], [{"version": 3, "devices": 1, "reporting": 1}])
        self.assertEqual(edge["degradations"], [{"protection": "secret_pages", "devices": 1}])
        self.assertEqual(self.server.metric('tacit_edge_rows_judged_total{task="t"}'), 11, "since the start")
        self.assertEqual(self.server.metric('tacit_edge_reports_total{outcome="repeated"}'), 1)

    def test_what_is_kept_can_be_checked_by_whoever_reads_it(self):
        self.counted(statement(self.stream, 1, calibration=b"c" * 32, rows=9))
        [report] = self.server.cli("device", "show", "cam")["data"]["reports"]
        kept = {name: base64.b64decode(report[name]) for name in ("statement", "public_key", "signature")}
        public = serialization.load_der_public_key(kept["public_key"])
        public.verify(kept["signature"], message("cam", "t", kept["statement"]), ec.ECDSA(hashes.SHA256()))
        self.assertEqual(kept["public_key"], public_der(key_of(self.device)))
        said = agent_pb2.EdgeReport.FromString(kept["statement"])
        self.assertEqual((said.sequence, said.counts.rows), (1, 9))
        self.assertEqual((report["calibration"], report["totals"]["rows"]), ((b"c" * 32).hex(), 9))

    def test_a_report_that_another_key_signed_or_for_another_place_is_refused(self):
        said = statement(self.stream, 1, rows=100)
        other = self.server.enrol("other")
        strange = ec.generate_private_key(ec.SECP256R1())
        mine = public_der(key_of(self.device))
        for forged in ({"key": strange}, {"key": strange, "public": mine}, {"key": key_of(other)},
                       {"signed": message("cam", "t", said + b"x")}, {"signed": message("other", "t", said)},
                       {"signed": message("cam", "u", said)}, {"signed": said}):
            answer = self.send(said, **forged)
            self.assertEqual(answer.status, 403, (forged, answer.body))
        self.assertEqual(self.send(said, public=b"no key").status, 422)
        self.assertEqual(self.send(b"\xff\xff").status, 400)
        self.assertEqual(self.send(statement(b"short", 1)).status, 422)
        self.assertEqual(self.send(statement(self.stream, 0)).status, 422)
        self.assertEqual(self.device.request("POST", "/v1/tasks/t/reports", b"x" * 9000).status, 413)
        refused = self.server.wait_for_event("edge_report_refused", code="permission_denied")
        self.assertEqual((refused["task"], refused["device"]), ("t", "cam"))
        self.assertEqual(self.edge()["reports"], 0)
        self.assertEqual(self.server.metric('tacit_edge_reports_total{outcome="permission_denied"}'), 7)

    def test_a_report_must_come_next_in_its_stream(self):
        self.assertEqual(self.send(statement(self.stream, 2, rows=1)).status, 409)
        self.counted(statement(self.stream, 1, rows=1))
        self.assertEqual(self.send(statement(self.stream, 1, rows=1000)).status, 409, "another content")
        self.assertEqual(self.send(statement(self.stream, 3, rows=1000)).status, 409)
        self.counted(statement(secrets.token_bytes(16), 1, rows=2))
        self.assertEqual(self.edge()["totals"]["rows"], 3)

    def test_only_devices_that_are_let_in_report_of_tasks_that_are_deployed(self):
        said = statement(self.stream, 1, rows=1)
        self.server.create_task(harness.task_text(name="plain", size=1, minimum=1, privacy=harness.NO_PRIVACY))
        self.assertIn("[deployment]", self.send(said, task="plain").problem()["detail"])
        self.assertEqual(self.send(said, task="absent").status, 404)
        self.assertEqual(self.server.cli("task", "edge", "plain", expect=1)["error"]["code"], "not_found")
        self.server.cli("device", "revoke", "cam")
        self.assertEqual(self.send(said).status, 403)
        self.assertEqual(self.edge()["reports"], 0)

    def test_a_device_that_reports_without_end_is_told_to_wait(self):
        for sequence in range(1, 40):
            answer = self.send(statement(self.stream, sequence, rows=1))
            if answer.status != 200:
                break
        self.assertEqual(answer.status, 429)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(self.edge()["totals"]["rows"], sequence - 1)

    def test_what_a_person_should_know_is_told(self):
        names = ("TacitEdgeWeightsChanged", "TacitEdgeCallRefused", "TacitEdgeExtraction", "TacitEdgeDrift")
        self.assertFalse(set(names) & set(self.alerts()))
        self.counted(statement(self.stream, 1, worker_endings=4, changed_weights=1, refused_calls=2,
                               extraction_alarms=3, drift_windows=9, drift_alarms=1))
        self.counted(statement(self.stream, 1, drift_windows=1, drift_alarms=1), device=self.server.enrol("other"))
        self.assertEqual([name for name in self.alerts() if name in names], list(names))
        for event, count in (("edge_weights_changed", 1), ("edge_call_refused", 2), ("edge_extraction_alarm", 3),
                             ("edge_drift", 1)):
            told = self.server.wait_for_event(event, device="cam")
            self.assertEqual((told["task"], told["count"]), ("t", count))
        for series, value in (('endings_total{cause="changed_weights",task="t"}', 1),
                              ('endings_total{cause="refused_call",task="t"}', 2),
                              ('endings_total{cause="other",task="t"}', 1)):
            self.assertEqual(self.server.metric("tacit_edge_worker_" + series), value)
        self.assertEqual(self.server.metric('tacit_edge_alarms_total{kind="drift",task="t"}'), 2)
        self.assertEqual(self.server.metric('tacit_edge_alarms_total{kind="extraction",task="t"}'), 3)
        self.assertTrue(self.edge()["last_changed_weights_at"])

    def test_behind_a_coin_no_traffic_is_told(self):
        self.server.cli("task", "stop", "t")  # a coin is the only active task
        self.server.create_task(coin_task(deadline="300s").replace('"t"', '"coin"', 1))
        self.counted(statement(self.stream, 1, rows=100, extraction_alarms=1, drift_windows=2, drift_alarms=2))
        self.counted(statement(self.stream, 1, drift_windows=1, drift_alarms=1), device=self.server.enrol("other"))
        edge = self.edge()
        self.assertTrue(edge["withheld"])
        for name in ("reports", "totals", "devices", "reporting", "drifted"):
            self.assertIsNone(edge[name])
        self.assertEqual((edge["versions"], edge["degradations"]), ([], []))
        self.assertTrue(edge["last_extraction_alarm_at"].endswith("T00:00:00.000Z"))
        self.assertNotIn("TacitEdgeDrift", self.alerts())
        self.server.wait_for_event("edge_extraction_alarm", device="cam")
        self.assertEqual(self.server.events_named("edge_drift"), [])
        page = self.server.metrics()
        for name in ("reports_total", "rows_judged_total", "suspicious_total", "refused_rows_total",
                     "drift_windows_total"):
            self.assertNotIn("\ntacit_edge_" + name, page)
        self.assertNotIn('operation="record_report",result="ok"', page)
        self.assertIn('tacit_edge_alarms_total{kind="extraction",task="t"} 1', page)
        self.assertNotIn('tacit_edge_alarms_total{kind="drift"', page)
        [report] = self.server.cli("device", "show", "cam")["data"]["reports"]
        self.assertTrue(report["received_at"].endswith("T00:00:00.000Z"), report)
        self.assertIsNone(report["totals"])


if __name__ == "__main__":
    unittest.main()
