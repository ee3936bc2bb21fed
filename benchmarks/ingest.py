#!/usr/bin/env python3
"""Measures the way of an update into tacitd: real mTLS clients, differential privacy on, acknowledged when durable.

Usage: ingest.py [SECTION ...]     prints one row of JSON a line
Sections: uploads (or one of its sizes: 100KB 1MB 10MB 100MB) memory mischief idle storm restart scaling
Every figure of the server's CPU stands beside that of a server that does nothing but TLS, measured in the same run.
"""

import math
import os
import re
import sys
import time

from scene import MIB, Server, load, row_printer

TASK = """name = "{name}"
[model]
kind = "softmax"
inputs = {inputs}
classes = {classes}
seed = 1
[training]
epochs = 1
batch_size = 8
learning_rate = 0.1
momentum = 0.0
proximal_mu = 0.0
[rounds]
count = {rounds}
max_participations = {rounds}
[cohort]
size = {clients}
min = {minimum}
over_selection = 1.0
deadline = "1h"
[privacy]
mechanism = "gaussian"
clip_norm = 1.0
noise_multiplier = 1.0
delta = 1e-6
epsilon_budget = 1000.0
population = {population}
[aggregation]
optimizer = "fedavg"
learning_rate = 1.0
"""
row = row_printer("ingest")


