#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/graph/file.h"
#include "edge_agent/inference/builtin_engine.h"
#include "edge_agent/inference/kernels.h"
#include "tests/unit/inference/reference_model.h"

namespace tacit::inference {
namespace {

using graph::Attributes;
using graph::kRows;
using graph::Operator;
using graph::Shape;
using graph::ValueId;

struct Tolerance {
  double relative = 2e-5;  ///< Of the largest output.
};

std::vector<std::vector<float>> RandomInputs(const Signature& signature, std::size_t rows, std::uint32_t seed) {
  std::mt19937 bits(seed);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<std::vector<float>> inputs;
  for (const Port& port : signature.inputs) {
    inputs.emplace_back(rows * port.RowSize());
    for (float& number : inputs.back()) number = draw(bits);
  }
  return inputs;
}

std::vector<std::vector<float>> RunEngine(Engine& engine, std::size_t rows,
                                          const std::vector<std::vector<float>>& inputs) {
  std::vector<ByteSpan> in;
  std::vector<std::vector<float>> outputs;
  std::vector<std::span<std::uint8_t>> out;
  for (const auto& input : inputs) in.push_back(AsBytes(std::span<const float>(input)));
  for (const Port& port : engine.signature().outputs) outputs.emplace_back(rows * port.RowSize(), NAN);
  for (auto& output : outputs) {
    out.emplace_back(reinterpret_cast<std::uint8_t*>(output.data()), output.size() * sizeof(float));
  }
  const auto ran = engine.Run(rows, in, out);
  EXPECT_TRUE(ran.has_value()) << (ran ? "" : ran.error().message);
  return outputs;
}

void ExpectNear(const std::vector<float>& got, const Numbers& wanted, double relative) {
  ASSERT_EQ(got.size(), wanted.size());
  double largest = 1e-3;
  for (const double number : wanted) largest = std::max(largest, std::abs(number));
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(got[i]), wanted[i], relative * largest) << "at " << i;
  }
}

/// Computes `rows` rows on every path beside the reference.
void ExpectRowsLikeReference(const graph::OwnedGraph& model, std::size_t rows, Tolerance tolerance) {
  const AlignedBuffer file = graph::Serialise({model.graph, model.bytes()});
  std::vector<Numbers> wanted;
  for (const KernelPath path : kPaths) {
    if (!Has(path)) continue;
    HeapMemory memory;
    const auto engine = MakeBuiltinEngine(memory, KernelsOf(path));
    const auto loaded = engine->Load(file.bytes());
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    const auto inputs = RandomInputs(engine->signature(), rows, 11);
    std::vector<Numbers> numbers;
    for (const auto& input : inputs) numbers.emplace_back(input.begin(), input.end());
    if (wanted.empty()) wanted = ComputeReference({model.graph, model.bytes()}, rows, numbers);
    const auto got = RunEngine(*engine, rows, inputs);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      SCOPED_TRACE("path " + std::to_string(static_cast<int>(path)) + ", output " + std::to_string(i));
      ASSERT_NO_FATAL_FAILURE(ExpectNear(got[i], wanted[i], tolerance.relative));
    }
  }
}

/// The same for one row, which has kernels of its own, and for some.
void ExpectLikeReference(const graph::OwnedGraph& model, Tolerance tolerance = {}) {
  ASSERT_NO_FATAL_FAILURE(ExpectRowsLikeReference(model, 1, tolerance));
  ASSERT_NO_FATAL_FAILURE(ExpectRowsLikeReference(model, 3, tolerance));
}

struct ConvCase {
  std::int64_t in;
  std::int64_t out;
  std::int64_t height;  ///< 0 for one dimension of space.
  std::int64_t width;
  Attributes attributes;
};

graph::OwnedGraph ConvModel(const ConvCase& c) {
  ModelMaker maker(3);
  const bool flat = c.height == 0;
  const ValueId x = maker.Input(flat ? Shape{kRows, c.in, c.width} : Shape{kRows, c.in, c.height, c.width});
  Shape weight = {c.out, c.in / static_cast<std::int64_t>(c.attributes.groups)};
  if (!flat) weight.push_back(c.attributes.kernel[0]);
  weight.push_back(c.attributes.kernel[1]);
  const ValueId bias = maker.Floats({c.out});
  maker.Output(maker.Node(Operator::kConv, {x, maker.Floats(weight), bias}, c.attributes));
  return std::move(maker).Finish();
}

