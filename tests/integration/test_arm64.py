"""The agent that was built for arm64, emulated, beside a server of this machine. Run by tests/arm64.sh.

Environment, beside what harness.py wants: TACIT_ARM64_AGENT (the program), TACIT_ARM64_ROOT (its libraries).
"""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import unittest

import numpy

from harness import NO_PRIVACY, Device, ServerTest, parameters, run, task_text

AGENT = [shutil.which("qemu-aarch64-static") or "qemu-aarch64-static", "-L", os.environ["TACIT_ARM64_ROOT"],
         os.environ["TACIT_ARM64_AGENT"]]


class EmulatedAgent(ServerTest):
    def agent(self, *arguments):
        return json.loads(run([*AGENT, "--json", *arguments]).stdout)["data"]

    def join(self, name):
        token = self.server.cli("device", "token", "create", "--name", name)["data"]
        state = self.server.directory / "devices" / name
        state.mkdir(parents=True)
        (state / "token").write_text(token["token"])
        self.agent("join", "--server", "127.0.0.1", "--enrolment-port", self.server.ports["enrolment"],
                   "--ca-fingerprint", token["ca_fingerprint"], "--token-file", state / "token", "--state", state)
        return Device(self.server, state)

    def test_is_built_for_the_other_machine(self):
        machine = pathlib.Path(os.environ["TACIT_ARM64_AGENT"]).read_bytes()[18]
        self.assertEqual(machine, 183, "EM_AARCH64 (elf.h)")
        self.assertNotEqual(platform.machine(), "aarch64", "nothing is emulated here")
        self.assertEqual(run([*AGENT, "--version"]).stdout, run(["tacit-agent", "--version"]).stdout)

    def test_joins_trains_and_holds_the_model_that_came_of_it(self):
        shape = self.agent("shape", "--synthetic", "0/1")
        text = task_text(size=1, minimum=1, rounds=1, inputs=shape["inputs"], privacy=NO_PRIVACY)
        text = text.replace("classes = 3", f"classes = {shape['classes']}")
        self.server.create_task(text + '[deployment]\nlease = "1h"\ncopies = "own"\n')
        device = self.join("pi")
        run([*AGENT, "run", "--state", device.state, "--synthetic", "0/1", "--rounds-limit", 1])
        self.server.published(1)
        model = self.server.models()[1]
        self.assertTrue(numpy.isfinite(model).all())
        self.assertGreater(numpy.abs(model).max(), 0)
        fetched = self.agent("model", "fetch", "--state", device.state, "--task", "t")
        self.assertEqual(fetched["version"], 1)
        self.assertEqual(self.agent("model", "show", "--state", device.state, "--task", "t")["version"], 1)
        self.assert_both_say_the_same_of_it()

    def assert_both_say_the_same_of_it(self):
        """Data, kernels and what is computed from them, on the two kinds of machine."""
        file = self.server.directory / "model.safetensors"
        self.server.cli("model", "get", "t", "-o", file)
        question = ("evaluate", "--model", file, "--synthetic", "0/1", "--split", "test")
        there = self.agent(*question)
        here = json.loads(run(["tacit-agent", "--json", *question]).stdout)["data"]
        self.assertEqual(there.keys(), here.keys())
        self.assertEqual((there["rows"], there["accuracy"]), (here["rows"], here["accuracy"]))
        self.assertAlmostEqual(there["loss"], here["loss"], places=4)


if __name__ == "__main__":
    unittest.main()
