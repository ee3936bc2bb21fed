#!/usr/bin/env python3
"""What updates of fewer bits, and of the largest entries alone, save and cost: bytes on the wire and accuracy of the
same federation with each.

Usage: encodings.py     prints one row of JSON a line
Environment: TACIT_SHARED_DIR, the directory with data/har and data/fashion-mnist (default: shared beside the checkout).
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

from scene import BIN, ROOT, Server, row_printer, run

SHARED = pathlib.Path(os.environ.get("TACIT_SHARED_DIR", ROOT.parent / "shared")) / "data"
#: An encoding, and the share of the parameters that is sent where it is not all of them.
CHOICES = (("float32", None), ("grid", None), ("int16", None), ("int8", None), ("int8", 0.1), ("int8", 0.01))
TASK = """name = "{name}"
[model]
kind = "mlp"
inputs = {inputs}
hidden = [64]
classes = {classes}
seed = 1
[training]
epochs = 1
batch_size = 32
learning_rate = {learning_rate}
[rounds]
count = {rounds}
[cohort]
size = {agents}
min = {agents}
deadline = "10m"
[privacy]
mechanism = "none"
clip_norm = {clip_norm}
"""
FASHION = """[data]
features = "{data}/{features}"
labels = "{data}/{labels}"
classes = 10
scale = 0.00392156862745098
"""


row = row_printer("encodings")


class Federation(Server):
    """A server, and agents that are enrolled with it; each has its own data."""

    def __init__(self, data_options):
        super().__init__()
        self.data_options = data_options

    def start(self):
        super().start()
        for index in range(len(self.data_options)):
            self.join(index)

    def join(self, index):
        state = self.directory / f"agent-{index}"
        state.mkdir()
        token = self.tacit("device", "token", "create", "--name", state.name)
        (state / "token").write_text(token["token"])
        run(BIN / "tacit-agent", "join", "--server", "127.0.0.1", "--enrolment-port", self.ports["enrolment"],
            "--ca-fingerprint", token["ca_fingerprint"], "--token-file", state / "token", "--state", state)

    def train(self, name, task, encoding, rounds):
        self.create_task(task)
        before = self.bytes_in()
        agents = [subprocess.Popen([BIN / "tacit-agent", "run", "--state", self.directory / f"agent-{index}", *options,
                                    "--task", name, "--encoding", encoding, "--rounds-limit", str(rounds),
                                    "--log-level", "error"], stderr=subprocess.DEVNULL)
                  for index, options in enumerate(self.data_options)]
        for agent in agents:
            if agent.wait(timeout=1800) != 0:
                raise SystemExit("encodings.py: an agent failed")
        while self.tacit("task", "show", name)["rounds_published"] < rounds:
            time.sleep(0.1)
        return (self.bytes_in() - before) / rounds / len(agents)

    def bytes_in(self):
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.metrics().splitlines()
                   if re.match(r'tacit_\w*bytes\w*\{.*listener="agents"', line))

    def accuracy(self, name, held_out):
        model = self.directory / "model.safetensors"
        model.unlink(missing_ok=True)
        self.tacit("model", "get", name, "-o", model)
        shown = run(BIN / "tacit-agent", "--json", "evaluate", "--model", model, *held_out)
        return json.loads(shown)["data"]["accuracy"]


def compare(data, data_options, held_out, rounds, **shape):
    with Federation(data_options) as federation:
        baseline = None
        for encoding, top_k in CHOICES:
            choice = encoding if top_k is None else f"{encoding}-top-{100 * top_k:g}-percent"
            name = f"{data.replace('_', '-')}-{choice}"
            task = TASK.format(name=name, agents=len(data_options), rounds=rounds, **shape)
            size = federation.train(name, task if top_k is None else f"{task}[updates]\ntop_k = {top_k}\n", encoding,
                                    rounds)
            baseline = baseline or size
            row(f"{data}.{choice}.bytes", size, "B/update", baseline)
            row(f"{data}.{choice}.accuracy", 100 * federation.accuracy(name, held_out), "%")


def har():
    data = SHARED / "har"
    people = run(BIN / "tacit-agent", "subjects", "--data", data, "--split", "train").split()
    compare("har", [["--data", data, "--subject", person, "--seed", str(i)] for i, person in enumerate(people)],
            ["--data", data, "--split", "test"], 20, inputs=561, classes=6, learning_rate=0.05, clip_norm=10.0)


def fashion_mnist(agents=20):
    data = SHARED / "fashion-mnist"
    with tempfile.TemporaryDirectory() as directory:
        def config(name, kind, rows=""):
            path = pathlib.Path(directory) / f"{name}.toml"
            path.write_text(FASHION.format(data=data, features=f"{kind}-images-idx3-ubyte.gz",
                                           labels=f"{kind}-labels-idx1-ubyte.gz") + rows)
            return path

        rows = '[data.rows]\nlist = "{}/partitions/dirichlet0.5_100x600.u16.npy"\nclient = {}\n'
        options = [["--config", config(f"client-{i}", "train", rows.format(data, i)), "--seed", str(i)]
                   for i in range(agents)]
        compare("fashion_mnist", options, ["--config", config("test", "t10k")], 20, inputs=784, classes=10,
                learning_rate=0.05, clip_norm=10.0)


if __name__ == "__main__":
    har()
    fashion_mnist()
