#!/usr/bin/env python3
"""What models cost on a device: the built-in engine beside ONNX Runtime and PyTorch, and serving, all in one run.

Prints one JSON row a line. Each engine runs in a process of its own, for its peak of memory; times are CPU times.
Models are exported by Debian's python3-torch; without it, or without ONNX Runtime, their rows are left out, and the
built-in engine measures models from a seed.
Environment: TACIT_ORT_LIBRARY, the path of libonnxruntime.so.1 of version 1.27.0.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import edge_serving

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCHMARK = ROOT / "build/release/bin/benchmark_edge"
TRAIN = ROOT / "build/release/bin/benchmark_edge_train"
PYTHON = "/usr/bin/python3"
#: At most so many times what ONNX Runtime takes.
GOALS = {"mlp": 1.0, "cnn": 1.5, "mobilenet": 2.0, "mobilenet_int8": None}
ROUNDS = 3
#: At most so many times what it takes to load the same model as it is.
SEALED_GOAL = 1.1


def network(name):
    """The models of benchmarks/edge/models.cc, as PyTorch has them."""
    from torch import nn
    if name == "mlp":
        return nn.Sequential(
            nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)), (1, 784)
    if name == "cnn":
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, 10)), (1, 1, 28, 28)
    layers = [nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU()]
    channels = 32
    for stride, out in ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512), (1, 512), (1, 512),
                        (1, 512), (1, 512), (2, 1024), (1, 1024)):
        layers += [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels), nn.ReLU(),
                   nn.Conv2d(channels, out, 1), nn.ReLU()]
        channels = out
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000)]
    return nn.Sequential(*layers), (1, 3, 224, 224)


def export(name, path):
    import torch
    torch.manual_seed(1)
    model, shape = network(name)
    torch.onnx.export(model.eval(), torch.rand(shape), path, opset_version=13, input_names=["input"],
                      output_names=["output"], dynamic_axes={"input": {0: "rows"}, "output": {0: "rows"}})


def quantise(path, to):
    """Quantisation on both sides of each layer: weights a channel at a time, what goes in by a guessed scale."""
    import numpy
    import onnx
    from onnx import helper, numpy_helper
    model = onnx.load(path)
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    nodes, added = [], []

    def add(name, array):
        added.append(numpy_helper.from_array(numpy.asarray(array), name))
        return name

    for number, node in enumerate(model.graph.node):
        if node.op_type not in ("Conv", "Gemm"):
            nodes.append(node)
            continue
        weight = constants[node.input[1]]
        scale = (numpy.abs(weight).reshape(len(weight), -1).max(1) / 127 + 1e-9).astype(numpy.float32)
        spread = scale.reshape((-1,) + (1,) * (weight.ndim - 1))
        name = f"q{number}"
        first = not any(each.op_type == "QuantizeLinear" for each in nodes)
        s = add(name + "_s", numpy.float32(0.0079 if first else 0.01))
        z = add(name + "_z", numpy.uint8(0))
        nodes.append(helper.make_node("QuantizeLinear", [node.input[0], s, z], [name + "_x8"]))
        nodes.append(helper.make_node("DequantizeLinear", [name + "_x8", s, z], [name + "_x"]))
        w = add(name + "_w8", numpy.rint(weight / spread).astype(numpy.int8))
        nodes.append(helper.make_node(
            "DequantizeLinear",
            [w, add(name + "_ws", scale), add(name + "_wz", numpy.zeros(len(weight), numpy.int8))],
            [name + "_w"], axis=0))
        node.input[0], node.input[1] = name + "_x", name + "_w"
        nodes.append(node)
    used = {i for node in nodes for i in node.input}
    kept = [each for each in model.graph.initializer if each.name in used]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept + added)
    onnx.save(model, to)


def seconds_of_torch(name):
    """CPU seconds of one row, and the peak of memory in MiB."""
    import resource
    import torch
    torch.set_num_threads(1)
    model, shape = network(name)
    model = model.eval()
    x = torch.rand(shape)
    times = []
    with torch.no_grad():
        end = time.process_time() + 2
        while time.process_time() < end or len(times) < 10:
            start = time.process_time()
            model(x)
            times.append(time.process_time() - start)
    return statistics.median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(*arguments):
    """What a run of the benchmark prints, by the last part of each row's name."""
    done = subprocess.run([BENCHMARK, *arguments], check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"].rsplit(".", 1)[1]: row["value"] for row in rows}


def best(runs):
    """The median of what several runs say."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def print_row(name, value, unit, baseline=None, goal=None):
    ratio = value / baseline if baseline else None
    print(json.dumps({"name": name, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio, "goal": goal,
                      "holds": ratio <= goal if goal and ratio else None}), flush=True)


def measure_model(name, onnx, graph, library):
    subprocess.run([BENCHMARK, "convert", onnx, graph], check=True)
    ours, theirs = [], []
    for _ in range(ROUNDS):  # turn and turn about, so that a busy machine is busy for both
        ours.append(measured(name, graph))
        if library:
            theirs.append(measured(name, onnx, library))
    mine, ort = best(ours), best(theirs) if theirs else {}
    print_row(f"edge.{name}.latency", mine["latency"], "us", ort.get("latency"), GOALS[name])
    print_row(f"edge.{name}.load", mine["load"], "ms", ort.get("load"))
    print_row(f"edge.{name}.peak_rss", mine["peak_rss"], "MiB", ort.get("peak_rss"))
    if name != "mobilenet_int8":
        done = subprocess.run([PYTHON, __file__, "torch", name], check=True, capture_output=True, text=True)
        torch = json.loads(done.stdout)
        print_row(f"edge.{name}.latency_beside_torch", mine["latency"], "us", torch["seconds"] * 1e6)
        print_row(f"edge.{name}.peak_rss_beside_torch", mine["peak_rss"], "MiB", torch["mebibytes"])


def measure_sealed(name, graph, folder):
    done = measured("sealed", name, graph, folder)
    print_row(f"edge.{name}.load_sealed", done["load_sealed"], "ms", done["load_plain"], SEALED_GOAL)
    print_row(f"edge.{name}.load_sealed_beside_hashed", done["load_sealed"], "ms", done["load_hashed"])


def measure_training(folder, torch):
    """Rows of the benchmark itself, beside PyTorch where that is."""
    arguments = []
    if torch:
        baseline = f"{folder}/torch.json"
        with open(baseline, "w", encoding="utf-8") as file:
            subprocess.run([PYTHON, ROOT / "benchmarks/edge_torch.py"], check=True, stdout=file)
        arguments.append(baseline)
    subprocess.run([TRAIN, *arguments], check=True)


def main():
    if sys.argv[1:2] == ["export"]:
        for name in ("mlp", "cnn", "mobilenet"):
            export(name, f"{sys.argv[2]}/{name}.onnx")
        quantise(f"{sys.argv[2]}/mobilenet.onnx", f"{sys.argv[2]}/mobilenet_int8.onnx")
        return 0
    if sys.argv[1:2] == ["torch"]:
        seconds, mebibytes = seconds_of_torch(sys.argv[2])
        print(json.dumps({"seconds": seconds, "mebibytes": mebibytes}))
        return 0
    library = os.environ.get("TACIT_ORT_LIBRARY")
    if not library:
        print("edge: no ONNX Runtime to compare with: set TACIT_ORT_LIBRARY", file=sys.stderr)
    if subprocess.run([PYTHON, "-c", "import torch, onnx"], capture_output=True, check=False).returncode != 0:
        print("edge: no python3-torch and python3-onnx: models from a seed, compared with nothing", file=sys.stderr)
        subprocess.run([BENCHMARK], check=True)
        measure_training(None, torch=False)
        edge_serving.measure()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PYTHON, __file__, "export", folder], check=True, stdout=subprocess.DEVNULL)
        for name in GOALS:
            measure_model(name, f"{folder}/{name}.onnx", f"{folder}/{name}.graph", library)
            measure_sealed(name, f"{folder}/{name}.graph", folder)
        measure_training(folder, torch=True)
    edge_serving.measure()
    return 0


if __name__ == "__main__":
    sys.exit(main())