Attributes Window(std::array<std::uint32_t, 2> kernel, std::array<std::uint32_t, 2> strides,
                  std::array<std::uint32_t, 2> dilations, std::array<std::uint32_t, 4> pads, std::uint32_t groups = 1) {
  Attributes attributes;
  attributes.kernel = kernel;
  attributes.strides = strides;
  attributes.dilations = dilations;
  attributes.pads = pads;
  attributes.groups = groups;
  return attributes;
}

TEST(BuiltinEngine, ConvolvesAsTheReferenceDoes) {
  const ConvCase cases[] = {
      {1, 16, 9, 7, Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1})},
      {3, 17, 11, 10, Window({3, 3}, {2, 2}, {1, 1}, {0, 1, 1, 0})},
      {3, 5, 8, 8, Window({5, 1}, {1, 1}, {1, 1}, {2, 0, 2, 0})},
      {9, 33, 7, 6, Window({1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0})},
      {12, 40, 6, 9, Window({3, 2}, {1, 2}, {2, 3}, {2, 3, 1, 0})},
      {2, 4, 6, 9, Window({3, 2}, {1, 2}, {2, 3}, {2, 3, 1, 0})},
      {12, 20, 5, 5, Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 4)},
      {6, 18, 5, 5, Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 6)},
      {10, 7, 3, 3, Window({1, 1}, {2, 2}, {1, 1}, {1, 1, 1, 1})},
      {3, 6, 0, 23, Window({1, 5}, {1, 2}, {1, 1}, {0, 3, 0, 1})},
      {9, 6, 0, 23, Window({1, 4}, {1, 1}, {1, 3}, {0, 3, 0, 1}, 3)},
  };
  for (const ConvCase& c : cases) {
    SCOPED_TRACE(std::to_string(&c - cases));
    ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(ConvModel(c)));
  }
}

TEST(BuiltinEngine, ConvolvesEachChannelAloneAsTheReferenceDoes) {
  const ConvCase cases[] = {
      {32, 32, 9, 7, Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 32)},
      {16, 16, 10, 11, Window({3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 16)},
      {16, 16, 9, 9, Window({3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}, 16)},
      {21, 21, 8, 5, Window({3, 3}, {1, 1}, {1, 1}, {0, 1, 2, 0}, 21)},
      {16, 16, 2, 2, Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 16)},
      {7, 7, 8, 8, Window({5, 4}, {2, 1}, {1, 2}, {2, 3, 1, 3}, 7)},
      {16, 16, 0, 30, Window({1, 3}, {1, 2}, {1, 2}, {0, 1, 0, 4}, 16)},
  };
  for (const ConvCase& c : cases) {
    SCOPED_TRACE(std::to_string(&c - cases));
    ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(ConvModel(c)));
  }
}

TEST(BuiltinEngine, MultipliesAndClampsAsTheReferenceDoes) {
  struct Case {
    std::int64_t in;
    std::int64_t out;
  };
  for (const Case& c : {Case{1, 1}, Case{19, 10}, Case{64, 150}, Case{33, 48}, Case{7, 31}, Case{8, 17}}) {
    ModelMaker maker(5);
    const ValueId x = maker.Input({kRows, c.in});
    const ValueId hidden = maker.Node(Operator::kGemm, {x, maker.Floats({c.out, c.in}), maker.Floats({c.out})});
    const ValueId relu = maker.Node(Operator::kRelu, {hidden});
    maker.Output(maker.Node(Operator::kGemm, {relu, maker.Floats({5, c.out})}));
    SCOPED_TRACE(std::to_string(c.in));
    ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish()));
  }
}

TEST(BuiltinEngine, ComputesMoreRowsThanAtOnce) {
  ModelMaker maker(5);
  const ValueId x = maker.Input({kRows, 9});
  maker.Output(maker.Node(Operator::kGemm, {x, maker.Floats({35, 9})}));
  const graph::OwnedGraph model = std::move(maker).Finish();
  for (const std::size_t rows : {13U, 48U, 101U}) {
    ASSERT_NO_FATAL_FAILURE(ExpectRowsLikeReference(model, rows, {}));
  }
}

