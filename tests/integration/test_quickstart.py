"""The README's first command, on what is built already: its story must hold, and its figures."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["TACIT_SOURCE"])
QUICKSTART = SOURCE / "deploy/quickstart.sh"
SHARED = os.environ.get("TACIT_SHARED_DIR")


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tacit-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def run_quickstart(self, *options):
        where = ["--dir", self.directory / "run"]
        results = self.directory / "out.json"
        self.addCleanup(subprocess.run, [QUICKSTART, "--stop", *where], capture_output=True)
        done = subprocess.run([QUICKSTART, "--skip-build", *where, "--json", results, *map(str, options)],
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout, json.loads(results.read_text())

    def test_tells_the_story_on_synthetic_data(self):
        told, results = self.run_quickstart("--agents", 8, "--rounds", 4, "--epsilon", 20)
        for line in ("SYNTHETIC", "was refused, and the round goes on", "is killed in the middle of round",
                     "is started again", "above the budget of 20", "deploy/quickstart.sh --stop"):
            self.assertIn(line, told)
        self.assertEqual([row["round"] for row in results["rounds"]], [1, 2, 3, 4])
        self.assertEqual([row["cohort"] for row in results["rounds"]], [7, 8, 8, 8])
        self.assertEqual(results["state"], "budget_exhausted")
        self.assertLessEqual(results["rounds"][-1]["epsilon"], 20)

    def test_refuses_options_that_make_no_sense(self):
        where = ["--skip-build", "--dir", self.directory / "run"]
        for options in (["--rounds", "0"], ["--rounds", "1001"], ["--epsilon", "much"], ["--epsilon", "0"],
                        ["--epsilon", "0.0"], ["--epsilon", "00"], ["--epsilon", ".5"], ["--nonsense"], ["--agents"],
                        ["--agents", "3"], ["--agents", "2000000"], ["--data", "/nope"], ["--json", "/nope/x.json"],
                        ["--json", self.directory], ["--json", self.directory / "run/models/x.json"],
                        ["--json", self.directory / "run/pids"], ["--json", self.directory / "run/server"],
                        ["--json", self.directory / "run"], ["--json", ""], ["--data", ""], ["--dir", ""],
                        ["--dir", "/proc/nobody-makes-this"]):
            done = subprocess.run([QUICKSTART, *where, *options], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2, options)
            self.assertRegex(done.stderr, r"^quickstart: [^\n]+\n$", options)
        self.assertFalse((self.directory / "run").exists())

    def test_takes_paths_from_where_it_is_called_and_tells_one_round(self):
        where = self.directory / "a place"
        where.mkdir()
        self.addCleanup(subprocess.run, [QUICKSTART, "--stop", "--dir", where / "run"], capture_output=True)
        done = subprocess.run([QUICKSTART, "--skip-build", "--dir", "run", "--json", "out.json", "--agents", "4",
                               "--rounds", "1", "--epsilon", "50"], cwd=where, capture_output=True, text=True,
                              timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("is killed in the middle of round 1", done.stdout)
        self.assertEqual(len(json.loads((where / "out.json").read_text())["rounds"]), 1)
        # What it says to type can be typed.
        command = re.search(r"stop it all: deploy/(quickstart.sh --stop.*)", done.stdout).group(1)
        stopped = subprocess.run(["bash", "-c", command], cwd=where, capture_output=True, text=True,
                                 env={**os.environ, "PATH": f"{QUICKSTART.parent}:{os.environ['PATH']}"})
        self.assertIn(f"stopped what was running in {where}/run", stopped.stdout + stopped.stderr)

    def test_stops_what_it_started_when_it_is_interrupted(self):
        for number in (signal.SIGHUP, signal.SIGTERM):
            run = self.directory / number.name
            self.addCleanup(subprocess.run, [QUICKSTART, "--stop", "--dir", run], capture_output=True)
            first = subprocess.Popen([QUICKSTART, "--skip-build", "--dir", run, "--agents", "4"],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for line in first.stdout:
                if "Training" in line:
                    break
            first.send_signal(number)
            told, complaints = first.communicate(timeout=300)
            self.assertEqual(first.returncode, 128 + number, told + complaints)
            self.assertIn("interrupted", complaints)
            self.assertFalse((run / "pids").exists())

    def test_leaves_another_one_that_is_at_work_alone(self):
        run = self.directory / "run"
        first = subprocess.Popen([QUICKSTART, "--skip-build", "--dir", run, "--agents", "4", "--rounds", "2",
                                  "--epsilon", "50", "--no-incidents"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True)
        self.addCleanup(subprocess.run, [QUICKSTART, "--stop", "--dir", run], capture_output=True)
        for line in first.stdout:
            if "Enrolling" in line:
                break
        for option in ("--skip-build", "--stop"):
            second = subprocess.run([QUICKSTART, option, "--dir", run], capture_output=True, text=True)
            self.assertEqual(second.returncode, 1)
            self.assertIn(f"another quickstart, process {first.pid}, is at work in {run}", second.stderr)
        told, complaints = first.communicate(timeout=300)
        self.assertEqual((first.returncode, complaints), (0, ""), told)
        # What it left running holds nothing: it can be stopped, and replaced.
        self.assertIn("stopped", subprocess.run([QUICKSTART, "--stop", "--dir", run], capture_output=True,
                                                text=True).stdout)

    def test_enrols_more_agents_than_strangers_may_in_a_minute(self):
        told, results = self.run_quickstart("--agents", 40, "--rounds", 1, "--no-dp", "--no-incidents")
        self.assertIn("40 devices are enrolled", told)
        self.assertGreaterEqual(results["rounds"][0]["cohort"], 28)

    def test_twenty_one_people_reach_89_percent_without_privacy(self):
        if not SHARED:
            self.skipTest("TACIT_SHARED_DIR does not name the directory with the recordings")
        _, results = self.run_quickstart("--data", pathlib.Path(SHARED) / "data/har", "--rounds", 20, "--no-dp")
        last = [row["accuracy"] for row in results["rounds"][-3:]]
        self.assertGreaterEqual(sum(last) / 3, 0.89)
        self.assertTrue(all(row["epsilon"] is None for row in results["rounds"]))


class ByHand(unittest.TestCase):
    """The README's commands as they are written, but for the home directory and the ports."""

    def test_trains_a_model(self):
        section = (SOURCE / "README.md").read_text().split("\n## By hand\n")[1]
        block = "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[:2])
        with tempfile.TemporaryDirectory(prefix="tacit-test-") as home, contextlib.ExitStack() as taken:
            edits = ""
            for port in ("8443", "8444", "8445", "9464"):
                free = taken.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
                edits += f"sed -i s/{port}/{free}/ fleet/tacitd.toml fleet/cli.json\n"
                block = block.replace(port, str(free))
            block = re.sub(r"(?m)^(tacit init .*)$", lambda line: line[0] + "\n" + edits, block)
            block = block.replace("$PWD/build/release/bin", os.environ["TACIT_BIN"])
            taken.close()
            done = subprocess.run(["bash", "-e", "-m", "-c", block], cwd=SOURCE, env={**os.environ, "HOME": home},
                                  capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("kill %1", block)
            self.assertRegex(done.stdout, r"accuracy [5-9][0-9]\.[0-9]+ %")
            self.assertTrue((pathlib.Path(home) / "tacit-first/model.safetensors").is_file())


if __name__ == "__main__":
    unittest.main(verbosity=2)
