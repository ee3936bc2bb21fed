#include "server/task/watermark.h"

#include <string>

#include "server/task/toml_reader.h"

namespace tacit::task {

namespace {

// Fewer than 60 support no claim of weight; more cost accuracy.
constexpr IntegerRange kTriggers{60, 1000};
constexpr IntegerRange kSteps{1, 1000};
// What all triggers together may take in memory, in numbers.
constexpr std::uint64_t kMostInputs = std::uint64_t{1} << 24U;

// Multiplications of one step: ten of them take minutes.
constexpr std::uint64_t kMostWorkOfStep = 100'000'000'000;

}  // namespace

std::optional<Watermark> ReadWatermark(TomlTable& root, const std::optional<model::ModelSpec>& model) {
  TomlTable table = root.Table("watermark");  // asked for also when absent, so that its name is suggested
  if (!root.Has("watermark")) return std::nullopt;
  const Watermark watermark{.triggers = static_cast<std::uint32_t>(table.Integer("triggers", kTriggers)),
                            .input_min = table.Real("input_min", {-1e6, 1e6}, 0.0),
                            .input_max = table.Real("input_max", {-1e6, 1e6}, 1.0),
                            .steps = static_cast<std::uint32_t>(table.Integer("steps", kSteps, 100)),
                            .learning_rate = table.Real("learning_rate", {0, 0.1, Ends::kWithoutMin}, 1e-3)};
  if (table.Good({"input_min", "input_max"}) && watermark.input_min >= watermark.input_max) {
    table.Complain("input_max", "'watermark.input_max' must be above 'watermark.input_min': a trigger has both");
  }
  if (!model || !table.HasGood("triggers")) return watermark;
  if (std::uint64_t{watermark.triggers} * model->inputs() > kMostInputs) {
    table.Complain("triggers", "'watermark.triggers' inputs of " + std::to_string(model->inputs()) +
                                   " features are too many numbers: at most " + std::to_string(kMostInputs) +
                                   " all together");
  }
  // Each step passes every trigger forth and back, and backwards is twice as much.
  if (3 * std::uint64_t{watermark.triggers} * model->layers().cost().work > kMostWorkOfStep) {
    table.Complain("triggers",
                   "'watermark.triggers' passes through this model are too much work for every round: take "
                   "fewer, or a smaller model");
  }
  return watermark;
}

}  // namespace tacit::task
