"""The dashboard in a real Chromium, with a real server behind it: what it shows, to whom, and how it can be used.

Pictures of all pages, in both themes and three widths, are written to TACIT_PICTURES.
"""

import contextlib
import gzip
import http.client
import json
import os
import pathlib
import select
import socket
import ssl
import threading
import unittest

import numpy

import harness
from browser import Browser, key_fingerprint
from harness import GAUSSIAN, NO_PRIVACY, Server, agent_pb2, parameters, task_text
from test_rounds import open_round

HERE = pathlib.Path(__file__).parent
BUILT = pathlib.Path(os.environ["TACIT_SOURCE"], "server/dashboard/built")
PICTURES = pathlib.Path(os.environ["TACIT_PICTURES"])
ACCESSIBILITY = (HERE / "accessibility.js").read_text()
WIDTHS = (400, 1280, 2560)
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
TRACKED = GAUSSIAN.replace("noise_multiplier = 1.0", "noise_multiplier = 1.2").replace(
    "epsilon_budget = 50.0", "epsilon_budget = 14.0\nclip_quantile = 0.5\nclip_learning_rate = 0.5")
#: Names that a screen reader tells: without one, such a thing is nothing.
NAMED = {"button", "link", "textbox", "combobox", "table", "navigation", "dialog", "image", "img", "region", "heading",
         "columnheader", "rowheader", "DisclosureTriangle"}

READY = "!document.querySelector('main').hasAttribute('aria-busy') && document.querySelector('h1')?.textContent === "
PAGES = {
    "tasks": ("#/tasks", "Tasks", "document.querySelectorAll('tbody tr').length >= 3"),
    "task": ("#/tasks/wards", "Task wards", "document.querySelectorAll('.plot svg').length === 5"),
    "task-without-noise": ("#/tasks/plain", "Task plain", "document.querySelectorAll('.plot svg').length === 3"),
    "devices": ("#/devices", "Devices", "document.querySelectorAll('figure').length === 3"),
    "records": ("#/records/wards", "Ledger and audit", "document.querySelectorAll('.scroll').length === 2"),
    "operations": ("#/operations", "Operations", "document.querySelector('#answers ~ .card tbody')"),
}


def wobble(number, size):
    """An update that is longer than the clip norm for some devices, and shorter for others."""
    vector = numpy.random.default_rng(number).normal(size=size)
    return vector / numpy.linalg.norm(vector) * (0.4 + 0.3 * (number % 5))


class Scene:
    """A server with something to look at: a task in the middle of its rounds, one without noise, one whose budget is
    used up."""

    ROUNDS = 6

    def __init__(self):
        self.server = Server().start()
        self.devices = [self.server.enrol(f"ward-{number}") for number in range(8)]
        self.server.create_task(task_text("wards", rounds=12, size=8, minimum=6, privacy=TRACKED))
        for number in range(1, self.ROUNDS + 1):
            self.run_round("wards", self.devices, number)
        self.server.create_task(task_text("plain", rounds=9, size=2, minimum=2, privacy=NO_PRIVACY))
        for number in (1, 2, 3):
            self.run_round("plain", self.devices[:2], number)
        self.server.create_task(task_text("spent", rounds=9, size=2, minimum=2,
                                          privacy=GAUSSIAN.replace("50.0", "4.5")))
        self.run_round("spent", self.devices[:2], 1)
        self.server.operator("POST", "/api/v1/devices/ward-7:revoke")
        self.open_round()
        for device, version in zip(self.devices, ("0.1.0",) * 4 + ("0.0.9",) * 2):
            wish = agent_pb2.CheckInRequest(protocol_version=1, task="wards",
                                            agent_version=f"tacit-agent {version}")
            device.request("POST", "/v1/checkin", wish.SerializeToString())
        self.tokens = {role: self.token(role) for role in ("admin", "viewer", "auditor")}

    def run_round(self, task, devices, number):
        for at, (device, lease) in enumerate(zip(devices, open_round(devices, task))):
            answer = device.upload(lease, wobble(17 * number + at, parameters(lease)))
            assert answer.status == 200, answer.body
        self.server.published(number, task)

    def open_round(self):
        """One that stays open, with some of its updates."""
        devices = self.devices[:7]
        for device, lease in list(zip(devices, open_round(devices, "wards")))[:3]:
            assert device.upload(lease, wobble(3, parameters(lease))).status == 200

    def token(self, role):
        body = json.dumps({"name": "ada", "role": role, "ttl_s": 90 * 86400}).encode()
        return self.server.asked("POST", "/api/v1/access/tokens", body)["secret"]

    @property
    def address(self):
        return f"https://127.0.0.1:{self.server.ports['api']}/"


