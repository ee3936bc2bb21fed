"""What the benchmarks beside this file share: rows of results, and a tacitd of their own."""

import contextlib
import json
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build" / "release" / "bin"
MIB = 1 << 20


def row_printer(benchmark):
    """Prints one result a call. `ratio` is how many times better than the baseline it is."""
    def row(name, value, unit, baseline=None, goal=None, holds=None, better="lower"):
        ratio = None if not baseline or not value else (baseline / value if better == "lower" else value / baseline)
        if goal is not None and holds is None:
            holds = value <= goal if better == "lower" else value >= goal
        print(json.dumps({"name": f"{benchmark}.{name}", "value": value, "unit": unit, "baseline": baseline,
                          "ratio": ratio, "goal": goal, "holds": holds}), flush=True)
    return row


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def load(command, **options):
    words = [word for name, value in options.items() for word in ("--" + name.replace("_", "-"), value)]
    return json.loads(run(BIN / "load_generator", command, *words))


class Server:
    """A data directory made by `tacit init`, and a tacitd on it, on ports that are free."""

    def __init__(self, edits=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tacit-benchmark-"))
        self.root = self.directory / "server"
        self.process = None
        run(BIN / "tacit", "init", "--dir", self.root)
        self.config = self.root / "tacitd.toml"
        text = self.config.read_text()
        for key, value in {"port": 0, **(edits or {})}.items():
            # Of connections those of the first section, which is the devices'.
            text = re.sub(rf"(?m)^#? *{key} *=\S* *\S*", f"{key} = {value} ", text, count=key == "max_connections")
        self.config.write_text(text)

    def start(self):
        """Returns how many seconds it took until the server was ready."""
        began = time.monotonic()
        self.log = open(self.directory / "log", "w", encoding="utf-8")
        self.process = subprocess.Popen([BIN / "tacitd", "--config", self.config], stderr=self.log)
        ready = None
        while ready is None:
            time.sleep(0.005)
            if self.process.poll() is not None:
                raise SystemExit("tacitd ended: " + (self.directory / "log").read_text())
            events = [json.loads(line) for line in (self.directory / "log").read_text().splitlines()]
            ready = next((event for event in events if event.get("event") == "server_ready"), None)
        self.ports = {name: ready[name + "_port"] for name in ("agents", "enrolment", "api", "metrics")}
        return time.monotonic() - began

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=30)
        self.process.kill()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    def tacit(self, *words):
        """The command line's answer."""
        return json.loads(run(BIN / "tacit", "--context", self.root, "--server", f"127.0.0.1:{self.ports['api']}",
                              "--json", *words))["data"]

    def create_task(self, text):
        path = self.directory / "task.toml"
        path.write_text(text)
        self.tacit("task", "create", "-f", path)

    def metrics(self):
        address = f"http://127.0.0.1:{self.ports['metrics']}/metrics"
        return urllib.request.urlopen(address, timeout=10).read().decode()
