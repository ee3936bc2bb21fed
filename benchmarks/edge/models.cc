#include "benchmarks/edge/models.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <utility>

#include "common/base/check.h"
#include "common/graph/builder.h"

namespace tacit::benchmark {
namespace {

using graph::Element;
using graph::kRows;
using graph::Operator;
using graph::Shape;
using graph::ValueId;

enum class Numbers : std::uint8_t { kFloats, kBytes };

/// Layer after layer; in 8 bits each layer's weights are quantised a channel at a time, and so is what goes in.
class Layers {
 public:
  Layers(Shape input, Numbers numbers) : numbers_(numbers) {
    at_ = builder_.AddInput("input", Element::kFloat32, std::move(input));
  }

  struct Window {
    std::uint32_t kernel = 1;
    std::uint32_t stride = 1;
    std::uint32_t groups = 1;
  };
  void Conv(std::int64_t out, const Window& window) {
    const std::int64_t in = builder_.ValueOf(at_).shape[1] / static_cast<std::int64_t>(window.groups);
    graph::Attributes attributes;
    attributes.kernel = {window.kernel, window.kernel};
    attributes.strides = {window.stride, window.stride};
    const std::uint32_t pad = window.kernel / 2;
    attributes.pads = {pad, pad, pad, pad};
    attributes.groups = window.groups;
    AddLayer(Operator::kConv, {out, in, window.kernel, window.kernel}, attributes);
  }
  void Gemm(std::int64_t out) { AddLayer(Operator::kGemm, {out, builder_.ValueOf(at_).shape[1]}, {}); }
  void Relu() { at_ = Add({.op = Operator::kRelu, .name = "", .inputs = {at_}}); }
  void MaxPool() {
    graph::Attributes attributes;
    attributes.kernel = {2, 2};
    attributes.strides = {2, 2};
    at_ = Add({.op = Operator::kMaxPool, .name = "", .inputs = {at_}, .output = 0, .attributes = attributes});
  }
  void GlobalAveragePool() { at_ = Add({.op = Operator::kGlobalAveragePool, .name = "", .inputs = {at_}}); }
  void Flatten() {
    std::int64_t size = 1;
    for (const std::int64_t dimension : builder_.ValueOf(at_).shape) size *= dimension == kRows ? 1 : dimension;
    at_ = Taken(builder_.AddReshape("", at_, {kRows, size}));
  }
  graph::OwnedGraph Finish() && {
    builder_.AddOutput(at_, "output");
    return Taken(std::move(builder_).Finish());
  }

 private:
  template <typename T>
  static T Taken(Result<T> result) {
    TACIT_CHECK(result.has_value(), "these models are right");
    return *std::move(result);
  }
  ValueId Add(graph::Node node) { return Taken(builder_.AddNode(std::move(node))); }

  template <typename T>
  ValueId Constant(Element element, Shape shape, const std::vector<T>& numbers) {
    const ByteSpan bytes = AsBytes(std::span<const T>(numbers));
    return builder_.AddOwnConstant("", element, std::move(shape), Bytes(bytes.begin(), bytes.end()));
  }

  static std::size_t SizeOf(const Shape& shape) {
    std::size_t size = 1;
    for (const std::int64_t dimension : shape) size *= static_cast<std::size_t>(dimension);
    return size;
  }

  void AddLayer(Operator op, const Shape& shape, const graph::Attributes& attributes) {
    const bool in_bytes = numbers_ == Numbers::kBytes;
    if (in_bytes) at_ = Requantized(at_);
    const ValueId weights = in_bytes ? ByteWeights(shape) : FloatWeights(shape);
    const ValueId bias =
        Constant(Element::kFloat32, {shape[0]}, std::vector<float>(static_cast<std::size_t>(shape[0]), 0.01F));
    at_ = Add({.op = op, .name = "", .inputs = {at_, weights, bias}, .output = 0, .attributes = attributes});
  }

  // He et al. 2015: keeps the size of what passes through layers with ReLU.
  ValueId FloatWeights(const Shape& shape) {
    const std::size_t size = SizeOf(shape);
    const auto inputs = static_cast<float>(size / static_cast<std::size_t>(shape[0]));
    std::normal_distribution<float> draw(0, std::sqrt(2 / inputs));
    std::vector<float> numbers(size);
    for (float& number : numbers) number = draw(bits_);
    return Constant(Element::kFloat32, shape, numbers);
  }

