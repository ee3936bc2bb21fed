"""Detectors from the owner's clean rows to the answers of a device: the real server, the real agent, its worker."""

import concurrent.futures
import os
import signal
import unittest

import numpy

import harness
from test_serving import Connection, WithServer

#: Of clean rows: three clusters, one for each class, in four dimensions.
CENTRES = numpy.array([[2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 2.0, 0]])


def clean(count, seed):
    random = numpy.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    return (CENTRES[labels] + random.normal(0, 0.3, (count, 4))).astype(numpy.float32), labels


def noise(count, seed):
    return numpy.random.default_rng(seed).uniform(-9, 9, (count, 4)).astype(numpy.float32)


def adversarial(model, rows, step):
    """One step of the fast gradient method away from the class that the model gives, and back across its border."""
    weights, biases = model[:12].reshape(3, 4), model[12:]
    logits = rows @ weights.T + biases
    first = logits.argmax(1)
    second = numpy.argsort(logits, 1)[:, -2]
    return (rows + step * numpy.sign(weights[second] - weights[first])).astype(numpy.float32)


class Detectors(WithServer):
    def deploy(self, mode, copies="shared", rows=1500, more=""):
        table, labels = clean(rows, 1)
        directory = self.server.data / "clean_rows"
        directory.mkdir(exist_ok=True)
        numpy.savetxt(directory / "rows.csv", numpy.column_stack([table, labels]), delimiter=",", fmt="%.6g")
        text = harness.task_text(size=1, minimum=1, privacy=harness.NO_PRIVACY)
        self.server.create_task(text + f'[deployment]\nlease = "1h"\ncopies = "{copies}"\n[detectors]\n'
                                f'clean_rows = "rows.csv"\nmode = "{mode}"\ndrift_window = 50\n{more}')

    def publish_model(self):
        """A model that tells the clusters apart: a weight for the dimension that is each class's."""
        lease = self.trainer.lease("t")
        values = numpy.zeros(harness.parameters(lease))
        values[[0, 5, 10]] = 2.0
        self.assertEqual(self.trainer.upload(lease, values).status, 200)
        self.server.published(1)

    def serve(self, mode, **options):
        self.deploy(mode, **options)
        self.publish_model()
        self.agent.start()
        self.agent.wait_for("model_serving")
        return self.agent

    def verdicts(self, rows):
        status, answer = self.agent.infer(rows.tolist())
        self.assertEqual(status, 200, answer)
        return answer["parameters"]["tacit_verdict"].split(",")

    def test_flags_what_is_strange_and_little_of_what_is_clean(self):
        agent = self.serve("flag", more='scores = "unconfidence,gradient,energy,input"\n')
        [calibrated] = self.server.events_named("model_calibrated")
        self.assertEqual((calibrated["task"], calibrated["version"]), ("t", 1))
        parameters = agent.asked("GET", "/v2/models/t")[1]["parameters"]
        self.assertEqual(parameters["tacit_mode"], "flag")
        self.assertEqual(len(parameters["tacit_calibration"]), 64)
        good = self.verdicts(clean(500, 2)[0])
        self.assertEqual(len(good), 500)
        # At a target of 5 % within 2 %, fewer than one in five hundred thousand draws has more than 60.
        self.assertLess(500 - good.count("accepted"), 60)
        self.assertLess(self.verdicts(noise(200, 3)).count("accepted"), 20)
        fooled = self.verdicts(adversarial(self.server.models()[1], clean(200, 4)[0], 1.0))
        self.assertLess(fooled.count("accepted"), 100)
        status, answer = agent.infer([clean(1, 5)[0][0].tolist()])
        self.assertEqual((status, len(answer["outputs"][0]["data"])), (200, 3), "what is flagged is answered")

    def test_rejects_a_request_and_no_other_and_gives_no_label_away(self):
        agent = self.serve("reject", copies="own")
        good = [row for row, verdict in zip(clean(40, 2)[0], self.each(clean(40, 2)[0])) if verdict == 200]
        self.assertGreater(len(good), 30)
        status, error = agent.infer([good[0].tolist(), noise(1, 3)[0].tolist()])
        self.assertEqual((status, list(error)), (422, ["error"]))
        self.assertIn("row 2 of 2 was rejected", error["error"])
        self.assertEqual(self.each(noise(20, 3)).count(422), 20)
        # Requests that wait together are judged together, and answered each for itself.
        wanted = [200, 422] * 10
        rows = [good[i] if status == 200 else noise(20, 3)[i] for i, status in enumerate(wanted)]
        self.assertEqual(self.at_once(rows), wanted)

    def each(self, rows):
        connection = Connection(self.agent.socket)
        try:
            return [self.agent.infer([row.tolist()], connection=connection)[0] for row in rows]
        finally:
            connection.close()

    def at_once(self, rows):
        with concurrent.futures.ThreadPoolExecutor(len(rows)) as pool:
            return list(pool.map(lambda row: self.agent.infer([row.tolist()])[0], rows))

    def test_observes_without_a_word_to_who_asks_and_tells_the_log_of_drift(self):
        agent = self.serve("observe")
        status, answer = agent.infer(noise(120, 3).tolist())
        self.assertEqual((status, "parameters" in answer), (200, False))
        agent.wait_for("detector_drift")
        self.assertIn("unlike the clean rows in", agent.named("detector_drift")[0]["reason"])

    def test_a_budget_is_what_one_asker_may_have(self):
        agent = self.serve("observe", more='budget = 100\nwindow = "1h"\n')
        rows = clean(101, 2)[0].tolist()
        self.assertEqual(agent.infer(rows[:60])[0], 200)
        status, error = agent.infer(rows[:41])
        self.assertEqual(status, 429)
        self.assertIn("the budget of 100 rows in 3600 seconds of this identity is used up", error["error"])
        self.assertEqual(agent.infer(rows[:40])[0], 200, "what was refused costs nothing")
        self.assertEqual(agent.infer(rows[:1])[0], 429)
        # Another worker, and the budget is used up all the same.
        self.kill_worker()
        agent.wait_for("model_serving", 2)
        self.assertEqual(agent.infer(rows[:1])[0], 429)
        self.assertEqual(len(agent.named("detector_over_budget")), 1)

    def kill_worker(self):
        os.kill(self.agent.workers()[0], signal.SIGKILL)

    def test_a_stream_of_made_rows_is_told(self):
        agent = self.serve("flag")
        steps = numpy.linspace(0, 1, 800, dtype=numpy.float32)
        made = CENTRES[0].astype(numpy.float32) + steps[:, None] * numpy.array([[0.3, 0.3, 0.3, 0.3]],
                                                                               dtype=numpy.float32)
        status, answer = agent.infer(made.tolist())
        self.assertEqual(status, 200)
        self.assertIn("tacit_extraction", answer["parameters"])
        agent.wait_for("detector_extraction")

    def test_without_a_calibration_a_model_that_must_reject_is_not_given(self):
        self.deploy("reject", rows=50)
        self.publish_model()
        self.agent.start()
        self.agent.wait_for("agent_model_not_refreshed")
        refused = self.agent.named("agent_model_not_refreshed")[-1]
        self.assertEqual(refused["code"], "unavailable")
        [failed] = self.server.events_named("model_calibration_failed")
        self.assertIn("and there are 50", failed["reason"])
        self.assertEqual(self.agent.infer([[1.0, 2.0, 3.0, 4.0]])[0], 503)

    def test_without_a_calibration_a_model_that_would_be_flagged_is_given_plain(self):
        agent = self.serve("flag", rows=50)
        self.assertNotIn("tacit_mode", agent.asked("GET", "/v2/models/t")[1]["parameters"])
        self.assertNotIn("parameters", agent.infer([[1.0, 2.0, 3.0, 4.0]])[1])


if __name__ == "__main__":
    unittest.main()
