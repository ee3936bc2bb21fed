"""What is spent and who may know: drawn cohorts, gaps between rounds, the ledger outside the server, single devices."""

import contextlib
import json
import sqlite3
import subprocess
import unittest

import numpy

import harness
from harness import BIN, GAUSSIAN, ServerTest, agent_pb2, parameters, request, run, task_text, wait_until
from test_rounds import open_round

COIN = GAUSSIAN.replace("population = 100", "population = 20\nsampling = \"checkin_coin\"\nsampling_probability = 0.5")


def coin_task(rounds=1, deadline="10s", size=10, over_selection=2.0, privacy=COIN):
    text = task_text(rounds=rounds, size=size, minimum=2, over_selection=over_selection, deadline=deadline,
                     privacy=privacy)
    return text.replace(f"max_participations = {rounds}\n", "")


class Coin(ServerTest):
    def test_the_server_draws_a_cohort_that_retries_and_restarts_do_not_change(self):
        self.server.create_task(coin_task(deadline="300s"))
        # All in, or all out, once in 2^19 runs.
        devices = self.devices(*(f"d{i}" for i in range(20)))
        for device in devices:
            device.check_in()
        self.server.wait_for_event("round_opened")
        drawn = [device for device in devices if device.check_in().HasField("lease")]
        self.assertGreater(len(drawn), 0)
        self.assertLess(len(drawn), 20)
        out = [device for device in devices if device not in drawn]
        self.assertIn("the coin did not choose this device", out[0].check_in().wait.reason)
        lease = drawn[0].lease()
        answer = out[0].upload(lease, numpy.zeros(parameters(lease)))
        self.assertEqual(answer.status, 403)
        self.server.kill()
        self.server.restart()
        self.assertEqual([device.name for device in devices if device.check_in().HasField("lease")],
                         [device.name for device in drawn])

    def test_nothing_tells_how_many_came_and_the_deadline_ends_the_round(self):
        self.server.create_task(coin_task(deadline="15s"))
        devices = self.devices(*(f"d{i}" for i in range(12)))
        for device in devices[:2]:
            device.check_in()
        self.server.wait_for_event("round_opened")
        for device in devices:
            reply = device.check_in()
            if reply.HasField("lease"):
                self.assertEqual(device.upload(reply.lease, numpy.zeros(parameters(reply.lease))).status, 200)
        current = self.server.task()["current_round"]
        self.assertIsNone(current["counted"])
        self.assertIsNone(current["leased"])
        self.assertIsNone(current["since"], "how long a round closes may tell of who came last")
        self.assertIn("how many updates came is not told", current["waiting_for"])
        published = self.server.wait_for_event("round_published")
        self.assertEqual(published["counted"], "secret")
        self.assertIsNone(self.server.rounds()[0]["counted"])
        self.assertNotIn("tacit_updates_total{", self.server.metrics())
        self.assertNotIn("tacit_round_counted_updates{", self.server.metrics())
        entries = self.server.cli("privacy", "ledger", "t")["data"]["items"]
        self.assertEqual([(entry["kind"], entry["cohort"]) for entry in entries], [("reserve", 10), ("charge", 10)])
        shown = self.server.cli("privacy", "show", "t")["data"]
        self.assertEqual(shown["accountant"], "sampled-gaussian-pld")
        self.assertEqual(shown["sampling_probability"], 0.5)
        self.assertTrue(any("amplification" in line for line in shown["not_covered"]))

    def test_neither_other_tasks_nor_sightings_nor_spends_tell_of_coins(self):
        self.server.create_task(task_text(name="before"))
        self.assertIn("must be the only active one", self.server.create_task(coin_task(), expect=1)["error"]["message"])
        self.server.cli("task", "stop", "before")
        self.server.create_task(coin_task(deadline="300s"))
        after = self.server.create_task(task_text(name="after"), expect=1)["error"]["message"]
        self.assertIn("must stay the only one", after)
        devices = self.agents(*(f"d{i}" for i in range(12)))
        for device in devices:
            device.check_in()
        self.server.wait_for_event("round_opened")
        for device in devices:
            reply = device.check_in()
            if reply.HasField("lease"):
                self.assertEqual(device.upload(reply.lease, numpy.zeros(parameters(reply.lease))).status, 200)
        spends = [json.loads(run(["tacit-agent", "--json", "privacy", "--state", device.state]).stdout)["data"]["items"]
                  for device in devices]
        self.assertTrue(all(each == spends[0] and each[0]["rounds"] == 0 for each in spends), spends)
        # Who enrols while a round is open holds no coin of it, or the population that is accounted for would grow.
        late = self.devices(*(f"late{i}" for i in range(8)))
        for device in late:
            self.assertIn("did not choose", device.check_in().wait.reason)
        self.server.stop()
        self.server.restart()
        for device in self.server.cli("device", "list")["data"]["items"]:
            if device["last_seen_at"]:
                self.assertTrue(device["last_seen_at"].endswith("T00:00:00.000Z"), device)

    def test_that_devices_ask_whose_data_do_not_fit_is_not_told(self):
        self.server.create_task(coin_task(rounds=2, deadline="1s"))
        misfit, *others = self.devices("a", "b", "c")

        def waiting_for():
            self.assertTrue(misfit.check_in(inputs=4, classes=9).HasField("wait"))
            return self.server.task()["current_round"]["waiting_for"]

        # Before any round, in one, and before the next.
        self.assertNotIn("shape", waiting_for())
        for device in others:
            device.check_in()
        self.assertNotIn("shape", waiting_for())
        self.server.wait_for_event("round_published")
        wait_until(lambda: (self.server.task()["current_round"] or {}).get("round") == 2, "the next round")
        self.assertNotIn("shape", waiting_for())

    def test_a_round_that_nobody_came_to_is_published_like_any_other(self):
        self.server.create_task(coin_task(deadline="500ms"))
        for device in self.devices("a", "b"):
            device.check_in()
        self.assertEqual(self.server.wait_for_event("round_published")["round"], 1)

    def test_a_round_waits_while_more_devices_are_enrolled_than_were_declared(self):
        self.server.create_task(coin_task(privacy=COIN.replace("population = 20", "population = 6"), size=6,
                                          over_selection=1.0))
        for device in self.devices(*(f"d{i}" for i in range(7))):
            device.check_in()
        refused = self.server.wait_for_event("round_not_opened")
        self.assertIn("7 devices are enrolled, more than the 6", refused["reason"])
        self.assertEqual(self.server.cli("privacy", "show", "t")["data"]["epsilon_spent"], 0)
        self.server.cli("device", "revoke", "d6")
        self.server.wait_for_event("round_opened")

    def test_a_cap_within_seven_deviations_is_refused(self):
        answer = self.server.create_task(coin_task(over_selection=1.5), expect=2)
        self.assertIn("seven standard deviations", answer["error"]["message"])


