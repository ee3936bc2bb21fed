#include "server/task/learning.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/task/toml_reader.h"

namespace tacit::task {

namespace {

constexpr RealRange kTrainingRate{0, 1e6, Ends::kWithoutMin};
constexpr RealRange kMomentum{0, 1, Ends::kWithoutMax};
constexpr RealRange kChange{1e-6, 1e6};  // of a number of an input
constexpr RealRange kInput{-1e6, 1e6};

std::vector<std::uint32_t> Widths(const std::vector<std::int64_t>& numbers) {
  std::vector<std::uint32_t> widths;
  for (const std::int64_t number : numbers) widths.push_back(static_cast<std::uint32_t>(number));
  return widths;
}

std::vector<std::uint32_t> ReadHidden(TomlTable& table, bool softmax) {
  // A kind that is missing or unknown neither has hidden layers nor lacks them.
  const bool known = table.Good({"kind"});
  if (known && softmax) {
    table.Refuse("hidden", "has no place in kind \"softmax\"; use kind \"mlp\" for hidden layers");
    return {};
  }
  const auto widths = table.Integers("hidden", {1, model::ModelSpec::kMaxWidth}, {1, model::ModelSpec::kMaxHidden});
  if (known && !table.Has("hidden"))
    table.Complain("hidden", "missing key 'model.hidden': kind \"mlp\" has hidden layers");
  return Widths(widths);
}

std::optional<model::ModelSpec> ReadDense(TomlTable& table) {
  const bool softmax = table.Choice("kind", {"softmax", "mlp"}) == 0;
  model::ModelShape shape;
  shape.inputs = static_cast<std::uint32_t>(table.Integer("inputs", {1, model::ModelSpec::kMaxWidth}));
  shape.classes = static_cast<std::uint32_t>(table.Integer("classes", {2, model::ModelSpec::kMaxWidth}));
  shape.hidden = ReadHidden(table, softmax);
  if (!table.Good({"kind", "inputs", "classes", "hidden"})) return std::nullopt;
  Result<model::ModelSpec> spec = model::ModelSpec::Create(std::move(shape));
  if (spec) return *std::move(spec);
  table.Complain(softmax ? "inputs" : "hidden", spec.error().message);
  return std::nullopt;
}

// What a row is: the key that says it, and its shape.
std::optional<model::LayerStack> ReadRows(TomlTable& table) {
  constexpr IntegerRange kExtent{1, model::ModelSpec::kMaxWidth};
  const std::string_view key = table.Has("signal") ? "signal" : "image";
  if (table.Has("image") && table.Has("signal")) {
    table.Refuse("image", "has no place beside 'model.signal': a row is one or the other");
  }
  const auto image = table.Integers("image", kExtent, {3, 3});
  const auto signal = table.Integers("signal", kExtent, {2, 2});
  if (!table.Has(key)) {
    table.Complain("layers",
                   "'model.layers' are over rows of a shape: give 'model.image' = [channels, height, width] or "
                   "'model.signal' = [channels, length]");
  }
  if (!table.HasGood(key) || !table.Good({"image", "signal"})) return std::nullopt;
  auto stack = model::LayerStack::Create(Widths(key == "image" ? image : signal));
  if (stack) return *std::move(stack);
  table.Complain(key, "'model." + std::string(key) + "': " + stack.error().message);
  return std::nullopt;
}

std::optional<model::ModelSpec> ReadLayers(TomlTable& table) {
  for (const std::string_view key : {"kind", "inputs", "hidden"})
    table.Refuse(key, "has no place beside 'model.layers', which say all");
  table.Refuse("classes", "has no place beside 'model.layers': the last of them, \"dense N\", says how many there are");
  const std::vector<std::string> texts = table.Texts("layers", {1, model::LayerStack::kMaxLayers});
  if (!table.Has("layers"))
    table.Complain("layers", "missing key 'model.layers': what a model over a signal or an image computes");
  std::optional<model::LayerStack> stack = ReadRows(table);
  if (!stack || !table.HasGood("layers")) return std::nullopt;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto added = stack->Add(texts[i]);
    if (added) continue;
    // Those behind it would be judged by a shape that nobody meant.
    table.ComplainAt("layers", i, "'model.layers': " + added.error().message);
    return std::nullopt;
  }
  Result<model::ModelSpec> spec = model::ModelSpec::Create(*std::move(stack));
  if (!spec) {
    table.ComplainAt("layers", texts.size() - 1, "'model.layers': " + spec.error().message);
  } else if (spec->classes() < 2) {
    table.ComplainAt("layers", texts.size() - 1, "'model.layers': the last must have two classes or more");
  } else {
    return *std::move(spec);
  }
  return std::nullopt;
}

std::optional<Adversarial> ReadAdversarial(TomlTable& training) {
  TomlTable table = training.Table("adversarial");  // asked for also when absent, so that its name is suggested
  if (!training.HasGood("adversarial")) return std::nullopt;
  Adversarial hard{.epsilon = table.Real("epsilon", kChange),
                   .steps = static_cast<std::uint32_t>(table.Integer("steps", {1, 100}, 5)),
                   .share = table.Real("share", {0, 1, Ends::kWithoutMin}, 0.5),
                   .input_min = table.Real("input_min", kInput, 0.0),
                   .input_max = table.Real("input_max", kInput, 1.0)};
  // So that a search can go from one end of its ball to the other. Source: Madry et al. 2018, section 5 ("2.5 eps").
  constexpr double kReach = 2.5;
  hard.step_size =
      table.Real("step_size", kChange, std::clamp(kReach * hard.epsilon / hard.steps, kChange.min, kChange.max));
  if (table.Good({"input_min", "input_max"}) &&
      !(static_cast<float>(hard.input_min) < static_cast<float>(hard.input_max))) {
    table.Complain("input_max", "'training.adversarial.input_max' must be above 'training.adversarial.input_min'");
  }
  return hard;
}

}  // namespace

std::optional<model::ModelSpec> ReadModel(TomlTable table) {
  const bool has_layers = table.Has("layers") || table.Has("image") || table.Has("signal");
  if (has_layers) return ReadLayers(table);
  // Known, so that a word that is spelt nearly like them is understood.
  for (const std::string_view key : {"layers", "image", "signal"}) table.Refuse(key, "");
  return ReadDense(table);
}

Training ReadTraining(TomlTable table) {
  return {.epochs = static_cast<std::uint32_t>(table.Integer("epochs", {1, 1000}, 1)),
          .batch_size = static_cast<std::uint32_t>(table.Integer("batch_size", {1, 1 << 20}, 32)),
          .learning_rate = table.Real("learning_rate", kTrainingRate),
          .momentum = table.Real("momentum", kMomentum, 0.0),
          .proximal_mu = table.Real("proximal_mu", {0, 1e6}, 0.0),
          .adversarial = ReadAdversarial(table)};
}

}  // namespace tacit::task