TEST(BuiltinEngine, PoolsAsTheReferenceDoes) {
  for (const Operator op : {Operator::kMaxPool, Operator::kAveragePool}) {
    for (const bool counts : {false, true}) {
      if (op == Operator::kMaxPool && counts) continue;
      ModelMaker maker(6);
      const ValueId x = maker.Input({kRows, 18, 9, 11});
      auto window = Window({3, 2}, {2, 3}, {1, 1}, {1, 1, 2, 1});
      window.count_padding = counts;
      const ValueId pooled = maker.Node(op, {x}, window);
      maker.Output(pooled);
      const ValueId line = maker.Input({kRows, 3, 12});
      maker.Output(maker.Node(op, {line}, Window({1, 2}, {1, 2}, {1, 1}, {0, 0, 0, 0})));
      maker.Output(maker.Node(Operator::kGlobalAveragePool, {pooled}));
      ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish()));
    }
  }
}

TEST(BuiltinEngine, ComputesElementAfterElementAsTheReferenceDoes) {
  ModelMaker maker(7);
  const ValueId x = maker.Input({kRows, 37});
  Attributes clip;
  clip.minimum = -0.5F;
  clip.maximum = 0.25F;
  const ValueId wide = maker.Node(Operator::kMul, {x, maker.Constant(graph::Element::kFloat32, {1}, {20})});
  maker.Output(maker.Node(Operator::kSigmoid, {wide}));
  maker.Output(maker.Node(Operator::kTanh, {wide}));
  maker.Output(maker.Node(Operator::kTanh, {x}));
  maker.Output(maker.Node(Operator::kRelu, {x}));
  maker.Output(maker.Node(Operator::kClip, {x}, clip));
  maker.Output(maker.Node(Operator::kSoftmax, {wide}));
  ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish()));
}

TEST(BuiltinEngine, BroadcastsAsTheReferenceDoes) {
  ModelMaker maker(8);
  const ValueId x = maker.Input({kRows, 6, 5, 4});
  const ValueId conv = maker.Node(Operator::kConv, {x, maker.Floats({6, 6, 1, 1})});
  const ValueId gate = maker.Node(Operator::kSigmoid, {maker.Node(Operator::kGlobalAveragePool, {conv})});
  maker.Output(maker.Node(Operator::kMul, {conv, gate}));
  maker.Output(maker.Node(Operator::kAdd, {maker.Floats({6, 1, 1}), conv}));
  maker.Output(maker.Node(Operator::kAdd, {conv, maker.Floats({1, 1, 5, 1})}));
  maker.Output(maker.Node(Operator::kMul, {x, maker.Floats({4})}));
  maker.Output(maker.Node(Operator::kRelu, {maker.Node(Operator::kAdd, {x, conv})}));
  const ValueId flat = maker.Input({kRows, 3, 1});
  maker.Output(maker.Node(Operator::kMul, {flat, maker.Floats({1, 1, 7})}));
  ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish()));
}

TEST(BuiltinEngine, MovesNumbersAsTheReferenceDoes) {
  ModelMaker maker(9);
  const ValueId x = maker.Input({kRows, 6, 5, 4});
  const ValueId conv = maker.Node(Operator::kConv, {x, maker.Floats({3, 6, 1, 1})});
  Attributes order;
  order.permutation = {0, 2, 3, 1};
  maker.Output(maker.Node(Operator::kTranspose, {x}, order));
  maker.Output(maker.Node(Operator::kTranspose, {conv}, order));
  maker.Output(maker.Node(Operator::kConcat, {conv, x, conv}));
  Attributes last;
  last.axis = 3;
  maker.Output(maker.Node(Operator::kConcat, {conv, conv}, last));
  maker.Output(maker.Node(Operator::kSoftmax, {conv}));
  maker.Output(maker.Reshape(conv, {kRows, 5, 12}));
  const ValueId flat = maker.Reshape(conv, {kRows, 60});
  maker.Output(maker.Node(Operator::kGemm, {flat, maker.Floats({9, 60})}));
  ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish()));
}