class Scene(Server):
    """A server, and a fleet that it knows."""

    def __init__(self, clients, upload_memory=512 * MIB, task_memory=256 * MIB):
        super().__init__({"max_connections": max(clients + 64, 1024), "upload_memory": f'"{upload_memory // MIB}MiB"',
                          "task_memory": f'"{task_memory // MIB}MiB"',
                          "max_update_bytes": f'"{upload_memory // 4 // MIB}MiB"', "memory_ceiling": '"20GiB"'})
        self.clients = clients
        load("prepare", directory=self.root, clients=clients)

    def create_task(self, name, shape, rounds, clients=None, minimum=None):
        super().create_task(TASK.format(name=name, inputs=shape[0], classes=shape[1], rounds=rounds,
                                        clients=clients or self.clients, minimum=minimum or clients or self.clients,
                                        population=max(1000, clients or self.clients)))

    def load(self, command, **options):
        return load(command, directory=self.root, port=self.ports["agents"], server=self.process.pid,
                    clients=options.pop("clients", self.clients), **options)

    def metric_quantile(self, name, share, **labels):
        """An upper bound of a quantile, from the buckets of a histogram."""
        buckets = []
        for line in self.metrics().splitlines():
            if line.startswith(name + "_bucket{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
                bound = re.search(r'le="([^"]+)"', line).group(1)
                buckets.append((float(bound.replace("+Inf", "inf")), float(line.rsplit(" ", 1)[1])))
        total = max((count for _, count in buckets), default=0)
        return next((bound for bound, count in sorted(buckets) if total and count >= share * total), None)


def parameters(shape):
    return (shape[0] + 1) * shape[1]


SIZES = {  # inputs and classes, clients, rounds, goal in ms of server CPU
    "100KB": ((249, 100), 64, 20, 0.15),
    "1MB": ((2499, 100), 64, 6, 1.2),
    "10MB": ((24999, 100), 32, 5, 11),
    "100MB": ((99999, 250), 16, 2, 110),
}


def fsync_seconds(directory, times=50):
    """The median and the slowest of durable 4 KiB appends: what the disk itself takes."""
    took = []
    with open(directory / "fsync", "wb", buffering=0) as file:
        for _ in range(times):
            start = time.monotonic()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            took.append(time.monotonic() - start)
    took.sort()
    return took[len(took) // 2], took[-1]


def uploads(sizes=SIZES):
    for size, (shape, clients, rounds, goal) in sizes.items():
        large = parameters(shape) > 10_000_000
        # Room for as many updates as go into a batch: what operators of large models are told to give.
        with Scene(clients, (4096 if large else 512) * MIB, (2304 if large else 256) * MIB) as scene:
            for mode, fresh in (("keep_alive", 0), ("fresh_handshake", 1)):
                if fresh and size != "100KB":
                    continue
                scene.create_task(mode.replace("_", "-"), shape, rounds + 1)
                alone = load("sink", directory=scene.root, clients=clients, rounds=rounds, fresh=fresh,
                             parameters=parameters(shape))
                seen = scene.load("rounds", task=mode.replace("_", "-"), rounds=rounds, warm_up=1, fresh=fresh,
                                  parameters=parameters(shape))
                cpu = 1e3 * seen["cpu"] / seen["updates"]
                alone_cpu = 1e3 * alone["cpu"] / alone["updates"]
                name = f"float32.{size}.{mode}"
                row(f"{name}.cpu", cpu, "ms/update", alone_cpu, None if fresh else goal)
                row(f"{name}.cpu_per_byte", seen["cpu"] / seen["updates"] / parameters(shape) / 4 * 1e9, "ns/B")
                if parameters(shape) >= 2_500_000:
                    row(f"{name}.share_of_tls_alone", alone_cpu / cpu, "", None, 0.6, better="higher")
                row(f"{name}.rate", seen["updates"] / seen["seconds"], "updates/s",
                    alone["updates"] / alone["seconds"], better="higher")
                for quantile in ("p50", "p99", "p999"):
                    row(f"{name}.{quantile}", 1e3 * seen[quantile], "ms")
                row(f"{name}.check_in_cpu", 1e6 * seen["check_in_cpu"] / seen["updates"], "us/check-in")
                row(f"{name}.peak_rss", seen["peak_rss"] / MIB, "MiB")
            median, slowest = fsync_seconds(scene.directory)
            row(f"disk.{size}.fsync_p50", 1e3 * median, "ms")
            charge = scene.metric_quantile("tacit_store_operation_duration_seconds", 0.99, operation="append_ledger")
            row(f"disk.{size}.ledger_charge_p99_at_most", 1e3 * (charge or 0), "ms", 1e3 * slowest)


def memory():
    shape = SIZES["10MB"][0]
    for clients in (128, 1000):
        with Scene(clients, 128 * MIB) as scene:
            scene.create_task("t", shape, 2)
            seen = scene.load("rounds", task="t", rounds=1, parameters=parameters(shape))
            row(f"memory.10MB.{clients}_in_flight.peak_rss", seen["peak_rss"] / 1e6, "MB", None, 400)
            row(f"memory.10MB.{clients}_in_flight.told_to_come_back", seen["told_to_come_back"], "answers")


def mischief():
    """Clients that go away, drip, send changed bytes and repeat themselves, among others; all end up counted once."""
    shape = SIZES["1MB"][0]
    with Scene(64) as scene:
        scene.create_task("t", shape, 4)
        seen = scene.load("rounds", task="t", rounds=3, parameters=parameters(shape), mischief_every=2)
        row("mischief.1MB.cpu", 1e3 * seen["cpu"] / seen["updates"], "ms/update")
        row("mischief.1MB.misbehaved", seen["mischief"], "requests")
        row("mischief.1MB.p99", 1e3 * seen["p99"], "ms")


def idle(clients=10_000):
    shape = SIZES["100KB"][0]
    with Scene(clients) as scene:
        # One more than there are: its round never opens, and nobody ever has work.
        scene.create_task("quiet", shape, 1, clients=clients + 1)
        seen = scene.load("idle", task="quiet", check_ins=1000)
        row(f"idle.{clients}.bytes_each", seen["bytes_each"] / 1024, "KiB", None, 32)
        row(f"idle.{clients}.check_ins", seen["measured"], "answers")
        row(f"idle.{clients}.check_in_p99", 1e3 * seen["check_in_p99"], "ms", None, 50)
        scene.create_task("all", shape, 1)
        seen = scene.load("rounds", task="all", rounds=1, parameters=parameters(shape))
        row(f"idle.{clients}.round_of_all.updates", seen["updates"], "updates")
        row(f"idle.{clients}.round_of_all.rate", seen["updates"] / seen["seconds"], "updates/s")
        row(f"idle.{clients}.round_of_all.cpu", 1e3 * seen["cpu"] / seen["updates"], "ms/update")
        row(f"idle.{clients}.round_of_all.p99", 1e3 * seen["p99"], "ms")


def storm(clients=5_000):
    with Scene(clients) as scene:
        alone = load("storm", directory=scene.root, clients=clients, reference=1)
        seen = scene.load("storm")
        row(f"storm.{clients}.rate", clients / seen["seconds"], "handshakes/s", clients / alone["seconds"],
            better="higher")
        row(f"storm.{clients}.cpu", 1e3 * seen["cpu"] / clients, "ms/handshake", 1e3 * alone["cpu"] / clients)
        row(f"storm.{clients}.longest_wait", seen["longest_wait"], "s", alone["longest_wait"], 60)
        row(f"storm.{clients}.failed_attempts", seen["failed_attempts"], "connections")


def slope(points):
    """Of a straight line through the logarithms: 1 where cost grows as what it is for."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x, mean_y = (sum(each) / len(logs) for each in zip(*logs))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def scaling():
    """Server CPU of a whole round over the number of clients, and over the number of parameters."""
    by_clients = []
    for clients in (10, 100, 1000, 10_000):
        shape = SIZES["100KB"][0]
        with Scene(clients) as scene:
            rounds = 3 if clients <= 1000 else 1
            scene.create_task("t", shape, rounds + 1)
            seen = scene.load("rounds", task="t", rounds=rounds, warm_up=1, parameters=parameters(shape))
            cpu = seen["cpu"] * clients / seen["updates"]
            by_clients.append((clients, cpu))
            row(f"scaling.clients.{clients}", 1e3 * cpu, "ms/round")
    by_parameters = []
    for shape, _, _, _ in SIZES.values():
        large = parameters(shape) > 10_000_000
        with Scene(4, 512 * MIB, (2304 if large else 256) * MIB) as scene:
            scene.create_task("t", shape, 4)
            seen = scene.load("rounds", task="t", rounds=3, warm_up=1, parameters=parameters(shape))
            by_parameters.append((parameters(shape), seen["cpu"] / seen["updates"]))
            row(f"scaling.parameters.{parameters(shape)}", 1e3 * seen["cpu"] / seen["updates"], "ms/update")
    row("scaling.clients.slope", slope(by_clients), "", None, 1.05)
    row("scaling.parameters.slope", slope(by_parameters), "", None, 1.05)


def read_seconds(files):
    """Reading them one after another, into the same memory; how many bytes that is."""
    room = memoryview(bytearray(max(file.stat().st_size for file in files)))
    start = time.monotonic()
    total = 0
    for file in files:
        with open(file, "rb", buffering=0) as opened:
            got = 1
            while got:
                got = opened.readinto(room)
                total += got
    return time.monotonic() - start, total


def restart(times=5):
    """A server that was killed in the open rounds of three large models: with their partial sums about 1 GB."""
    shape = SIZES["100MB"][0]
    with Scene(8, 512 * MIB, 3 * 2304 * MIB) as scene:
        for name in ("one", "two", "three"):
            scene.create_task(name, shape, 2, clients=9, minimum=8)
            scene.load("rounds", task=name, rounds=1, parameters=parameters(shape))
        took = []
        for _ in range(times):
            scene.kill()
            files = [file for kind in ("partials", "models") for file in (scene.root / "data" / kind).rglob("*")
                     if file.is_file()]
            alone, total = read_seconds(files)
            took.append((scene.start(), alone))
        took.sort()
        row("restart_state", total / 1e9, "GB")
        row("restart_seconds", took[times // 2][0], "s", took[times // 2][1], 1)
        row("restart_seconds_slowest", took[-1][0], "s", took[-1][1])


SECTIONS = {"uploads": uploads, "memory": memory, "mischief": mischief, "idle": idle, "storm": storm,
            "restart": restart, "scaling": scaling}


def main(names):
    unknown = [name for name in names if name not in SECTIONS and name not in SIZES]
    if unknown:
        raise SystemExit(f"ingest.py: no section {unknown[0]}; there are: {' '.join(SECTIONS)} {' '.join(SIZES)}")
    for name in names or SECTIONS:
        if name in SIZES:
            uploads({name: SIZES[name]})
        else:
            SECTIONS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
