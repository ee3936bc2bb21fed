"""What Prometheus, a load balancer and a person who reads the log see."""

import http.client
import json
import shutil
import subprocess
import unittest

import numpy

import harness
from harness import ServerTest, parameters, task_text
from test_rounds import open_round


class Observability(ServerTest):
    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.ports["metrics"], timeout=harness.PATIENCE)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def run_a_round(self):
        self.server.create_task(task_text(size=2))
        devices = self.devices("a", "b")
        for device, lease in zip(devices, open_round(devices)):
            self.assertEqual(device.upload(lease, numpy.zeros(parameters(lease))).status, 200)
        self.server.wait_for_event("round_published")
        harness.wait_until(lambda: self.server.metric('tacit_round_current{task="t"}') == 2, "the next round")

    def test_health_and_readiness(self):
        self.assertEqual(self.get("/healthz")[0], 200)
        self.assertEqual(self.get("/readyz")[0], 200)
        self.assertEqual(self.get("/nothing")[0], 404)

    def test_metrics_pass_promtool_and_name_no_device(self):
        self.run_a_round()
        text = self.server.metrics()
        self.assertIsNotNone(shutil.which("promtool"), "promtool comes with the package prometheus")
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        self.assertNotIn("device-a", text)
        self.assertNotIn("127.0.0.1", text)
        privacy = self.server.cli("privacy", "show", "t")["data"]
        self.assertAlmostEqual(self.server.metric('tacit_privacy_epsilon_spent{task="t"}'), privacy["epsilon_spent"])
        # What the help says: reserved is a part of spent.
        self.assertIn("# HELP tacit_privacy_epsilon_spent Upper bound of the epsilon spent", text)
        self.assertIn("# HELP tacit_privacy_epsilon_reserved The part of the epsilon spent", text)
        self.assertAlmostEqual(self.server.metric('tacit_privacy_epsilon_reserved{task="t"}'),
                               privacy["epsilon_reserved"])
        self.assertEqual(self.server.metric('tacit_round_current{task="t"}'), 2)
        self.assertEqual(self.server.metric('tacit_model_version{task="t"}'), 1)

    def test_every_log_line_is_one_json_object_with_time_level_and_event(self):
        self.run_a_round()
        self.assertEqual(self.server.events_named("not_json"), [])
        for event in self.server.log:
            self.assertLessEqual({"time", "level", "event"}, set(event))
        for name in ("server_ready", "device_enrolled", "task_created", "round_opened", "round_charged",
                     "round_published"):
            self.assertTrue(self.server.events_named(name), name)

    def test_a_privacy_answer_names_unit_relation_accountant_and_what_is_not_covered(self):
        self.run_a_round()
        answer = json.loads(self.server.operator("GET", "/api/v1/tasks/t/privacy").body)
        for key in ("unit", "neighbouring", "accountant", "delta", "epsilon_spent", "epsilon_budget", "not_covered",
                    "max_participations", "sampling", "utility"):
            self.assertIn(key, answer)
        self.assertIn("zero-out", answer["neighbouring"])
        self.assertGreater(answer["epsilon_spent"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