TEST(BuiltinEngine, MultipliesComputedMatricesAsTheReferenceDoes) {
  ModelMaker maker(10);
  const ValueId x = maker.Input({kRows, 3, 5, 4});
  const ValueId y = maker.Input({kRows, 1, 4, 7});
  maker.Output(maker.Node(Operator::kMatMul, {x, y}));
  maker.Output(maker.Node(Operator::kMatMul, {maker.Floats({6, 5}), x}));
  ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish()));
}

TEST(BuiltinEngine, AddsWhatPassedBesideALayer) {
  ModelMaker maker(12);
  const ValueId x = maker.Input({kRows, 8, 6, 6});
  const auto same = Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1});
  const ValueId first =
      maker.Node(Operator::kRelu, {maker.Node(Operator::kConv, {x, maker.Floats({8, 8, 3, 3})}, same)});
  const ValueId second = maker.Node(Operator::kConv, {first, maker.Floats({8, 8, 3, 3})}, same);
  const ValueId sum = maker.Node(Operator::kRelu, {maker.Node(Operator::kAdd, {second, x})});
  const ValueId other = maker.Node(Operator::kConv, {x, maker.Floats({8, 8, 1, 1})});
  maker.Output(maker.Node(Operator::kAdd, {maker.Node(Operator::kConv, {sum, maker.Floats({8, 8, 1, 1})}), other}));
  const ValueId flat = maker.Input({kRows, 9});
  const ValueId dense = maker.Node(Operator::kGemm, {flat, maker.Floats({9, 9})});
  maker.Output(maker.Node(Operator::kAdd, {flat, dense}));
  ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish()));
}

/// Weights in 8 bits, a scale for each of the first dimension.
ValueId ByteWeights(ModelMaker& maker, const Shape& shape) {
  const auto out = static_cast<std::size_t>(shape[0]);
  std::vector<double> scales(out);
  for (std::size_t i = 0; i < out; ++i) scales[i] = 0.001 * static_cast<double>(1 + i % 5);
  Attributes first;
  first.axis = 0;
  return maker.Node(Operator::kDequantizeLinear,
                    {maker.Bytes8(shape), maker.Constant(graph::Element::kFloat32, {shape[0]}, scales),
                     maker.Constant(graph::Element::kInt8, {shape[0]}, std::vector<double>(out, 0))},
                    first);
}

TEST(BuiltinEngine, ComputesWithWeightsOfEightBits) {
  ModelMaker maker(13);
  const ValueId x = maker.Input({kRows, 9, 6, 7});
  const auto same = Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1});
  const ValueId conv = maker.Node(Operator::kConv, {x, ByteWeights(maker, {37, 9, 3, 3}), maker.Floats({37})}, same);
  const ValueId depthwise = maker.Node(Operator::kConv, {conv, ByteWeights(maker, {37, 1, 3, 3})},
                                       Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 37));
  maker.Output(depthwise);
  const ValueId flat = maker.Reshape(conv, {kRows, 37 * 42});
  maker.Output(maker.Node(Operator::kGemm, {flat, ByteWeights(maker, {21, 37 * 42}), maker.Floats({21})}));
  ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish()));
}

TEST(BuiltinEngine, ComputesWithWeightsThatCountFromAZeroPoint) {
  ModelMaker maker(14);
  const ValueId x = maker.Input({kRows, 9});
  const ValueId weights = maker.Node(
      Operator::kDequantizeLinear,
      {maker.Constant(graph::Element::kUint8, {2, 9},
                      {0, 255, 7, 8, 128, 130, 3, 1, 9, 90, 80, 70, 60, 50, 40, 30, 20, 10}),
       maker.Constant(graph::Element::kFloat32, {}, {0.01}), maker.Constant(graph::Element::kUint8, {}, {120})});
  maker.Output(maker.Node(Operator::kGemm, {x, weights}));
  ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish()));
}

