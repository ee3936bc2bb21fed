#!/usr/bin/env python3
"""How long PyTorch takes for a training step, as one JSON object of CPU seconds: the baseline of benchmark_edge_train.

One thread, batches of 32, momentum: forward, backward and the optimiser's step.
Usage: benchmarks/edge_torch.py (needs Debian's python3-torch)
"""

import json
import statistics
import time

import torch
from torch import nn

STEPS = 60
WARM_UP = 10


def dense():
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)), (784,)


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, 10)), (1, 28, 28)


def seconds_of_step(network, row):
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()
    x = torch.rand(32, *row)
    y = torch.randint(0, 10, (32,))
    times = []
    for _ in range(STEPS):
        start = time.process_time()
        optimiser.zero_grad()
        loss_of(network(x), y).backward()
        optimiser.step()
        times.append(time.process_time() - start)
    return statistics.median(times[WARM_UP:])


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    print(json.dumps({"train_mlp": seconds_of_step(*dense()), "train_cnn": seconds_of_step(*convolutional())}))


if __name__ == "__main__":
    main()
