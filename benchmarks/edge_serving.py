"""What a device that serves a model takes: the program's size, memory of agent and worker, requests a second.

A part of benchmarks/edge.py. The agent is the real one, of a device that has joined a server of its own, which is gone
by then; the model is the small convolutional network; questions come over its Unix domain socket as binary tensors.
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import time

from scene import BIN, Server, run

MB = 1e6
SECONDS = 5
PIXELS = 28 * 28
#: Of the program without symbols, and of the memory of its processes while they serve. Units: MB.
SIZE_GOAL, MEMORY_GOAL = 6, 12
STRIP = "llvm-strip-19"


def limit_row(name, value, unit, goal=None):
    print(json.dumps({"name": name, "value": value, "unit": unit, "baseline": None, "ratio": None, "goal": goal,
                      "holds": value <= goal if goal else None}), flush=True)


def stripped_size():
    with tempfile.TemporaryDirectory() as folder:
        stripped = pathlib.Path(folder) / "tacit-agent"
        run(STRIP, "-o", stripped, BIN / "tacit-agent")
        return stripped.stat().st_size


def joined(state):
    """A device's state directory; the server that it joined has ended."""
    with Server() as server:
        token = server.tacit("device", "token", "create")
        state.mkdir()
        (state / "token").write_text(token["token"])
        run(BIN / "tacit-agent", "join", "--server", "127.0.0.1", "--enrolment-port", server.ports["enrolment"],
            "--ca-fingerprint", token["ca_fingerprint"], "--token-file", state / "token", "--state", state)


def deploy(state):
    signer = state / "signer.key"
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", signer)
    run(BIN / "serving_probe", "deploy", state, signer, "cnn", 1, "cnn")


@contextlib.contextmanager
def serving(state):
    """The agent's process, once it serves."""
    agent = subprocess.Popen([BIN / "tacit-agent", "serve", "--state", state, "--task", "cnn"], stderr=subprocess.PIPE,
                             text=True)
    try:
        for line in agent.stderr:
            if json.loads(line)["event"] == "model_serving":
                break
        else:
            raise SystemExit("the agent ended before it served")
        yield agent.pid
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.stderr.close()
        agent.wait(30)


def worker_of(agent):
    children = [child for task in pathlib.Path(f"/proc/{agent}/task").iterdir()
                for child in (task / "children").read_text().split()]
    [worker] = children
    return int(worker)


def memory(process, field, file="status"):
    """Bytes. A worker cannot be looked into, but for its status, not even by its own user."""
    for line in pathlib.Path(f"/proc/{process}/{file}").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/{process}/{file} has no {field}")


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def question():
    head = json.dumps({"inputs": [{"name": "input", "shape": [1, 1, 28, 28], "datatype": "FP32",
                                   "parameters": {"binary_data_size": 4 * PIXELS}}],
                       "parameters": {"binary_data_output": True}}).encode()
    body = head + struct.pack(f"<{PIXELS}f", *(i / PIXELS for i in range(PIXELS)))
    return (f"POST /v2/models/cnn/infer HTTP/1.1\r\nHost: device\r\nContent-Length: {len(body)}\r\n"
            f"Inference-Header-Content-Length: {len(head)}\r\n\r\n").encode() + body


def ask(connection, text):
    """One question and its answer; the client does as little as it can."""
    connection.sendall(text)
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(got.decode(errors="replace"))
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)


def measure():
    limit_row("edge.agent.stripped", stripped_size() / MB, "MB", SIZE_GOAL)
    with tempfile.TemporaryDirectory() as folder:
        state = pathlib.Path(folder) / "device"
        joined(state)
        deploy(state)
        with serving(state) as agent, contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
            worker = worker_of(agent)
            connection.connect(str(state / "serving.sock"))
            text = question()
            for _ in range(200):
                ask(connection, text)
            spent = cpu_seconds(agent) + cpu_seconds(worker)
            began, asked = time.monotonic(), 0
            while time.monotonic() < began + SECONDS:
                ask(connection, text)
                asked += 1
            seconds = time.monotonic() - began
            spent = cpu_seconds(agent) + cpu_seconds(worker) - spent
            limit_row("edge.serving.agent_rss", memory(agent, "VmRSS") / MB, "MB", MEMORY_GOAL)
            limit_row("edge.serving.worker_rss", memory(worker, "VmRSS") / MB, "MB", MEMORY_GOAL)
            # What the two share, pages of their program and of libraries, counts in both of the rows above.
            own = memory(agent, "RssAnon") + memory(worker, "RssAnon") + memory(worker, "RssShmem")
            limit_row("edge.serving.memory_of_its_own", own / MB, "MB")
            limit_row("edge.serving.cnn.requests", asked / seconds, "1/s")
            limit_row("edge.serving.cnn.cpu", spent / asked * 1e6, "us")
