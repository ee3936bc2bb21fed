"""A real headless Chromium, spoken to over the DevTools protocol through two pipes: no port that others could reach, no
library between a test and what the browser says. It is the package chromium-headless-shell.
"""

import base64
import collections
import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

import harness

PROGRAM = "chromium-headless-shell"
#: What a page says that is no answer to a command, as (method, parameters).
Event = collections.namedtuple("Event", "method parameters")


def key_fingerprint(certificate):
    """SHA-256 of the key in a certificate, as Chromium takes it."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key.stdout, check=True,
                         capture_output=True)
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=der.stdout, check=True,
                            capture_output=True)
    return base64.b64encode(digest.stdout).decode()


class Browser:
    """One process with a profile of its own. Of all certificates that no CA of the system has signed it takes those of
    `trusted_key` alone: the server under test must hold that key, and any other is refused as ever.
    """

    def __init__(self, trusted_key):
        self.profile = pathlib.Path(tempfile.mkdtemp(prefix="tacit-browser-"))
        command = [PROGRAM, "--remote-debugging-pipe", f"--user-data-dir={self.profile}",
                   f"--ignore-certificate-errors-spki-list={trusted_key}", "--disable-gpu", "--hide-scrollbars",
                   "--force-color-profile=srgb", "--lang=en-GB", "--disable-background-networking", "about:blank"]
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # which root cannot have, and which guards against pages of strangers
        self.log = open(self.profile / "log", "w+b")
        to_browser, self.out, self.into, from_browser = (*os.pipe(), *os.pipe())
        # The protocol's pipes are descriptors 3 and 4, whatever stands there now.
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser, from_browser)]
        spread = ["bash", "-c", 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"', "bash", *map(str, theirs)]
        self.process = subprocess.Popen([*spread, *command], pass_fds=theirs, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        for end in (*theirs, to_browser, from_browser):
            os.close(end)
        self.buffer = b""
        self.number = 0
        self.answers = {}
        self.pages = {}

    def send(self, method, session=None, **parameters):
        """The result of a command, once the browser has carried it out."""
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + harness.PATIENCE
        while number not in self.answers:
            self.read(deadline)
        answer = self.answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def read(self, deadline):
        """Takes in what the browser says next."""
        ready, _, _ = select.select([self.into], [], [], max(0, deadline - time.monotonic()))
        assert ready, "the browser said nothing for too long:\n" + self.said()
        data = os.read(self.into, 1 << 20)
        assert data, "the browser has ended:\n" + self.said()
        *messages, self.buffer = (self.buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            elif (page := self.pages.get(message.get("sessionId"))) is not None:
                page.hear(Event(message["method"], message["params"]))

    def said(self):
        return (self.profile / "log").read_bytes()[-3000:].decode(errors="replace")

    def page(self, **options):
        """A page with cookies and storage of its own."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.pages[session] = Page(self, session, target, **options)
        return self.pages[session].begin()

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.out)
        os.close(self.into)
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)


class Page:
    """One page, and all that it has said, asked for and been refused."""

    KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, ""),
            "Space": ("Space", 32, " ")}

    def __init__(self, browser, session, target):
        self.browser, self.session, self.target = browser, session, target
        self.said = []  # (source, text): on its console, and what the browser says of it
        self.asked = {}  # address of each request, by its id
        self.answers = {}  # what came for each, by its id
        self.replaced = {}  # what becomes of the body of an answer, by the path it is from
        self.paused = []  # answers that wait for that

    def begin(self):
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.send(domain + ".enable")
        return self

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def hear(self, event):
        parameters = event.parameters
        if event.method == "Runtime.consoleAPICalled":
            self.said.append((parameters["type"], " ".join(str(each.get("value", each.get("description")))
                                                           for each in parameters["args"])))
        elif event.method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.said.append(("exception", details.get("exception", {}).get("description", details["text"])))
        elif event.method == "Log.entryAdded":
            entry = parameters["entry"]
            self.said.append((entry["source"], f"{entry['level']}: {entry['text']} {entry.get('url', '')}"))
        elif event.method == "Network.requestWillBeSent":
            self.asked[parameters["requestId"]] = parameters["request"]["url"]
        elif event.method == "Network.responseReceived":
            self.answers[parameters["requestId"]] = parameters["response"]
        elif event.method == "Fetch.requestPaused":
            self.paused.append(parameters)

    # ---- What a person does ----

    def open(self, address):
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'", f"{address} to load")

    def reload(self):
        self.value("window.fromBefore = true")
        self.send("Page.reload")
        self.wait("!window.fromBefore && document.readyState === 'complete'", "the page to load anew")

    def press(self, key, shift=False):
        name, code, text = self.KEYS[key]
        common = {"key": " " if key == "Space" else name, "code": name, "windowsVirtualKeyCode": code,
                  "modifiers": 8 if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def click(self, selector):
        box = self.value(f"""(() => {{
            const node = document.querySelector({json.dumps(selector)});
            node.scrollIntoView({{block: "center"}});
            const box = node.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def look(self, width, height=900, theme="light"):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.settle()

    def settle(self):
        """Two frames: in the first, charts and what else depends on sizes are made anew for them."""
        self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def picture(self, path):
        """The whole page, as it would be on paper without end."""
        image = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(image["data"]))

    # ---- What a server that is not as it should be, or a later one, would answer ----

    def replace(self, path, change):
        """From now on `change` is made in what comes from this path, whatever its status, while it is waited for."""
        self.replaced[path] = change
        self.send("Fetch.enable", patterns=[{"urlPattern": f"*{each}*", "requestStage": "Response"}
                                            for each in self.replaced])

    def replace_answers(self):
        while self.paused:
            answer = self.paused.pop(0)
            change = next(self.replaced[path] for path in self.replaced if path in answer["request"]["url"])
            came = self.send("Fetch.getResponseBody", requestId=answer["requestId"])
            body = base64.b64decode(came["body"]) if came["base64Encoded"] else came["body"].encode()
            body = json.dumps(change(json.loads(body))).encode()
            self.send("Fetch.fulfillRequest", requestId=answer["requestId"], responseCode=200,
                      responseHeaders=[{"name": "Content-Type", "value": "application/json"}],
                      body=base64.b64encode(body).decode())

    def replace_nothing(self):
        self.replaced.clear()
        self.send("Fetch.disable")

    # ---- What it sees ----

    def value(self, expression):
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{expression[:200]}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, expression, what, patience=None):
        deadline = time.monotonic() + (patience or harness.PATIENCE)
        look = f"""(() => {{
            try {{
                const found = {expression};
                return found instanceof Node ? true : found;
            }} catch (error) {{
                return null;
            }}
        }})()"""
        while not (value := self.value(look)):
            self.replace_answers()
            assert time.monotonic() < deadline, (f"waited in vain for {what}; the page says {self.said[-5:]} and shows "
                                                 + self.text()[:1500])
            time.sleep(0.03)
        return value

    def text(self, selector="body"):
        return self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
