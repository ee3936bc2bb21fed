"""ONNX models become graphs that compute the same, as torch and numpy see it; what cannot is refused by name."""

import os
import pathlib
import subprocess
import tempfile
import unittest
import warnings

import numpy

try:
    import onnx
    import torch
    from onnx import TensorProto, helper, numpy_helper
    from torch import nn

    import graph_file
except ImportError:
    if os.environ.get("CI") == "true":
        raise


    class Oracles(unittest.TestCase):
        @unittest.skip("needs python3-torch and python3-onnx")
        def test_are_here(self):
            """Nothing below can be compared without them."""

    unittest.main()  # ends here, as skipped

PROBE = pathlib.Path(os.environ["TACIT_BIN"]) / "graph_probe"
warnings.filterwarnings("ignore")
torch.set_num_threads(1)


def probe(*arguments):
    """Fails with what the program says."""
    done = subprocess.run([PROBE, *arguments], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == 1:
        raise ValueError(done.stderr.strip())
    assert done.returncode == 0, (done.returncode, done.stderr)


class Model:
    """What our reader makes of an ONNX model, computed by our engine and, as a second opinion, by torch."""

    def __init__(self, data):
        self.data = data
        self.graph = graph_file.GraphFile(data)
        self.operators = self.graph.operators()

    def names(self):
        return {each.name for each in self.graph.values} | {each.name for each in self.graph.nodes}

    def run(self, x, tolerance=1e-5):
        """The only output for the only input, on which engine and torch agree."""
        (wanted,) = self.graph.run([x])
        with tempfile.TemporaryDirectory() as directory:
            model, outputs, inputs = (pathlib.Path(directory) / name for name in ("model", "outputs", "inputs"))
            model.write_bytes(self.data)
            inputs.write_bytes(x.tobytes())
            probe("run", str(len(x)), model, outputs, inputs)
            found = numpy.frombuffer(outputs.read_bytes(), wanted.dtype).reshape(wanted.shape)
        numpy.testing.assert_allclose(found, wanted, rtol=1e-4, atol=tolerance)
        return found


def convert(model, *options):
    """The graph of an ONNX model in bytes; fails with what the reader says."""
    with tempfile.TemporaryDirectory() as directory:
        source, target = pathlib.Path(directory) / "model.onnx", pathlib.Path(directory) / "model.graph"
        source.write_bytes(model)
        probe("convert", *options, source, target)
        return Model(target.read_bytes())


def export(model, example, opset=13, batch=True):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "model.onnx")
        axes = {"input": {0: "batch"}, "output": {0: "batch"}} if batch else None
        torch.onnx.export(model.eval(), example, path, opset_version=opset, input_names=["input"],
                          output_names=["output"], dynamic_axes=axes)
        return pathlib.Path(path).read_bytes()


