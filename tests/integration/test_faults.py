"""A disk that is full, read-only or torn: what was acknowledged stays and is counted once, and the server says what is
wrong."""

import http.client
import subprocess
import unittest

import numpy

import harness
from harness import GAUSSIAN, NO_PRIVACY, Device, Server, ServerTest, parameters, task_text
from test_rounds import open_round


class FaultTest(ServerTest):
    """A round of three devices whose updates are 0.5, 1.5 and 1 everywhere, so that its model moves by 1."""

    def begin(self, privacy=NO_PRIVACY, environment=None):
        self.server.create_task(task_text(size=3, minimum=2, privacy=privacy))
        devices = self.devices("a", "b", "c")
        if environment:
            self.assertEqual(self.server.stop(), 0)
            self.server.restart(environment)
        return devices, open_round(devices)

    def send(self, device, lease, value):
        return device.upload(lease, numpy.full(parameters(lease), value))

    def published(self, server=None):
        """Waits for round 1, and checks that it is the average of its devices, each counted once."""
        server = server or self.server
        ended = server.published()
        self.assertEqual((ended["round"], ended["counted"]), (1, 3))
        models = server.models()
        self.assertLess(numpy.abs(models[1] - models[0] - 1).max(), 1e-3)

    def ledger(self):
        return [kind for kind, in self.server.query("SELECT kind FROM ledger WHERE round = 1 ORDER BY sequence")]


class Merges(ServerTest):
    """A round of ten devices that come one after another: before the ninth commit its partial sums become one."""

    server_options = {"binary": "tacitd_testing"}

    def files(self):
        return len(list((self.server.data / "partials").rglob("*.sealed")))

    def test_that_a_kill_meets_count_each_device_once(self):
        names = [f"d{i}" for i in range(10)]
        devices = self.devices(*names)
        rounds = 0
        for moment in ("merged_file", "merged_rows", "merged_files_removed"):
            with self.subTest(killed_at=moment):
                rounds += 1
                task = f"at-{rounds}"
                self.server.create_task(task_text(name=task, size=10, minimum=10, privacy=NO_PRIVACY, rounds=1))
                self.assertEqual(self.server.stop(), 0)
                self.server.restart({"TACIT_TEST_KILL_AT": moment})
                leases = open_round(devices, task=task)
                values = numpy.linspace(0.1, 1.0, 10)
                updates = [numpy.full(parameters(leases[0]), value) for value in values]
                for index in range(8):
                    self.assertEqual(devices[index].upload(leases[index], updates[index]).status, 200)
                    self.assertEqual(self.files(), index + 1)
                with self.assertRaises((OSError, http.client.HTTPException)):
                    devices[8].upload(leases[8], updates[8])
                self.server.wait_for_death()
                self.assertLessEqual(self.files(), 9)
                self.server.restart()
                self.assertEqual(self.server.task(task)["current_round"]["counted"], 8)
                self.assertEqual(self.files(), 8 if moment == "merged_file" else 1)
                # Those that have their answer ask again, and are not counted again.
                for index in (0, 7, 8, 9):
                    self.assertEqual(devices[index].upload(leases[index], updates[index]).status, 200)
                ended = harness.wait_until(lambda: next(iter(self.server.rounds(task)), None) and
                                           self.server.task(task)["state"] == "finished" and
                                           self.server.rounds(task)[0], "the round", self.server.process)
                self.assertEqual((ended["phase"], ended["counted"]), ("published", 10))
                models = self.server.models(task)
                self.assertLess(numpy.abs(models[1] - models[0] - values.mean()).max(), 1e-3)


