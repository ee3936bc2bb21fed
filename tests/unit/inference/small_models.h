#pragma once

// Models for tests, put together in few words, with numbers that are drawn from a seed.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/graph/builder.h"
#include "edge_agent/inference/engine.h"

namespace tacit::inference::testing {

/// Memory from the heap, which remembers how often it was asked.
class TestMemory : public Memory {
 public:
  Result<std::span<std::uint8_t>> Take(std::size_t size) override {
    if (size > left) return Fail(ErrorCode::kUnavailable, "no memory is left");
    pieces_.emplace_back(size);
    std::ranges::fill(pieces_.back().bytes(), std::uint8_t{0});
    return pieces_.back().bytes();
  }
  void Wipe() override { pieces_.clear(); }
  [[nodiscard]] std::size_t taken() const { return pieces_.size(); }

  std::size_t left = std::size_t{1} << 30U;

 private:
  std::vector<AlignedBuffer> pieces_;
};

/// Numbers that differ by a twentieth at least, in [-range/20, range/20]: none is near a corner of a function or nearly
/// as large as another.
inline std::vector<float> Spread(std::size_t count, std::uint64_t seed) {
  std::vector<float> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    numbers[i] = 0.05F * (static_cast<float>(i) - static_cast<float>(count) / 2) + 0.0125F;
  }
  SplitMix64 random(seed);
  for (std::size_t i = count; i > 1; --i) std::swap(numbers[i - 1], numbers[random.Below(i)]);
  return numbers;
}

inline std::vector<float> Uniform(std::size_t count, std::uint64_t seed, double least = -1, double most = 1) {
  SplitMix64 random(seed);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = static_cast<float>(least + (most - least) * random.Uniform());
  return numbers;
}

class SmallModel {
 public:
  explicit SmallModel(graph::Shape row) {
    row.insert(row.begin(), graph::kRows);
    last_ = builder_.AddInput("x", graph::Element::kFloat32, std::move(row));
  }

  [[nodiscard]] graph::ValueId last() const { return last_; }
  [[nodiscard]] graph::ValueId Weights(graph::Shape shape, double least = -1, double most = 1) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
    return Constant(std::move(shape), graph::Element::kFloat32,
                    AsBytes(std::span<const float>(Uniform(count, ++seed_, least, most))));
  }
  [[nodiscard]] graph::ValueId Constant(graph::Shape shape, graph::Element element, ByteSpan bytes) {
    return builder_.AddOwnConstant("c" + std::to_string(++seed_), element, std::move(shape),
                                   Bytes(bytes.begin(), bytes.end()));
  }

  /// Of the last value and more inputs behind it.
  SmallModel& Then(graph::Operator op, std::vector<graph::ValueId> more = {}, graph::Attributes attributes = {}) {
    more.insert(more.begin(), last_);
    return Node(op, std::move(more), std::move(attributes));
  }
  SmallModel& Node(graph::Operator op, std::vector<graph::ValueId> inputs, graph::Attributes attributes = {}) {
    auto added = builder_.AddNode({.op = op,
                                   .name = "n" + std::to_string(++seed_),
                                   .inputs = std::move(inputs),
                                   .output = 0,
                                   .attributes = std::move(attributes)});
    TACIT_CHECK(added.has_value(), added.has_value() ? "" : added.error().message.c_str());
    last_ = *added;
    return *this;
  }
  SmallModel& Reshape(graph::Shape row) {
    row.insert(row.begin(), graph::kRows);
    last_ = builder_.AddReshape("r" + std::to_string(++seed_), last_, std::move(row)).value();
    return *this;
  }
  /// Everything of a row, times weights.
  SmallModel& Dense(std::int64_t out) {
    std::int64_t in = 1;
    for (const std::int64_t size : builder_.ValueOf(last_).shape) in *= size == graph::kRows ? 1 : size;
    if (builder_.ValueOf(last_).shape.size() != 2) Reshape({in});
    const double scale = 1.7 / std::sqrt(static_cast<double>(in));
    return Then(graph::Operator::kGemm, {Weights({out, in}, -scale, scale), Weights({out}, -0.1, 0.1)});
  }
  graph::OwnedGraph Finish() {
    builder_.AddOutput(last_, "logits");
    auto finished = std::move(builder_).Finish();
    TACIT_CHECK(finished.has_value(), finished.has_value() ? "" : finished.error().message.c_str());
    return *std::move(finished);
  }

 private:
  graph::Builder builder_;
  graph::ValueId last_ = 0;
  std::uint64_t seed_ = 100;
};

inline graph::GraphView ViewOf(const graph::OwnedGraph& model) {
  return {.graph = model.graph, .weights = model.bytes()};
}

}  // namespace tacit::inference::testing
