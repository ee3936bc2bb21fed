"""Reads a graph file by docs/MODEL_FILES.md and computes it with torch: shares no code with the readers under test."""

import struct

import numpy
import torch
import torch.nn.functional as functional

OPERATORS = ("Conv", "Gemm", "MatMul", "MaxPool", "AveragePool", "GlobalAveragePool", "Relu", "Clip", "Sigmoid", "Tanh",
             "Softmax", "Add", "Mul", "Concat", "Reshape", "Transpose", "QuantizeLinear", "DequantizeLinear")
ELEMENTS = {1: numpy.float32, 2: numpy.int8, 3: numpy.uint8, 4: numpy.int32}


class Fields:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def one(self, form):
        return self.take(form)[0]

    def name(self):
        size = self.one("B")
        return self.one(f"{size}s").decode("ascii")


class Value:
    def __init__(self, fields, weights):
        element, is_constant, rank = fields.take("BBB")
        self.element = ELEMENTS[element]
        self.shape = fields.take(f"{rank}i")
        self.constant = None
        if is_constant:
            offset = fields.one("I")
            count = int(numpy.prod(self.shape, dtype=numpy.int64))
            self.constant = numpy.frombuffer(weights, self.element, count, offset).reshape(self.shape)
        self.name = fields.name()


class Node:
    def __init__(self, fields):
        operator, inputs = fields.take("BH")
        self.operator = OPERATORS[operator - 1]
        self.inputs = fields.take(f"{inputs}I")
        self.output = fields.one("I")
        self.kernel, self.strides, self.dilations, self.pads = (fields.take(form) for form in ("2I", "2I", "2I", "4I"))
        self.groups, self.axis, self.counts_padding = fields.take("IiB")
        self.minimum, self.maximum = fields.take("ff")
        self.permutation = fields.take(f"{fields.one('B')}I")
        self.name = fields.name()


class GraphFile:
    def __init__(self, data):
        magic, version, values, nodes, inputs, outputs, zero = struct.unpack_from("<8s6I", data)
        structure_size, weights_offset, weights_size, zeros = struct.unpack_from("<4Q", data, 32)
        assert magic == b"TACITGRF" and version == 1 and zero == 0 and zeros == 0
        assert weights_offset % 64 == 0 and weights_offset + weights_size == len(data)
        fields = Fields(data[64:64 + structure_size])
        self.weights = data[weights_offset:]
        self.values = [Value(fields, self.weights) for _ in range(values)]
        self.nodes = [Node(fields) for _ in range(nodes)]
        self.inputs = fields.take(f"{inputs}I")
        self.outputs = fields.take(f"{outputs}I")
        assert fields.at == structure_size

    def operators(self):
        return [node.operator for node in self.nodes]

    def run(self, inputs):
        """The outputs in their order, as arrays; `inputs` in theirs."""
        found = {index: torch.from_numpy(value.constant.copy())
                 for index, value in enumerate(self.values) if value.constant is not None}
        found.update(zip(self.inputs, (torch.from_numpy(each) for each in inputs)))
        for node in self.nodes:
            output = compute(node, [found[index] for index in node.inputs], self.values[node.output].shape)
            expected = [size for size in self.values[node.output].shape if size != -1]
            assert list(output.shape)[-len(expected):] == expected or not expected, (node.operator, output.shape)
            found[node.output] = output
        return [found[index].numpy() for index in self.outputs]


def pad_space(node, x, number):
    before_height, before_width, behind_height, behind_width = node.pads
    if x.dim() == 3:
        return functional.pad(x, (before_width, behind_width), value=number)
    return functional.pad(x, (before_width, behind_width, before_height, behind_height), value=number)


def pool(node, x):
    space = x.dim() - 2
    kernel, strides = node.kernel[2 - space:], node.strides[2 - space:]
    if node.operator == "MaxPool":
        work = functional.max_pool1d if space == 1 else functional.max_pool2d
        return work(pad_space(node, x, -numpy.inf), kernel, strides)
    area = float(numpy.prod(kernel))
    work = functional.avg_pool1d if space == 1 else functional.avg_pool2d
    total = work(pad_space(node, x, 0), kernel, strides) * area
    if node.counts_padding:
        return total / area
    return total / (work(pad_space(node, torch.ones_like(x), 0), kernel, strides) * area)


def along(numbers, axis, rank):
    return numbers.reshape([-1 if i == axis else 1 for i in range(rank)]) if numbers.dim() else numbers


def compute(node, inputs, shape):
    x = inputs[0]
    bias = inputs[2] if len(inputs) > 2 else None
    if node.operator == "Conv":
        space = x.dim() - 2
        work = functional.conv1d if space == 1 else functional.conv2d
        return work(pad_space(node, x, 0), inputs[1], bias, node.strides[2 - space:], 0, node.dilations[2 - space:],
                    node.groups)
    if node.operator == "Gemm":
        return functional.linear(x, inputs[1], bias)
    if node.operator in ("MaxPool", "AveragePool"):
        return pool(node, x)
    if node.operator == "QuantizeLinear":
        scale, zero = (along(each, node.axis, x.dim()) for each in inputs[1:])
        low, high = (0, 255) if zero.dtype == torch.uint8 else (-128, 127)
        return (torch.round(x / scale) + zero.to(torch.float32)).clamp(low, high).to(zero.dtype)
    if node.operator == "DequantizeLinear":
        scale, zero = (along(each, node.axis, x.dim()) for each in inputs[1:])
        return (x.to(torch.float32) - zero.to(torch.float32)) * scale
    simple = {
        "MatMul": lambda: torch.matmul(x, inputs[1]),
        "GlobalAveragePool": lambda: x.mean(dim=tuple(range(2, x.dim())), keepdim=True),
        "Relu": lambda: torch.relu(x),
        "Clip": lambda: x.clamp(node.minimum, node.maximum),
        "Sigmoid": lambda: torch.sigmoid(x),
        "Tanh": lambda: torch.tanh(x),
        "Softmax": lambda: torch.softmax(x, node.axis),
        "Add": lambda: x + inputs[1],
        "Mul": lambda: x * inputs[1],
        "Concat": lambda: torch.cat(inputs, node.axis),
        "Reshape": lambda: x.reshape((x.shape[0],) + tuple(shape[1:])),
        "Transpose": lambda: x.permute(node.permutation).contiguous(),
    }
    return simple[node.operator]()
