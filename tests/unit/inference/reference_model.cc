#include "tests/unit/inference/reference_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "common/base/check.h"

namespace tacit::inference {
namespace {

using graph::Operator;
using graph::Shape;

struct Tensor {
  Shape shape;  ///< With the number of rows in it.
  Numbers numbers;
};

std::size_t SizeOfShape(const Shape& shape) {
  std::size_t size = 1;
  for (const auto d : shape) size *= static_cast<std::size_t>(d);
  return size;
}

/// Number at `place` of a tensor that is broadcast to a shape with more dimensions.
double AtBroadcast(const Tensor& t, const Shape& place) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < t.shape.size(); ++i) {
    const auto p = place[place.size() - t.shape.size() + i];
    at = at * static_cast<std::size_t>(t.shape[i]) + static_cast<std::size_t>(t.shape[i] == 1 ? 0 : p);
  }
  return t.numbers[at];
}

template <typename Visit>
void ForPlaces(const Shape& shape, Visit visit) {
  Shape place(shape.size(), 0);
  for (std::size_t i = 0; i < SizeOfShape(shape); ++i) {
    visit(i, place);
    for (std::size_t d = shape.size(); d-- > 0;) {
      if (++place[d] < shape[d]) break;
      place[d] = 0;
    }
  }
}

struct Spatial {
  std::int64_t height;
  std::int64_t width;
};
Spatial SpatialOf(const Shape& shape) {
  return shape.size() == 4 ? Spatial{shape[2], shape[3]} : Spatial{1, shape[2]};
}

double AtImage(const Tensor& t, std::int64_t row, std::int64_t channel, std::int64_t y, std::int64_t x) {
  const Spatial s = SpatialOf(t.shape);
  return t.numbers[static_cast<std::size_t>(((row * t.shape[1] + channel) * s.height + y) * s.width + x)];
}

template <typename Visit>
void ForWindow(const graph::Attributes& a, const Spatial& in, std::int64_t y, std::int64_t x, Visit visit) {
  for (std::int64_t i = 0; i < a.kernel[0]; ++i) {
    for (std::int64_t j = 0; j < a.kernel[1]; ++j) {
      const std::int64_t iy = y * a.strides[0] + i * a.dilations[0] - a.pads[0];
      const std::int64_t ix = x * a.strides[1] + j * a.dilations[1] - a.pads[1];
      visit(i * a.kernel[1] + j, iy, ix, iy >= 0 && iy < in.height && ix >= 0 && ix < in.width);
    }
  }
}

void Conv(const graph::Node& node, const std::vector<const Tensor*>& in, Tensor& out) {
  const auto& a = node.attributes;
  const std::int64_t per_group = in[1]->shape[1];
  const std::int64_t outs = in[1]->shape[0] / static_cast<std::int64_t>(a.groups);
  const std::int64_t taps = std::int64_t{a.kernel[0]} * a.kernel[1];
  const Spatial space = SpatialOf(in[0]->shape);
  ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
    double sum = in.size() > 2 ? in[2]->numbers[static_cast<std::size_t>(p[1])] : 0;
    const bool flat = p.size() == 3;
    ForWindow(a, space, flat ? 0 : p[2], flat ? p[2] : p[3],
              [&](std::int64_t tap, std::int64_t y, std::int64_t x, bool inside) {
                for (std::int64_t c = 0; inside && c < per_group; ++c) {
                  sum += AtImage(*in[0], p[0], p[1] / outs * per_group + c, y, x) *
                         in[1]->numbers[static_cast<std::size_t>((p[1] * per_group + c) * taps + tap)];
                }
              });
    out.numbers[at] = sum;
  });
}

void Pool(const graph::Node& node, const Tensor& in, Tensor& out) {
  auto a = node.attributes;
  const Spatial space = SpatialOf(in.shape);
  if (node.op == Operator::kGlobalAveragePool) {
    a.kernel = {static_cast<std::uint32_t>(space.height), static_cast<std::uint32_t>(space.width)};
  }
  const bool takes_largest = node.op == Operator::kMaxPool;
  ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
    double value = takes_largest ? -std::numeric_limits<double>::infinity() : 0;
    double count = 0;
    const bool flat = p.size() == 3;
    ForWindow(a, space, flat ? 0 : p[2], flat ? p[2] : p[3],
              [&](std::int64_t, std::int64_t y, std::int64_t x, bool inside) {
                if (inside || a.count_padding) ++count;
                if (!inside) return;
                const double next = AtImage(in, p[0], p[1], y, x);
                value = takes_largest ? std::max(value, next) : value + next;
              });
    out.numbers[at] = takes_largest ? value : value / count;
  });
}

void Products(const Tensor& left, const Tensor& right, Tensor& out) {
  const std::int64_t depth = left.shape.back();
  ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
    double sum = 0;
    Shape l = p;
    Shape r = p;
    for (std::int64_t k = 0; k < depth; ++k) {
      l.back() = k;
      r[r.size() - 2] = k;
      sum += AtBroadcast(left, l) * AtBroadcast(right, r);
    }
    out.numbers[at] = sum;
  });
}

