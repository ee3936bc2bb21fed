"""A server that is killed again and again while devices send: what it acknowledged is counted, once, and nothing else.

Environment: TACIT_KILLS, how often it is killed (default 30).
"""

import contextlib
import http.client
import os
import random
import threading
import time
import unittest

import numpy

import harness
from harness import ServerTest, agent_pb2, frame, parameters, task_text

KILLS = int(os.environ.get("TACIT_KILLS", "30"))
DEVICES = 6
RADIUS = 1 << 16
LARGEST = 10_000  # of an entry: far within the radius, and a float of the model tells every grid step of a sum
MANY = 30        # devices of a round whose commits are more than the partial sums that it keeps
MOST_FILES = 9   # of a round on the disk: 8 partial sums, and for a moment the one that they are merged into


def task(devices, deadline):
    return task_text(rounds=100_000, participations=100_000, size=devices, minimum=2, deadline=deadline,
                     privacy=f'mechanism = "none"\nclip_norm = 1.0\ngrid_radius = {RADIUS}\n')


class Sender(threading.Thread):
    """A device: asks, keeps its update, sends it until it is answered. Its own copies are what is checked against."""

    def __init__(self, device, sent, believes_early=False, pace=0):
        super().__init__(daemon=True)
        self.device = device
        self.sent = sent
        self.believes_early = believes_early
        self.pace = pace  # seconds that it trains for, at most
        self.generator = numpy.random.default_rng(int(device.name.removeprefix("d")))
        self.made = {}  # round -> values
        self.acknowledged = set()
        self.unexpected = []
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            # A server that is gone, or that goes in the middle of an answer.
            with contextlib.suppress(OSError, http.client.HTTPException):
                reply = self.device.check_in(wait_ms=300)
                if reply.HasField("lease") and reply.lease.round not in self.acknowledged:
                    self.send(reply.lease)
            time.sleep(0.02)

    def send(self, lease):
        if lease.round not in self.made:
            self.done.wait(self.generator.uniform(0, self.pace))
            self.made[lease.round] = self.generator.integers(-LARGEST, LARGEST, parameters(lease))
        body = frame(lease, self.made[lease.round], encoding=agent_pb2.ENCODING_GRID_INT32)
        while not self.done.is_set():
            try:
                status = self.put(lease, body)
            except (OSError, http.client.HTTPException):
                if self.believes_early and lease.round in self.acknowledged:
                    return
                time.sleep(0.02)
                continue
            if status == 200:
                self.acknowledged.add(lease.round)
            if status == 503:
                continue
            if status not in (200, 403, 410):
                self.unexpected.append((lease.round, status))
            return

    def put(self, lease, body):
        with contextlib.closing(self.device.connect()) as stream:
            connection = http.client.HTTPConnection("127.0.0.1", timeout=harness.PATIENCE)
            connection.sock = stream
            connection.request("PUT", f"/v1/tasks/{lease.task}/rounds/{lease.round}/update", body)
            self.sent.set()
            # To believe an update counted once it is sent is what a server does that answers before its disk has.
            if self.believes_early:
                self.acknowledged.add(lease.round)
            return connection.getresponse().status


class Kills(ServerTest):
    server_options = {"binary": "tacitd"}

    def kill_often(self, kills, believes_early=False, devices=DEVICES, deadline="2s", pace=0):
        self.server.create_task(task(devices, deadline))
        self.merged = self.most_files = 0
        sent = threading.Event()
        senders = [Sender(device, sent, believes_early, pace)
                   for device in self.devices(*(f"d{i}" for i in range(devices)))]
        for sender in senders:
            sender.start()
        moment = random.Random(kills)
        done = 0
        # A server that answers late is mostly killed before it does: oftener then, so that there is enough to look at.
        while done < kills or (done < 3 * kills and sum(len(each.acknowledged) for each in senders) <= kills // 2):
            done += 1
            # Mostly while an update is on its way from the socket to the disk; now and then at any time.
            if pace:
                time.sleep(moment.uniform(0, pace))
            sent.clear()
            if moment.random() < 0.8:
                sent.wait(3)
                time.sleep(moment.uniform(0, 0.015))
            else:
                time.sleep(moment.uniform(0.01, 0.25))
            self.server.kill()
            self.look()
            self.server.restart()
        published = len(self.published())
        harness.wait_until(lambda: len(self.published()) > published, "a round after the last kill")
        for sender in senders:
            sender.done.set()
        for sender in senders:
            sender.join(harness.PATIENCE)
        self.assertEqual(self.server.stop(), 0)
        for sender in senders:
            self.assertEqual(sender.unexpected, [])
        return senders

    def look(self):
        """At what a server that was just killed has left."""
        self.merged += len(self.server.events_named("partials_merged"))
        for directory in (self.server.root / "data/partials").glob("*/*"):
            self.most_files = max(self.most_files, sum(1 for _ in directory.glob("*.sealed")))

    def published(self):
        return [each for each in self.server.rounds() if each["phase"] == "published"]

    def lost_and_wrong(self, senders):
        """What the disk contradicts of what the devices know: lost updates, and rounds with a wrong sum."""
        updates = {sender.device.name: sender.made for sender in senders}
        counted = {}
        for number, device in self.server.query("SELECT round, device FROM contributions"):
            counted.setdefault(number, []).append(device)
        models = self.server.models()
        lost = [(sender.device.name, number) for sender in senders for number in sender.acknowledged
                if sender.device.name not in counted.get(number, [])]
        versions = sorted(models)
        wrong = []
        for base, version in zip(versions, versions[1:]):
            devices = counted[version]
            step = models[version] - models[base]
            found = numpy.rint(step * RADIUS * len(devices))
            if len(set(devices)) != len(devices) or (found != sum(updates[name][version] for name in devices)).any():
                wrong.append(version)
        return lost, wrong, len(versions) - 1

    def test_acknowledged_is_counted_and_counted_once(self):
        senders = self.kill_often(KILLS)
        lost, wrong, published = self.lost_and_wrong(senders)
        acknowledged = sum(len(sender.acknowledged) for sender in senders)
        print(f"{KILLS} kills, {published} rounds published, {acknowledged} updates acknowledged")
        self.assertEqual(lost, [])
        self.assertEqual(wrong, [])
        self.assertGreater(acknowledged, KILLS // 2)

    def test_partial_sums_that_are_merged_are_counted_once(self):
        senders = self.kill_often(KILLS, devices=MANY, deadline="20s", pace=1.5)
        lost, wrong, published = self.lost_and_wrong(senders)
        print(f"{KILLS} kills, {published} rounds published, {self.merged} merges, {self.most_files} files at most")
        self.assertEqual(lost, [])
        self.assertEqual(wrong, [])
        self.assertGreater(self.merged, KILLS // 6)
        self.assertLessEqual(self.most_files, MOST_FILES)

    def test_an_acknowledgement_before_the_disk_has_it_is_found_out(self):
        senders = self.kill_often(25, believes_early=True)
        lost, _, _ = self.lost_and_wrong(senders)
        self.assertNotEqual(lost, [], "nothing is lost by 25 kills although acknowledgements mean nothing")


if __name__ == "__main__":
    unittest.main()
