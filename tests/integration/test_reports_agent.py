"""What a real agent that serves tells the real server, also where one of them is away."""

import json
import os
import signal
import unittest

import harness
from test_serving import WithServer


class ByAnAgent(WithServer):
    def setUp(self):
        super().setUp()
        self.create(lease="1h")
        self.publish(1)

    def edge(self):
        return self.server.cli("task", "edge", "t")["data"]

    def start(self, before="agent_model_installed", served=1):
        """Until the lease that it asks for at its start has its worker."""
        self.agent.start("--report-interval-s", "2")
        self.agent.wait_for(before)
        self.agent.wait_for("model_serving", served)

    def kill_worker(self):
        harness.wait_until(lambda: len(self.agent.workers()) == 1, "one worker", self.agent.process)
        os.kill(self.agent.workers()[0], signal.SIGKILL)
        self.agent.wait_for("model_ended")

    def until_endings(self, count):
        harness.wait_until(lambda: self.edge()["totals"]["worker_endings"] >= count, f"{count} endings told",
                           self.server.process)
        self.assertEqual(self.edge()["totals"]["worker_endings"], count)

    def test_what_becomes_of_its_worker_is_reported(self):
        self.start()
        harness.wait_until(lambda: self.edge()["versions"] == [{"version": 1, "devices": 1, "reporting": 1}],
                           "a report of the version that serves", self.server.process)
        [report] = self.server.cli("device", "show", "cam")["data"]["reports"]
        lacks = [event for event in self.agent.named("model_serving")][-1]["detail"]
        self.assertEqual({name for name in report["degradations"] if name not in lacks}, set())
        self.kill_worker()
        self.until_endings(1)

    def test_what_is_counted_while_the_server_is_away_comes_later_and_once(self):
        self.start()
        harness.wait_until(lambda: self.edge()["reports"] >= 1, "a report", self.server.process)
        self.server.kill()
        self.kill_worker()
        self.agent.wait_for("agent_report_not_sent")
        self.assertEqual(self.agent.stop(), 0)
        self.server.restart()
        path = self.device.state / "identity.json"
        identity = json.loads(path.read_text())
        path.write_text(json.dumps({**identity, "agents_port": self.server.ports["agents"]}))
        self.start("agent_model_renewed", served=2)
        self.kill_worker()
        self.until_endings(2)


if __name__ == "__main__":
    unittest.main()
