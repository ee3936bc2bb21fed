"""`tacit simulate` as people run it: on synthetic data, with the files that it writes and the errors that it makes."""

import csv
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree

import harness
from harness import BIN

TASK = """
name = "walk"
[model]
kind = "softmax"
inputs = 60
classes = 6
[training]
learning_rate = 0.2
[rounds]
count = 3
[cohort]
size = 20
[privacy]
mechanism = "gaussian"
clip_norm = 1.0
noise_multiplier = 2.0
delta = 1e-4
epsilon_budget = 100
population = 1000
"""


class SimulateTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tacit-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        (self.directory / "task.toml").write_text(TASK)

    def simulate(self, *arguments, expect=0, devices=40):
        done = subprocess.run([BIN / "tacit", "simulate", "-f", "task.toml", "--devices", str(devices),
                               *map(str, arguments)], cwd=self.directory, capture_output=True, text=True,
                              timeout=harness.PATIENCE)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def data(self, *arguments, **options):
        document = json.loads(self.simulate("--json", *arguments, **options).stdout)
        self.assertEqual(document["schema"], 1)
        return document["data"]


class Sweeps(SimulateTest):
    @classmethod
    def setUpClass(cls):
        """One sweep, looked at in all the forms that it is told in."""
        super().setUpClass()
        cls.made = SimulateTest()
        cls.made.setUp()
        cls.done = cls.made.simulate("--sweep", "noise_multiplier=0.5,8,none", "--sweep", "cohort=20,41", "--repeat", 2,
                                     "--csv", "out.csv", "--json-file", "out.json", "--html", "out.html")

    @classmethod
    def tearDownClass(cls):
        cls.made.doCleanups()
        super().tearDownClass()

    def written(self, name):
        return (self.made.directory / name).read_text(encoding="utf-8")

    def results(self):
        return json.loads(self.written("out.json"))["results"]

    def test_print_a_table_and_why_something_has_no_figures(self):
        rows = [re.split(r"  +", line.strip()) for line in self.done.stdout.splitlines()]
        self.assertEqual(rows[0], ["NOISE_MULTIPLIER", "COHORT", "NOISE", "NOISE/SIGNAL", "EPSILON", "ROUNDS",
                                   "ACCURACY"])
        self.assertEqual([row[:2] for row in rows[1:]],
                         [[noise, cohort] for noise in ("0.5", "8", "none") for cohort in ("20", "41")])
        self.assertRegex(rows[5][6], r"^\d\d\.\d \u00b1 \d+\.\d %$")
        self.assertEqual(rows[5][4], "no promise")
        self.assertEqual(rows[2][-1], "-")
        self.assertIn("give --devices 41 or more", self.done.stderr)
        self.assertIn("are no private release", self.done.stderr)
        self.assertNotRegex(self.done.stdout + self.done.stderr, "[\r\x1b]")

    def test_write_json_with_every_round(self):
        results = self.results()
        self.assertEqual(len(results), 6)
        fine = [each for each in results if each["settings"]["cohort"] == 20]
        for each in fine:
            self.assertEqual(each["rounds_published"], 3)
            self.assertIsNone(each["trouble"])
            self.assertEqual([run["seed"] for run in each["runs"]], [1, 2])
            for run in each["runs"]:
                self.assertEqual([point["round"] for point in run["rounds"]], [1, 2, 3])
                self.assertEqual({point["counted"] for point in run["rounds"]}, {20})
            self.assertEqual(len({run["model_sha256"] for run in each["runs"]}), 2)
            last = [run["rounds"][-1]["accuracy"] for run in each["runs"]]
            self.assertAlmostEqual(each["accuracy"]["mean"], sum(last) / 2)
        little, much, none = fine
        self.assertGreater(little["epsilon"], much["epsilon"])
        self.assertIsNone(none["epsilon"])
        self.assertGreater(none["accuracy"]["mean"], much["accuracy"]["mean"])
        self.assertIn("seeded stream", json.loads(self.written("out.json"))["warning"])

    def test_spend_what_the_accountant_says(self):
        much = self.results()[2]
        told = subprocess.run([BIN / "tacit", "--json", "privacy", "epsilon", "--noise-multiplier", "8", "--steps",
                               "3", "--delta", "1e-4"], capture_output=True, text=True)
        self.assertAlmostEqual(much["epsilon"], json.loads(told.stdout)["data"]["epsilon"], places=3)

    def test_write_csv_that_says_the_same(self):
        with open(self.made.directory / "out.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 3 * 2 * 3 + 3, "three rounds of two runs of three noises, and three refusals")
        for each in self.results():
            noise, cohort = each["settings"]["noise_multiplier"], each["settings"]["cohort"]
            mine = [row for row in rows if row["set_cohort"] == f"{cohort:g}" and
                    row["set_noise_multiplier"] == ("none" if noise is None else f"{noise:g}")]
            points = [point for run in each["runs"] for point in run["rounds"]]
            self.assertEqual([row["accuracy"] for row in mine if row["round"]],
                             [f"{point['accuracy']:.6f}" for point in points])
            if not points:
                self.assertIn("give --devices 41", mine[0]["ended"])

    def test_write_a_page_that_is_well_formed_and_needs_nothing_else(self):
        text = self.written("out.html")
        page = xml.etree.ElementTree.fromstring(text)
        tags = [element.tag.rsplit("}")[-1] for element in page.iter()]
        self.assertEqual(tags.count("svg"), 2)
        self.assertEqual(tags.count("tr"), 7)
        self.assertGreaterEqual(tags.count("polyline"), 1 + 3)
        self.assertNotIn("script", tags)
        for element in page.iter():
            for name, value in element.attrib.items():
                self.assertNotIn(name, ("src", "href", "onload", "onclick"))
                self.assertNotIn("url(", value)
        self.assertNotRegex(text, r"@import|url\(|https?://(?!www\.w3\.org/)")
        self.assertIn("prefers-color-scheme: dark", text)
        self.assertIn("give --devices 41 or more", text)


class Runs(SimulateTest):
    def test_give_the_same_model_whatever_the_threads_and_another_for_another_seed(self):
        model = [self.data("--threads", threads, "--seed", seed)["results"][0]["runs"][0]["model_sha256"]
                 for threads, seed in ((1, 5), (2, 5), (3, 5), (2, 6))]
        self.assertEqual(len(set(model[:3])), 1, model)
        self.assertNotEqual(model[0], model[3])

    def test_that_find_their_noise_spend_what_was_asked_for(self):
        results = self.data("--sweep", "epsilon=0.5,4")["results"]
        for each, wanted in zip(results, (0.5, 4)):
            self.assertLessEqual(each["epsilon"], wanted)
            self.assertGreater(each["epsilon"], 0.98 * wanted)

    def test_that_meet_their_budget_say_so_and_end_with_what_was_published(self):
        (self.directory / "task.toml").write_text(TASK.replace("epsilon_budget = 100", "epsilon_budget = 2.5"))
        result, = self.data()["results"]
        self.assertIn(result["rounds_published"], (1, 2))
        self.assertIn("budget", result["trouble"])

    def test_that_publish_nothing_end_with_1(self):
        (self.directory / "task.toml").write_text(TASK.replace("epsilon_budget = 100", "epsilon_budget = 0.1"))
        done = self.simulate(expect=1)
        self.assertIn("seed 1: 0 rounds published, then round 1 would bring epsilon to", done.stderr)
        self.assertIn("0 of 3", done.stdout)

    def test_count_fewer_where_devices_drop_out(self):
        (self.directory / "task.toml").write_text(TASK.replace("size = 20", "size = 20\nmin = 5"))
        run, = self.data("--dropout", 0.4)["results"][0]["runs"]
        self.assertTrue(all(5 <= point["counted"] < 20 for point in run["rounds"]), run)

    def test_train_on_data_that_are_described(self):
        rows = [f"{i % 7},{i % 2},{'up' if i % 2 else 'down'}" for i in range(400)]
        (self.directory / "rows.csv").write_text("\n".join(["a,b,way", *rows]) + "\n")
        (self.directory / "data.toml").write_text(
            '[data]\nfeatures = "rows.csv"\nlabel_column = "way"\nclasses = ["up", "down"]\nscale = 0.2\n')
        task = TASK.replace("inputs = 60", "inputs = 2").replace("classes = 6", "classes = 2")
        (self.directory / "task.toml").write_text(task.replace("learning_rate = 0.2", "learning_rate = 2.0"))
        data = self.data("--data", "data.toml", "--sweep", "noise_multiplier=none", "--rounds", 20)
        self.assertEqual(data["examples"], "320 rows of data.toml, alike for 40 devices")
        self.assertGreater(data["results"][0]["accuracy"]["mean"], 0.95)

    def test_leave_nothing_behind_when_they_are_stopped(self):
        running = subprocess.Popen([BIN / "tacit", "simulate", "-f", "task.toml", "--devices", "40", "--rounds",
                                    "100000"], cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def left():
            return [path for parent in (pathlib.Path("/dev/shm"), pathlib.Path(tempfile.gettempdir()))
                    if parent.is_dir() for path in parent.glob(f"tacit-simulate-{running.pid}-*")]

        deadline = time.monotonic() + harness.PATIENCE
        while not left() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(len(left()), 1)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=harness.PATIENCE)
        self.assertEqual(running.returncode, -signal.SIGINT)
        self.assertEqual(left(), [])

    def test_show_how_far_they_are_on_a_terminal_alone(self):
        ours, theirs = pty.openpty()
        plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
        subprocess.run([BIN / "tacit", "simulate", "-f", "task.toml", "--devices", "40"], cwd=self.directory,
                       stdout=subprocess.PIPE, stderr=theirs, env={**plain, "TERM": "xterm"}, check=True)
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # so a terminal ends whose other side is closed
            pass
        os.close(ours)
        self.assertIn(b"run 1 of 1 (the task as it is), round 3 of 3: accuracy ", seen)


class Mistakes(SimulateTest):
    def refused(self, *arguments, devices=40):
        done = self.simulate(*arguments, expect=2, devices=devices)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"\Atacit: [^\n]+(\n[^\n]+)*\n  next: [^\n]+\n\Z")
        return done.stderr

    def test_are_found_before_anything_runs(self):
        self.assertIn("give --devices 20 or more, or lower [cohort] size and min", self.refused(devices=19))
        self.assertIn("over_selection to 1.32", self.refused("--dropout", 0.2))
        self.assertIn("did you mean 'clip_norm'?", self.refused("--sweep", "clip_nrom=1"))
        self.assertIn("exclude each other", self.refused("--sweep", "epsilon=1", "--sweep", "noise_multiplier=1"))
        self.assertIn("must be below 1 / 20000", self.refused(devices=20_000))
        self.assertIn("cannot be written", self.refused("--html", "no/such/place.html"))
        self.assertIn("holds neither recordings of people", self.refused("--data", "."))
        (self.directory / "task.toml").write_text(TASK + "speed = 3\n")
        self.assertRegex(self.refused(), r"task\.toml:\d+:\d+: ")
        (self.directory / "task.toml").write_text(TASK.replace("inputs = 60", "inputs = 61"))
        self.assertIn("the model takes 61 features, the data have 60", self.refused())


if __name__ == "__main__":
    unittest.main()