def randomised(model):
    """With statistics as after training: those of a fresh batch normalisation would hide a fold that is wrong."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor, low in ((module.running_mean, -1.0), (module.running_var, 0.5), (module.weight.data, 0.5),
                                (module.bias.data, -1.0)):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return model


def rows_of(example, count=3):
    return torch.randn((count,) + tuple(example.shape[1:]), generator=torch.Generator().manual_seed(3))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.last = nn.Linear(16, 5)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = torch.cat([x + self.second(x), torch.sigmoid(x) * torch.tanh(x)], 1)
        return self.last(x.mean(dim=(2, 3))) - 0.5


class View(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5, stride=2)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x):
        x = self.dropout(torch.relu(self.conv(x)))
        return torch.softmax(self.last(x.view(x.size(0), -1)), 1) / 2.0


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.queries, self.keys, self.last = nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(6, 2)

    def forward(self, x):
        weights = torch.softmax(torch.matmul(self.queries(x), self.keys(x).transpose(1, 2)), -1)
        return self.last(torch.matmul(weights, x))


def mobile():
    def separable(channels, out, stride):
        return [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels),
                nn.ReLU6(), nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU6()]

    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), *separable(8, 16, 1),
                         *separable(16, 24, 2), nn.AvgPool2d(2, 2, count_include_pad=False), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(24, 10))


def cnn():
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=(2, 1), dilation=(2, 1)), nn.BatchNorm2d(6), nn.ReLU(),
                         nn.MaxPool2d(3, 2, 1), nn.Conv2d(6, 12, 3, groups=3), nn.Tanh(), nn.AvgPool2d(3, 2, 1),
                         nn.Flatten(), nn.Linear(12 * 6 * 6, 10))


def signal():
    return nn.Sequential(nn.Conv1d(2, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2, 2),
                         nn.Conv1d(8, 8, 3, groups=8), nn.AvgPool1d(3), nn.Flatten(), nn.BatchNorm1d(24),
                         nn.Linear(24, 4))


def perceptron():
    return nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 8), nn.Sigmoid(), nn.Linear(8, 5))


class TorchModels(unittest.TestCase):
    def check(self, model, example, opsets=(11, 12, 13, 14, 15, 16, 17), batch=True):
        x = rows_of(example, 3 if batch else 1)
        randomised(model).eval()
        with torch.no_grad():
            wanted = model(x).numpy()
        for opset in opsets:
            with self.subTest(opset=opset):
                graph = convert(export(model, example, opset, batch))
                found = graph.run(x.numpy())
                numpy.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
        return graph

    def test_perceptron(self):
        graph = self.check(perceptron(), torch.zeros(1, 20))
        self.assertEqual(graph.operators, ["Gemm", "Relu", "Gemm", "Sigmoid", "Gemm"])
        self.assertEqual(graph.names() & {"input", "output"}, {"input", "output"})

    def test_convolutions_with_pools_groups_and_dilation(self):
        graph = self.check(cnn(), torch.zeros(1, 1, 28, 28))
        self.assertNotIn("Mul", graph.operators)

    def test_separable_convolutions_with_their_normalisation_folded(self):
        graph = self.check(mobile(), torch.zeros(1, 3, 32, 32))
        left = {"Conv", "Clip", "AveragePool", "GlobalAveragePool", "Reshape", "Gemm"}
        self.assertLessEqual(set(graph.operators), left)

    def test_convolutions_over_one_dimension(self):
        self.check(signal(), torch.zeros(1, 2, 52))

    def test_residuals_concatenation_and_means(self):
        self.check(Residual(), torch.zeros(1, 3, 12, 12))

    def test_views_by_a_computed_number_of_rows(self):
        self.check(View(), torch.zeros(1, 1, 16, 16))

    def test_products_of_sequences(self):
        self.check(Attention(), torch.zeros(1, 7, 6))

    def test_a_fixed_number_of_rows_is_any_number(self):
        model = View()
        graph = self.check(model, torch.zeros(1, 1, 16, 16), batch=False)
        x = rows_of(torch.zeros(1, 1, 16, 16), 4)
        with torch.no_grad():
            numpy.testing.assert_allclose(graph.run(x.numpy()), model(x).numpy(), rtol=1e-4, atol=1e-5)


def float_info(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model_of(nodes, inputs, outputs, constants=None, opset=13):
    initializers = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return model.SerializeToString()


def single(op, shape, constants=None, opset=13, inputs=("x",), **attributes):
    """A model of one node `y = op(x, constants...)`."""
    node = helper.make_node(op, [*inputs, *[name for name in (constants or {}) if name not in inputs]], ["y"], name="n",
                            **attributes)
    return model_of([node], [float_info("x", ["rows", *shape])], [float_info("y", None)], constants, opset)


def numbers(*shape, seed=1):
    return numpy.random.default_rng(seed).normal(size=shape).astype(numpy.float32)


class Helpers(unittest.TestCase):
    def run_single(self, *arguments, x, **options):
        return convert(single(*arguments, **options)).run(x)

    def test_automatic_padding_is_that_of_onnx(self):
        x = numbers(2, 1, 7, 6)
        weight = numbers(2, 1, 3, 2, seed=2)
        for auto_pad, pads in (("SAME_UPPER", (0, 1, 1, 1)), ("SAME_LOWER", (1, 0, 1, 1)), ("VALID", (0, 0, 0, 0))):
            with self.subTest(auto_pad):
                found = self.run_single("Conv", (1, 7, 6), {"w": weight}, x=x, auto_pad=auto_pad, strides=[2, 1])
                padded = torch.nn.functional.pad(torch.from_numpy(x), (pads[0], pads[1], pads[2], pads[3]))
                wanted = torch.nn.functional.conv2d(padded, torch.from_numpy(weight), stride=(2, 1))
                numpy.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-5)

    def test_pools_that_round_up(self):
        x = numbers(2, 3, 8, 8)
        found = self.run_single("MaxPool", (3, 8, 8), x=x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        wanted = torch.nn.functional.max_pool2d(torch.from_numpy(x), 3, 2, ceil_mode=True)
        numpy.testing.assert_array_equal(found, wanted.numpy())
        found = self.run_single("AveragePool", (3, 8, 8), x=x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        wanted = torch.nn.functional.avg_pool2d(torch.from_numpy(x), 3, 2, ceil_mode=True, count_include_pad=False)
        numpy.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-6)

    def test_zeros_around_space_become_pads_of_the_window_behind_them(self):
        x, weight = numbers(2, 1, 5, 4), numbers(3, 1, 3, 3, seed=2)
        pads = numpy.array([0, 0, 1, 0, 0, 0, 2, 3], numpy.int64)
        padded = torch.nn.functional.pad(torch.from_numpy(x), (0, 3, 1, 2))
        for op, more, wanted in (
                ("Conv", {"pads": [1, 1, 0, 0]},
                 torch.nn.functional.conv2d(torch.nn.functional.pad(padded, (1, 0, 1, 0)), torch.from_numpy(weight))),
                ("AveragePool", {"kernel_shape": [4, 4]}, torch.nn.functional.avg_pool2d(padded, 4, 1))):
            inputs = ["p", "w"] if op == "Conv" else ["p"]
            nodes = [helper.make_node("Pad", ["x", "pads"], ["p"]), helper.make_node(op, inputs, ["y"], **more)]
            graph = convert(model_of(nodes, [float_info("x", [1, 1, 5, 4])], [float_info("y", None)],
                                     {"pads": pads, "w": weight}))
            self.assertEqual(graph.operators, [op])
            numpy.testing.assert_allclose(graph.run(x), wanted.numpy(), rtol=1e-4, atol=1e-5)

    def test_average_pools_count_padding_where_they_are_told_to(self):
        x = numbers(2, 3, 8)
        for counts in (0, 1):
            found = self.run_single("AveragePool", (3, 8), x=x, kernel_shape=[3], pads=[1, 1], count_include_pad=counts)
            wanted = torch.nn.functional.avg_pool1d(torch.from_numpy(x), 3, 1, 1, count_include_pad=bool(counts))
            numpy.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-6)

    def test_gemm_with_all_its_attributes(self):
        x, weight = numbers(3, 4), numbers(4, 5, seed=2)
        for bias in (numbers(5), numbers(1, 5), numbers(1), numbers()):
            bias = numpy.asarray(bias, numpy.float32)
            for turned in (0, 1):
                constants = {"b": weight.T.copy() if turned else weight, "c": bias}
                found = self.run_single("Gemm", (4,), constants, x=x, alpha=0.5, beta=-2.0, transB=turned)
                numpy.testing.assert_allclose(found, 0.5 * (x @ weight) - 2.0 * bias, rtol=1e-4, atol=1e-5)

    def test_softmax_means_what_it_meant_in_each_opset(self):
        x = numbers(2, 3, 4)
        exponents = numpy.exp(x)
        over_all = exponents / exponents.sum(axis=(1, 2), keepdims=True)
        numpy.testing.assert_allclose(self.run_single("Softmax", (3, 4), x=x, opset=12), over_all, rtol=1e-5)
        numpy.testing.assert_allclose(self.run_single("Softmax", (3, 4), x=x, opset=13, axis=1),
                                      exponents / exponents.sum(axis=1, keepdims=True), rtol=1e-5)
        numpy.testing.assert_allclose(self.run_single("Softmax", (3, 4), x=x, opset=11, axis=-1),
                                      exponents / exponents.sum(axis=2, keepdims=True), rtol=1e-5)

    def test_arithmetic_with_constants(self):
        x, c = numbers(3, 2, 4), numbers(2, 1, seed=5) + 3
        for op, wanted in (("Add", x + c), ("Sub", x - c), ("Mul", x * c), ("Div", x / c)):
            numpy.testing.assert_allclose(self.run_single(op, (2, 4), {"c": c}, x=x), wanted, rtol=1e-5, atol=1e-6)
        for op, wanted in (("Sub", c - x), ("Add", c + x)):
            found = self.run_single(op, (2, 4), {"c": c}, inputs=("c", "x"), x=x)
            numpy.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)

    def test_clip_with_one_bound(self):
        x = numbers(3, 5)
        found = self.run_single("Clip", (5,), {"low": numpy.float32(0.25)}, x=x)
        numpy.testing.assert_array_equal(found, x.clip(numpy.float32(0.25)))

    def test_reshapes_of_every_kind(self):
        x = numbers(3, 2, 6)
        for target, shape in (([0, 3, -1], (3, 3, 4)), ([-1, 12], (3, 12)), ([0, 0, 2, 3], (3, 2, 2, 3))):
            found = self.run_single("Reshape", (2, 6), {"s": numpy.array(target, numpy.int64)}, x=x)
            numpy.testing.assert_array_equal(found, x.reshape(shape))
        for axes, op, shape in (([1, -1], "Unsqueeze", (3, 1, 2, 6, 1)), ([3], "Unsqueeze", (3, 2, 6, 1))):
            found = self.run_single(op, (2, 6), {"a": numpy.array(axes, numpy.int64)}, x=x)
            numpy.testing.assert_array_equal(found, x.reshape(shape))
        found = self.run_single("Squeeze", (1, 6), opset=11, axes=[1], x=x[:, :1])
        numpy.testing.assert_array_equal(found, x[:, 0])
        found = self.run_single("Transpose", (2, 6), perm=[0, 2, 1], x=x)
        numpy.testing.assert_array_equal(found, x.transpose(0, 2, 1))

    def test_normalisation_that_cannot_be_folded_is_a_product_and_a_sum(self):
        x = numbers(3, 2, 5)
        scale, bias, mean, variance = (numbers(2, seed=seed) for seed in range(4))
        variance = abs(variance) + 0.5
        constants = {"s": scale, "b": bias, "m": mean, "v": variance}
        graph = convert(single("BatchNormalization", (2, 5), constants, epsilon=0.1))
        wanted = torch.nn.functional.batch_norm(*map(torch.from_numpy, (x, mean, variance, scale, bias)), eps=0.1)
        numpy.testing.assert_allclose(graph.run(x), wanted.numpy(), rtol=1e-4, atol=1e-5)
        self.assertEqual(graph.operators, ["Mul", "Add"])

    def test_normalisation_is_not_folded_where_something_else_uses_its_input(self):
        constants = {"w": numbers(2, 2, 1, 1), **{name: abs(numbers(2, seed=i)) + 0.5 for i, name in enumerate("sbmv")}}
        nodes = [helper.make_node("Conv", ["x", "w"], ["c"]),
                 helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
                 helper.make_node("Add", ["c", "n"], ["y"])]
        model = model_of(nodes, [float_info("x", [None, 2, 3, 3])], [float_info("y", None)], constants)
        x = numbers(2, 2, 3, 3)
        convolved = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(constants["w"]))
        normal = torch.nn.functional.batch_norm(convolved, *(torch.from_numpy(constants[name]) for name in "mvsb"))
        graph = convert(model)
        self.assertEqual(graph.operators, ["Conv", "Mul", "Add", "Add"])
        numpy.testing.assert_allclose(graph.run(x), (convolved + normal).numpy(), rtol=1e-4, atol=1e-5)

    def test_a_product_with_a_bias_behind_it_is_one_node(self):
        x, w, b = numbers(3, 4), numbers(4, 2), numbers(2)
        nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["b", "p"], ["y"])]
        graph = convert(model_of(nodes, [float_info("x", [1, 4])], [float_info("y", None)], {"w": w, "b": b}))
        self.assertEqual(graph.operators, ["Gemm"])
        numpy.testing.assert_allclose(graph.run(x), x @ w + b, rtol=1e-4, atol=1e-5)

    def test_shared_and_renamed_initializers_are_there_once(self):
        w = numbers(4, 4)
        nodes = [helper.make_node("Identity", ["w"], ["same"]), helper.make_node("MatMul", ["x", "w"], ["p"]),
                 helper.make_node("Relu", ["p"], ["r"]), helper.make_node("MatMul", ["r", "same"], ["q"]),
                 helper.make_node("Dropout", ["q"], ["y", "mask"])]
        inputs = [float_info("x", ["rows", 4]), float_info("w", [4, 4])]  # as files of IR version 3 list them
        graph = convert(model_of(nodes, inputs, [float_info("y", None)], {"w": w}))
        x = numbers(3, 4)
        numpy.testing.assert_allclose(graph.run(x), numpy.maximum(x @ w, 0) @ w, rtol=1e-4, atol=1e-5)
        self.assertEqual(len(graph.graph.weights), w.nbytes)
        self.assertEqual(len(graph.graph.inputs), 1)

    def test_stripped_names_leave_those_of_inputs_and_outputs(self):
        graph = convert(export(perceptron(), torch.zeros(1, 20)), "--strip")
        self.assertEqual(graph.names(), {"", "input", "output"})

    def test_typed_numbers_are_read_as_raw_ones(self):
        x = numbers(3, 2)
        weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])
        target = helper.make_tensor("s", TensorProto.INT64, [3], [0, 1, 2])
        shape = helper.make_node("Constant", [], ["s"], value=target)
        nodes = [shape, helper.make_node("Gemm", ["x", "w"], ["g"]), helper.make_node("Reshape", ["g", "s"], ["y"])]
        graph = helper.make_graph(nodes, "graph", [float_info("x", [1, 2])], [float_info("y", None)], [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        wanted = (x @ numpy.array([[1, 2], [3, 4]], numpy.float32)).reshape(3, 1, 2)
        numpy.testing.assert_allclose(convert(model.SerializeToString()).run(x), wanted, rtol=1e-5, atol=1e-6)


def quantised(array, axis=None):
    """Symmetric int8 of a weight, with one scale for all or one a place along an axis."""
    others = None if axis is None else tuple(i for i in range(array.ndim) if i != axis)
    scale = (numpy.abs(array).max(axis=others) / 127).astype(numpy.float32)
    wide = scale if axis is None else scale.reshape([-1 if i == axis else 1 for i in range(array.ndim)])
    return numpy.round(array / wide).clip(-127, 127).astype(numpy.int8), scale, wide


class Quantised(unittest.TestCase):
    def test_weights_in_8_bits(self):
        x, weight = numbers(3, 4), numbers(4, 6)
        for axis in (None, 1):
            content, scale, wide = quantised(weight, axis)
            constants = {"w": content, "s": numpy.asarray(scale), "z": numpy.zeros(scale.shape, numpy.int8)}
            dequantise = helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], **({"axis": 1} if axis else {}))
            nodes = [dequantise, helper.make_node("MatMul", ["x", "d"], ["y"])]
            graph = convert(model_of(nodes, [float_info("x", [None, 4])], [float_info("y", None)], constants))
            self.assertEqual(graph.operators, ["DequantizeLinear", "Gemm"])
            wanted = x @ (content.astype(numpy.float32) * wide)
            numpy.testing.assert_allclose(graph.run(x), wanted, rtol=1e-4, atol=1e-5)

    def test_convolution_between_quantisations(self):
        x, weight = numbers(2, 3, 6, 6), numbers(4, 3, 3, 3, seed=2)
        content, scale, wide = quantised(weight, 0)
        in_scale, out_scale = numpy.float32(0.03), numpy.float32(0.1)
        bias = numpy.array([100, -100, 7, 0], numpy.int32)
        constants = {"is": in_scale, "iz": numpy.uint8(120), "w": content, "ws": scale, "os": out_scale, "b": bias,
                     "bs": (in_scale * scale).astype(numpy.float32)}
        nodes = [helper.make_node("QuantizeLinear", ["x", "is", "iz"], ["q"]),
                 helper.make_node("DequantizeLinear", ["q", "is", "iz"], ["dq"]),
                 helper.make_node("DequantizeLinear", ["w", "ws"], ["dw"], axis=0),
                 helper.make_node("DequantizeLinear", ["b", "bs"], ["db"], axis=0),
                 helper.make_node("Conv", ["dq", "dw", "db"], ["c"], pads=[1, 1, 1, 1]),
                 helper.make_node("QuantizeLinear", ["c", "os"], ["qc"]),
                 helper.make_node("DequantizeLinear", ["qc", "os"], ["y"])]
        graph = convert(model_of(nodes, [float_info("x", [1, 3, 6, 6])], [float_info("y", None)], constants))
        rounded = (numpy.round(x / in_scale) + 120).clip(0, 255).astype(numpy.float32)
        wanted = torch.nn.functional.conv2d(torch.from_numpy((rounded - 120) * in_scale),
                                            torch.from_numpy(content.astype(numpy.float32) * wide),
                                            torch.from_numpy(bias.astype(numpy.float32) * in_scale * scale), padding=1)
        wanted = numpy.round(wanted.numpy() / out_scale).clip(0, 255) * out_scale
        numpy.testing.assert_allclose(graph.run(x, float(out_scale) * 1.01), wanted, rtol=0,
                                   atol=float(out_scale) * 1.01)


class Refused(unittest.TestCase):
    def refused(self, model, *parts):
        with self.assertRaises(ValueError) as caught:
            convert(model)
        for part in parts:
            self.assertIn(part, str(caught.exception))

    def test_an_unknown_operator_is_named_with_its_node(self):
        self.refused(single("LSTM", (3, 4), {"w": numbers(1)}), "node 'n' (LSTM)", "has no 'LSTM'", "it has Add")
        node = helper.make_node("Relu", ["x"], ["y"], name="n", domain="com.example")
        self.refused(model_of([node], [float_info("x", [1, 2])], [float_info("y", None)]), "'com.example'")

    def test_an_unknown_attribute_is_named(self):
        self.refused(single("Relu", (3,), alpha=1.0), "node 'n' (Relu)", "'alpha'")

    def test_rows_are_not_mixed(self):
        self.refused(single("Transpose", (3,), perm=[1, 0]), "rows would not stay in front")
        self.refused(single("Reshape", (4,), {"s": numpy.array([2, -1], numpy.int64)}), "each row must stay a row")
        self.refused(single("Softmax", (4,), axis=0), "rows")
        self.refused(single("Flatten", (4,), axis=0), "mix rows")

    def test_zeros_before_what_has_no_padding_of_zeros(self):
        pads = numpy.array([0, 0, 1, 0, 0, 1], numpy.int64)
        nodes = [helper.make_node("Pad", ["x", "pads"], ["p"]),
                 helper.make_node("MaxPool", ["p"], ["y"], name="n", kernel_shape=[2])]
        model = model_of(nodes, [float_info("x", [1, 2, 5])], [float_info("y", None)], {"pads": pads})
        self.refused(model, "node 'n' (MaxPool)", "is padded")

    def test_opsets_outside_those_that_are_read(self):
        self.refused(single("Relu", (3,), opset=10), "opset 10")
        self.refused(single("Relu", (3,), opset=18), "opset 18")

    def test_data_in_another_file_is_never_fetched(self):
        model = onnx.load_from_string(single("Add", (3,), {"c": numbers(3)}))
        tensor = model.graph.initializer[0]
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
        self.refused(model.SerializeToString(), "'c'", "in another file")

    def test_sizes_that_are_not_known(self):
        node = helper.make_node("Relu", ["x"], ["y"])
        model = model_of([node], [float_info("x", ["rows", "length"])], [float_info("y", None)])
        self.refused(model, "input 'x'", "no fixed size")

    def test_normalisation_in_training(self):
        constants = {name: abs(numbers(3)) for name in "sbmv"}
        self.refused(single("BatchNormalization", (3,), constants, opset=15, training_mode=1), "model.eval()")

    def test_a_weight_of_another_shape(self):
        self.refused(single("Conv", (2, 5, 5), {"w": numbers(1, 3, 3, 3)}), "node 'n' (Conv)", "[1, 2, 3, 3]")


if __name__ == "__main__":
    unittest.main()
