"""A server's and a device's life: init, start, stop, restart, enrol, renew, revoke."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
import unittest

import numpy

import harness
from harness import BIN, NO_PRIVACY, ServerTest, agent_pb2, parameters, run, task_text, wait_until
from test_rounds import open_round


class Init(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tacit-test-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def test_makes_secrets_that_only_their_owner_reads_and_never_overwrites(self):
        root = self.directory / "server"
        run(["tacit", "init", "--dir", root])
        keys = [path for path in root.rglob("*.key")]
        self.assertGreaterEqual(len(keys), 3)
        for key in keys:
            self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600, key)
        before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        again = subprocess.run([BIN / "tacit", "init", "--dir", root], capture_output=True, text=True)
        self.assertEqual(again.returncode, 1)
        self.assertEqual(before, {path: path.read_bytes() for path in root.rglob("*") if path.is_file()})

    def test_its_configuration_is_good(self):
        root = self.directory / "server"
        run(["tacit", "init", "--dir", root])
        run(["tacitd", "--check-config", root / "tacitd.toml"])


class Configuration(unittest.TestCase):
    def test_every_problem_is_reported_at_once_with_its_place(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "bad.toml"
            path.write_text('[server]\ndata_dir = 5\nio_thread = 2\n[agents]\nport = 70000\n')
            result = subprocess.run([BIN / "tacitd", "--check-config", path], capture_output=True, text=True)
        self.assertEqual(result.returncode, 2)
        for place in ("bad.toml:2:", "bad.toml:3:", "bad.toml:5:"):
            self.assertIn(place, result.stderr)
        self.assertIn("io_threads", result.stderr)  # did you mean

    def test_a_bad_command_line_is_answered_by_the_program_with_what_was_meant(self):
        result = run(["tacitd", "--check-confg", "x"], expect=2)
        self.assertTrue(result.stderr.startswith("tacitd: unknown option '--check-confg' (did you mean "
                                                 "'--check-config'?)"), result.stderr)
        self.assertIn("--config FILE", run(["tacitd", "--help"]).stdout)

    def test_what_it_names_is_checked_too_and_nothing_is_made(self):
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory) / "server"
            run(["tacit", "init", "--dir", root])
            (root / "pki/ca.key").unlink()
            (root / "pki/server.crt").write_text("no certificate")
            before = sorted(root.rglob("*"))
            for option in ("--check-config", "--config"):
                result = run(["tacitd", option, root / "tacitd.toml"], expect=2)
                self.assertIn("'pki.ca_key'", result.stderr)
                self.assertIn("'pki.certificate'", result.stderr)
            self.assertEqual(before, sorted(root.rglob("*")))

    def test_a_port_that_is_taken_is_found_out_before_anything_is_made(self):
        with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0)) as taken:
            root = pathlib.Path(directory) / "server"
            run(["tacit", "init", "--dir", root])
            text = (root / "tacitd.toml").read_text()
            # The last of the listeners: the ports of the others were there.
            text = re.sub(r"(?m)^port *= *\d+", "port = 0", text)
            section = text.index("[metrics]")
            port = taken.getsockname()[1]
            text = text[:section] + text[section:].replace("port = 0", f"port = {port}", 1)
            (root / "tacitd.toml").write_text(text)
            before = sorted(root.rglob("*"))
            result = run(["tacitd", "--config", root / "tacitd.toml"], expect=1)
            event = json.loads(result.stderr.splitlines()[-1])
            self.assertEqual(event["event"], "server_cannot_run")
            self.assertEqual(event["reason"], f"listener metrics: cannot listen on 127.0.0.1 port {port}: "
                             "Address already in use")
            self.assertEqual(before, sorted(root.rglob("*")))


class Life(ServerTest):
    server_options = {"binary": "tacitd_testing"}

    def open_round_of_three(self):
        self.server.create_task(task_text(size=3, minimum=3, privacy=NO_PRIVACY))
        devices = self.devices("a", "b", "c")
        leases = open_round(devices)
        return devices, leases, parameters(leases[0])

    def test_starts_within_half_a_second(self):
        self.server.create_task(task_text())
        best = min(self._restart_time() for _ in range(5))
        # A sanitizer makes the same start several times slower; the bound is for the program that ships.
        self.assertLess(best, 3 if os.environ.get("TACIT_SANITIZE") else 0.5)

    def _restart_time(self):
        self.server.stop()
        return self.server.restart().seconds_to_ready

    def test_a_clean_stop_in_the_middle_of_a_round_loses_nothing(self):
        devices, leases, d = self.open_round_of_three()
        for device, lease in list(zip(devices, leases))[:2]:
            self.assertEqual(device.upload(lease, numpy.full(d, 3.0)).status, 200)
        self.assertEqual(self.server.stop(), 0)
        self.server.restart()
        self.assertEqual(self.server.task()["current_round"]["counted"], 2)
        # The one whose answer was lost sends the same bytes again; the third comes for the first time.
        self.assertEqual(devices[0].upload(leases[0], numpy.full(d, 3.0)).status, 200)
        self.assertEqual(devices[2].upload(leases[2], numpy.full(d, 0.0)).status, 200)
        ended = self.server.published()
        self.assertEqual(ended["counted"], 3)

    def test_a_long_poll_ends_at_once_when_the_server_stops(self):
        device = self.devices("a")[0]
        self.server.create_task(task_text())
        waiting = threading.Thread(target=lambda: device.check_in(wait_ms=30000))
        waiting.start()
        time.sleep(0.5)
        started = time.monotonic()
        self.assertEqual(self.server.stop(), 0)
        self.assertLess(time.monotonic() - started, 15)
        waiting.join()

    def test_a_waiting_round_says_what_it_waits_for(self):
        device = self.devices("a")[0]
        self.server.create_task(task_text(minimum=2))
        self.assertIn("1 of at least 2", device.check_in().wait.reason)
        self.assertIn("1 of at least 2", self.server.task()["current_round"]["waiting_for"])

    def test_a_device_that_left_while_it_waited_opens_no_round(self):
        gone, there = self.devices("a", "b")
        self.server.create_task(task_text(minimum=2))
        wish = agent_pb2.CheckInRequest(protocol_version=1, agent_version="test", wait_ms=30000).SerializeToString()
        connection = gone.connect()
        connection.sendall(b"POST /v1/checkin HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(wish) + wish)
        wait_until(lambda: "1 of at least 2" in self.server.task()["current_round"]["waiting_for"], "the first to wait")
        connection.close()
        wait_until(lambda: "0 of at least 2" in self.server.task()["current_round"]["waiting_for"], "it to be gone",
                   patience=10)
        self.assertIn("1 of at least 2", there.check_in().wait.reason)
        gone.check_in()
        self.server.wait_for_event("round_opened")

    def test_a_device_that_is_revoked_while_it_waits_opens_no_round(self):
        revoked, there = self.devices("a", "b")
        self.server.create_task(task_text(minimum=2))
        waiting = threading.Thread(target=lambda: revoked.request("POST", "/v1/checkin", agent_pb2.CheckInRequest(
            protocol_version=1, agent_version="test", wait_ms=30000).SerializeToString()))
        waiting.start()
        wait_until(lambda: "1 of at least 2" in self.server.task()["current_round"]["waiting_for"], "it to wait")
        self.server.cli("device", "revoke", "a")
        with contextlib.suppress(Exception):
            waiting.join()
        wait_until(lambda: "0 of at least 2" in self.server.task()["current_round"]["waiting_for"], "it to be gone",
                   patience=10)
        self.assertIn("1 of at least 2", there.check_in().wait.reason)

    def test_a_waiting_round_says_when_devices_ask_whose_data_do_not_fit(self):
        device = self.devices("a")[0]
        self.server.create_task(task_text(minimum=2))
        waiting_for = lambda name="t": self.server.task(name)["current_round"]["waiting_for"]  # noqa: E731
        device.check_in(inputs=4, classes=3)
        device.check_in()
        self.assertNotIn("shape", waiting_for())
        device.check_in(inputs=4, classes=7)
        self.assertIn("devices have asked whose data have another shape than 4 inputs and 3 classes", waiting_for())
        self.assertNotIn("7", waiting_for())
        # One that fits another task is where it belongs.
        self.server.create_task(task_text(name="wide", inputs=9, minimum=2))
        device.check_in(inputs=4, classes=3)
        self.assertNotIn("shape", waiting_for("wide"))

    def test_a_second_server_on_the_same_directory_is_refused(self):
        second = subprocess.run([BIN / "tacitd", "--config", self.server.config], capture_output=True, text=True)
        self.assertEqual(second.returncode, 1)
        self.assertIn("server_cannot_run", second.stderr)

    def test_an_agent_says_in_json_what_is_wrong_with_its_command_line(self):
        said = run(["tacit-agent", "joyn", "--json"], expect=2)
        error = json.loads(said.stdout)["error"]
        self.assertEqual((error["code"], said.stderr), ("invalid_argument", ""))
        self.assertIn("did you mean 'join'", error["message"])
        self.assertEqual(error["hint"], "tacit-agent --help")

    def test_a_token_enrols_once(self):
        token = self.server.cli("device", "token", "create")["data"]
        path = self.server.directory / "token"
        path.write_text(token["token"])
        join = ["tacit-agent", "join", "--server", "127.0.0.1", "--enrolment-port", self.server.ports["enrolment"],
                "--ca-fingerprint", token["ca_fingerprint"], "--token-file", path, "--state"]
        run(join + [self.server.directory / "first"])
        second = subprocess.run([str(BIN / join[0]), *map(str, join[1:]), str(self.server.directory / "second")],
                                capture_output=True, text=True)
        self.assertNotEqual(second.returncode, 0)
        self.assertEqual(len(self.server.cli("device", "list")["data"]["items"]), 1)
        key = next((self.server.directory / "first").glob("*.key"))
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)

    def test_revocation_cuts_a_long_poll_and_refuses_everything_after(self):
        device = self.devices("a")[0]
        self.server.create_task(task_text())
        outcome = []

        def wait():
            try:
                outcome.append(device.request("POST", "/v1/checkin", harness.agent_pb2.CheckInRequest(
                    protocol_version=1, agent_version="t", wait_ms=30000).SerializeToString()).status)
            except OSError:
                outcome.append("cut")
            except harness.http.client.HTTPException:
                outcome.append("cut")

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.5)
        started = time.monotonic()
        self.server.cli("device", "revoke", "a")
        waiting.join(timeout=harness.PATIENCE)
        self.assertLess(time.monotonic() - started, 10)
        self.assertIn(outcome, ([403], ["cut"]))
        self.assertEqual(device.request("POST", "/v1/checkin", b"x").status, 403)
        # The store knows it, not the memory alone.
        self.server.stop()
        self.server.restart()
        self.assertEqual(device.request("POST", "/v1/checkin", b"x").status, 403)

    def test_an_agent_that_is_revoked_ends_and_one_whose_task_is_not_there_says_so_and_waits(self):
        self.server.create_task(task_text())
        state = self.agents("a")[0].state
        agent = subprocess.Popen([BIN / "tacit-agent", "run", "--state", state, "--synthetic", "0/2", "--task", "nope"],
                                 stderr=subprocess.PIPE, text=True)
        self.addCleanup(agent.kill)
        # Its own words stand behind its log, on a line that is no event.
        missing = next(line for line in agent.stderr if "agent_task_missing" in line)
        self.assertIn("there is no task named nope", missing)
        self.server.cli("device", "revoke", "a")
        rest = agent.communicate(timeout=harness.PATIENCE)[1]
        self.assertEqual(agent.returncode, 1, rest)
        self.assertIn("shuts this device out (device a is revoked)", rest)
        self.assertNotIn("agent_task_missing", rest)

    def test_state_survives_a_kill_and_an_acknowledged_update_is_not_lost(self):
        devices, leases, d = self.open_round_of_three()
        self.assertEqual(devices[0].upload(leases[0], numpy.full(d, 3.0)).status, 200)
        self.server.kill()
        self.server.restart()
        self.assertEqual(self.server.task()["current_round"]["counted"], 1)
        self.assertEqual(devices[0].upload(leases[0], numpy.full(d, 9.0)).status, 409)

    def a_round_that_cannot_be_ended(self):
        """One update is in, the deadline passes, and no file can grow: the end cannot be recorded."""
        self.server.create_task(task_text(size=2, minimum=2, deadline="12s", privacy=NO_PRIVACY))
        devices = self.devices("a", "b")
        leases = open_round(devices)
        self.assertEqual(devices[0].upload(leases[0], numpy.zeros(parameters(leases[0]))).status, 200)
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        self.server.wait_for_event("round_end_not_recorded")
        return devices

    def abandoned(self):
        return next((r for r in self.server.rounds() if r["phase"] == "abandoned"), None)

    def test_a_round_whose_end_the_disk_does_not_take_ends_when_it_does(self):
        devices = self.a_round_that_cannot_be_ended()
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertEqual(harness.wait_until(self.abandoned, "the end", self.server.process)["counted"], 1)
        self.assertGreaterEqual(open_round(devices)[0].round, 2)

    def test_a_kill_while_the_disk_is_full_leaves_a_round_that_can_be_read(self):
        self.a_round_that_cannot_be_ended()
        self.server.kill()
        self.server.restart()
        self.assertEqual(self.server.events_named("round_resumed")[0]["counted"], 1)
        self.assertIn("only 1 of at least 2", harness.wait_until(self.abandoned, "the end")["reason"])

    def a_round_whose_key_is_gone(self):
        """The devices of a round in which one is counted. The server does not run."""
        devices, leases, d = self.open_round_of_three()
        self.assertEqual(devices[0].upload(leases[0], numpy.zeros(d)).status, 200)
        self.server.kill()
        for key in (self.server.root / "data/keys").iterdir():
            key.unlink()
        return devices

    def test_a_round_whose_key_is_gone_is_given_up_and_the_server_goes_on(self):
        devices = self.a_round_whose_key_is_gone()
        self.server.restart()
        self.assertIn("cannot be read again", self.abandoned()["reason"])
        self.assertEqual(open_round(devices)[0].round, 2)

    def test_a_round_whose_key_is_gone_is_the_last_one_of_a_task_that_was_stopped(self):
        devices = self.a_round_whose_key_is_gone()
        # As if the crash had come between the stop's record and the round's end.
        with contextlib.closing(sqlite3.connect(self.server.root / "data/tacit.db")) as database, database:
            database.execute("UPDATE tasks SET state = 'stopped', state_reason = 'by hand'")
        self.server.restart()
        self.assertIn("cannot be read again", self.abandoned()["reason"])
        self.assertIsNone(self.server.task()["current_round"])
        for device in devices:
            self.assertIn("has ended: by hand", device.check_in(task="t").wait.reason)
        self.assertEqual([r["round"] for r in self.server.rounds()], [1], "no round was opened for it")

    def test_a_partial_sum_that_somebody_copied_is_not_counted_twice(self):
        devices, leases, d = self.open_round_of_three()
        self.assertEqual(devices[0].upload(leases[0], numpy.full(d, 3.0)).status, 200)
        self.server.kill()
        data = self.server.root / "data"
        original = next((data / "partials").rglob("0-*.sealed"))
        shutil.copy(original, original.with_name("7" + original.name[1:]))
        with contextlib.closing(sqlite3.connect(data / "tacit.db")) as database:
            database.execute("INSERT INTO partials SELECT task, round, 7, digest, bytes FROM partials")
            database.commit()
        failed = subprocess.run([BIN / "tacitd", "--config", self.server.config], capture_output=True, text=True,
                                timeout=harness.PATIENCE)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("server_cannot_run", failed.stderr)

    def test_a_draw_that_a_crash_made_again_is_the_same_draw(self):
        self.server.create_task(task_text(size=2, minimum=2, inputs=200))
        devices = self.devices("a", "b")
        self.server.stop()
        self.server.restart({"TACIT_TEST_KILL_AT": "publish_model_file"})
        leases = open_round(devices)
        for device, lease in zip(devices, leases):
            self.assertEqual(device.upload(lease, numpy.zeros(parameters(lease))).status, 200)
        self.server.wait_for_death()
        models = self.server.root / "data/models"
        before = {path.name: path.read_bytes() for path in models.iterdir()}
        self.assertEqual(len(before), 2)  # the first one, and the one drawn but not published
        self.server.restart()
        harness.wait_until(lambda: self.server.task()["rounds_published"] == 1, "the round", self.server.process)
        self.assertEqual(before, {path.name: path.read_bytes() for path in models.iterdir()})

    def test_every_round_keeps_the_weight_it_was_divided_by(self):
        devices, leases, d = self.open_round_of_three()
        for device, lease in zip(devices, leases):
            self.assertEqual(device.upload(lease, numpy.zeros(d)).status, 200)
        harness.wait_until(lambda: self.server.task()["rounds_published"] == 1, "the round", self.server.process)
        self.assertEqual(self.server.query("SELECT counted, total_weight FROM rounds WHERE round = 1"), [(3, 3)])

    def test_an_agent_process_trains_through_a_server_that_was_killed(self):
        self.server.create_task(task_text(name="sensors", size=2, minimum=2, rounds=3, privacy=NO_PRIVACY).replace(
            "inputs = 4", "inputs = 60").replace("classes = 3", "classes = 6"))
        agents = []
        for index in range(2):
            state = self.server.enrol_agent(f"agent-{index}").state
            agents.append(subprocess.Popen([BIN / "tacit-agent", "run", "--state", state, "--synthetic", f"{index}/2"],
                                           stderr=subprocess.DEVNULL))
        try:
            harness.wait_until(lambda: self.server.task("sensors")["rounds_published"] >= 1, "round 1",
                               self.server.process)
            # The agents keep the address they enrolled with, so the server comes back on the same port.
            text = self.server.config.read_text()
            section = text.index("[agents]")
            fixed = text[section:].replace("port = 0", f"port = {self.server.ports['agents']}", 1)
            self.server.config.write_text(text[:section] + fixed)
            self.server.kill()
            self.server.restart()
            harness.wait_until(lambda: self.server.task("sensors")["state"] == "finished", "the end",
                               self.server.process)
            self.assertEqual(self.server.task("sensors")["rounds_published"], 3)
            for agent in agents:
                self.assertIsNone(agent.poll(), "an agent gave up")
        finally:
            for agent in agents:
                agent.send_signal(signal.SIGTERM)
            for agent in agents:
                self.assertEqual(agent.wait(timeout=harness.PATIENCE), 0, "an agent did not stop cleanly")


class Readmission(ServerTest):
    """A device comes back under its name."""

    def token(self, name, expect=0):
        return self.server.cli("device", "token", "create", "--name", name, expect=expect)

    def check_in(self, device, wait_ms=0):
        return device.request("POST", "/v1/checkin", harness.agent_pb2.CheckInRequest(
            protocol_version=1, agent_version="t", wait_ms=wait_ms).SerializeToString()).status

    def audited(self, action):
        return self.server.query("SELECT actor, target, detail FROM audit WHERE action = ?", action)


class ComingBack(Readmission):
    """A device that has lost its certificate, or its state directory, comes back."""

    def test_with_another_key_and_the_one_before_is_good_for_nothing(self):
        self.server.create_task(task_text(privacy=NO_PRIVACY))
        before = self.server.enrol("bed-1")
        cut = []

        def wait():
            try:
                cut.append(before.check_in(wait_ms=30000))
            except (OSError, harness.http.client.HTTPException):
                cut.append("cut")

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.5)
        after = self.server.join(self.token("bed-1")["data"], self.server.directory / "devices" / "new")
        waiting.join(timeout=harness.PATIENCE)
        self.assertEqual(cut, ["cut"])
        self.assertEqual(self.check_in(after), 200)
        self.assertEqual(self.check_in(before), 403)
        # It has a good certificate, but can make no better one of it, and a restart changes nothing.
        self.assertEqual(before.request("POST", "/v1/certificate", b"x").status, 403)
        self.server.wait_for_event("device_readmitted", device="bed-1")
        self.assertEqual(self.server.metric('tacit_enrolments_total{outcome="readmitted"}'), 1)
        self.server.stop()
        self.server.restart()
        self.assertEqual(self.check_in(before), 403)
        self.assertEqual(self.check_in(after), 200)

    def test_but_not_once_it_is_revoked(self):
        self.server.enrol("bed-1")
        made_before = self.token("bed-1")["data"]
        self.server.cli("device", "revoke", "bed-1")
        self.assertIn("'bed-1' is revoked", self.token("bed-1", expect=1)["error"]["message"])
        state = self.server.directory / "devices" / "new"
        state.mkdir()
        (state / "token").write_text(made_before["token"])
        refused = run(["tacit-agent", "join", "--server", "127.0.0.1", "--enrolment-port",
                       self.server.ports["enrolment"], "--ca-fingerprint", made_before["ca_fingerprint"],
                       "--token-file", state / "token", "--state", state], expect=1)
        self.assertIn("'bed-1' is revoked", refused.stderr)


class AfterTheEnd(Readmission):
    """A device whose certificate has ended comes back."""

    # Long enough that what is done with a certificate before its end takes a small part of it.
    server_options = {"config_edits": [(r'(?m)^#? *certificate_lifetime *=.*', 'certificate_lifetime = "20s"')]}

    def test_with_its_state_directory_after_its_certificate_expired(self):
        self.server.create_task(task_text(privacy=NO_PRIVACY))
        device = self.server.enrol_agent("bed-1")
        self.assertEqual(self.check_in(device), 200)
        early = self.token("bed-1")["data"]
        self.assertTrue(early["readmits"])
        (device.state / "token").write_text(early["token"])
        join = ["tacit-agent", "join", "--server", "127.0.0.1", "--enrolment-port", self.server.ports["enrolment"],
                "--ca-fingerprint", early["ca_fingerprint"], "--token-file", device.state / "token", "--state",
                device.state]
        self.assertIn("joined already", run(join, expect=1).stderr)
        # It is held back to the end of its certificate, and not beyond.
        began = time.monotonic()
        self.assertEqual(self.check_in(device, wait_ms=30_000), 200)
        self.assertLess(time.monotonic() - began, 22)
        harness.wait_until(lambda: self.refused_in_handshake(device), "the end of the certificate")
        # The agent says what to do, and that is what works.
        ended = run(["tacit-agent", "run", "--state", device.state, "--synthetic", "0/16", "--max-local-epsilon", 1,
                     "--local-delta", "1e-6"], expect=3)
        self.assertIn("tacit device token create --name bed-1", ended.stderr)
        account = (device.state / "local_privacy.json").read_text()
        back = self.server.join(self.token("bed-1")["data"], device.state)
        self.assertEqual(self.check_in(back), 200)
        self.assertEqual((device.state / "local_privacy.json").read_text(), account)
        items = self.server.cli("device", "list")["data"]["items"]
        self.assertEqual([item["name"] for item in items], ["bed-1"])
        # The token that was not needed is not good for a third time.
        other = self.server.directory / "devices" / "other"
        other.mkdir()
        (other / "token").write_text(early["token"])
        self.assertIn("used up", run([*join[:-3], other / "token", "--state", other], expect=1).stderr)
        self.assertIn(("admin/admin", "readmits device/bed-1"),
                      [(actor, detail.split(", ")[-1]) for actor, _, detail in self.audited("token_create")])
        self.assertEqual([target for _, target, _ in self.audited("device_readmit")], ["device/bed-1"])

    def refused_in_handshake(self, device):
        try:
            self.check_in(device)
        except OSError:
            return True
        return False


if __name__ == "__main__":
    unittest.main(verbosity=2)