class ClipThatFollows(ServerTest):
    def run_round(self, devices, vector, **overrides):
        leases = open_round(devices)
        for device, lease in zip(devices, leases):
            self.assertTrue(lease.tells_clipped)
            self.assertEqual(device.upload(lease, vector(parameters(lease)), **overrides).status, 200)
        self.server.wait_for_event("round_published", round=leases[0].round)
        return leases[0].clip_norm

    def devices_of_a_task(self):
        # The share of 12 devices comes out with a deviation of 0.05, and is cut to what a share can be.
        privacy = GAUSSIAN.replace("noise_multiplier = 1.0", "noise_multiplier = 0.5").replace(
            "epsilon_budget = 50.0", "epsilon_budget = 1e9\nclip_quantile = 0.5\nclip_learning_rate = 1.0")
        self.server.create_task(task_text(size=12, rounds=4, privacy=privacy))
        return self.devices(*(f"d{i}" for i in range(12)))

    def test_a_device_that_clips_by_itself_says_whether_it_did(self):
        devices = self.devices_of_a_task()
        grid = agent_pb2.ENCODING_GRID_INT32
        self.assertEqual(self.run_round(devices, numpy.zeros, encoding=grid, clipped=True), 1.0)
        grown = self.run_round(devices, numpy.zeros, encoding=grid, clipped=False)
        self.assertGreater(grown, 1.2)
        self.assertLess(self.run_round(devices, numpy.zeros) / grown, 0.85)

    def test_the_clip_norm_follows_the_updates_and_survives_a_kill(self):
        devices = self.devices_of_a_task()
        self.assertEqual(self.run_round(devices, lambda d: numpy.full(d, 9.0)), 1.0)
        grown = self.run_round(devices, numpy.zeros)
        self.assertTrue(1.2 < grown <= numpy.exp(0.5) + 1e-9, grown)
        self.server.kill()
        self.server.restart()
        shrunk = self.run_round(devices, numpy.zeros)
        self.assertTrue(numpy.exp(-0.5) - 1e-9 <= shrunk / grown < 0.85, shrunk)
        entries = self.server.cli("privacy", "ledger", "t", "-o", self.server.directory / "l.json")["data"]["items"]
        self.assertEqual([entry["clip_norm"] for entry in entries], [1.0, 1.0, grown, grown, shrunk, shrunk])
        run(["tacit", "privacy", "verify", self.server.directory / "l.json"])