/// One layer between 8 bits and floats, which is exact but for the last roundings.
graph::OwnedGraph IntegerConvModel(const ConvCase& c, graph::Element element, int zero) {
  ModelMaker maker(15);
  const ValueId x = maker.Requantize(maker.Input({kRows, c.in, c.height, c.width}), 0.011, zero, element);
  const ValueId weights = ByteWeights(maker, {c.out, c.in / static_cast<std::int64_t>(c.attributes.groups),
                                              c.attributes.kernel[0], c.attributes.kernel[1]});
  maker.Output(maker.Node(Operator::kConv, {x, weights, maker.Floats({c.out})}, c.attributes));
  return std::move(maker).Finish();
}

TEST(BuiltinEngine, ConvolvesBytesExactly) {
  const ConvCase cases[] = {
      {3, 17, 7, 9, Window({3, 3}, {2, 2}, {1, 1}, {0, 1, 1, 0})},
      {12, 40, 6, 7, Window({3, 2}, {1, 2}, {2, 1}, {2, 1, 1, 0})},
      {21, 33, 5, 5, Window({1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0})},
      {12, 18, 5, 5, Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 3)},
      {16, 16, 7, 6, Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 16)},
      {21, 21, 9, 8, Window({3, 3}, {2, 2}, {1, 1}, {1, 0, 1, 1}, 21)},
  };
  for (const ConvCase& c : cases) {
    SCOPED_TRACE(std::to_string(&c - cases));
    ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(IntegerConvModel(c, graph::Element::kUint8, 117)));
    ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(IntegerConvModel(c, graph::Element::kInt8, -9)));
  }
}

// The largest sums that there can be: 255 times -128 in every place. Pairs of them do not fit 16 bits.
TEST(BuiltinEngine, DoesNotSaturateSumsOfBytes) {
  ModelMaker maker(16);
  const ValueId x = maker.Requantize(
      maker.Node(Operator::kMul, {maker.Input({kRows, 33}), maker.Constant(graph::Element::kFloat32, {1}, {1e6})}), 1,
      0, graph::Element::kUint8);
  const ValueId weights =
      maker.Node(Operator::kDequantizeLinear,
                 {maker.Constant(graph::Element::kInt8, {3, 33}, std::vector<double>(99, -128)),
                  maker.Constant(graph::Element::kFloat32, {}, {1}), maker.Constant(graph::Element::kInt8, {}, {0})});
  maker.Output(maker.Node(Operator::kGemm, {x, weights}));
  ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish(), {.relative = 1e-6}));
}

// Layer after layer in 8 bits: a rounding may go to the other side, which is one step of the output, 1/255 of it.
TEST(BuiltinEngine, KeepsBytesBetweenLayers) {
  ModelMaker maker(17);
  const ValueId x = maker.Requantize(maker.Input({kRows, 8, 6, 6}), 0.01, 128, graph::Element::kUint8);
  const auto same = Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1});
  const ValueId conv = maker.Node(
      Operator::kRelu, {maker.Node(Operator::kConv, {x, ByteWeights(maker, {24, 8, 3, 3}), maker.Floats({24})}, same)});
  const ValueId between = maker.Requantize(conv, 0.02, 0, graph::Element::kUint8);
  const ValueId depthwise = maker.Node(Operator::kConv, {between, ByteWeights(maker, {24, 1, 3, 3})},
                                       Window({3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 24));
  const ValueId behind = maker.Requantize(depthwise, 0.03, 5, graph::Element::kInt8);
  maker.Output(behind);
  const ValueId pooled = maker.Node(Operator::kGlobalAveragePool, {behind});
  const ValueId flat = maker.Requantize(maker.Reshape(pooled, {kRows, 24}), 0.01, 0, graph::Element::kInt8);
  maker.Output(maker.Node(Operator::kGemm, {flat, ByteWeights(maker, {10, 24})}));
  ASSERT_NO_FATAL_FAILURE(ExpectLikeReference(std::move(maker).Finish(), {.relative = 0.02}));
}

graph::OwnedGraph SmallModel() {
  ModelMaker maker(18);
  maker.Output(maker.Node(Operator::kGemm, {maker.Input({kRows, 4}), maker.Floats({3, 4})}));
  return std::move(maker).Finish();
}

