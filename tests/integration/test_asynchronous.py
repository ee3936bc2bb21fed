"""Asynchronous rounds end to end: versions overlap, stale updates weigh what was declared, and none is counted twice.

Environment: TACIT_KILLS, how often a server is killed (default 20).
"""

import contextlib
import http.client
import json
import math
import os
import random
import subprocess
import threading
import time
import unittest

import numpy

import harness
from harness import BIN, GAUSSIAN, NO_PRIVACY, ServerTest, agent_pb2, frame, parameters, run, wait_until

KILLS = int(os.environ.get("TACIT_KILLS", "20"))
RADIUS = 1 << 16
LARGEST = 10_000  # of an entry: far within the radius, and a float of the model tells every grid step of a sum
GRID = agent_pb2.ENCODING_GRID_INT32
PLAIN = f'mechanism = "none"\nclip_norm = 1.0\ngrid_radius = {RADIUS}\n'

TASK = """
name = "t"
[model]
kind = "softmax"
inputs = {inputs}
classes = {classes}
[training]
learning_rate = 0.1
[rounds]
count = {rounds}
{limits}
[cohort]
size = {size}
[asynchronous]
max_staleness = {max_staleness}
{asynchronous}
[privacy]
{privacy}
"""


def task_text(size=2, rounds=20, max_staleness=2, asynchronous="concurrency = 10", limits="", privacy=PLAIN, inputs=4,
              classes=3):
    return TASK.format(size=size, rounds=rounds, max_staleness=max_staleness, asynchronous=asynchronous, limits=limits,
                       privacy=privacy, inputs=inputs, classes=classes)


