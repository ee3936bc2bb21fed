"""Derivatives and training steps of models that PyTorch exports are those that PyTorch's autograd has for them."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest
import warnings

import numpy

try:
    import torch
    from torch import nn
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    raise unittest.SkipTest("needs python3-torch and python3-onnx")

PROBE = pathlib.Path(os.environ["TACIT_BIN"]) / "gradient_probe"
ROWS = 12
STEPS, LEARNING_RATE, MOMENTUM = 3, 0.1, 0.9  # as in gradient_probe.cc
# Of the largest number of a kind: float32 in another order of sums gives about 1e-6, more after three steps.
TOLERANCE, TRAINED_TOLERANCE = 1e-5, 1e-4

warnings.filterwarnings("ignore")
torch.set_num_threads(1)


def probe(model, x, y):
    with tempfile.TemporaryDirectory() as directory:
        onnx, rows, classes = (pathlib.Path(directory) / name for name in ("model.onnx", "rows", "classes"))
        torch.onnx.export(model, x[:1], str(onnx), opset_version=13, input_names=["input"], output_names=["output"],
                          dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}}, do_constant_folding=False)
        rows.write_bytes(x.numpy().astype("<f4").tobytes())
        classes.write_bytes(y.numpy().astype("<u4").tobytes())
        done = subprocess.run([PROBE, onnx, rows, classes], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, (done.returncode, done.stderr)
        return json.loads(done.stdout)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.last = nn.Linear(12, 4)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = torch.cat([x + self.second(x), torch.sigmoid(x) * torch.tanh(x)], 1)
        return self.last(x.mean(dim=(2, 3)))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5 * 6, 4)

    def forward(self, x):
        weights = torch.softmax(torch.matmul(x, x.transpose(1, 2)), -1)
        return self.last(torch.flatten(torch.matmul(weights, x), 1))


def mlp():
    return nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 8), nn.Sigmoid(), nn.Linear(8, 4))


def cnn():
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=(2, 1), dilation=(2, 1)), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
                         nn.Conv2d(6, 12, 3, groups=3), nn.Tanh(), nn.AvgPool2d(3, 2, 1), nn.Flatten(),
                         nn.Linear(12 * 6 * 6, 10))


def mobile():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ReLU6(),
                         nn.Conv2d(8, 16, 1), nn.ReLU6(), nn.Conv2d(16, 16, 3, 2, 1, groups=16), nn.ReLU6(),
                         nn.AvgPool2d(2, 2, count_include_pad=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(16, 10))


def signal():
    return nn.Sequential(nn.Conv1d(2, 8, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool1d(2, 2),
                         nn.Conv1d(8, 8, 3, groups=8), nn.AvgPool1d(3), nn.Flatten(), nn.Linear(24, 4))


class Gradients(unittest.TestCase):
    def assert_close(self, found, wanted, tolerance, what):
        found, wanted = numpy.asarray(found, dtype=numpy.float64), wanted.detach().numpy().astype(numpy.float64).ravel()
        self.assertEqual(found.shape, wanted.shape, what)
        self.assertGreater(numpy.abs(wanted).max(), 0, what)
        self.assertLessEqual(numpy.abs(found - wanted).max(), tolerance * max(1e-3, numpy.abs(wanted).max()), what)

    def assert_parameters(self, found, flat, model, tolerance, tensor_of):
        """The nodes of these models use their parameters in the order in which PyTorch lists them."""
        sizes = [parameter.numel() for parameter in model.parameters()]
        self.assertEqual(found["sizes"], sizes)
        ends = numpy.cumsum(sizes)
        for (name, parameter), end in zip(model.named_parameters(), ends):
            part = found[flat][end - parameter.numel():end]
            self.assert_close(part, tensor_of(parameter), tolerance, f"{flat} of {name}")

    def check(self, model, shape, classes):
        generator = torch.Generator().manual_seed(3)
        x = torch.randn((ROWS, *shape), generator=generator)
        y = torch.randint(0, classes, (ROWS,), generator=generator)
        found = probe(model, x, y)
        x.requires_grad_(True)
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, y, reduction="sum")
        by_input, = torch.autograd.grad(loss, x, retain_graph=True)
        self.assert_close([found["loss"]], loss, TOLERANCE, "loss")
        self.assert_close(found["logits"], logits[0], TOLERANCE, "logits")
        self.assert_close(found["input_gradient"], by_input, TOLERANCE, "input")
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        again = torch.tensor(found["features"]) @ last.weight.T + last.bias
        self.assert_close(again.detach().numpy(), logits[0], TOLERANCE, "features")
        (loss / ROWS).backward()
        self.assert_parameters(found, "gradient", model, TOLERANCE, lambda parameter: parameter.grad)
        optimiser = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        for _ in range(STEPS):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x.detach()), y).backward()
            optimiser.step()
        self.assert_parameters(found, "trained", model, TRAINED_TOLERANCE, lambda parameter: parameter)

    def setUp(self):
        torch.manual_seed(5)

    def test_of_a_dense_network(self):
        self.check(mlp(), (20,), 4)

    def test_of_a_convolutional_network(self):
        self.check(cnn(), (1, 28, 28), 10)

    def test_of_depthwise_convolutions_and_clips(self):
        self.check(mobile(), (3, 16, 16), 10)

    def test_over_one_dimension(self):
        self.check(signal(), (2, 48), 4)

    def test_of_values_with_several_uses(self):
        self.check(Residual(), (2, 7, 6), 4)

    def test_of_attention(self):
        self.check(Attention(), (5, 6), 4)

    def test_of_a_model_that_ends_in_a_softmax(self):
        model = mlp()
        generator = torch.Generator().manual_seed(3)
        x, y = torch.randn((ROWS, 20), generator=generator), torch.randint(0, 4, (ROWS,), generator=generator)
        plain, ended = probe(model, x, y), probe(nn.Sequential(*model, nn.Softmax(1)), x, y)
        for part in ("loss", "input_gradient", "gradient", "trained"):
            self.assertEqual(plain[part], ended[part])


if __name__ == "__main__":
    unittest.main()