class Separation(ServerTest):
    def test_a_device_sits_out_as_many_rounds_as_the_task_says(self):
        text = task_text(rounds=5, size=1, minimum=1, participations=5)
        self.server.create_task(text.replace("max_participations = 5", "max_participations = 5\nmin_separation = 2"))
        first, second = self.devices("a", "b")
        first.check_in()
        lease = first.lease()
        self.assertEqual(lease.round, 1)
        self.assertEqual(first.upload(lease, numpy.zeros(parameters(lease))).status, 200)
        # Round 1 is current until the parts of its sum are forgotten: only then is a device told of round 2.
        wait_until(lambda: "may again from round 3 on" in first.check_in().wait.reason, "the word of round 3",
                   self.server.process)
        second.check_in()
        lease = second.lease()
        self.assertEqual(lease.round, 2)
        self.assertEqual(first.upload(lease, numpy.zeros(parameters(lease))).status, 403)
        self.server.kill()
        self.server.restart()
        self.assertIn("may again from round 3 on", first.check_in().wait.reason)
        self.assertEqual(second.upload(lease, numpy.zeros(parameters(lease))).status, 200)
        self.server.wait_for_event("round_published", round=2)
        first.check_in()
        self.assertEqual(first.lease().round, 3)


class Ledger(ServerTest):
    def ledger_file(self):
        path = self.server.directory / "ledger.json"
        self.server.cli("privacy", "ledger", "t", "--output", path)
        return path

    def run_rounds(self, count, devices):
        for number in range(1, count + 1):
            leases = open_round(devices)
            for device, lease in zip(devices, leases):
                self.assertEqual(device.upload(lease, numpy.zeros(parameters(lease))).status, 200)
            self.server.wait_for_event("round_published", round=number)

    def test_a_ledger_is_verified_without_its_server_and_a_changed_one_is_found(self):
        self.server.create_task(task_text(size=2, rounds=3))
        self.run_rounds(2, self.devices("a", "b"))
        path = self.ledger_file()
        spent = self.server.cli("privacy", "show", "t")["data"]["epsilon_spent"]
        self.server.stop()

        def verify(*arguments, expect=0):
            return json.loads(run(["tacit", "--json", "privacy", "verify", path, *arguments], expect).stdout)

        good = verify()["data"]
        self.assertTrue(good["holds"])
        self.assertEqual((good["rounds_reserved"], good["rounds_charged"]), (2, 2))
        self.assertEqual(good["epsilon_spent"], spent)
        self.assertEqual(verify("--head", good["head"])["data"]["head"], good["head"])
        self.assertIn("its end was cut", verify("--head", "0" * 64, expect=1)["error"]["message"])
        text = path.read_text()

        def changed(change):
            copy = json.loads(text)
            change(copy)
            path.write_text(json.dumps(copy))
            return verify(expect=1)["error"]["message"]

        self.assertIn("its hash does not match", changed(lambda d: d["items"][1].update(epsilon_after=0.1)))
        self.assertIn("another privacy policy", changed(lambda d: d["policy"].update(delta=1e-9)))
        self.assertIn("entry 2 was expected", changed(lambda d: d["items"].pop(1)))
        self.assertIn("round 2 is published but its charge is missing", changed(lambda d: d["items"].pop()))
        path.write_text(text.replace('"charge"', '"spend"', 1))
        self.assertIn("item 2", verify(expect=2)["error"]["message"])
        path.write_text("[]")
        self.assertIn("no privacy ledger", verify(expect=2)["error"]["message"])

    def test_a_budget_that_pays_for_no_round_is_refused_while_somebody_looks(self):
        text = task_text(size=2, privacy=GAUSSIAN.replace("50.0", "0.05"))
        for path in ("/api/v1/plan", "/api/v1/tasks"):
            answer = self.server.operator("POST", path, text.encode())
            self.assertEqual(answer.status, 422)
            self.assertRegex(answer.problem()["detail"], r"pays for no round: the first costs [45]\.\d+ of 0.05; raise")
        self.assertEqual(self.server.asked("GET", "/api/v1/tasks")["items"], [])

    def test_the_server_says_what_rounds_will_cost_and_then_they_do(self):
        self.server.create_task(task_text(size=2, rounds=4))
        devices = self.devices("a", "b")
        outlook = self.server.cli("privacy", "outlook", "t")["data"]
        self.assertEqual([item["rounds"] for item in outlook["items"]], [0, 1, 2, 3, 4])
        self.run_rounds(2, devices)
        privacy = self.server.asked("GET", "/api/v1/tasks/t/privacy")
        self.assertEqual(privacy["epsilon_spent"], outlook["items"][2]["epsilon"])
        self.assertEqual((outlook["accountant"], outlook["epsilon_budget"]), (privacy["accountant"], 50))
        self.assertGreaterEqual(privacy["epsilon_spent_rdp"], privacy["epsilon_spent"])
        left = self.server.cli("privacy", "outlook", "t")["data"]["items"]
        self.assertEqual([item["rounds"] for item in left], [0, 1, 2])
        self.assertEqual([item["epsilon"] for item in left], [item["epsilon"] for item in outlook["items"][2:]])
        self.assertAlmostEqual(privacy["rho_zcdp"], 2 * 0.5, places=4)  # of two rounds at noise multiplier 1
        # What each device may take part in ends with the task's rounds: so do the costs.
        more = self.server.asked("GET", "/api/v1/tasks/t/privacy/forecast?rounds=100000")["items"]
        self.assertEqual((len(more), more[-1]["rounds"], more[-1]["epsilon"]),
                         (51, 100000, outlook["items"][4]["epsilon"]))
        for bad in ("0", "100001", "x"):
            self.assertEqual(self.server.operator("GET", f"/api/v1/tasks/t/privacy/forecast?rounds={bad}").status, 422)

    def test_the_server_verifies_its_own_record_and_finds_what_was_changed(self):
        self.server.create_task(task_text(size=2, rounds=3))
        self.run_rounds(1, self.devices("a", "b"))
        for path in ("/api/v1/tasks/t/ledger/verification", "/api/v1/audit/verification"):
            self.assertEqual((self.server.asked("GET", path)["holds"], self.server.asked("GET", path)["fault"]),
                             (True, None))
        check = self.server.asked("GET", "/api/v1/tasks/t/ledger/verification")
        own = json.loads(run(["tacit", "--json", "privacy", "verify", self.ledger_file()]).stdout)["data"]
        self.assertEqual({name: check[name] for name in ("entries", "rounds_charged", "epsilon_spent", "head")},
                         {name: own[name] for name in ("entries", "rounds_charged", "epsilon_spent", "head")})
        self.assertEqual(self.server.cli("audit", "verify")["data"]["records"],
                         len(self.server.cli("audit", "list")["data"]["items"]))
        database = self.server.root / "data/tacit.db"
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            for table in ("ledger", "audit"):
                for name, in connection.execute(f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = "
                                                f"'{table}'").fetchall():
                    connection.execute(f"DROP TRIGGER {name}")
            connection.execute("UPDATE ledger SET epsilon_after = 0.1 WHERE sequence = 2")
            connection.execute("UPDATE audit SET actor = 'nobody' WHERE sequence = 1")
        check = self.server.asked("GET", "/api/v1/tasks/t/ledger/verification")
        self.assertEqual((check["holds"], check["head"]), (False, None))
        self.assertIn("its hash does not match", check["fault"])
        self.assertIn("the log was changed", self.server.cli("audit", "verify", expect=1)["error"]["message"])

    def test_an_abandoned_round_is_void_and_stays_spent(self):
        self.server.create_task(task_text(size=2, rounds=3, deadline="300ms"))
        for device in self.devices("a", "b"):
            device.check_in()
        self.server.wait_for_event("round_abandoned")
        harness.wait_until(lambda: len(self.server.cli("privacy", "ledger", "t")["data"]["items"]) >= 2, "the void")
        entries = self.server.cli("privacy", "ledger", "t")["data"]["items"]
        self.assertEqual([entry["kind"] for entry in entries[:2]], ["reserve", "void"])
        self.assertEqual(entries[0]["epsilon_after"], entries[1]["epsilon_after"])
        check = json.loads(run(["tacit", "--json", "privacy", "verify", self.ledger_file()]).stdout)["data"]
        self.assertGreaterEqual(check["rounds_void"], 1)
        self.assertEqual(check["epsilon_charged"], 0)
        self.server.kill()
        self.server.restart()

    def test_what_one_device_spent_is_for_itself_and_for_auditors(self):
        self.server.create_task(task_text(size=2, rounds=3))
        devices = self.agents("a", "b")
        self.run_rounds(2, devices)
        self.devices("late")
        own = json.loads(run(["tacit-agent", "--json", "privacy", "--state", devices[0].state]).stdout)["data"]
        self.assertEqual([(item["task"], item["rounds"]) for item in own["items"]], [("t", 2)])
        self.assertEqual(own["items"][0]["epsilon"], self.server.cli("privacy", "show", "t")["data"]["epsilon_spent"])
        operators = self.server.root / "operators"

        def ask(who, device):
            return request(self.server.ports["api"], "GET", f"/api/v1/devices/{device}/privacy",
                           ca=self.server.root / "pki/ca.crt", certificate=operators / f"{who}.crt",
                           key=operators / f"{who}.key")

        self.assertEqual(json.loads(ask("auditor", "a").body)["items"][0]["epsilon"], own["items"][0]["epsilon"])
        self.assertEqual(json.loads(ask("auditor", "late").body)["items"], [])
        self.assertEqual(ask("auditor", "nobody").status, 404)
        self.assertEqual(ask("admin", "a").status, 403)
        refused = self.server.cli("privacy", "device", "a", expect=1)["error"]
        self.assertIn("auditor.crt", refused["hint"])
        shown = self.server.cli("privacy", "device", "a", "--cert", operators / "auditor.crt", "--key",
                                operators / "auditor.key")["data"]
        self.assertEqual(shown["items"][0]["rounds"], 2)