void Softmax(const graph::Node& node, const Tensor& in, Tensor& out) {
  const auto axis = static_cast<std::size_t>(node.attributes.axis);
  ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
    double sum = 0;
    Shape q = p;
    for (q[axis] = 0; q[axis] < in.shape[axis]; ++q[axis]) sum += std::exp(AtBroadcast(in, q));
    out.numbers[at] = std::exp(in.numbers[at]) / sum;
  });
}

void Concat(const graph::Node& node, const std::vector<const Tensor*>& in, Tensor& out) {
  const auto axis = static_cast<std::size_t>(node.attributes.axis);
  ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
    Shape q = p;
    std::size_t which = 0;
    for (; q[axis] >= in[which]->shape[axis]; ++which) q[axis] -= in[which]->shape[axis];
    out.numbers[at] = AtBroadcast(*in[which], q);
  });
}

/// Scale or zero point at a place.
double AlongAxis(const graph::Node& node, const Tensor& t, const Shape& p) {
  return t.numbers.size() == 1 ? t.numbers[0]
                               : t.numbers[static_cast<std::size_t>(p[static_cast<std::size_t>(node.attributes.axis)])];
}

void Quantize(const graph::Node& node, const std::vector<const Tensor*>& in, graph::Element element, Tensor& out) {
  const bool is_signed = element == graph::Element::kInt8;
  ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
    const double units =
        static_cast<double>(static_cast<float>(in[0]->numbers[at]) / static_cast<float>(AlongAxis(node, *in[1], p)));
    const double value = std::nearbyint(units) + AlongAxis(node, *in[2], p);
    out.numbers[at] = std::clamp(value, is_signed ? -128.0 : 0.0, is_signed ? 127.0 : 255.0);
  });
}

double Pointwise(const graph::Node& node, double x) {
  switch (node.op) {
    case Operator::kRelu:
      return std::max(x, 0.0);
    case Operator::kClip:
      return std::clamp(x, static_cast<double>(node.attributes.minimum), static_cast<double>(node.attributes.maximum));
    case Operator::kSigmoid:
      return 1 / (1 + std::exp(-x));
    default:
      return std::tanh(x);
  }
}

void Compute(const graph::Node& node, const std::vector<const Tensor*>& in, graph::Element element, Tensor& out) {
  switch (node.op) {
    case Operator::kConv:
      return Conv(node, in, out);
    case Operator::kGemm:
      return ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
        double sum = in.size() > 2 ? in[2]->numbers[static_cast<std::size_t>(p[1])] : 0;
        for (std::int64_t k = 0; k < in[0]->shape[1]; ++k) {
          sum += AtBroadcast(*in[0], {p[0], k}) * AtBroadcast(*in[1], {p[1], k});
        }
        out.numbers[at] = sum;
      });
    case Operator::kMatMul:
      return Products(*in[0], *in[1], out);
    case Operator::kMaxPool:
    case Operator::kAveragePool:
    case Operator::kGlobalAveragePool:
      return Pool(node, *in[0], out);
    case Operator::kSoftmax:
      return Softmax(node, *in[0], out);
    case Operator::kAdd:
    case Operator::kMul:
      return ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
        const double l = AtBroadcast(*in[0], p);
        const double r = AtBroadcast(*in[1], p);
        out.numbers[at] = node.op == Operator::kAdd ? l + r : l * r;
      });
    case Operator::kConcat:
      return Concat(node, in, out);
    case Operator::kReshape:
      out.numbers = in[0]->numbers;
      return;
    case Operator::kTranspose:
      return ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
        Shape q(p.size());
        for (std::size_t d = 0; d < p.size(); ++d) q[node.attributes.permutation[d]] = p[d];
        out.numbers[at] = AtBroadcast(*in[0], q);
      });
    case Operator::kQuantizeLinear:
      return Quantize(node, in, element, out);
    case Operator::kDequantizeLinear:
      return ForPlaces(out.shape, [&](std::size_t at, const Shape& p) {
        out.numbers[at] = (in[0]->numbers[at] - AlongAxis(node, *in[2], p)) * AlongAxis(node, *in[1], p);
      });
    default:
      for (std::size_t i = 0; i < out.numbers.size(); ++i) out.numbers[i] = Pointwise(node, in[0]->numbers[i]);
  }
}

double NumberAt(graph::Element element, const std::uint8_t* from, std::size_t i) {
  switch (element) {
    case graph::Element::kFloat32: {
      float value = 0;
      std::memcpy(&value, from + 4 * i, 4);
      return static_cast<double>(value);
    }
    case graph::Element::kInt32: {
      std::int32_t value = 0;
      std::memcpy(&value, from + 4 * i, 4);
      return value;
    }
    case graph::Element::kInt8:
      return static_cast<std::int8_t>(from[i]);
    case graph::Element::kUint8:
      return from[i];
  }
  return 0;
}