class FullDisk(FaultTest):
    server_options = {"binary": "tacitd_testing", "disk_size": "8m"}

    def fill_at(self, moment):
        return {"TACIT_TEST_FILL_AT": moment, "TACIT_TEST_FILLER": str(self.server.disk.directory / "filler")}

    def test_refuses_an_update_and_counts_it_once_when_there_is_room(self):
        (a, b, c), leases = self.begin()
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        self.server.disk.fill()
        for attempt in range(1, 6):
            refused = self.send(b, leases[1], 1.5)
            self.assertEqual(refused.status, 503)
            self.assertIn("keep it and send it again", refused.problem()["detail"])
            self.server.wait_for_event("partial_not_committed", count=attempt)
        self.assertEqual(self.server.task()["current_round"]["counted"], 1)
        failed = self.server.metric('tacit_store_operations_total{operation="commit_partial",result="error"}')
        self.assertEqual(failed, 5)
        self.server.disk.free()
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.assertEqual(self.send(c, leases[2], 1.0).status, 200)
        self.published()

    def send_all(self, devices, leases, values):
        for device, lease, value in zip(devices, leases, values):
            self.assertEqual(self.send(device, lease, value).status, 200)

    def test_charges_and_publishes_once_when_there_is_room(self):
        # Of the round's row: opened, closed, charged.
        devices, leases = self.begin(privacy=GAUSSIAN, environment=self.fill_at("round_row:2"))
        self.send_all(devices, leases, (0, 0, 0))
        self.server.wait_for_event("round_not_charged")
        self.assertEqual(self.ledger(), ["reserve"])
        self.assertEqual(self.server.query("SELECT version FROM models ORDER BY version"), [(0,)])
        self.assertIn("charging the round failed and is tried again",
                      self.server.task()["current_round"]["waiting_for"])
        self.server.disk.free()
        self.published_once()

    def test_publishes_the_charged_round_once_when_there_is_room(self):
        devices, leases = self.begin(privacy=GAUSSIAN, environment=self.fill_at("round_row:3"))
        self.send_all(devices, leases, (0, 0, 0))
        self.server.wait_for_event("round_not_published")
        self.assertEqual(self.ledger(), ["reserve", "charge"])
        self.assertEqual(self.server.query("SELECT version FROM models ORDER BY version"), [(0,)])
        self.assertEqual(len(list((self.server.data / "models").iterdir())), 1)
        self.server.disk.free()
        self.published_once()

    def published_once(self):
        harness.wait_until(lambda: self.server.task()["rounds_published"] == 1, "round 1", self.server.process)
        self.assertEqual(self.ledger(), ["reserve", "charge"])
        self.assertEqual(self.server.query("SELECT version FROM models ORDER BY version"), [(0,), (1,)])
        self.assertEqual(len(list((self.server.data / "models").iterdir())), 2)
        self.assertEqual(self.server.cli("privacy", "show", "t")["data"]["rounds_charged"], 1)

    def test_that_a_charge_meets_before_a_kill_leaves_a_round_that_is_published(self):
        devices, leases = self.begin(environment=self.fill_at("round_row:2"))
        self.send_all(devices, leases, (0.5, 1.5, 1.0))
        self.server.wait_for_event("round_not_charged")
        self.server.kill()
        self.server.disk.free()
        self.server.restart()
        self.published()

    def test_at_the_start_is_told_and_the_next_start_finds_everything(self):
        (a, b, c), leases = self.begin()
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
        self.assertEqual(self.send(c, leases[2], 1.0).status, 200)
        self.published()


class ReadOnlyAtTheStart(FaultTest):
    server_options = {"disk_size": "8m"}

    def test_is_told_and_the_next_start_finds_everything(self):
        (a, b, c), leases = self.begin()
        self.assertEqual(self.send(a, leases[0], 0.5).status, 200)
        self.server.kill()
        self.server.disk.remount("ro")
        told = subprocess.run(self.server.command, capture_output=True, text=True)
        self.assertEqual(told.returncode, 2)
        self.assertIn("'server.data_dir'", told.stderr)
        self.assertIn("Read-only file system", told.stderr)
        self.server.disk.remount("rw")
        self.server.restart()
        self.assertEqual(self.send(b, leases[1], 1.5).status, 200)
        self.assertEqual(self.send(c, leases[2], 1.0).status, 200)
        self.published()


class ReadOnlyMeanwhile(FaultTest):
    server_options = {"binary": "tacitd_testing"}

    def test_refuses_updates_and_goes_on_when_it_can_be_written_again(self):
        sign = self.server.directory / "read-only"
        (a, b, c), leases = self.begin(environment={"TACIT_TEST_READ_ONLY": str(sign)})
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
        self.assertEqual(self.send(c, leases[2], 1.0).status, 200)
        self.published()


class Torn(FaultTest):
    server_options = {"binary": "tacitd_testing"}

    def partials(self):
        return sorted((self.server.data / "partials").rglob("*.sealed"))

    def test_a_partial_sum_that_was_acknowledged_keeps_the_server_from_starting(self):
        (a, b, c), leases = self.begin()
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
        self.assertEqual(self.send(c, leases[2], 1.0).status, 200)
        self.published()

    def test_a_partial_sum_that_nobody_was_told_of_is_forgotten(self):
        (a, b, c), leases = self.begin(environment={"TACIT_TEST_KILL_AT": "partial_file:2"})
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
        self.assertEqual(self.send(c, leases[2], 1.0).status, 200)
        self.published()

    def test_the_end_of_the_log_loses_what_was_being_written_and_nothing_before(self):
        """The second commit as a power cut leaves it that comes before its sync: any part of it, and no answer."""
        (a, b, _), leases = self.begin()
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
            self.published(server)
        finally:
            self.assertEqual(server.close(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
