"""Rounds end to end: what counts, what does not, and what nobody can change."""

import contextlib
import re
import resource
import sqlite3
import unittest

import numpy

import harness
from harness import GAUSSIAN, NO_PRIVACY, ServerTest, agent_pb2, parameters, task_text


def open_round(devices, task=""):
    """Every device checks in, in turn and again, until each holds a lease of one round.

    Again, because a check-in that meets the end of the round before counts for nobody.
    """
    def all_leased():
        replies = [device.check_in(task=task) for device in devices]
        leases = [reply.lease for reply in replies if reply.HasField("lease")]
        one = len(leases) == len(devices) and len({lease.round for lease in leases}) == 1
        return leases if one else None
    return harness.wait_until(all_leased, f"one round for {[device.name for device in devices]}",
                              devices[0].server.process)


class Rounds(ServerTest):
    server_options = {"binary": "tacitd_testing"}

    def model(self, version="latest", name="t"):
        import io
        answer = self.server.operator("GET", f"/api/v1/tasks/{name}/models/{version}/content?format=npz")
        self.assertEqual(answer.status, 200)
        with numpy.load(io.BytesIO(answer.body), allow_pickle=False) as arrays:
            return numpy.concatenate([arrays["layer0.weight"].ravel(), arrays["layer0.bias"].ravel()])

    def test_average_of_the_updates_is_published_without_noise_in_mode_none(self):
        self.server.create_task(task_text(privacy=NO_PRIVACY))
        devices = self.devices("a", "b", "c")
        leases = open_round(devices)
        d = parameters(leases[0])
        vectors = [numpy.linspace(-1, 1, d) * (i + 1) for i in range(3)]
        for device, lease, vector in zip(devices, leases, vectors):
            self.assertEqual(device.upload(lease, vector).status, 200)
        self.assertEqual(self.server.published(1)["counted"], 3)
        numpy.testing.assert_allclose(self.model(), numpy.mean(vectors, axis=0), atol=2e-6)

    def test_what_the_disk_did_not_take_is_not_in_the_average(self):
        self.server.create_task(task_text(privacy=NO_PRIVACY))
        devices = self.devices("a", "b", "c")
        leases = open_round(devices)
        d = parameters(leases[0])
        self.assertEqual(devices[0].upload(leases[0], numpy.full(d, 0.1)).status, 200)
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        self.assertEqual(devices[1].upload(leases[1], numpy.full(d, 0.5)).status, 503)
        self.server.wait_for_event("partial_not_committed")
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for device, lease, value in zip(devices[1:], leases[1:], (0.2, 0.3)):
            self.assertEqual(device.upload(lease, numpy.full(d, value)).status, 200)
        self.assertEqual(self.server.published(1)["counted"], 3)
        numpy.testing.assert_allclose(self.model(), numpy.full(d, 0.2), atol=2e-6)

    def test_example_counts_weigh_in_mode_none_up_to_their_cap(self):
        self.server.create_task(task_text(
            size=2, privacy=NO_PRIVACY,
            aggregation='optimizer = "fedavg"\nlearning_rate = 1.0\nweighting = "examples"\nmax_examples = 30\n'))
        devices = self.devices("a", "b")
        leases = open_round(devices)
        d = parameters(leases[0])
        self.assertEqual(leases[0].max_examples, 30)
        for device, lease, value, examples in zip(devices, leases, (1.0, 0.0), (10, 10**9)):
            self.assertEqual(device.upload(lease, numpy.full(d, value), examples=examples).status, 200)
        self.server.published(1)
        numpy.testing.assert_allclose(self.model(), numpy.full(d, 10 / 40), atol=2e-6)

    def test_a_claim_of_a_thousand_million_examples_changes_nothing_in_a_private_task(self):
        self.server.create_task(task_text(name="honest", size=2))
        self.server.create_task(task_text(name="liar", size=2))
        devices = self.devices("a", "b")
        models = {}
        for name, examples in (("honest", 1), ("liar", 10**9)):
            leases = open_round(devices, task=name)
            d = parameters(leases[0])
            for device, lease in zip(devices, leases):
                self.assertEqual(device.upload(lease, numpy.full(d, 0.1), examples=examples).status, 200)
            self.server.published(1, name)
            models[name] = self.model(name=name)
        # The noise differs between the two tasks, so compare what was charged and how far the models are apart: the
        # same order as the noise, not 10^9 times it.
        self.assertEqual(self.server.cli("privacy", "show", "honest")["data"]["epsilon_spent"],
                         self.server.cli("privacy", "show", "liar")["data"]["epsilon_spent"])
        self.assertLess(numpy.abs(models["liar"] - models["honest"]).max(), 20)

    def test_a_private_average_is_divided_by_the_declared_cohort(self):
        self.server.create_task(task_text(size=4, minimum=2, rounds=1, deadline="8s", privacy=GAUSSIAN.replace(
            "noise_multiplier = 1.0", "noise_multiplier = 0.25")))
        devices = self.devices("a", "b")
        leases = open_round(devices)
        d = parameters(leases[0])
        direction = numpy.full(d, 1 / numpy.sqrt(d))
        for device, lease in zip(devices, leases):
            self.assertEqual(device.upload(lease, 0.999 * direction).status, 200)
        self.server.published(1)
        # In one direction the noise of the average has a deviation of 0.25 / 4; over those that came it would be 1.
        self.assertAlmostEqual(float(self.model() @ direction), 2 / 4, delta=0.3)

    def test_a_zero_update_is_a_valid_update(self):
        self.server.create_task(task_text(size=2, privacy=NO_PRIVACY))
        devices = self.devices("a", "b")
        leases = open_round(devices)
        d = parameters(leases[0])
        self.assertEqual(devices[0].upload(leases[0], numpy.zeros(d)).status, 200)
        self.assertEqual(devices[1].upload(leases[1], numpy.zeros(d)).status, 200)
        self.assertEqual(self.server.published(1)["counted"], 2)
        numpy.testing.assert_array_equal(self.model(), numpy.zeros(d))

    def test_nan_and_infinity_are_rejected_with_the_place_and_the_round_goes_on(self):
        self.server.create_task(task_text(size=3, over_selection=2.0))
        devices = self.devices("a", "b", "c", "bad")
        leases = open_round(devices)
        d = parameters(leases[0])
        for value, word in ((float("nan"), "entry 3"), (float("inf"), "entry 3")):
            vector = numpy.zeros(d)
            vector[3] = value
            answer = devices[3].upload(leases[3], vector)
            self.assertEqual(answer.status, 422)
            self.assertEqual(answer.problem()["code"], "invalid_argument")
            self.assertIn(word, answer.problem()["detail"])
        for device, lease in list(zip(devices, leases))[:3]:
            self.assertEqual(device.upload(lease, numpy.full(d, 0.1)).status, 200)
        self.assertEqual(self.server.published(1)["counted"], 3)
        self.assertTrue(numpy.isfinite(self.model()).all())
        # Where the first NaN is, is a function of the update: for the device, not for whoever reads the log.
        for event in self.server.events_named("update_refused"):
            self.assertEqual(event["reason"], "the update is not finite")
        self.assertEqual(self.server.metric('tacit_updates_total{outcome="invalid_argument",task="t"}'), 2)

    def test_a_device_that_never_answers_does_not_end_the_round(self):
        self.server.create_task(task_text(size=3, minimum=2, deadline="8s"))
        devices = self.devices("a", "b", "gone")
        leases = open_round(devices)
        d = parameters(leases[0])
        for device, lease in list(zip(devices, leases))[:2]:
            self.assertEqual(device.upload(lease, numpy.full(d, 0.1)).status, 200)
        self.assertEqual(self.server.published(1)["counted"], 2)
        late = devices[2].upload(leases[2], numpy.full(d, 0.1))
        self.assertEqual(late.status, 410)
        self.assertEqual(late.problem()["code"], "gone")

    def test_a_round_with_too_few_devices_is_abandoned_with_the_reason_and_its_budget_stays_spent(self):
        self.server.create_task(task_text(size=3, minimum=2, deadline="8s"))
        devices = self.devices("a", "b")
        leases = open_round(devices)
        self.assertEqual(devices[0].upload(leases[0], numpy.zeros(parameters(leases[0]))).status, 200)
        ended = harness.wait_until(
            lambda: next((r for r in self.server.rounds() if r["phase"] == "abandoned"), None), "an abandoned round")
        self.assertIn("only 1 of at least 2", ended["reason"])
        privacy = self.server.cli("privacy", "show", "t")["data"]
        self.assertGreater(privacy["epsilon_spent"], 0)
        self.assertEqual(privacy["rounds_charged"], 0)

    def test_a_grid_update_is_taken_as_it_is_and_one_beyond_the_bound_is_refused(self):
        self.server.create_task(task_text(size=2, minimum=1, privacy=NO_PRIVACY))
        devices = self.devices("a", "b")
        leases = open_round(devices)
        d = parameters(leases[0])
        radius = leases[0].grid_radius
        too_long = numpy.zeros(d, dtype=numpy.int32)
        too_long[0] = radius
        too_long[1] = 1
        answer = devices[0].upload(leases[0], too_long, encoding=agent_pb2.ENCODING_GRID_INT32)
        self.assertEqual(answer.status, 422)
        self.assertIn("norm", answer.problem()["detail"])
        one_hot = numpy.zeros(d, dtype=numpy.int32)
        one_hot[0] = radius
        for device, lease in zip(devices, open_round(devices)):
            self.assertEqual(device.upload(lease, one_hot, encoding=agent_pb2.ENCODING_GRID_INT32).status, 200)
        self.server.published(1)
        self.assertAlmostEqual(self.model()[0], leases[0].clip_norm, places=5)

    def test_an_update_of_fewer_bits_counts_as_the_same_integers_in_32(self):
        self.server.create_task(task_text(size=3, minimum=3, inputs=400, privacy=NO_PRIVACY))
        devices = self.devices("a", "b", "c")
        leases = open_round(devices)
        d = parameters(leases[0])
        before = self.model()
        entries = numpy.arange(d) % 9 - 4
        beyond = numpy.zeros(d)
        beyond[0] = 127
        answer = devices[0].upload(leases[0], beyond, encoding=agent_pb2.ENCODING_GRID_INT8, shift=23)
        self.assertEqual(answer.status, 422)
        self.assertIn("grid radius", answer.problem()["detail"])
        leases[0] = devices[0].lease()
        encodings = (agent_pb2.ENCODING_GRID_INT8, agent_pb2.ENCODING_GRID_INT16, agent_pb2.ENCODING_GRID_INT32)
        for device, lease, encoding, shift in zip(devices, leases, encodings, (5, 5, 0)):
            values = entries * (1 if shift else 32)
            self.assertEqual(device.upload(lease, values, encoding=encoding, shift=shift).status, 200, encoding)
        self.server.published(1)
        step = leases[0].clip_norm / leases[0].grid_radius
        numpy.testing.assert_allclose(self.model() - before, 32 * entries * step, rtol=1e-4, atol=1e-6)

    def test_a_device_takes_part_at_most_as_often_as_the_task_allows(self):
        self.server.create_task(task_text(size=2, minimum=2, participations=1, privacy=GAUSSIAN))
        devices = self.devices("a", "b")
        leases = open_round(devices)
        for device, lease in zip(devices, leases):
            device.upload(lease, numpy.zeros(parameters(lease)))
        self.server.published(1)

        def told_so():
            reply = devices[0].check_in()
            self.assertFalse(reply.HasField("lease"))
            return "as many as it may" in reply.wait.reason
        # Between its publication and the next round, a round still answers those it has counted.
        harness.wait_until(told_so, "the device to be told that it has done its part", self.server.process)

    def test_a_round_that_would_exceed_the_budget_is_refused_before_any_device_is_asked(self):
        plan = self.server.directory / "plan.toml"
        plan.write_text(task_text(rounds=2))
        epsilon = self.server.cli("task", "create", "-f", plan, "--dry-run")["data"]["epsilon"]
        self.server.create_task(task_text(
            size=2, rounds=3, privacy=GAUSSIAN.replace("epsilon_budget = 50.0", f"epsilon_budget = {epsilon * 1.001}")))
        devices = self.devices("a", "b")
        for number in (1, 2):
            for device, lease in zip(devices, open_round(devices)):
                device.upload(lease, numpy.zeros(parameters(lease)))
            self.server.published(number)

        def refused_task():
            for device in devices:
                device.check_in()
            task = self.server.task()
            return task if task["state"] == "budget_exhausted" else None
        task = harness.wait_until(refused_task, "the refusal")
        self.assertIn("budget", task["state_reason"])
        refused = self.server.rounds()[-1]
        self.assertEqual((refused["round"], refused["phase"]), (3, "abandoned"))
        self.assertLessEqual(self.server.cli("privacy", "show", "t")["data"]["epsilon_spent"], epsilon * 1.001)

    def test_privacy_parameters_that_make_no_sense_are_refused_with_the_reason(self):
        for wrong, word in ((GAUSSIAN.replace("epsilon_budget = 50.0", "epsilon_budget = 0"), "epsilon_budget"),
                            (GAUSSIAN.replace("epsilon_budget = 50.0", "epsilon_budget = -1"), "epsilon_budget"),
                            (GAUSSIAN.replace("delta = 1e-5", "delta = 0.01"), "delta"),
                            (GAUSSIAN.replace("delta = 1e-5", "delta = 0"), "delta"),
                            (GAUSSIAN.replace('"gaussian"', '"magic"'), "mechanism"),
                            (GAUSSIAN.replace("clip_norm = 1.0", ""), "clip_norm")):
            answer = self.server.create_task(task_text(privacy=wrong), expect=2)
            self.assertEqual(answer["error"]["code"], "invalid_argument")
            self.assertIn(word, answer["error"]["message"])
            path = re.escape(str(self.server.directory / "task.toml"))
            self.assertRegex(answer["error"]["message"], rf"^{path}:\d+:\d+: ")
        self.assertEqual(self.server.cli("task", "list")["data"]["items"], [])

    def test_delta_must_be_below_one_over_the_enrolled_devices(self):
        self.devices(*(f"d{i}" for i in range(4)))
        loose = GAUSSIAN.replace("delta = 1e-5", "delta = 0.3").replace("population = 100", "population = 3")
        answer = self.server.create_task(task_text(size=2, privacy=loose), expect=2)
        self.assertIn("enrolled", answer["error"]["message"])

    def test_a_stopped_task_opens_no_more_rounds_also_after_a_restart(self):
        self.server.create_task(task_text(size=2, rounds=5))
        devices = self.devices("a", "b")
        leases = open_round(devices)
        d = parameters(leases[0])
        self.assertEqual(devices[0].upload(leases[0], numpy.zeros(d)).status, 200)
        stopped = self.server.cli("task", "stop", "t", "--reason", "wrong data")["data"]
        self.assertEqual((stopped["state"], stopped["state_reason"]), ("stopped", "wrong data"))
        self.server.wait_for_event("task_ended")
        self.assertEqual(devices[1].upload(leases[1], numpy.zeros(d)).status, 410)
        self.assertEqual([(r["phase"], r["reason"]) for r in self.server.rounds()], [("abandoned", "wrong data")])
        self.assertIn("has ended", self.server.cli("task", "stop", "t", expect=1)["error"]["message"])
        self.assertIn("no task", self.server.cli("task", "stop", "u", expect=1)["error"]["message"])
        self.server.kill()
        self.server.restart()
        self.assertEqual(self.server.task()["state"], "stopped")
        self.assertIn("wrong data", devices[0].check_in(task="t").wait.reason)

    def test_a_kill_right_after_a_stop_finds_the_round_and_ends_it(self):
        self.server.create_task(task_text(size=2, rounds=5))
        devices = self.devices("a", "b")
        open_round(devices)
        self.server.kill()
        # As if the crash had come between the stop's record and the round's end.
        with contextlib.closing(sqlite3.connect(self.server.root / "data/tacit.db")) as database:
            database.execute("UPDATE tasks SET state = 'stopped', state_reason = 'by hand'")
            database.commit()
        self.server.restart()
        self.server.wait_for_event("task_ended")
        self.assertEqual([(r["phase"], r["reason"]) for r in self.server.rounds()], [("abandoned", "by hand")])

    def test_a_duplicate_gets_the_same_acknowledgement_and_is_counted_once(self):
        self.server.create_task(task_text(size=3, privacy=NO_PRIVACY))
        devices = self.devices("a", "b", "c")
        leases = open_round(devices)
        d = parameters(leases[0])
        first = devices[0].upload(leases[0], numpy.full(d, 0.1))
        again = devices[0].upload(leases[0], numpy.full(d, 0.1))
        self.assertEqual((first.status, first.body), (again.status, again.body))
        other = devices[0].upload(leases[0], numpy.full(d, 0.2))
        self.assertEqual(other.status, 409)
        for device, lease in list(zip(devices, leases))[1:]:
            device.upload(lease, numpy.full(d, 0.4))
        self.assertEqual(self.server.published(1)["counted"], 3)
        numpy.testing.assert_allclose(self.model(), numpy.full(d, 0.3), atol=2e-6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
