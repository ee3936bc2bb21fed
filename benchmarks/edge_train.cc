// How long a training step takes beside PyTorch's. Prints one JSON row a line: name, value, unit, baseline, ratio (how
// many times the baseline), goal (at most that ratio), holds.
// Usage: benchmark_edge_train [FILE], which holds what benchmarks/edge_torch.py prints; without it there is no
// baseline. Times are CPU times of this process, the median over many steps on a batch of 32 rows.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/graph/builder.h"
#include "common/graph/from_spec.h"
#include "edge_agent/inference/descend.h"
#include "edge_agent/inference/differentiate.h"
#include "edge_agent/inference/heap_memory.h"

namespace {

namespace graph = tacit::graph;
namespace inference = tacit::inference;
using Json = nlohmann::ordered_json;
using graph::Operator;

constexpr std::size_t kBatch = 32;
constexpr std::size_t kInputs = 784;
constexpr int kSteps = 200;
constexpr int kWarmUp = 20;

double CpuSeconds() {
  std::timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

template <typename T>
T Value(tacit::Result<T> result) {
  if (!result) std::fprintf(stderr, "%s\n", result.error().message.c_str());
  TACIT_CHECK(result.has_value(), "the benchmark's models are sound");
  return *std::move(result);
}

std::vector<float> Draw(std::size_t count, double range, std::uint64_t seed) {
  tacit::SplitMix64 random(seed);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = static_cast<float>(range * (2 * random.Uniform() - 1));
  return numbers;
}

graph::OwnedGraph Dense() {
  const auto spec = Value(tacit::model::ModelSpec::Create({.inputs = kInputs, .hidden = {256, 128}, .classes = 10}));
  return graph::FromSpec(spec, spec.InitialParameters(1));
}

class Stack {
 public:
  explicit Stack(graph::Shape shape) : last_(builder_.AddInput("x", graph::Element::kFloat32, std::move(shape))) {}

  Stack& Add(Operator op, std::vector<graph::ValueId> more = {}, const graph::Attributes& attributes = {}) {
    more.insert(more.begin(), last_);
    last_ = Value(
        builder_.AddNode({.op = op, .name = "", .inputs = std::move(more), .output = 0, .attributes = attributes}));
    return *this;
  }
  Stack& Weighted(Operator op, const graph::Shape& weight, const graph::Attributes& attributes = {}) {
    std::size_t depth = 1;
    for (std::size_t i = 1; i < weight.size(); ++i) depth *= static_cast<std::size_t>(weight[i]);
    const auto out = static_cast<std::size_t>(weight[0]);
    const graph::ValueId weights = Floats(weight, Draw(out * depth, 1 / static_cast<double>(depth), ++seed_));
    return Add(op, {weights, Floats({weight[0]}, std::vector<float>(out))}, attributes);
  }
  Stack& Reshape(graph::Shape shape) {
    last_ = Value(builder_.AddReshape("", last_, std::move(shape)));
    return *this;
  }
  graph::OwnedGraph Finish() {
    builder_.AddOutput(last_, "logits");
    return Value(std::move(builder_).Finish());
  }

 private:
  graph::ValueId Floats(graph::Shape shape, const std::vector<float>& numbers) {
    const tacit::ByteSpan bytes = tacit::AsBytes(std::span<const float>(numbers));
    return builder_.AddOwnConstant("", graph::Element::kFloat32, std::move(shape), {bytes.begin(), bytes.end()});
  }

  graph::Builder builder_;
  graph::ValueId last_ = 0;
  std::uint64_t seed_ = 0;
};

graph::OwnedGraph Convolutional() {
  const graph::Attributes conv = {.kernel = {3, 3}, .pads = {1, 1, 1, 1}};
  const graph::Attributes half = {.kernel = {2, 2}, .strides = {2, 2}};
  Stack stack({graph::kRows, 1, 28, 28});
  stack.Weighted(Operator::kConv, {16, 1, 3, 3}, conv).Add(Operator::kRelu).Add(Operator::kMaxPool, {}, half);
  stack.Weighted(Operator::kConv, {32, 16, 3, 3}, conv).Add(Operator::kRelu).Add(Operator::kMaxPool, {}, half);
  stack.Reshape({graph::kRows, 1568}).Weighted(Operator::kGemm, {64, 1568}).Add(Operator::kRelu);
  return stack.Weighted(Operator::kGemm, {10, 64}).Finish();
}

double SecondsOfStep(const graph::OwnedGraph& model) {
  inference::HeapMemory memory;
  auto network =
      Value(inference::Differentiator::Create({.graph = model.graph, .weights = model.bytes()}, kBatch, memory));
  auto descent = Value(inference::Descent::Create(network, memory));
  const std::vector<float> x = Draw(kBatch * kInputs, 1, 9);
  std::vector<std::uint32_t> y(kBatch);
  for (std::size_t i = 0; i < kBatch; ++i) y[i] = static_cast<std::uint32_t>(i % 10);
  std::vector<double> times;
  for (int step = 0; step < kWarmUp + kSteps; ++step) {
    const double start = CpuSeconds();
    Value(descent.Step({.input = x, .classes = y, .learning_rate = 0.01, .momentum = 0.9}));
    if (step >= kWarmUp) times.push_back(CpuSeconds() - start);
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

void Print(const std::string& name, double seconds, const Json& baselines, const std::string& key, double goal) {
  Json row = {{"name", name},     {"value", seconds * 1e3}, {"unit", "ms"},    {"baseline", nullptr},
              {"ratio", nullptr}, {"goal", goal},           {"holds", nullptr}};
  if (baselines.contains(key)) {
    const double baseline = baselines.at(key).get<double>();
    row["baseline"] = baseline * 1e3;
    row["ratio"] = seconds / baseline;
    row["holds"] = seconds / baseline <= goal;
  }
  std::printf("%s\n", row.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Json baselines = Json::object();
  if (argc > 1) {
    std::ifstream file(argv[1]);
    baselines = Json::parse(file, nullptr, false);
    if (!baselines.is_object()) {
      std::fprintf(stderr, "%s is not what edge_torch.py prints\n", argv[1]);
      return 1;
    }
  }
  Print("edge.mlp.train_step_of_32", SecondsOfStep(Dense()), baselines, "train_mlp", 0.25);
  Print("edge.cnn.train_step_of_32", SecondsOfStep(Convolutional()), baselines, "train_cnn", 0.7);
  return 0;
}