class ChangedNoise(ServerTest):
    server_options = {"binary": "tacitd_testing"}
    privacy = GAUSSIAN.replace("noise_multiplier = 1.0", "noise_multiplier = 4.0").replace("50.0", "8.0")

    def run_round(self, devices, number):
        for device, lease in zip(devices, open_round(devices)):
            self.assertEqual(device.upload(lease, numpy.zeros(parameters(lease))).status, 200)
        self.server.wait_for_event("round_published", round=number)

    def test_an_operator_changes_the_noise_and_a_filter_accounts_for_it(self):
        self.server.create_task(task_text(size=2, rounds=100, privacy=self.privacy))
        devices = self.agents("a", "b")
        self.run_round(devices, 1)
        before = self.server.cli("privacy", "show", "t")["data"]
        self.assertIsNone(before["filter"])
        tried = self.server.cli("task", "adjust", "t", "--noise-multiplier", "6", "--dry-run")["data"]
        self.assertEqual(tried["accountant"], "renyi-filter")
        self.assertEqual(self.server.cli("privacy", "show", "t")["data"], before)
        # In the middle of a round: that one keeps what was reserved for it.
        leases = open_round(devices)
        reserved = self.server.cli("privacy", "show", "t")["data"]["epsilon_spent"]
        self.server.cli("task", "adjust", "t", "--noise-multiplier", "7")
        made = self.server.cli("task", "adjust", "t", "--noise-multiplier", "6")["data"]
        self.assertEqual(made["after_round"], 2)
        self.assertGreaterEqual(made["epsilon_spent"], reserved)
        for device, lease in zip(devices, leases):
            self.assertEqual(device.upload(lease, numpy.zeros(parameters(lease))).status, 200)
        self.server.wait_for_event("round_published", round=2)
        self.run_round(devices, 3)
        own = json.loads(run(["tacit-agent", "--json", "privacy", "--state", devices[0].state]).stdout)["data"]
        self.server.kill()
        self.server.restart()
        shown = self.server.cli("privacy", "show", "t")["data"]
        self.assertEqual(shown["accountant"], "renyi-filter")
        self.assertEqual(shown["noise_multiplier"], 6)
        self.assertEqual(shown["rounds_by_noise"], [{"noise_multiplier": 4, "rounds": 2},
                                                    {"noise_multiplier": 6, "rounds": 1}])
        self.assertEqual(own["items"][0]["epsilon"], shown["epsilon_spent"])
        self.assertIn("changed on the way", shown["filter"]["statement"])
        self.assertIsNone(shown["rho_zcdp"], "no zCDP is proved of noise that was chosen on the way")
        self.assertEqual(self.server.task()["noise_multiplier"], 6)
        entries = self.server.cli("privacy", "ledger", "t")["data"]
        self.assertEqual([(entry["kind"], entry["round"], entry["noise_multiplier"]) for entry in entries["items"]],
                         [("reserve", 1, 4), ("charge", 1, 4), ("reserve", 2, 4), ("adjust", 2, 7), ("adjust", 2, 6),
                          ("charge", 2, 4),
                          ("reserve", 3, 6), ("charge", 3, 6)])
        path = self.server.directory / "ledger.json"
        path.write_text(json.dumps(entries))
        check = json.loads(run(["tacit", "--json", "privacy", "verify", path]).stdout)["data"]
        self.assertEqual((check["adjustments"], check["epsilon_spent"]), (2, shown["epsilon_spent"]))
        refused = self.server.cli("task", "adjust", "t", "--noise-multiplier", "0.5", expect=6)["error"]
        self.assertIn("pays for no further round", refused["message"])

    def test_it_is_not_changed_by_who_has_seen_other_figures(self):
        self.server.create_task(task_text(size=1, minimum=1, rounds=100, privacy=self.privacy))
        device, = self.agents("a")
        self.run_round([device], 1)
        seen = self.server.cli("task", "adjust", "t", "--noise-multiplier", "6", "--dry-run")["data"]["if_match"]
        self.run_round([device], 2)
        late = self.server.cli("task", "adjust", "t", "--noise-multiplier", "6", "--if-match", seen, expect=1)["error"]
        self.assertEqual((late["code"], late["hint"]), ("changed", "tacit privacy show t"))
        before = self.server.cli("privacy", "show", "t")["data"]
        self.assertEqual(before["noise_multiplier"], 4)
        path, body = "/api/v1/tasks/t:adjust", b'{"noise_multiplier": 6}'
        for tag in ('"other"', "W/" + self.server.operator("GET", "/api/v1/tasks/t/privacy").headers["ETag"], ""):
            self.assertEqual(self.server.operator("POST", path, body, {"If-Match": tag}).status, 412, tag)
        self.assertEqual(self.server.cli("privacy", "show", "t")["data"], before)
        # Two who have seen the same: one of them changes it.
        now = self.server.operator("GET", "/api/v1/tasks/t/privacy").headers["ETag"]
        statuses = [self.server.operator("POST", path, body, {"If-Match": f'"x", {now}'}).status for _ in "ab"]
        self.assertEqual(statuses, [200, 412])
        after = self.server.operator("GET", "/api/v1/tasks/t/privacy")
        self.assertEqual((json.loads(after.body)["noise_multiplier"], after.headers["ETag"] == now), (6, False))

    def test_a_charge_behind_which_the_noise_was_changed_is_found_after_a_crash(self):
        self.server.create_task(task_text(size=2, rounds=10, privacy=self.privacy))
        devices = self.devices("a", "b")
        leases = open_round(devices)
        # A disk that takes no model: the round is charged and waits for its publication.
        models = self.server.root / "data/models"
        models.rename(models.with_name("away"))
        models.write_text("")
        for device, lease in zip(devices, leases):
            self.assertEqual(device.upload(lease, numpy.zeros(parameters(lease))).status, 200)
        self.server.wait_for_event("round_not_published")
        self.server.cli("task", "adjust", "t", "--noise-multiplier", "2")
        self.server.kill()
        models.unlink()
        models.with_name("away").rename(models)
        self.server.restart()
        self.server.wait_for_event("round_published", round=1)
        self.run_round(devices, 2)
        entries = self.server.cli("privacy", "ledger", "t")["data"]["items"]
        self.assertEqual([entry["kind"] for entry in entries], ["reserve", "charge", "adjust", "reserve", "charge"])

    def test_only_a_task_with_noise_of_the_server_has_some_to_change(self):
        self.server.create_task(task_text(privacy=LOCAL))
        refused = self.server.cli("task", "adjust", "t", "--noise-multiplier", "2", expect=1)["error"]
        self.assertIn("no noise of the server", refused["message"])
        for body in (b"", b"[]", b'{"noise_multiplier": "2"}', b'{"noise_multiplier": 2, "epsilon": 1}',
                     b'{"noise_multiplier": 2, "dry_run": 1}'):
            answer = self.server.operator("POST", "/api/v1/tasks/t:adjust", body)
            self.assertEqual(answer.status, 400, body)
        answer = self.server.operator("POST", "/api/v1/tasks/t:adjust", b'{"noise_multiplier": -1}')
        self.assertEqual(answer.status, 422)
        operators = self.server.root / "operators"
        answer = request(self.server.ports["api"], "POST", "/api/v1/tasks/t:adjust", b'{"noise_multiplier": 2}',
                         ca=self.server.root / "pki/ca.crt", certificate=operators / "auditor.crt",
                         key=operators / "auditor.key")
        self.assertEqual(answer.status, 403)


