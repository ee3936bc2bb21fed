"""The published model has the same bits whatever the threads, the order of arrival, and the moment of a crash."""

import hashlib
import http.client
import random
import subprocess
import unittest

import numpy

import harness
from harness import GAUSSIAN, Device, Server, parameters, task_text

DEVICES = ["a", "b", "c", "d"]
NOISE = {"TACIT_TEST_NOISE": "one fixed key"}
TASK = task_text(size=4, minimum=4, rounds=2, privacy=GAUSSIAN, inputs=40,
                 aggregation='optimizer = "fedadam"\nlearning_rate = 0.1\nbeta1 = 0.9\nbeta2 = 0.99\ntau = 0.001\n')


def update_of(name, lease):
    generator = numpy.random.default_rng(int(hashlib.sha256(f"{name}/{lease.round}".encode()).hexdigest()[:8], 16))
    return generator.normal(size=parameters(lease)) * 0.2


class Federation:
    """A server with enrolled devices and a task, driven until its rounds are published through any deaths."""

    def __init__(self, prepared, io_threads=2, noise=NOISE):
        self.noise = noise
        self.server = Server("tacitd_testing", io_threads=io_threads, copy_of=prepared)
        self.devices = {name: Device(self.server, self.server.directory / "devices" / name) for name in DEVICES}
        self.leases = {}
        self.deaths = 0

    def through_deaths(self, step):
        """Runs a step until it has worked, starting the server again whenever it has died."""
        while True:
            try:
                return step()
            except (OSError, http.client.HTTPException, AssertionError):
                if not self.died():
                    raise
                self.deaths += 1
                self.server.restart(self.noise)

    def died(self):
        """Whether the server is dead: a connection it drops is seen before its death is."""
        try:
            self.server.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def take_part(self, name, number):
        """As an agent does: keep the update, send it until it is acknowledged, drop it when its round is over."""
        device = self.devices[name]
        lease = self.leases.get((name, number))
        if lease is None:
            reply = device.check_in()
            if not reply.HasField("lease"):
                return "is in" in reply.wait.reason or self.published(number)
            lease = self.leases[name, number] = reply.lease
        assert lease.round == number, (lease.round, number)
        answer = device.upload(lease, update_of(name, lease))
        assert answer.status in (200, 410), (answer.status, answer.body)
        return True

    def step(self, found, what):
        return self.through_deaths(lambda: harness.wait_until(found, what, self.server.process))

    def run(self, order, kill_at=None):
        try:
            self.server.restart({**self.noise, **({"TACIT_TEST_KILL_AT": kill_at} if kill_at else {})})
        except AssertionError:  # it died at a step of its own start
            self.deaths += 1
            self.server.restart(self.noise)
        for number in (1, 2):
            self.step(lambda: self.opened(number, order), f"round {number} to open")
            for name in order:
                self.step(lambda: self.take_part(name, number), f"{name} to take part in round {number}")
            self.step(lambda: self.published(number), f"round {number} to be published")
        digests = self.through_deaths(lambda: [self.published(number)["model_digest"] for number in (1, 2)])
        privacy = self.through_deaths(lambda: self.server.cli("privacy", "show", "t")["data"])
        assert privacy["rounds_charged"] == 2, privacy
        return digests, privacy["epsilon_spent"]

    def opened(self, number, order):
        """Checks every device in; true once the round has left its waiting state."""
        for name in order:
            self.devices[name].check_in()
        current = self.server.task()["current_round"]
        return current is None or current["round"] > number or (
            current["round"] == number and current["phase"] != "scheduled")

    def published(self, number):
        return next((r for r in self.server.rounds() if r["round"] == number and r["phase"] == "published"), None)

    def close(self):
        self.server.close()


def prepare():
    """A stopped server with enrolled devices and a task, to be copied: every run starts from the same bytes."""
    server = Server("tacitd_testing")
    server.start(NOISE)
    server.create_task(TASK)
    for name in DEVICES:
        server.enrol(name)
    assert server.stop() == 0
    return server


def run_once(order=tuple(DEVICES), kill_at=None, io_threads=2, noise=NOISE):
    federation = Federation(SameBits.prepared.directory, io_threads, noise)
    try:
        result = federation.run(order, kill_at)
        return result, federation.deaths
    finally:
        federation.close()


class SameBits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.prepared = prepare()
        cls.addClassCleanup(cls.prepared.close)
        cls.reference, _ = run_once()

    def test_one_and_two_io_threads(self):
        self.assertEqual(run_once(io_threads=1)[0], self.reference)

    def test_shuffled_arrival(self):
        for seed in range(3):
            order = list(DEVICES)
            random.Random(seed).shuffle(order)
            self.assertEqual(run_once(order)[0], self.reference, f"order {order}")

    def test_another_noise_key_gives_other_bits(self):
        # Without this the tests above could pass on a server that adds no noise at all.
        digests, _ = run_once(noise={"TACIT_TEST_NOISE": "another key"})[0]
        self.assertNotEqual(digests, self.reference[0])

    def test_killed_after_every_durable_step_of_two_rounds(self):
        killed = 0
        for step in range(1, 200):
            with self.subTest(step=step):
                result, deaths = run_once(kill_at=f"*:{step}")
                if deaths == 0:
                    break
                killed += 1
                self.assertEqual(result, self.reference, f"killed after step {step}")
        # Each round reserves, opens, commits, closes, charges, publishes: with fewer deaths the switch did not work.
        self.assertGreater(killed, 12)


if __name__ == "__main__":
    unittest.main(verbosity=2)