def shrunk(values, staleness):
    """What is left of grid integers: floor(65536 / sqrt(1 + staleness)) / 65536 of each, rounded toward zero."""
    parts = math.isqrt(2**32 // (1 + staleness))
    return numpy.sign(values) * (numpy.abs(values).astype(numpy.int64) * parts >> 16)


class Buffers(ServerTest):
    server_options = {"binary": "tacitd_testing"}

    def setUp(self):
        super().setUp()
        self.generator = numpy.random.default_rng(5)

    def vector(self, lease):
        return self.generator.integers(-LARGEST, LARGEST, parameters(lease))

    def step(self, version, size=2):
        """By how many grid steps the sum behind a version moved the model."""
        found = self.server.models()
        return numpy.rint((found[version] - found[version - 1]) * RADIUS * size)

    def upload(self, device, lease, values, encoding=GRID):
        """As an agent does: again, as long as it is told that there is no buffer for it yet."""
        def answered():
            answer = device.upload(lease, values, encoding=encoding)
            return answer if answer.status != 503 else None
        return wait_until(answered, f"an answer to the update of {device.name}", self.server.process)

    def fill(self, devices):
        """One buffer, of fresh updates of these devices. Returns its round and what they sent."""
        leases = [device.lease() for device in devices]
        sent = [self.vector(lease) for lease in leases]
        for device, lease, values in zip(devices, leases, sent):
            self.assertEqual(self.upload(device, lease, values).status, 200)
        self.server.published(leases[-1].round)
        return leases[-1].round, sent

    def test_updates_of_older_models_count_by_their_staleness_to_the_bit(self):
        self.server.create_task(task_text())
        a, b, slow, slower = self.devices("a", "b", "slow", "slower")
        lease1, lease2 = slow.lease(), slower.lease()
        self.assertEqual((lease1.round, lease1.model_version), (1, 0))
        _, fresh = self.fill([a, b])
        numpy.testing.assert_array_equal(self.step(1), sum(fresh))

        # The second buffer: one update of the model that is newest, one of the model before.
        lease = a.lease()
        self.assertEqual((lease.round, lease.model_version), (2, 1))
        values = self.vector(lease)
        self.assertEqual(self.upload(a, lease, values).status, 200)
        late = self.vector(lease1)
        self.assertEqual(self.upload(slow, lease1, late).status, 200)
        self.server.published(2)
        numpy.testing.assert_array_equal(self.step(2), values + shrunk(late, 1))

        # The third: its model is two versions old, and still there to be fetched.
        digest = lease2.model_digest.hex()
        self.assertEqual(slower.request("GET", f"/v1/models/{digest}").status, 200)
        later = self.vector(lease2)
        self.assertEqual(self.upload(slower, lease2, later).status, 200)
        lease = b.lease()
        values = self.vector(lease)
        self.assertEqual(self.upload(b, lease, values).status, 200)
        self.server.published(3)
        numpy.testing.assert_array_equal(self.step(3), shrunk(later, 2) + values)
        self.assertTrue((numpy.abs(shrunk(later, 2)) < numpy.abs(later)).any())

        # Now it is three versions old: the model is gone, and so is its lease.
        self.assertEqual(slower.request("GET", f"/v1/models/{digest}").status, 410)
        newcomer = self.server.enrol("newcomer")
        answer = newcomer.upload(lease1, self.vector(lease1), encoding=GRID)
        self.assertEqual(answer.status, 410)
        self.assertIn("check in again for the newest one", answer.problem()["detail"])

    def test_floats_are_clipped_by_the_server_before_they_are_shrunk(self):
        self.server.create_task(task_text(asynchronous='discount = "inverse"\nconcurrency = 10'))
        a, b, slow = self.devices("a", "b", "slow")
        old = slow.lease()
        self.fill([a, b])
        vector = numpy.zeros(parameters(old), dtype=numpy.float32)
        vector[:2] = (30, -40)  # fifty times the clip norm
        self.assertEqual(self.upload(slow, old, vector, agent_pb2.ENCODING_FLOAT32).status, 200)
        lease = a.lease()
        self.assertEqual(self.upload(a, lease, numpy.zeros(parameters(lease), dtype=numpy.int32)).status, 200)
        self.server.published(2)
        clipped = numpy.trunc(numpy.array([0.6, -0.8]) * RADIUS)
        numpy.testing.assert_allclose(self.step(2)[:2], numpy.trunc(clipped / 2), atol=1)

    def test_a_buffer_waits_for_as_long_as_it_takes(self):
        self.server.create_task(task_text())
        a, b = self.devices("a", "b")
        lease = a.lease()
        self.assertEqual(self.upload(a, lease, self.vector(lease)).status, 200)
        time.sleep(3)
        current = self.server.task()["current_round"]
        self.assertEqual((current["round"], current["phase"], current["counted"]), (1, "open", 1))
        self.assertIsNone(current["deadline"])
        self.assertIn("1 of 2 counted", current["waiting_for"])
        self.assertIn("your update is in", a.check_in().wait.reason)
        lease = b.lease()
        self.assertEqual(self.upload(b, lease, self.vector(lease)).status, 200)
        self.server.published(1)

    def test_a_retry_after_its_buffer_closed_gets_the_same_answer_and_is_not_counted_again(self):
        self.server.create_task(task_text(limits="max_participations = 1\nmin_separation = 1"))
        a, b, c, d = self.devices("a", "b", "c", "d")
        lease = a.lease()
        sent = self.vector(lease)
        first = self.upload(a, lease, sent)
        other = b.lease()
        self.assertEqual(self.upload(b, other, self.vector(other)).status, 200)
        self.server.published(1)
        again = lambda: a.upload(lease, sent, encoding=GRID)
        self.assertEqual((again().status, again().body), (first.status, first.body))
        self.assertEqual(a.upload(lease, sent + 1, encoding=GRID).status, 409)
        # Also while the next buffer fills, after the server died, and although the device may not take part any more.
        lease_c = c.lease()
        values_c = self.vector(lease_c)
        self.assertEqual(self.upload(c, lease_c, values_c).status, 200)
        self.assertEqual((again().status, again().body), (first.status, first.body))
        self.server.kill()
        self.server.restart()
        self.assertEqual((again().status, again().body), (first.status, first.body))
        self.assertEqual(c.upload(lease_c, values_c, encoding=GRID).status, 200)
        self.assertEqual(self.server.task()["current_round"]["counted"], 1)
        self.assertIn("as many as it may", a.check_in().wait.reason)
        lease_d = d.lease()
        values_d = self.vector(lease_d)
        self.assertEqual(self.upload(d, lease_d, values_d).status, 200)
        self.server.published(2)
        numpy.testing.assert_array_equal(self.step(2), values_c + values_d)
        self.assertEqual(self.server.query("SELECT rounds FROM participations WHERE device = 'a'"), [(1,)])

    def test_what_is_remembered_of_an_update_is_forgotten_when_its_lease_holds_no_more(self):
        self.server.create_task(task_text(max_staleness=1, rounds=4))
        a, b = self.devices("a", "b")

        def remembered():
            return sorted({row[0] for row in self.server.query("SELECT leased_in FROM counted_leases")})
        for expected in ([1], [2], [3], []):
            self.fill([a, b])
            wait_until(lambda: remembered() == expected, f"{expected} to be remembered", self.server.process)
        self.assertEqual(self.server.task()["state"], "finished")

    def test_one_device_is_counted_once_in_a_buffer_whatever_leases_it_has(self):
        self.server.create_task(task_text())
        a, b, c = self.devices("a", "b", "c")
        old = a.lease()
        self.fill([b, c])
        new = a.lease()
        self.assertEqual((old.round, new.round), (1, 2))
        self.assertEqual(self.upload(a, new, self.vector(new)).status, 200)
        self.assertEqual(self.upload(a, old, self.vector(old)).status, 409)

    def test_no_more_devices_work_at_a_time_than_the_task_says(self):
        self.server.create_task(task_text(asynchronous='concurrency = 2\nlease_lifetime = "3s"'))
        a, b, c = self.devices("a", "b", "c")
        lease = a.lease()
        self.assertEqual(lease.deadline_ms, 3000)
        b.lease()
        self.assertIn("all its leases", c.check_in().wait.reason)
        self.assertEqual(self.upload(a, lease, self.vector(lease)).status, 200)
        replacement = c.lease(patience=2)  # the place of a, whose update is in
        self.assertEqual(replacement.round, 1)
        d = self.server.enrol("d")
        self.assertEqual(d.lease().round, 1)  # the place of b, which does not answer

    def test_every_buffer_is_charged_in_full_before_it_is_published(self):
        text = task_text(size=2, rounds=3, limits="max_participations = 3", privacy=GAUSSIAN)
        plan = self.server.directory / "plan.toml"
        plan.write_text(text)
        epsilon = self.server.cli("task", "create", "-f", plan, "--dry-run")["data"]["epsilon"]
        synchronous = text.replace("[asynchronous]\nmax_staleness = 2\nconcurrency = 10\n", "")
        plan.write_text(synchronous)
        self.assertEqual(self.server.cli("task", "create", "-f", plan, "--dry-run")["data"]["epsilon"], epsilon)
        self.server.create_task(text)
        a, b = self.devices("a", "b")
        for number in (1, 2, 3):
            leases = [device.lease() for device in (a, b)]
            for device, lease in zip((a, b), leases):
                zeros = numpy.zeros(parameters(lease), dtype=numpy.int32)
                self.assertEqual(self.upload(device, lease, zeros).status, 200)
            self.server.published(number)
        privacy = self.server.cli("privacy", "show", "t")["data"]
        self.assertEqual(privacy["rounds_charged"], 3)
        self.assertAlmostEqual(privacy["epsilon_spent"], epsilon, places=9)
        self.assertGreater(numpy.abs(self.server.models()[3]).max(), 0, "there is noise")
        ledger = self.server.directory / "ledger.json"
        self.server.cli("privacy", "ledger", "t", "-o", ledger)
        self.server.cli("privacy", "verify", ledger)

    def test_a_task_that_has_ended_needs_none_of_its_older_models_at_a_start(self):
        self.server.create_task(task_text(max_staleness=2, rounds=3))
        devices = self.devices("a", "b")
        for _ in range(3):
            self.fill(devices)
        wait_until(lambda: self.server.task()["state"] == "finished", "the task to end", self.server.process)
        self.assertEqual(self.server.stop(), 0)
        (older,), = self.server.query("SELECT lower(hex(digest)) FROM models WHERE version = 2")
        (self.server.data / "models" / older).unlink()
        self.server.restart()
        self.assertEqual(self.server.task()["latest_version"], 3)

    def test_a_damaged_older_model_costs_the_updates_from_it_and_before_and_nothing_else(self):
        self.server.create_task(task_text(max_staleness=3))
        a, b, *slow = self.devices("a", "b", "c", "d", "e")
        held, counted = [], []
        for device in slow:
            held.append(device.lease())
            leases = [each.lease() for each in (a, b)]
            values = [self.vector(lease) for lease in leases]
            for each, lease, vector in zip((a, b), leases, values):
                self.assertEqual(self.upload(each, lease, vector).status, 200)
            counted.append((leases[0], values[0]))
            self.server.published(leases[0].round)
        self.assertEqual([lease.model_version for lease in held], [0, 1, 2])
        self.assertEqual(self.server.stop(), 0)
        file = self.server.data / "models" / held[1].model_digest.hex()
        whole = file.read_bytes()
        file.chmod(0o600)
        file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        self.server.restart()
        dropped = self.server.wait_for_event("older_models_dropped", task="t", version=1, models=2)
        self.assertEqual(dropped["level"], "warn")
        self.assertIn(held[1].model_digest.hex(), dropped["reason"])
        statuses = [device.request("GET", f"/v1/models/{lease.model_digest.hex()}").status
                    for device, lease in zip(slow, held)]
        self.assertEqual(statuses, [410, 410, 200])
        for device, lease in zip(slow[:2], held):
            self.assertEqual(device.upload(lease, self.vector(lease), encoding=GRID).status, 410)
        values = self.vector(held[2])
        self.assertEqual(self.upload(slow[2], held[2], values).status, 200)
        lease = b.lease()
        fresh = self.vector(lease)
        self.assertEqual(self.upload(b, lease, fresh).status, 200)
        self.server.published(4)
        numpy.testing.assert_array_equal(self.step(4), shrunk(values, 1) + fresh)
        # The file is back, and with it the leases; what was counted under them is known all the same.
        self.assertEqual(self.server.stop(), 0)
        file.write_bytes(whole)
        self.server.restart()
        self.assertEqual(self.server.events_named("older_models_dropped"), [])
        self.assertEqual(slow[0].upload(held[0], self.vector(held[0]), encoding=GRID).status, 410, "too old by now")
        lease, values = counted[1]
        self.assertEqual(a.upload(lease, values, encoding=GRID).status, 200)
        self.assertEqual(self.server.query("SELECT round FROM contributions WHERE device = 'a'"), [(1,), (2,), (3,)])
        self.assertEqual(self.upload(slow[1], held[1], self.vector(held[1])).status, 200)

    def test_combinations_that_are_not_sound_are_refused_with_the_reason(self):
        coin = GAUSSIAN + 'sampling = "checkin_coin"\nsampling_probability = 0.02\n'
        for text, words in ((task_text(privacy=coin), "no sample of any round"),
                            (task_text(privacy=GAUSSIAN + "clip_quantile = 0.5\n"), "on the grid of the clip norm"),
                            (task_text().replace("size = 2", 'size = 2\ndeadline = "9s"'), "a buffer waits"),
                            (task_text().replace("size = 2", "size = 2\nmin = 1"), "a buffer waits"),
                            (task_text() + '[aggregation]\nweighting = "examples"\nmax_examples = 3\n',
                             "by their staleness alone")):
            answer = self.server.create_task(text, expect=2)
            self.assertEqual(answer["error"]["code"], "invalid_argument")
            self.assertIn(words, answer["error"]["message"])
        self.assertEqual(self.server.cli("task", "list")["data"]["items"], [])

    def test_agents_train_at_their_own_pace_to_the_end(self):
        shape = json.loads(run(["tacit-agent", "--json", "shape", "--synthetic", "0/4"]).stdout)["data"]
        self.server.create_task(task_text(rounds=6, max_staleness=3, inputs=shape["inputs"], classes=shape["classes"],
                                          privacy=NO_PRIVACY))
        agents = [subprocess.Popen([BIN / "tacit-agent", "run", "--state", device.state, "--synthetic", f"{index}/4"],
                                   stderr=subprocess.DEVNULL)
                  for index, device in enumerate(self.agents("a", "b", "c", "d"))]
        try:
            wait_until(lambda: self.server.task()["state"] == "finished", "the task to end", self.server.process)
        finally:
            for agent in agents:
                agent.terminate()
                agent.wait(harness.PATIENCE)
        self.assertEqual([r["counted"] for r in self.server.rounds() if r["phase"] == "published"], [2] * 6)


class Sender(threading.Thread):
    """A device: asks, trains for a while, sends its update until it is answered. What is checked is its own copies."""

    def __init__(self, device, sent):
        super().__init__(daemon=True)
        self.device = device
        self.sent = sent
        number = int(device.name.removeprefix("d"))
        self.generator = numpy.random.default_rng(number)
        self.pace = 0.02 + 0.06 * number
        self.acknowledged = []  # (round that leased it, values), in their order
        self.unanswered = []
        self.unexpected = []
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            # A server that is gone, or that goes in the middle of an answer.
            with contextlib.suppress(OSError, http.client.HTTPException):
                reply = self.device.check_in(wait_ms=300)
                if reply.HasField("lease"):
                    time.sleep(self.generator.uniform(0, self.pace))
                    self.send(reply.lease)
            time.sleep(0.01)

    def send(self, lease):
        values = self.generator.integers(-LARGEST, LARGEST, parameters(lease))
        body = frame(lease, values, encoding=GRID)
        while not self.done.is_set():
            try:
                self.sent.set()
                status = self.device.upload_frame(lease.task, lease.round, body).status
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if status == 200:
                self.acknowledged.append((lease.round, values))
                if self.generator.random() < 0.3:
                    self.send_again(lease, body)
                return
            if status != 503:
                self.unexpected.append((lease.round, status))
                return
            time.sleep(0.01)
        self.unanswered.append((lease.round, values))

    def send_again(self, lease, body):
        """Much later, as one whose answer was lost: also after its buffer was closed."""
        time.sleep(self.generator.uniform(0, 0.15))
        with contextlib.suppress(OSError, http.client.HTTPException):
            status = self.device.upload_frame(lease.task, lease.round, body).status
            if status != 200:
                self.unexpected.append((lease.round, f"again: {status}"))


class Kills(ServerTest):
    server_options = {"binary": "tacitd"}
    SIZE = 2
    DEVICES = 5

    def test_acknowledged_is_counted_once_with_its_weight_through_kills(self):
        self.server.create_task(task_text(size=self.SIZE, rounds=100_000, max_staleness=50))
        sent = threading.Event()
        senders = [Sender(device, sent) for device in self.devices(*(f"d{i}" for i in range(self.DEVICES)))]
        for sender in senders:
            sender.start()
        moment = random.Random(KILLS)
        for _ in range(KILLS):
            sent.clear()
            sent.wait(3)
            time.sleep(moment.uniform(0, 0.3) if moment.random() < 0.5 else moment.uniform(0, 0.015))
            self.server.kill()
            self.server.restart()
        published = self.server.task()["rounds_published"]
        wait_until(lambda: self.server.task()["rounds_published"] > published + 3, "buffers after the last kill")
        for sender in senders:
            sender.done.set()
        for sender in senders:
            sender.join(harness.PATIENCE)
        self.assertEqual(self.server.stop(), 0)
        for sender in senders:
            self.assertEqual(sender.unexpected, [])
        self.check(senders)

    def check(self, senders):
        buffers = {}
        for number, device in self.server.query("SELECT round, device FROM contributions ORDER BY round"):
            buffers.setdefault(device, []).append(number)
        found = self.server.models()
        versions = sorted(found)
        sums = {}
        stale = acknowledged = 0
        for sender in senders:
            counted = buffers.get(sender.device.name, [])
            known = sender.acknowledged + (sender.unanswered if len(counted) > len(sender.acknowledged) else [])
            self.assertEqual(len(counted), len(known), f"{sender.device.name}: lost, or counted twice")
            self.assertEqual(len(counted), len(set(counted)))
            acknowledged += len(sender.acknowledged)
            # A device sends one update after the other, so the order of its buffers is that of its updates.
            for number, (leased_in, values) in zip(counted, known):
                staleness = sum(leased_in <= version < number for version in versions)
                stale += staleness > 0
                sums[number] = sums.get(number, 0) + shrunk(values, staleness)
        for base, version in zip(versions, versions[1:]):
            step = found[version] - found[base]
            numpy.testing.assert_array_equal(numpy.rint(step * RADIUS * self.SIZE), sums[version], f"version {version}")
        print(f"{KILLS} kills, {len(versions) - 1} buffers published, {acknowledged} updates acknowledged, "
              f"{stale} of them stale")
        self.assertGreater(acknowledged, KILLS // 2)
        self.assertGreater(stale, acknowledged // 10)


if __name__ == "__main__":
    unittest.main()