class CertificateBridge:
    """Shows the server a client certificate, as a browser that holds one would, for a browser that holds none. The way
    to it is under the server's own key.
    """

    def __init__(self, server):
        self.server = server
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(server.root / "pki/server.crt", server.root / "pki/server.key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"https://127.0.0.1:{self.listener.getsockname()[1]}/"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                raw, _ = self.listener.accept()
                threading.Thread(target=self.bridge, args=(raw,), daemon=True).start()

    def bridge(self, raw):
        operators = self.server.root / "operators"
        with contextlib.suppress(OSError):
            with self.context.wrap_socket(raw, server_side=True) as near, harness.connect(
                    self.server.ports["api"], self.server.root / "pki/ca.crt", operators / "admin.crt",
                    operators / "admin.key") as far:
                while all(self.move(*ends) for ends in self.ready({near: far, far: near})):
                    pass

    @staticmethod
    def ready(ends):
        pending = [end for end in ends if end.pending()] or select.select(list(ends), [], [])[0]
        return [(end, ends[end]) for end in pending]

    @staticmethod
    def move(source, target):
        source.settimeout(0)
        try:
            data = source.recv(1 << 16)
        except ssl.SSLWantReadError:  # a part of a record, or a ticket
            return True
        target.settimeout(harness.PATIENCE)
        target.sendall(data)
        return data != b""

    def close(self):
        self.listener.close()


def setUpModule():
    PICTURES.mkdir(parents=True, exist_ok=True)
    DashboardTest.scene = scene = Scene()
    unittest.addModuleCleanup(scene.server.close)
    DashboardTest.browser = Browser(key_fingerprint(scene.server.root / "pki/server.crt"))
    unittest.addModuleCleanup(DashboardTest.browser.close)


class DashboardTest(unittest.TestCase):
    maxDiff = None
    """Each test has a page of its own; server and browser are there once for all."""

    def setUp(self):
        self.address = self.scene.address
        self.page = self.browser.page()
        self.page.look(1280)
        self.page.open(self.address)
        self.expected = []  # that the page says, and should

    def tearDown(self):
        """Whatever a test does: the page has no fault, asks nobody else, and keeps no cookie."""
        self.assertEqual([text for _, text in self.page.said], self.expected)
        for address in self.page.asked.values():
            self.assertTrue(address.startswith((self.scene.address, self.address, "data:image/svg+xml,")), address)
        self.assertEqual(self.page.send("Network.getCookies", urls=[self.scene.address])["cookies"], [])

    def sign_in(self, token=None):
        self.page.wait("document.activeElement.id === 'token'", "the field for a token")
        self.page.type(token or self.scene.tokens["admin"])
        self.page.press("Enter")

    def go(self, name):
        where, title, sign = PAGES[name]
        self.page.value(f"location.hash = {json.dumps(where)}")
        self.page.wait(f"{READY}{json.dumps(title)} && {sign}", name)

    def serve(self, answers):
        """Answers to calls, as the document names them, in place of those that the server has or has not."""
        def with_calls(document):
            return {**document, "paths": {**document["paths"], **{call: {} for call in answers}}}
        self.page.replace("/openapi.json", with_calls)
        for call, answer in answers.items():
            self.page.replace(call.replace("{task}", "wards"), lambda _, answer=answer: answer)

    def check_accessibility(self, what):
        self.assertEqual(self.faults(what), [])

    def faults(self, what):
        """Of the page as it stands: from what is in it, and from what a screen reader is told."""
        self.page.settle()
        found = [f"{what}: {each}" for each in self.page.value(ACCESSIBILITY)]
        nodes = self.page.send("Accessibility.getFullAXTree")["nodes"]
        seen = [node for node in nodes if not node["ignored"]]
        self.assertGreater(len(seen), 20)
        nameless = [node for node in seen if not node.get("name", {}).get("value", "").strip()]
        found += [f"{what}: {node['role']['value']} has no name" for node in nameless if node["role"]["value"] in NAMED]
        return found


class Looks(DashboardTest):
    def show(self, name):
        found = []
        for theme in ("light", "dark"):
            for width in WIDTHS:
                self.page.look(width, theme=theme)
                found += self.faults(f"{name} in {theme}, {width} wide")
                self.page.picture(PICTURES / f"{name}-{theme}-{width}.png")
        self.page.look(1280)
        return found

    def test_every_page_in_both_themes_and_three_widths(self):
        found = self.show("sign-in")
        self.sign_in()
        for name in PAGES:
            self.go(name)
            if name == "records":
                self.page.click("#ledger-noted ~ button")
                self.page.wait("document.querySelector('#ledger-result .good')", "the ledger to be verified")
            found += self.show(name)
        self.assertEqual(found, [])
        failed = [(answer["url"], answer["status"]) for answer in self.page.answers.values() if answer["status"] >= 400]
        self.assertEqual(failed, [], "a page asks for nothing that its reader may not have")

    def test_the_theme_is_the_systems_until_somebody_chooses(self):
        ground = "getComputedStyle(document.body).backgroundColor"
        light = self.page.value(ground)
        self.page.look(1280, theme="dark")
        dark = self.page.value(ground)
        self.assertNotEqual(light, dark)
        self.page.click("#theme")
        self.assertEqual(self.page.value(ground), light)
        self.page.open(self.scene.address)
        self.assertEqual(self.page.value(ground), light)
        self.page.click("#theme")
        self.assertEqual(self.page.value(ground), dark)

    def test_what_was_charged_and_what_is_forecast_are_drawn_to_the_budget(self):
        spent = self.scene.server.task("wards")["epsilon_spent"]
        items = [{"rounds": more, "epsilon": spent + 0.9 * more} for more in range(6)]
        self.serve({"/api/v1/tasks/{task}/privacy/forecast": {"task": "wards", "items": items}})
        self.sign_in()
        self.page.wait(READY + "'Tasks'", "the tasks")
        self.go("task")
        self.page.wait("document.querySelector('#epsilon .dashed')", "the forecast")
        rows = self.page.value("""[...document.querySelectorAll("#epsilon tbody tr")].map((row) =>
            [...row.children].map((cell) => cell.textContent))""")
        charged = {int(row[0]): row[1] for row in rows if row[1] != "–"}
        ahead = {int(row[0]): float(row[2]) for row in rows if row[2] != "–"}
        self.assertEqual(sorted(charged), list(range(1, Scene.ROUNDS + 2)))
        for each in self.scene.server.rounds("wards"):
            self.assertAlmostEqual(float(charged[each["round"]]) / each["epsilon_after"], 1, delta=0.01)
        drawn = {Scene.ROUNDS + 1 + each["rounds"]: each["epsilon"] for each in items if each["epsilon"] <= 14}
        self.assertEqual(sorted(ahead), sorted(drawn))
        for number, epsilon in drawn.items():
            self.assertAlmostEqual(ahead[number] / epsilon, 1, delta=0.01)

    def test_an_answer_can_be_looked_at_where_a_chart_names_its_call(self):
        self.sign_in()
        self.go("task")
        self.page.value("document.querySelector('#epsilon figcaption a').focus()")
        self.page.press("Enter")
        self.page.wait("document.querySelector('dialog[open] pre + p')", "the answer")
        self.check_accessibility("an answer")
        self.assertIn('"task": "wards"', self.page.text("dialog"))
        self.assertIn("curl", self.page.text("dialog"))
        self.page.press("Escape")
        self.page.wait("!document.querySelector('dialog') && document.activeElement.matches('#epsilon figcaption a')",
                       "the focus to be back at the link")


class Who(DashboardTest):
    def test_a_wrong_token_is_told_so_and_a_right_one_lasts_for_the_tab(self):
        self.assertIn("tacit access token create", self.page.text())
        self.sign_in("tacit_" + "0" * 64)
        self.page.wait("document.querySelector('[role=alert]')?.innerText.includes('unknown, revoked or expired')",
                       "the refusal")
        self.expected = [text for _, text in self.page.said if "401" in text]
        self.assertEqual(len(self.expected), 1, "the browser itself notes what was refused")
        self.check_accessibility("refused")
        self.sign_in("no token")
        self.page.wait("document.querySelector('[role=alert]')?.innerText.includes('one word')", "the hint")
        self.page.value("document.querySelector('#token').value = ''; document.querySelector('#token').focus()")
        self.sign_in(self.scene.tokens["auditor"])
        self.page.wait(READY + "'Tasks'", "the tasks")
        self.assertIn("ada, auditor", self.page.text("header"))
        self.page.open(self.scene.address + "#/operations")
        self.page.wait(READY + "'Operations'", "the same after a reload")
        kept = self.page.value("JSON.stringify([{...localStorage}, Object.keys(sessionStorage)])")
        self.assertEqual(json.loads(kept), [{}, ["tacit.token"]])
        self.page.click(".identity button")
        self.page.wait(READY + "'Sign in'", "to be signed out")
        self.assertEqual(self.page.value("sessionStorage.length"), 0)

    def test_a_certificate_that_the_browser_shows_is_enough(self):
        bridge = CertificateBridge(self.scene.server)
        self.addCleanup(bridge.close)
        self.address = bridge.address
        self.page.open(bridge.address)
        self.page.wait(READY + "'Sign in'", "to be asked, before anything is sent")
        self.page.click("section:last-of-type button")
        self.page.wait(READY + "'Tasks'", "the tasks")
        self.assertIn("admin, admin", self.page.text("header"))
        self.assertIn("by certificate", self.page.text("header"))
        self.page.reload()
        self.page.wait(READY + "'Tasks'", "the same after a reload")
        self.page.click(".identity button")
        self.page.wait(READY + "'Sign in'", "to be signed out")
        self.assertEqual(self.page.value("localStorage.length + sessionStorage.length"), 0)

    def test_without_a_certificate_the_server_says_what_it_takes(self):
        self.page.click("section:last-of-type button")
        self.page.wait("document.querySelector('[role=alert]')?.innerText.includes('show a client certificate')",
                       "the refusal")
        self.assertEqual(self.page.value("localStorage.length"), 0)
        self.expected = [text for _, text in self.page.said if "401" in text]
        self.assertEqual(len(self.expected), 1)

    def test_a_token_that_is_revoked_ends_at_the_sign_in(self):
        self.sign_in(self.scene.token("viewer"))
        self.page.wait(READY + "'Tasks'", "the tasks")
        tokens = self.scene.server.asked("GET", "/api/v1/access/tokens")["items"]
        newest = max(tokens, key=lambda each: each["created_at"])
        self.scene.server.asked("POST", f"/api/v1/access/tokens/{newest['id']}:revoke")
        self.page.wait("document.querySelector('[role=alert]')?.innerText.includes('revoked')", "to be shut out")
        self.assertEqual(self.page.value("sessionStorage.length"), 0)
        self.expected = [text for _, text in self.page.said if "401" in text]
        self.assertEqual(len(self.expected), 1)

    def test_what_a_role_may_not_read_is_said_and_not_asked_for(self):
        self.sign_in(self.scene.tokens["viewer"])
        self.page.value("location.hash = '#/tasks/wards'")
        self.page.wait("document.querySelector('#epsilon .plot svg')", "the epsilon")
        self.assertIn("scientist, operator or admin", self.page.text("#step"))
        self.assertIn("scientist, operator, auditor or admin", self.page.text("#clipped"))
        for name, of_whom in (("devices", "operator, auditor or admin"), ("records", "auditor or admin")):
            self.page.value(f"location.hash = {json.dumps(PAGES[name][0])}")
            self.page.wait(f"{READY}{json.dumps(PAGES[name][1])}", name)
            self.assertIn(of_whom, self.page.text("main"))
        self.assertEqual([each for each in self.page.answers.values() if each["status"] >= 400], [])


class Use(DashboardTest):
    def test_everything_can_be_reached_and_left_by_keyboard(self):
        self.sign_in()
        for name in PAGES:
            self.go(name)
            self.begin_anew(name)
            self.walk(name)

    def begin_anew(self, name):
        """As somebody who comes to the page: the first Tab is for its first control."""
        self.page.reload()
        self.page.wait(f"{READY}{json.dumps(PAGES[name][1])} && {PAGES[name][2]}", name)

    def walk(self, name):
        """From the first to the last thing that takes the focus, each of which shows that it has it."""
        self.page.settle()
        wanted = self.page.value("""[...document.querySelectorAll(
            "a[href], button, input, select, summary, [tabindex='0']")].filter(
                (node) => node.checkVisibility({checkVisibilityCSS: true})).length""")
        self.page.value("window.met = new Set()")
        for step in range(wanted):
            self.page.press("Tab")
            state = self.page.value("""(() => {
                const node = document.activeElement;
                const style = getComputedStyle(node);
                const again = met.has(node);
                met.add(node);
                return {name: node.outerHTML.slice(0, 120), again, skip: node.matches(".skip"),
                        ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
                        inView: node.getBoundingClientRect().bottom > 0};
            })()""")
            self.assertFalse(state["again"], f"{name}: after {step} of {wanted} the focus is back at {state['name']}")
            self.assertTrue(state["ring"] and state["inView"], f"{name}: nobody sees the focus at {state['name']}")
            self.assertEqual(state["skip"], step == 0, name)
        self.page.press("Tab")
        last = self.page.value("met.has(document.activeElement) ? '' : document.activeElement.outerHTML.slice(0, 200)")
        self.assertIn(last[:5], ("", "<body"), f"{name}: {last}")

    def test_the_navigation_can_be_skipped_and_a_new_page_has_the_focus(self):
        self.sign_in()
        self.go("tasks")
        self.begin_anew("tasks")
        self.page.press("Tab")
        self.page.press("Enter")
        self.assertEqual(self.page.value("document.activeElement.id"), "main")
        self.page.press("Tab")
        self.assertTrue(self.page.value("document.querySelector('main').contains(document.activeElement)"))
        self.page.press("Enter")
        self.page.wait("document.querySelector('h1').textContent.startsWith('Task ')", "the first task")
        self.assertEqual(self.page.value("document.activeElement.nodeName"), "H1")
        self.assertTrue(self.page.value("document.title").startswith("Task "))

    def test_names_are_listed_and_looked_up_when_asked_for(self):
        self.sign_in()
        self.go("devices")
        self.assertNotIn("ward-3", self.page.text())
        self.assertIn("tacit-agent 0.0.9", self.page.text("#versions"))
        self.page.value("document.querySelector('#device').focus()")
        self.page.type("ward-3")
        self.page.press("Enter")
        self.page.wait("document.querySelector('#one ~ .card tbody th')?.innerText === 'ward-3'", "the device")
        self.page.click("[data-key=names] button")
        self.page.wait("document.querySelectorAll('[data-key=names] tbody tr').length === 8", "all names")
        self.check_accessibility("names")


class Records(DashboardTest):
    def setUp(self):
        super().setUp()
        self.sign_in(self.scene.tokens["admin"])
        self.go("records")

    def verify(self, which, noted=""):
        self.page.value(f"document.querySelector('#{which}-noted').value = {json.dumps(noted)}")
        self.page.click(f"#{which}-noted ~ button")
        # A result of before is taken away first.
        return self.page.wait(f"document.querySelector('#{which}-result .note')?.innerText", which)

    def test_a_whole_ledger_and_audit_log_are_found_whole(self):
        entries = self.scene.server.asked("GET", "/api/v1/tasks/wards/ledger?limit=1000")["items"]
        found = self.verify("ledger")
        self.assertIn("Whole.", found)
        self.assertIn(f"{len(entries)} entries", found)
        self.assertIn(entries[-1]["hash"], self.page.text("#ledger-result"))
        self.assertIn("tacit privacy verify", self.page.text("#ledger-result"))
        self.assertIn("Whole.", self.verify("audit"))

    def test_the_server_is_asked_to_verify_as_well_and_must_agree(self):
        newest = self.scene.server.asked("GET", "/api/v1/tasks/wards/ledger?limit=1000")["items"][-1]
        good = {"holds": True, "fault": None, "entries": newest["sequence"], "epsilon_spent": 11.5,
                "head": newest["hash"]}
        call = "/api/v1/tasks/{task}/ledger/verification"
        for answer, told in ((good, "11.5 is spent"), ({**good, "head": "00" * 32}, "verified another record"),
                             ({**good, "entries": 1}, "verified another record"),
                             ({**good, "holds": False, "fault": "entry 3 costs more"}, "entry 3 costs more")):
            self.page.open("about:blank")
            self.page.open(self.scene.address + PAGES["records"][0])
            self.page.replaced.clear()
            self.serve({call: answer})
            self.page.wait(f"{READY}'Ledger and audit' && document.querySelector('#ledger-noted')", "the ledger")
            self.page.click("#ledger-noted ~ button")
            self.page.wait("document.querySelectorAll('#ledger-result .note').length === 2", "both to have verified")
            self.assertIn(told, self.page.text("#ledger-result"))
            self.assertIn(call.replace("{task}", "wards"), self.page.text("#ledger-result"))

    def test_a_noted_head_must_be_on_the_chain(self):
        entries = self.scene.server.asked("GET", "/api/v1/tasks/wards/ledger?limit=1000")["items"]
        self.assertIn("is among them", self.verify("ledger", entries[2]["hash"]))
        self.assertIn("not on this chain", self.verify("ledger", "ab" * 32))

    def verify_changed(self, which, path, change):
        """With an answer that was changed on its way to the page, as a server that lies would."""
        def changed(body):
            change(body)
            return body
        self.page.replace(path, changed)
        found = self.verify(which)
        self.page.replace_nothing()
        return found

    def test_any_change_of_a_record_is_found(self):
        def less_noise(ledger):
            ledger["items"][3]["epsilon_after"] /= 2
        self.assertIn("entry 4 is not what its hash", self.verify_changed("ledger", "/ledger", less_noise))

        def gap(ledger):
            del ledger["items"][5]
        self.assertIn("entry 6 is missing", self.verify_changed("ledger", "/ledger", gap))

        def larger_budget(ledger):
            ledger["policy"]["epsilon_budget"] *= 2
        self.assertIn("policy is not what its digest", self.verify_changed("ledger", "/ledger", larger_budget))

        def another_actor(log):
            log["items"][0]["actor"] = "admin/eve"
        self.assertIn("record 1 is not what its hash", self.verify_changed("audit", "/audit", another_actor))


class Operations(DashboardTest):
    """Alerts and metrics are given here, whatever the server has of them."""

    ALERTS = [{"name": "TacitRoundWaits", "severity": "ticket", "task": "wards", "summary": "nobody comes",
               "next": "look"},
              {"name": "TacitStoreErrors", "severity": "page", "task": None, "summary": "the disk", "next": "run"}]
    METRICS = [
        {"name": "tacit_memory_ceiling_bytes", "series": [{"labels": {}, "value": 2 << 30}]},
        {"name": "process_resident_memory_bytes", "series": [{"labels": {}, "value": 1 << 29}]},
        {"name": "tacit_store_operations_total", "series": [
            {"labels": {"operation": "audit", "result": "error"}, "value": 3},
            {"labels": {"operation": "audit", "result": "ok"}, "value": 9}]},
        {"name": "tacit_store_operation_duration_seconds", "series": [
            {"labels": {"operation": "audit"}, "count": 20, "sum": 0.08,
             "buckets": [{"up_to": 0.005, "count": 15}, {"up_to": 0.01, "count": 19}, {"up_to": None, "count": 20}]}]}]

    def show(self):
        self.sign_in()
        self.page.wait(READY + "'Tasks'", "the tasks")
        self.go("operations")

    def test_what_is_wrong_and_how_the_server_does(self):
        self.serve({"/api/v1/alerts": {"items": self.ALERTS, "next_cursor": None},
                    "/api/v1/metrics": {"items": self.METRICS, "next_cursor": None}})
        me = self.scene.server.asked("GET", "/api/v1/whoami")
        me.update(actions=[*me["actions"], "read_operations"])
        self.page.replace("/api/v1/whoami", lambda _: me)
        self.show()
        for part, texts in (("alerts", ("TacitRoundWaits", "nobody comes", "look", "page", "wards")),
                            ("server", ("2 GiB", "512 MiB", "25 % of the ceiling", "audit", "4 ms", "≤ 10 ms"))):
            for text in texts:
                self.assertIn(text, self.page.text(f"[data-key={part}]"))
        self.assertIn("3", self.page.text(".tile:nth-child(3) .value"))
        self.check_accessibility("operations with alerts")
        self.page.look(400)
        self.check_accessibility("operations with alerts, narrow")

    def test_a_server_without_them_is_told_so(self):
        self.page.replace("/openapi.json", lambda document: {**document, "paths": {}})
        self.show()
        for call in ("/api/v1/alerts", "/api/v1/metrics"):
            self.assertIn(f"This server has no GET {call}", self.page.text("main"))

    def test_what_ends_soon_is_named(self):
        body = json.dumps({"name": "grace", "role": "viewer", "ttl_s": 3600}).encode()
        made = self.scene.server.asked("POST", "/api/v1/access/tokens", body)
        self.addCleanup(self.scene.server.asked, "POST", f"/api/v1/access/tokens/{made['id']}:revoke")
        self.show()
        shown = self.page.text("[data-key=credentials]")
        self.assertIn(f"The access token {made['id']} of grace", shown)
        self.assertIn("tacit access token create --name grace --role viewer", shown)


class Live(DashboardTest):
    def test_a_round_is_seen_when_it_ends(self):
        self.sign_in()
        self.go("task-without-noise")
        self.page.wait("document.querySelector('.live')?.innerText === 'Live'", "the events")
        before = self.scene.server.task("plain")["rounds_published"]
        self.page.value("window.sameDocument = true; document.querySelector('#duration summary').click()")
        self.scene.run_round("plain", self.scene.devices[:2], before + 1)
        self.page.wait(f"document.querySelector('.tile .value').innerText === '{before + 1} of 9'", "the round")
        self.page.wait(f"document.querySelector('[data-key=rounds] tbody th').innerText === '{before + 1}'", "its row")
        self.assertEqual(self.page.value("document.querySelectorAll('#duration .plot rect').length"), before + 1)
        self.assertTrue(self.page.value("window.sameDocument && document.querySelector('#duration details').open"),
                        "what a reader opened stays open")


class Files(DashboardTest):
    """What the listener answers to anyone, byte for byte."""

    def setUp(self):
        self.files = [line.split(" ", 2) for line in (BUILT / "files.txt").read_text().splitlines()]

    def tearDown(self):
        pass

    def ask(self, method, path, headers=None):
        server = self.scene.server
        connection = http.client.HTTPSConnection("127.0.0.1", server.ports["api"], timeout=harness.PATIENCE,
                                                 context=harness.tls_context(server.root / "pki/ca.crt"))
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in {"Content-Length": "0", **(headers or {})}.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return harness.Answer(answer.status, dict(answer.getheaders()), answer.read())

    def test_each_file_comes_packed_or_plain_with_its_headers(self):
        self.assertEqual(self.files[0][0], "/")
        for path, name, media_type in self.files:
            packed = (BUILT / name).read_bytes()
            zipped, plain = self.ask("GET", path, {"Accept-Encoding": "gzip"}), self.ask("GET", path)
            self.assertEqual((zipped.body, plain.body), (packed, gzip.decompress(packed)))
            self.assertEqual(zipped.headers["Content-Encoding"], "gzip")
            self.assertNotIn("Content-Encoding", plain.headers)
            self.assertNotEqual(zipped.headers["ETag"], plain.headers["ETag"])
            lasts = "no-cache" if path == "/" else "public, max-age=31536000, immutable"
            for answer in (zipped, plain):
                self.assertEqual(answer.status, 200)
                for header, value in (("Content-Type", media_type), ("Vary", "Accept-Encoding"),
                                      ("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff"),
                                      ("Referrer-Policy", "no-referrer"), ("Cache-Control", lasts)):
                    self.assertEqual(answer.headers[header], value, path)
            head = self.ask("HEAD", path, {"Accept-Encoding": "gzip"})
            self.assertEqual((head.body, head.headers["Content-Length"]), (b"", str(len(packed))))
            again = self.ask("GET", path, {"Accept-Encoding": "gzip", "If-None-Match": zipped.headers["ETag"]})
            self.assertEqual((again.status, again.body, again.headers["ETag"]), (304, b"", zipped.headers["ETag"]))

    def test_nothing_else_is_there_and_nothing_else_is_open(self):
        for path in ("/index.html", "/assets", "/assets/", "/assets/dashboard.js", "/favicon.ico", "//", "/built/"):
            self.assertEqual(self.ask("GET", path).status, 404, path)
        self.assertEqual(self.ask("GET", "/api/v1/tasks").status, 401)
        refused = self.ask("POST", "/")
        self.assertEqual((refused.status, refused.headers["Allow"]), (405, "OPTIONS, GET, HEAD"))


class Words(DashboardTest):
    def test_a_name_with_markup_in_it_stays_text(self):
        reason = "<img src=x onerror=alert(1)><script>alert(2)</script>"
        self.scene.server.create_task(task_text("odd", privacy=NO_PRIVACY))
        self.scene.server.asked("POST", "/api/v1/tasks/odd:stop", json.dumps({"reason": reason}).encode())
        self.sign_in()
        self.page.wait(f"document.querySelector('main').innerText.includes({json.dumps(reason)})", "the reason")
        self.assertEqual(self.page.value("document.querySelectorAll('main img, main script').length"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