Shape WithRows(Shape shape, std::size_t rows) {
  if (!shape.empty() && shape.front() == graph::kRows) shape.front() = static_cast<std::int64_t>(rows);
  return shape;
}

}  // namespace

Result<std::span<std::uint8_t>> WatchedMemory::Take(std::size_t size) {
  blocks_.emplace_back(size);
  std::ranges::fill(blocks_.back().bytes(), std::uint8_t{0});
  taken_ += size;
  return blocks_.back().bytes();
}

void WatchedMemory::Wipe() {
  for (AlignedBuffer& block : blocks_) std::ranges::fill(block.bytes(), std::uint8_t{0});
  blocks_.clear();
  taken_ = 0;
}

std::vector<Numbers> ComputeReference(const graph::GraphView& model, std::size_t rows,
                                      const std::vector<Numbers>& inputs) {
  std::vector<Tensor> values;
  for (const graph::Value& value : model.graph.values) {
    Tensor tensor{.shape = WithRows(value.shape, rows), .numbers = {}};
    tensor.numbers.resize(SizeOfShape(tensor.shape));
    for (std::size_t i = 0; value.constant && i < tensor.numbers.size(); ++i) {
      tensor.numbers[i] = NumberAt(value.element, model.weights.data() + value.constant->offset, i);
    }
    values.push_back(std::move(tensor));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) values[model.graph.inputs[i]].numbers = inputs[i];
  for (const graph::Node& node : model.graph.nodes) {
    std::vector<const Tensor*> in;
    for (const auto id : node.inputs) in.push_back(&values[id]);
    Compute(node, in, model.graph.values[node.output].element, values[node.output]);
  }
  std::vector<Numbers> outputs;
  for (const auto id : model.graph.outputs) outputs.push_back(values[id].numbers);
  return outputs;
}

graph::ValueId ModelMaker::Input(Shape shape) {
  return builder_.AddInput("in" + std::to_string(inputs_++), graph::Element::kFloat32, std::move(shape));
}

graph::ValueId ModelMaker::Floats(Shape shape, float low, float high) {
  std::uniform_real_distribution<float> draw(low, high);
  std::vector<double> numbers(SizeOfShape(shape));
  for (double& number : numbers) number = static_cast<double>(draw(bits_));
  return Constant(graph::Element::kFloat32, std::move(shape), std::move(numbers));
}

graph::ValueId ModelMaker::Bytes8(Shape shape) {
  std::uniform_int_distribution<int> draw(-128, 127);
  std::vector<double> numbers(SizeOfShape(shape));
  for (double& number : numbers) number = draw(bits_);
  return Constant(graph::Element::kInt8, std::move(shape), std::move(numbers));
}

graph::ValueId ModelMaker::Constant(graph::Element element, Shape shape, std::vector<double> numbers) {
  ByteWriter writer;
  for (const double number : numbers) {
    if (element == graph::Element::kFloat32) {
      const auto value = static_cast<float>(number);
      writer.Raw(AsBytes(std::span<const float>(&value, 1)));
    } else if (element == graph::Element::kInt32) {
      const auto value = static_cast<std::int32_t>(number);
      writer.Raw(AsBytes(std::span<const std::int32_t>(&value, 1)));
    } else {
      writer.U8(static_cast<std::uint8_t>(static_cast<int>(number)));
    }
  }
  return builder_.AddOwnConstant("", element, std::move(shape), std::move(writer).Take());
}

graph::ValueId ModelMaker::Node(Operator op, std::vector<graph::ValueId> inputs, graph::Attributes attributes) {
  const auto id = builder_.AddNode(
      {.op = op, .name = "", .inputs = std::move(inputs), .output = 0, .attributes = std::move(attributes)});
  TACIT_CHECK(id.has_value(), id ? "" : id.error().message.c_str());
  return *id;
}

graph::ValueId ModelMaker::Reshape(graph::ValueId input, Shape shape) {
  const auto id = builder_.AddReshape("", input, std::move(shape));
  TACIT_CHECK(id.has_value(), id ? "" : id.error().message.c_str());
  return *id;
}

graph::ValueId ModelMaker::Requantize(graph::ValueId x, double scale, int zero, graph::Element element) {
  const auto scales = Constant(graph::Element::kFloat32, {}, {scale});
  const auto zeros = Constant(element, {}, {static_cast<double>(zero)});
  return Node(Operator::kDequantizeLinear, {Node(Operator::kQuantizeLinear, {x, scales, zeros}), scales, zeros});
}

graph::OwnedGraph ModelMaker::Finish() && {
  auto graph = std::move(builder_).Finish();
  TACIT_CHECK(graph.has_value(), graph ? "" : graph.error().message.c_str());
  return *std::move(graph);
}

}  // namespace tacit::inference