LOCAL = """mechanism = "none"
clip_norm = 1.0
grid_radius = 1024
[privacy.local]
mechanism = "gaussian"
noise_multiplier = 2.0
delta = 1e-6
"""


class NoiseOfDevices(ServerTest):
    """Local differential privacy: who must not be trusted with an update does not get one."""

    def agent(self, device, data, *arguments):
        agent = subprocess.Popen([BIN / "tacit-agent", "run", "--state", device.state, "--synthetic", data, *arguments],
                                 stderr=subprocess.PIPE, text=True)
        self.addCleanup(agent.kill)
        return agent

    def test_the_server_takes_noised_integers_within_their_bound_and_nothing_else(self):
        self.server.create_task(task_text(size=2, rounds=4, participations=2, privacy=LOCAL))
        devices = self.agents("a", "b")
        leases = open_round(devices)
        local = leases[0].local
        self.assertEqual((local.mechanism, local.noise_multiplier, local.delta, local.max_releases),
                         (agent_pb2.MECHANISM_GAUSSIAN, 2.0, 1e-6, 2))
        d = parameters(leases[0])
        plain = devices[0].upload(leases[0], numpy.zeros(d))
        self.assertEqual(plain.status, 422)
        self.assertIn("an update without noise must not leave its device", plain.problem()["detail"])
        bound = 1024 * (1 + 16 * 2)
        values = numpy.full(d, bound)
        values[2] += 1
        grid = agent_pb2.ENCODING_GRID_INT32
        beyond = devices[0].upload(leases[0], values, encoding=grid)
        self.assertEqual(beyond.status, 422)
        self.assertIn("entry 2", beyond.problem()["detail"])
        self.assertEqual(devices[0].upload(open_round(devices)[0], numpy.full(d, bound), encoding=grid).status, 200)
        self.server.kill()
        self.server.restart()
        self.assertEqual(devices[1].upload(leases[1], numpy.full(d, -bound), encoding=grid).status, 200)
        self.server.wait_for_event("round_published")
        shown = self.server.cli("privacy", "show", "t")["data"]
        self.assertEqual(shown["mechanism"], "none")
        self.assertIn("each device adds its own", shown["statement"])
        local = shown["local"]
        self.assertTrue(local["neighbouring"].startswith("replace-one"))
        self.assertGreater(local["epsilon_at_max_releases"], local["epsilon_of_one_update"])
        self.assertEqual(local["epsilon_counted"], local["epsilon_of_one_update"])
        self.assertIn("modified agent", " ".join(local["not_covered"]))
        self.assertEqual(self.server.task()["local"]["noise_multiplier"], 2.0)
        without = self.server.cli("privacy", "ledger", "t", expect=1)["error"]["message"]
        self.assertIn("the server adds no noise in task t: its devices do", without)

    def test_devices_noise_what_they_send_and_keep_account_of_it(self):
        self.synthetic_task(size=3, minimum=3, rounds=3, participations=2, privacy=LOCAL)
        devices = self.agents("a", "b", "c")
        cap = ("--max-local-epsilon", "20", "--local-delta", "1e-5")
        agents = [self.agent(device, f"{i}/3", "--rounds-limit", "2", *(cap if i == 0 else ()))
                  for i, device in enumerate(devices)]
        for agent in agents:
            log = agent.communicate(timeout=harness.PATIENCE)[1]
            self.assertEqual(agent.returncode, 0, log)
        self.server.wait_for_event("round_published", round=2)
        limit = self.server.cli("privacy", "show", "t")["data"]["local"]
        self.assertEqual(limit["epsilon_counted"], limit["epsilon_at_max_releases"])
        own = json.loads(run(["tacit-agent", "--json", "privacy", "--state", devices[0].state]).stdout)["data"]
        self.assertEqual([(item["task"], item["updates"]) for item in own["local"]["items"]], [("t", 2)])
        self.assertEqual(own["local"]["items"][0]["epsilon"], limit["epsilon_at_max_releases"])
        self.assertEqual(own["local"]["max_epsilon"], 20)
        self.assertLessEqual(own["local"]["epsilon_spent"], 20)
        self.assertEqual(own["items"][0]["epsilon"], limit["epsilon_counted"])
        self.assertTrue(own["items"][0]["local"])
        self.server.stop()
        alone = json.loads(run(["tacit-agent", "--json", "privacy", "--offline", "--state",
                                devices[1].state]).stdout)["data"]
        self.assertIsNone(alone["local"]["max_epsilon"])
        joined = run(["tacit-agent", "privacy", "--offline", "--state", devices[1].state]).stdout
        self.assertIn("task t: 2 of 2 updates", joined)
        self.assertEqual(alone["local"]["items"], own["local"]["items"])

    def synthetic_task(self, **options):
        shape = json.loads(run(["tacit-agent", "--json", "shape", "--synthetic", "0/3"]).stdout)["data"]
        text = task_text(inputs=shape["inputs"], **options)
        self.server.create_task(text.replace("classes = 3", f"classes = {shape['classes']}"))

    def test_a_device_with_a_cap_opens_no_round_of_a_task_without_noise_however_often_it_starts(self):
        self.synthetic_task(size=1, minimum=1, rounds=8, deadline="500ms")
        device, other = self.agents("a", "b")
        cap = ("--max-local-epsilon", "4", "--local-delta", "1e-6")
        for arguments in (cap, (), ()):
            agent = self.agent(device, "0/3", *arguments)
            waiting = next(event for event in map(json.loads, agent.stderr) if event["event"] == "agent_waiting")
            self.assertIn("without noise of the device", waiting["reason"])
            agent.terminate()
            self.assertEqual(agent.wait(timeout=harness.PATIENCE), 0)
        self.assertEqual(self.server.events_named("round_opened"), [])
        self.assertEqual(self.server.cli("privacy", "show", "t")["data"]["epsilon_spent"], 0)
        self.assertEqual(other.lease().round, 1)

    def test_a_device_without_noise_of_its_own_says_so(self):
        device, = self.agents("a")
        own = run(["tacit-agent", "privacy", "--offline", "--state", device.state]).stdout
        self.assertIn("noise of this device: none", own)
        (device.state / "local_privacy.json").write_text('{"schema": 1, "cap": nul')
        damaged = run(["tacit-agent", "privacy", "--offline", "--state", device.state], expect=1)
        self.assertIn("local_privacy.json: is no JSON, or was cut", damaged.stderr)

    def test_a_device_declines_what_its_cap_does_not_pay_for_and_gives_its_place_back(self):
        self.synthetic_task(size=1, minimum=1, rounds=3, privacy=LOCAL)
        device, other = self.agents("a", "b")
        agent = self.agent(device, "0/3", "--max-local-epsilon", "0.5", "--local-delta", "1e-6")
        declined = next(event for event in map(json.loads, agent.stderr) if event["event"] == "agent_task_declined")
        self.assertEqual(declined["code"], "budget_exhausted")
        # There is one place, and the device that will not use it says so.
        self.assertEqual(other.lease().round, 1)
        self.assertEqual(self.server.task()["current_round"]["counted"], 0)
        agent.terminate()
        self.assertEqual(agent.wait(timeout=harness.PATIENCE), 0)


if __name__ == "__main__":
    unittest.main()