/// Memory that shows what it gave out after it was wiped.
class WatchedMemory final : public Memory {
 public:
  explicit WatchedMemory(std::size_t limit = SIZE_MAX) : limit_(limit) {}
  Result<std::span<std::uint8_t>> Take(std::size_t size) override {
    if (size > limit_) return Fail(ErrorCode::kUnavailable, "there is no memory left");
    blocks.emplace_back(size);
    std::ranges::fill(blocks.back().bytes(), std::uint8_t{0});
    return blocks.back().bytes();
  }
  void Wipe() override {
    ++wipes;
    for (AlignedBuffer& block : blocks) std::ranges::fill(block.bytes(), std::uint8_t{0});
  }

  std::vector<AlignedBuffer> blocks;
  int wipes = 0;

 private:
  std::size_t limit_;
};

TEST(BuiltinEngine, KeepsWeightsInItsMemoryAndWipesThem) {
  const graph::OwnedGraph model = SmallModel();
  const AlignedBuffer file = graph::Serialise({model.graph, model.bytes()});
  WatchedMemory memory;
  const auto engine = MakeBuiltinEngine(memory);
  ASSERT_TRUE(engine->Load(file.bytes()).has_value());
  const auto inputs = RandomInputs(engine->signature(), 2, 1);
  RunEngine(*engine, 2, inputs);
  const auto is_zero = [](std::uint8_t byte) { return byte == 0; };
  ASSERT_EQ(memory.blocks.size(), 1U);
  EXPECT_FALSE(std::ranges::all_of(memory.blocks[0].bytes(), is_zero));
  engine->Wipe();
  EXPECT_TRUE(std::ranges::all_of(memory.blocks[0].bytes(), is_zero));
  EXPECT_TRUE(engine->signature().inputs.empty());
  std::vector<ByteSpan> none;
  EXPECT_FALSE(engine->Run(1, none, {}).has_value());
}

TEST(BuiltinEngine, TakesNoMemoryToRun) {
  const graph::OwnedGraph model = SmallModel();
  const AlignedBuffer file = graph::Serialise({model.graph, model.bytes()});
  WatchedMemory memory;
  const auto engine = MakeBuiltinEngine(memory);
  ASSERT_TRUE(engine->Load(file.bytes()).has_value());
  RunEngine(*engine, 1000, RandomInputs(engine->signature(), 1000, 1));
  EXPECT_EQ(memory.blocks.size(), 1U);
}

TEST(BuiltinEngine, RefusesBrokenFilesAndLacksOfMemory) {
  const graph::OwnedGraph model = SmallModel();
  const AlignedBuffer file = graph::Serialise({model.graph, model.bytes()});
  WatchedMemory memory;
  const auto engine = MakeBuiltinEngine(memory);
  for (std::size_t size = 0; size < file.size(); size += 7) {
    EXPECT_FALSE(engine->Load(file.bytes().first(size)).has_value());
  }
  EXPECT_TRUE(memory.blocks.empty());
  WatchedMemory little(16);
  const auto poor = MakeBuiltinEngine(little);
  const auto loaded = poor->Load(file.bytes());
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(poor->signature().inputs.empty());
}

TEST(BuiltinEngine, NamesThePortWhoseSizeIsWrong) {
  const graph::OwnedGraph model = SmallModel();
  const AlignedBuffer file = graph::Serialise({model.graph, model.bytes()});
  HeapMemory memory;
  const auto engine = MakeBuiltinEngine(memory);
  ASSERT_TRUE(engine->Load(file.bytes()).has_value());
  const Bytes input(4 * sizeof(float));
  Bytes output(3 * sizeof(float));
  const ByteSpan in[] = {input};
  const std::span<std::uint8_t> out[] = {output};
  EXPECT_TRUE(engine->Run(1, in, out).has_value());
  for (const std::size_t rows : {std::size_t{0}, std::size_t{2}, SIZE_MAX, SIZE_MAX / 16 + 2}) {
    const auto ran = engine->Run(rows, in, out);
    ASSERT_FALSE(ran.has_value());
    EXPECT_EQ(ran.error().code, ErrorCode::kInvalidArgument);
  }
  const auto two = engine->Run(2, in, out);
  EXPECT_NE(two.error().message.find("in0"), std::string::npos);
}

}  // namespace
}  // namespace tacit::inference
