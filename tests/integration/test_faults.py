"""A disk that is full, read-only or torn: what was acknowledged stays and is counted once, and the server says what is
wrong."""

import contextlib
import shutil
import sqlite3
import unittest

import numpy

import harness
from harness import NO_PRIVACY, Device, Server, ServerTest, parameters, task_text
from test_rounds import open_round


class FaultTest(ServerTest):
    """Rounds of two devices whose updates are 0.5 and 1.5 everywhere, so that a model moves by 1."""

    def begin(self, privacy=NO_PRIVACY, environment=None, size=2):
        self.server.create_task(task_text(size=size, minimum=2, privacy=privacy))
        devices = self.devices(*"abc"[:size])
        if environment:
            self.assertEqual(self.server.stop(), 0)
            self.server.restart(environment)
        return devices, open_round(devices)

    def send(self, device, lease, value):
        return device.upload(lease, numpy.full(parameters(lease), value))

    def query(self, sql, server=None):
        with contextlib.closing(sqlite3.connect((server or self.server).data / "tacit.db")) as database:
            return database.execute(sql).fetchall()

    def published(self, server=None, counted=2, moved=1.0):
        """Waits for round 1, and checks that it is the average of its devices, each counted once."""
        server = server or self.server
        ended = harness.wait_until(lambda: next((r for r in server.rounds() if r["phase"] == "published"), None),
                                   "round 1", server.process)
        self.assertEqual((ended["round"], ended["counted"]), (1, counted))
        models = dict(self.query("SELECT version, hex(digest) FROM models", server))
        before, after = (numpy.fromfile(server.data / "models" / models[version].lower(), "<f4") for version in (0, 1))
        self.assertLess(numpy.abs(after - before - moved).max(), 1e-3)

    def ledger(self):
        return [kind for kind, in self.query("SELECT kind FROM ledger WHERE round = 1 ORDER BY sequence")]


class FullDisk(FaultTest):
    server_options = {"binary": "tacitd_testing", "disk_size": "8m"}

    def fill_at(self, moment):
        return {"TACIT_TEST_FILL_AT": moment, "TACIT_TEST_FILLER": str(self.server.disk.directory / "filler")}

    def test_refuses_an_update_and_counts_it_once_when_there_is_room(self):
        (a, b), leases = self.begin()
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        self.server.disk.fill()
        for attempt in range(1, 6):
            refused = self.send(b, leases[1], 1.5)
            self.assertEqual(refused.status, 503)
            self.assertIn("keep it and send it again", refused.problem()["detail"])
            self.server.wait_for_event("partial_not_committed", count=attempt)
        self.assertEqual(self.server.task()["current_round"]["counted"], 1)
        self.assertGreaterEqual(self.server.metric('tacit_store_operations_total{operation="commit_partial",result="er'),
                                5)
        self.server.disk.free()
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.published()

    def test_charges_and_publishes_once_when_there_is_room(self):
        # Of the round's row: opened, closed, charged.
        (a, b), leases = self.begin(privacy=harness.GAUSSIAN.replace("noise_multiplier = 1.0",
                                                                     "noise_multiplier = 1e-3").replace(
            "epsilon_budget = 50.0", "epsilon_budget = 1e9"), environment=self.fill_at("round_row:2"))
        self.assertEqual(self.send(a, leases[0], 0.05).status, 200)
        self.assertEqual(self.send(b, leases[1], 0.15).status, 200)
        self.server.wait_for_event("round_not_charged")
        self.assertEqual(self.ledger(), ["reserve"])
        self.assertEqual(self.query("SELECT count(*) FROM models"), [(1,)])
        self.assertIn("charging the round failed and is tried again",
                      self.server.task()["current_round"]["waiting_for"])
        self.server.disk.free()
        self.published(moved=0.1)
        self.assertEqual(self.ledger(), ["reserve", "charge"])
        self.assertEqual(self.server.cli("privacy", "show", "t")["data"]["rounds_charged"], 1)

    def test_publishes_the_charged_round_once_when_there_is_room(self):
        (a, b), leases = self.begin(privacy=harness.GAUSSIAN, environment=self.fill_at("round_row:3"))
        for device, lease in zip((a, b), leases):
            self.assertEqual(self.send(device, lease, 0.0).status, 200)
        self.server.wait_for_event("round_not_published")
        self.assertEqual(self.ledger(), ["reserve", "charge"])
        self.assertEqual(self.query("SELECT version FROM models"), [(0,)])
        self.assertEqual(len(list((self.server.data / "models").iterdir())), 1)
        self.server.disk.free()
        harness.wait_until(lambda: self.server.task()["rounds_published"] == 1, "round 1", self.server.process)
        self.assertEqual(self.ledger(), ["reserve", "charge"])
        self.assertEqual(self.query("SELECT version FROM models"), [(0,), (1,)])
        self.assertEqual(len(list((self.server.data / "models").iterdir())), 2)

    def test_a_charge_that_meets_a_full_disk_and_then_a_kill_is_made_once(self):
        (a, b), leases = self.begin(environment=self.fill_at("round_row:2"))
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.server.wait_for_event("round_not_charged")
        self.server.kill()
        self.server.disk.free()
        self.server.restart()
        self.published()

    def test_at_the_start_is_told_and_the_next_start_finds_everything(self):
        (a, b), leases = self.begin()
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        self.server.kill()
        for left in self.server.data.glob("tacit.db-shm"):
            left.unlink()
        self.server.disk.fill()
        self.assertEqual(self.server.cannot_start()["code"], "unavailable")
        self.server.disk.free()
        self.server.restart()
        self.assertEqual(self.server.task()["current_round"]["counted"], 1)
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.published()


