"""A clock that is set while the server runs: what is measured does not notice, what is dated does.

The server's wall clock comes from libfaketime, which reads how far it is off from a file; its steady clock is the
machine's.
"""

import glob
import ssl
import time
import unittest

import numpy

import harness
from harness import NO_PRIVACY, ServerTest, parameters, task_text
from test_rounds import open_round

HOUR = 3600


class ClockTest(ServerTest):
    def setUp(self):
        library, = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        super().setUp()
        self.offset = self.server.directory / "offset"
        self.clock = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(self.offset), "FAKETIME_NO_CACHE": "1",
                      "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.set(0)

    def set(self, seconds):
        self.offset.write_text(f"{seconds:+d}\n")

    def restart(self):
        self.assertEqual(self.server.stop(), 0)
        self.server.restart(self.clock)

    def begin(self, **task):
        self.server.create_task(task_text(size=2, minimum=2, privacy=NO_PRIVACY, **task))
        devices = self.devices("a", "b")
        self.restart()
        return devices, open_round(devices)

    def send(self, device, lease):
        return device.upload(lease, numpy.zeros(parameters(lease))).status

    def ended(self, phase):
        return harness.wait_until(lambda: next((r for r in self.server.rounds() if r["phase"] == phase), None),
                                  f"a round that is {phase}", self.server.process)

    def server_hour(self):
        """Of the last event, as the server dates it, from now."""
        dated = self.server.log[-1]["time"]
        return round((numpy.datetime64(dated.rstrip("Z")) - numpy.datetime64("now")) / numpy.timedelta64(1, "h"))


class Forwards(ClockTest):
    def test_by_a_day_ends_no_round(self):
        (a, b), leases = self.begin(deadline="300s")
        self.assertEqual(self.send(a, leases[0]), 200)
        self.set(24 * HOUR)
        time.sleep(1)
        current = self.server.task()["current_round"]
        self.assertEqual((current["phase"], current["counted"]), ("open", 1))
        self.assertEqual(self.send(b, leases[1]), 200)
        self.ended("published")
        self.assertEqual(self.server_hour(), 24)


class ForwardsOverTheEndOfACertificate(ClockTest):
    server_options = {"config_edits": [(r'(?m)^#? *certificate_lifetime *=.*', 'certificate_lifetime = "2h"')]}

    def test_shuts_out_its_device_until_the_clock_is_right_again(self):
        (a, b), leases = self.begin(deadline="300s")
        self.set(3 * HOUR)
        with self.assertRaises((ssl.SSLError, OSError)):
            self.send(a, leases[0])
        self.assertEqual(self.server.task()["current_round"]["phase"], "open")
        self.set(0)
        self.assertEqual(self.send(a, leases[0]), 200)
        self.assertEqual(self.send(b, leases[1]), 200)
        self.ended("published")


class Backwards(ClockTest):
    def test_by_an_hour_makes_no_round_longer(self):
        self.set(3 * HOUR)
        (a, _), leases = self.begin(deadline="6s")
        began = time.monotonic()
        self.assertEqual(self.send(a, leases[0]), 200)
        self.set(2 * HOUR)
        ended = self.ended("abandoned")
        self.assertLess(time.monotonic() - began, 15)
        self.assertIn("only 1 of at least 2", ended["reason"])
        self.assertLess(ended["ended_at"], ended["opened_at"], "the record keeps what the clock said")
        self.assertEqual(self.server_hour(), 2)

    def test_to_before_a_certificate_shuts_out_its_device_until_the_clock_is_right_again(self):
        (a, b), leases = self.begin(deadline="300s")
        self.set(-HOUR)
        with self.assertRaises((ssl.SSLError, OSError)):
            self.send(a, leases[0])
        self.set(0)
        self.assertEqual(self.send(a, leases[0]), 200)
        self.assertEqual(self.send(b, leases[1]), 200)
        self.ended("published")


class Doctor(ClockTest):
    def problems(self, *arguments):
        findings = self.server.cli("doctor", *arguments, expect=8)["data"]["findings"]
        return [(each["area"], each["what"]) for each in findings if each["verdict"] == "problem"]

    def test_finds_clocks_that_differ_and_records_that_are_newer_than_now(self):
        self.restart()
        self.set(HOUR)
        (area, what), = self.problems()
        self.assertEqual(area, "clock")
        self.assertRegex(what, "this machine's clock is (59 minutes|1 hour) behind the server's")
        self.server.cli("device", "token", "create")
        newer, behind = self.problems("--config", self.server.config)
        self.assertEqual((newer[0], behind[0]), ("clock", "clock"))
        self.assertRegex(newer[1], "this machine's clock is (59 minutes|1 hour) before the store's newest record")


if __name__ == "__main__":
    unittest.main(verbosity=2)
