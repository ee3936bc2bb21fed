// Differentiates an ONNX model and trains it for a few steps, for test_gradients.py:
// gradient_probe MODEL.onnx ROWS CLASSES
// ROWS and CLASSES are files of float32 and uint32 numbers. Prints one JSON object: loss (the sum over the rows),
// input_gradient, logits, features, and what belongs to the flat vector of parameters: sizes (of each), gradient (of
// the mean loss), and trained (after kSteps steps).
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/base/files.h"
#include "common/graph/onnx/read_onnx.h"
#include "edge_agent/inference/descend.h"
#include "edge_agent/inference/differentiate.h"
#include "edge_agent/inference/heap_memory.h"

namespace {

namespace inference = tacit::inference;
using Json = nlohmann::ordered_json;

constexpr int kSteps = 3;
constexpr double kLearningRate = 0.1;
constexpr double kMomentum = 0.9;
constexpr std::size_t kRowsAtOnce = 5;  // a batch of the test is more
constexpr std::size_t kMostBytes = std::size_t{1} << 26U;

template <typename Number>
tacit::Result<std::vector<Number>> ReadNumbers(const char* path) {
  TACIT_TRY(const tacit::Bytes bytes, tacit::ReadFile(path, kMostBytes));
  std::vector<Number> numbers(bytes.size() / sizeof(Number));
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(Number));
  return numbers;
}

Json ListOf(std::span<const float> numbers) {
  return std::vector<float>(numbers.begin(), numbers.end());
}

std::vector<std::size_t> SizesOf(std::span<const inference::Parameter> parameters) {
  std::vector<std::size_t> sizes;
  for (const inference::Parameter& parameter : parameters) sizes.push_back(parameter.size);
  return sizes;
}

tacit::Result<Json> Probe(const char* model_path, const char* rows_path, const char* classes_path) {
  TACIT_TRY(const tacit::Bytes file, tacit::ReadFile(model_path, kMostBytes));
  TACIT_TRY(const std::vector<float> x, ReadNumbers<float>(rows_path));
  TACIT_TRY(const std::vector<std::uint32_t> y, ReadNumbers<std::uint32_t>(classes_path));
  TACIT_TRY(const tacit::graph::OwnedGraph model, tacit::graph::ReadOnnx(file));
  inference::HeapMemory memory;
  TACIT_TRY(auto network,
            inference::Differentiator::Create({.graph = model.graph, .weights = model.bytes()}, kRowsAtOnce, memory));
  Json result = {{"sizes", SizesOf(network.parameters())}};
  std::vector<float> gradient(x.size());
  TACIT_TRY(const inference::BatchScore score, network.InputGradient({.x = x, .y = y}, gradient));
  result["loss"] = score.loss;
  result["input_gradient"] = gradient;
  TACIT_TRY_VOID(network.Forward(std::span(x).first(network.RowSize())));
  result["logits"] = ListOf(network.logits());
  result["features"] = ListOf(network.features());
  std::vector<float> parameters(network.ParameterCount());
  network.CopyParameters(parameters);
  gradient.resize(parameters.size());
  TACIT_TRY_VOID(network.Gradient(parameters, {.x = x, .y = y}, gradient));
  result["gradient"] = gradient;
  TACIT_TRY(auto descent, inference::Descent::Create(network, memory));
  for (int step = 0; step < kSteps; ++step) {
    TACIT_TRY_VOID(descent.Step({.input = x, .classes = y, .learning_rate = kLearningRate, .momentum = kMomentum}));
  }
  result["trained"] = ListOf(descent.parameters());
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto result = Probe(argv[1], argv[2], argv[3]);
  if (!result) std::fprintf(stderr, "%s\n", result.error().message.c_str());
  if (result) std::printf("%s\n", result->dump().c_str());
  return result ? 0 : 1;
}