class ReadOnlyAtTheStart(FaultTest):
    server_options = {"disk_size": "8m"}

    def test_is_told_and_the_next_start_finds_everything(self):
        (a, b), leases = self.begin()
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        self.server.kill()
        self.server.disk.remount("ro")
        event = self.server.cannot_start()
        self.assertEqual(event["code"], "unavailable")
        self.assertIn("Read-only file system", event["reason"])
        self.server.disk.remount("rw")
        self.server.restart()
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.published()


class ReadOnlyMeanwhile(FaultTest):
    server_options = {"binary": "tacitd_testing"}

    def test_refuses_updates_and_goes_on_when_it_can_be_written_again(self):
        sign = self.server.directory / "read-only"
        (a, b), leases = self.begin(environment={"TACIT_TEST_READ_ONLY": str(sign)})
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        sign.touch()
        refused = self.send(b, leases[1], 1.5)
        self.assertEqual(refused.status, 503)
        self.assertIn("Read-only file system", self.server.wait_for_event("partial_not_committed")["reason"])
        self.assertEqual(self.server.task()["current_round"]["counted"], 1)
        # What was refused is not on the disk either.
        self.server.kill()
        sign.unlink()
        self.server.restart({"TACIT_TEST_READ_ONLY": str(sign)})
        self.assertEqual(self.server.task()["current_round"]["counted"], 1)
        sign.touch()
        self.assertEqual(self.send(b, leases[1], 1.5).status, 503)
        sign.unlink()
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.published()


class Torn(FaultTest):
    server_options = {"binary": "tacitd_testing"}

    def partials(self):
        return sorted((self.server.data / "partials").rglob("*.sealed"))

    def test_a_partial_sum_that_was_acknowledged_keeps_the_server_from_starting(self):
        (a, b), leases = self.begin()
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        self.server.kill()
        newest, = self.partials()
        whole = newest.read_bytes()
        for torn in (whole[:-1], whole[:len(whole) // 2], b"", whole[:-16] + bytes(16)):
            newest.write_bytes(torn)
            event = self.server.cannot_start()
            self.assertEqual(event["code"], "data_loss")
            self.assertIn(newest.name, event["reason"])
        newest.unlink()
        self.assertEqual(self.server.cannot_start()["code"], "data_loss")
        newest.write_bytes(whole)
        self.server.restart()
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.published()

    def test_a_partial_sum_that_nobody_was_told_of_is_forgotten(self):
        (a, b), leases = self.begin(environment={"TACIT_TEST_KILL_AT": "partial_file:2"})
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        with self.assertRaises(Exception):
            self.send(b, leases[1], 1.5)
        self.server.wait_for_death()
        newest = self.partials()[-1]
        newest.write_bytes(newest.read_bytes()[:-100])
        self.server.restart()
        self.assertEqual(self.server.task()["current_round"]["counted"], 1)
        self.assertEqual(len(self.partials()), 1)
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.published()

    def test_the_end_of_the_log_loses_what_was_being_written_and_nothing_before(self):
        """The second commit as a power cut leaves it that comes before its sync: any part of it, and no answer."""
        (a, b, _), leases = self.begin(size=3)
        log = self.server.data / "tacit.db-wal"
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        before = log.stat().st_size
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.server.kill()
        after = log.stat().st_size
        self.assertGreater(after, before + 4096)
        noise = numpy.random.default_rng(1).bytes(4096)
        whole = log.read_bytes()
        for counted, torn in ((1, whole[:before]), (1, whole[:before + 1]), (1, whole[:(before + after) // 2]),
                              (1, whole[:-1]), (1, whole[:-4096] + noise), (2, whole), (2, whole + noise)):
            with self.subTest(bytes=len(torn), counted=counted):
                self.goes_on(leases, torn, counted)

    def goes_on(self, leases, log, counted):
        server = Server("tacitd", copy_of=self.server.directory)
        try:
            (server.data / "tacit.db-wal").write_bytes(log)
            (server.data / "tacit.db-shm").unlink(missing_ok=True)
            server.start()
            self.assertEqual(server.task()["current_round"]["counted"], counted)
            self.assertEqual(len(list((server.data / "partials").rglob("*.sealed"))), counted)
            # Who has no answer sends again, whether it was counted or not.
            for name, lease, value in (("b", leases[1], 1.5), ("c", leases[2], 1.0)):
                device = Device(server, server.directory / "devices" / name)
                self.assertEqual(self.send(device, lease, value).status, 200)
            self.published(server, counted=3)
        finally:
            self.assertEqual(server.close(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
