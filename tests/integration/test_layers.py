"""Tasks whose model has layers over images, and hardened training: a real server, and real agents on rows made here."""

import json
import subprocess
import unittest

import numpy

import harness
from harness import BIN, NO_PRIVACY, ServerTest, run, task_text

SIDE = 8
IMAGE = """image = [1, 8, 8]
layers = ["conv 6 3x3 pad 1", "relu", "max-pool 2", "flatten", "dense 12", "relu", "dense 2"]
"""


def image_task(model=IMAGE, training="", **options):
    text = task_text(privacy=NO_PRIVACY, **options)
    text = text.replace('kind = "softmax"\ninputs = 4\nclasses = 3\n', model)
    return text.replace("epochs = 1", "epochs = 4").replace("learning_rate = 0.1\nmomentum = 0.0",
                                                            "learning_rate = 0.05\nmomentum = 0.9\n" + training)


def stripes(rows, seed):
    """A bright line, down in one class and across in the other, anywhere: no pixel alone tells them apart."""
    random = numpy.random.default_rng(seed)
    x = random.uniform(0, 0.2, (rows, SIDE, SIDE)).astype("<f4")
    y = numpy.arange(rows) % 2
    for row in range(rows):
        place = random.integers(SIDE)
        x[row][(slice(None), place) if y[row] == 0 else (place, slice(None))] += 0.8
    return x.reshape(rows, -1), y


def easily_led(rows, seed):
    """One number that tells two classes apart from afar, and fifteen that do for who changes nothing."""
    random = numpy.random.default_rng(seed)
    y = numpy.arange(rows) % 2
    side = (2.0 * y - 1)[:, None]
    x = numpy.concatenate([0.6 * side, 0.15 * side + random.uniform(-0.02, 0.02, (rows, 15))], axis=1)
    return x.astype("<f4"), y


class Layers(ServerTest):
    def described(self, directory, x, y):
        """A description of data, as a device has one."""
        directory.mkdir(parents=True, exist_ok=True)
        numpy.save(directory / "x.npy", x)
        numpy.save(directory / "y.npy", y.astype("u1"))
        (directory / "data.toml").write_text('[data]\nfeatures = "x.npy"\nlabels = "y.npy"\nclasses = 2\n')
        return directory / "data.toml"

    def train(self, text, make, name="t"):
        """Two agents take part to the end; gives the devices."""
        self.server.create_task(text)
        devices = self.agents(*(f"{name}-{index}" for index in range(2)))
        agents = []
        try:
            for index, device in enumerate(devices):
                data = self.described(device.state / "data", *make(60, seed=index))
                agents.append(subprocess.Popen([BIN / "tacit-agent", "run", "--state", device.state, "--task", name,
                                                "--config", data], stderr=subprocess.DEVNULL))
            harness.wait_until(lambda: self.server.task(name)["state"] == "finished", f"the end of {name}",
                               self.server.process)
        finally:
            for agent in agents:
                agent.terminate()
                agent.wait(harness.PATIENCE)
        return devices

    def accuracy(self, x, y, name="t"):
        data = self.described(self.server.directory / f"test-{name}", x, y)
        model = self.server.directory / f"{name}.safetensors"
        self.server.cli("model", "get", name, "-o", model)
        shown = run(["tacit-agent", "--json", "evaluate", "--model", model, "--config", data])
        return json.loads(shown.stdout)["data"]["accuracy"]

    def test_a_convolution_is_trained_by_agents_marked_delivered_and_claimed(self):
        text = image_task(size=2, minimum=2, rounds=8)
        text += "[watermark]\ntriggers = 60\nsteps = 300\nlearning_rate = 0.003\n"
        text += '[deployment]\nlease = "1h"\ncopies = "own"\n'
        [device, _] = self.train(text, stripes)
        task = self.server.task()
        self.assertEqual(task["model"], "tacit-layers/1:1x8x8;conv 6 3x3 pad 1;relu;max-pool 2;flatten;dense 12;relu;"
                                        "dense 2")
        self.assertEqual(task["parameters"], 6 * 9 + 6 + 12 * 96 + 12 + 2 * 12 + 2)
        self.assertGreater(self.accuracy(*stripes(200, seed=99)), 0.9)
        claim = self.server.cli("model", "claim", self.server.directory / "t.safetensors", "--task", "t")["data"]
        self.assertGreater(claim["match_rate"], 0.8)
        fetched = run(["tacit-agent", "--json", "model", "fetch", "--state", device.state, "--task", "t"])
        self.assertEqual(json.loads(fetched.stdout)["data"]["version"], 8)

    def test_an_agent_that_does_not_know_a_lease_s_fields_gets_none_and_is_told_why(self):
        hard = "adversarial = { epsilon = 0.1 }\n"
        self.server.create_task(image_task(name="image", size=1, minimum=1))
        self.server.create_task(image_task('kind = "softmax"\ninputs = 64\nclasses = 2\n', hard, name="hard", size=1,
                                           minimum=1))
        device = self.server.enrol("old")
        for name, words in (("image", "trains layers over signals or images"), ("hard", "hardens its model")):
            reply = device.check_in(task=name, inputs=64, classes=2)
            self.assertIn(words, reply.wait.reason)
            self.assertIn("upgrade it", reply.wait.reason)
        self.assertEqual([self.server.rounds(name) for name in ("image", "hard")], [[], []])

    def test_hardened_training_leaves_an_attacker_less(self):
        epsilon = 0.3
        hard = f"adversarial = {{ epsilon = {epsilon}, share = 1.0, input_min = -1.0 }}\n"
        model = 'kind = "softmax"\ninputs = 16\nclasses = 2\n'
        x, y = easily_led(200, seed=99)
        left = {}
        for name, training in (("plain", ""), ("hard", hard)):
            self.train(image_task(model, training, name=name, size=2, minimum=2, rounds=5), easily_led, name)
            self.assertEqual(self.accuracy(x, y, name), 1)
            # What the worst change of a linear model's input does is no search: epsilon times the sum of its weights.
            weight = self.server.models(name)[5][:32].reshape(2, 16)
            bias = self.server.models(name)[5][32:]
            margin = (x @ (weight[1] - weight[0]) + bias[1] - bias[0]) * (2 * y - 1)
            left[name] = numpy.mean(margin > epsilon * numpy.abs(weight[1] - weight[0]).sum())
        self.assertLess(left["plain"], 0.1)
        self.assertGreater(left["hard"], 0.9)

    def test_a_simulated_fleet_trains_layers(self):
        x, y = stripes(300, seed=5)
        data = self.described(self.server.directory / "fleet", x, y)
        task = self.server.directory / "task.toml"
        task.write_text(image_task(size=5, minimum=5, rounds=6))
        done = run(["tacit", "simulate", "--json", "-f", task, "--devices", "10", "--data", data])
        [result] = json.loads(done.stdout)["data"]["results"]
        self.assertEqual(result["rounds_published"], 6)
        self.assertGreater(result["accuracy"]["mean"], 0.8)


if __name__ == "__main__":
    unittest.main(verbosity=2)
