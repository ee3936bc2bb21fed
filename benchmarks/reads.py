#!/usr/bin/env python3
"""Measures what it costs a server to tell what has been spent: reads over one connection that is kept, with a token.

Usage: reads.py     prints one row of JSON a line
The baseline of each figure is the least that the same listener does for a request: telling its version.
"""

import os
import socket
import ssl
import time

from scene import Server, load, row_printer

READS = 20_000
TASK = """name = "t"
[model]
kind = "softmax"
inputs = 4
classes = 3
seed = 1
[training]
epochs = 1
batch_size = 8
learning_rate = 0.1
[rounds]
count = 1000
max_participations = 1000
[cohort]
size = 4
min = 4
deadline = "1h"
[privacy]
mechanism = "gaussian"
clip_norm = 1.0
noise_multiplier = 10.0
delta = 1e-6
epsilon_budget = 1000.0
population = 1000
"""

row = row_printer("reads")


def cpu_seconds(process):
    fields = open(f"/proc/{process}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Reader:
    """Asks for the same thing again and again."""

    def __init__(self, server, secret):
        self.process = server.process.pid
        self.secret = secret
        context = ssl.create_default_context(cafile=server.root / "pki/ca.crt")
        raw = socket.create_connection(("127.0.0.1", server.ports["api"]))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = context.wrap_socket(raw, server_hostname="127.0.0.1")

    def ask(self, request):
        self.connection.sendall(request)
        answer = self.connection.recv(65536)
        head, separator, body = answer.partition(b"\r\n\r\n")
        while not separator:
            answer += self.connection.recv(65536)
            head, separator, body = answer.partition(b"\r\n\r\n")
        size = int(next((line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length")), 0))
        while len(body) < size:
            body += self.connection.recv(65536)
        return head, body

    def measure(self, path, status, headers=""):
        """Median and 99th percentile of the answers' times, reads a second, and the server's CPU for each."""
        request = (f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.secret}\r\n{headers}\r\n").encode()
        for _ in range(200):
            head, _ = self.ask(request)
        assert head.startswith(b"HTTP/1.1 " + status), head
        took, before, began = [], cpu_seconds(self.process), time.monotonic()
        for _ in range(READS):
            start = time.perf_counter()
            self.ask(request)
            took.append(time.perf_counter() - start)
        seconds, cpu = time.monotonic() - began, cpu_seconds(self.process) - before
        took.sort()
        return took[READS // 2], took[READS * 99 // 100], READS / seconds, cpu / READS

    def tag(self, path):
        head, _ = self.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.secret}\r\n\r\n".encode())
        return next(line.split(b": ")[1].decode() for line in head.split(b"\r\n") if line.startswith(b"ETag"))


def main():
    server = Server()
    load("prepare", directory=server.root, clients=4)
    with server:
        server.create_task(TASK)
        load("rounds", directory=server.root, port=server.ports["agents"], server=server.process.pid, clients=4,
             task="t", rounds=20, parameters=15)
        secret = server.tacit("access", "token", "create", "--name", "reader", "--role", "viewer")["secret"]
        reader = Reader(server, secret)
        floor = reader.measure("/api/v1/version", b"200")
        path = "/api/v1/tasks/t/privacy"
        for name, asked, status, headers in (
                ("privacy", path, b"200", ""),
                ("privacy_unchanged", path, b"304", f"If-None-Match: {reader.tag(path)}\r\n"),
                ("task", "/api/v1/tasks/t", b"200", "")):
            p50, p99, rate, cpu = reader.measure(asked, status, headers)
            row(f"{name}.p50", 1e6 * p50, "us", 1e6 * floor[0])
            row(f"{name}.p99", 1e6 * p99, "us", 1e6 * floor[1])
            row(f"{name}.rate", rate, "reads/s", floor[2], better="higher")
            row(f"{name}.cpu", 1e6 * cpu, "us/read", 1e6 * floor[3], 60 if name == "privacy" else None)


if __name__ == "__main__":
    main()