  ValueId ByteWeights(const Shape& shape) {
    const std::size_t size = SizeOf(shape);
    std::normal_distribution<float> draw(0, 40);
    std::vector<std::int8_t> numbers(size);
    for (std::int8_t& number : numbers) {
      number = static_cast<std::int8_t>(std::fmax(-127.0F, std::fmin(127.0F, draw(bits_))));
    }
    const auto out = static_cast<std::size_t>(shape[0]);
    const float scale = std::sqrt(2 / static_cast<float>(size / out)) / 40;
    return Add({.op = Operator::kDequantizeLinear,
                .name = "",
                .inputs = {Constant(Element::kInt8, shape, numbers),
                           Constant(Element::kFloat32, {shape[0]}, std::vector<float>(out, scale)),
                           Constant(Element::kInt8, {shape[0]}, std::vector<std::int8_t>(out, 0))},
                .output = 0,
                .attributes = FirstAxis()});
  }
  static graph::Attributes FirstAxis() {
    graph::Attributes attributes;
    attributes.axis = 0;
    return attributes;
  }

  ValueId Requantized(ValueId id) {
    const ValueId scale = Constant(Element::kFloat32, {}, std::vector<float>{0.02F});
    const ValueId zero =
        Constant(Element::kUint8, {}, std::vector<std::uint8_t>{is_first_ ? std::uint8_t{128} : std::uint8_t{0}});
    is_first_ = false;
    const ValueId bytes = Add({.op = Operator::kQuantizeLinear, .name = "", .inputs = {id, scale, zero}});
    return Add({.op = Operator::kDequantizeLinear, .name = "", .inputs = {bytes, scale, zero}});
  }

  graph::Builder builder_;
  Numbers numbers_;
  ValueId at_ = 0;
  bool is_first_ = true;
  std::mt19937 bits_{1};
};

graph::OwnedGraph Perceptron() {
  Layers layers({kRows, 784}, Numbers::kFloats);
  layers.Gemm(256);
  layers.Relu();
  layers.Gemm(128);
  layers.Relu();
  layers.Gemm(10);
  return std::move(layers).Finish();
}

graph::OwnedGraph SmallConvolutional() {
  Layers layers({kRows, 1, 28, 28}, Numbers::kFloats);
  for (const std::int64_t channels : {16, 32}) {
    layers.Conv(channels, {.kernel = 3, .stride = 1, .groups = 1});
    layers.Relu();
    layers.MaxPool();
  }
  layers.Flatten();
  layers.Gemm(64);
  layers.Relu();
  layers.Gemm(10);
  return std::move(layers).Finish();
}

// Howard et al. 2017, table 1.
graph::OwnedGraph MobileNet(Numbers numbers) {
  struct Block {
    std::uint32_t stride;
    std::int64_t out;
  };
  constexpr std::array<Block, 13> kBlocks{{{1, 64},
                                           {2, 128},
                                           {1, 128},
                                           {2, 256},
                                           {1, 256},
                                           {2, 512},
                                           {1, 512},
                                           {1, 512},
                                           {1, 512},
                                           {1, 512},
                                           {1, 512},
                                           {2, 1024},
                                           {1, 1024}}};
  Layers layers({kRows, 3, 224, 224}, numbers);
  layers.Conv(32, {.kernel = 3, .stride = 2, .groups = 1});
  layers.Relu();
  std::int64_t in = 32;
  for (const Block& block : kBlocks) {
    layers.Conv(in, {.kernel = 3, .stride = block.stride, .groups = static_cast<std::uint32_t>(in)});
    layers.Relu();
    layers.Conv(block.out, {.kernel = 1, .stride = 1, .groups = 1});
    layers.Relu();
    in = block.out;
  }
  layers.GlobalAveragePool();
  layers.Flatten();
  layers.Gemm(1000);
  return std::move(layers).Finish();
}

}  // namespace

std::vector<Model> MakeModels() {
  std::vector<Model> models;
  models.push_back({"mlp", Perceptron()});
  models.push_back({"cnn", SmallConvolutional()});
  models.push_back({"mobilenet", MobileNet(Numbers::kFloats)});
  models.push_back({"mobilenet_int8", MobileNet(Numbers::kBytes)});
  return models;
}

}  // namespace tacit::benchmark
