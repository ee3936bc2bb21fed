// Queries of askers who copy the model, and of those who do not.

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "benchmarks/detect/report.h"
#include "benchmarks/detect/scenes.h"
#include "common/base/random.h"
#include "edge_agent/detect/extraction.h"

namespace tacit::benchmark {
namespace {

using detect::ExtractionReason;

constexpr std::size_t kQueries = 1'600;

detect::ExtractionGuard GuardOf(const detect::Calibration& calibration) {
  auto guard = detect::ExtractionGuard::Create({}, detect::Mode::kFlag, calibration);
  if (!guard) Give(guard.error().message);
  return *std::move(guard);
}

struct Found {
  std::size_t queries = 0;  // until the first alarm, or all
  ExtractionReason reason = ExtractionReason::kNone;
};

// Asks about the rows of `x`, one a second, as identities of one group in turn.
Found Ask(Scene& scene, const detect::Calibration& calibration, std::span<const float> x, std::size_t identities) {
  detect::ExtractionGuard guard = GuardOf(calibration);
  detect::Answer answer;
  (void)scene.model.Run(x, answer);
  const std::size_t inputs = scene.model.shape().inputs;
  const std::size_t classes = scene.model.shape().classes;
  for (std::size_t i = 0; i < x.size() / inputs; ++i) {
    const auto verdict = guard.Observe({.identity = std::to_string(i % identities),
                                        .group = "one",
                                        .now = i,
                                        .input = x.subspan(i * inputs, inputs),
                                        .logits = std::span(answer.logits).subspan(i * classes, classes)});
    if (verdict.reason != ExtractionReason::kNone) return {.queries = i + 1, .reason = verdict.reason};
  }
  return {.queries = x.size() / inputs, .reason = ExtractionReason::kNone};
}

std::vector<float> RowsFrom(const data::Dataset& rows, std::size_t first, std::size_t count) {
  const auto begin = rows.x.begin() + static_cast<std::ptrdiff_t>(first * rows.features);
  return {begin, begin + static_cast<std::ptrdiff_t>(count * rows.features)};
}

// Doubles its inputs by a step along the derivative of its copy's logit, and asks about the new ones, until there are
// enough. Source: Papernot et al. 2017, section 4.1 (Jacobian-based augmentation).
std::vector<float> JacobianQueries(Scene& scene, std::size_t seeds, float step) {
  const std::size_t inputs = scene.model.shape().inputs;
  std::vector<float> asked = RowsFrom(scene.held_out, 0, seeds);
  while (asked.size() < kQueries * inputs) {
    data::Dataset known = scene.held_out;
    known.rows = asked.size() / inputs;
    known.x = asked;
    known.y = LikelyOf(scene.model, asked);
    Mlp copy = Trained(known, {64}, 10);
    detect::Answer slopes;
    (void)copy.Run(asked, slopes);
    slopes.features.clear();
    std::ranges::fill(slopes.logits, 0.0F);
    for (std::size_t i = 0; i < known.rows; ++i) slopes.logits[i * known.classes + known.y[i]] = 1;
    std::vector<float> gradient(asked.size());
    copy.Pullback(slopes, gradient);
    std::vector<float> next = asked;
    for (std::size_t i = 0; i < next.size(); ++i) {
      const float sign = gradient[i] > 0 ? 1.0F : gradient[i] < 0 ? -1.0F : 0.0F;
      next[i] = std::clamp(next[i] + step * sign, scene.low, scene.high);
    }
    asked.insert(asked.end(), next.begin(), next.end());
  }
  asked.resize(kQueries * inputs);
  return asked;
}

std::vector<float> Interleaved(std::span<const float> a, std::span<const float> b, std::size_t inputs) {
  std::vector<float> both;
  for (std::size_t at = 0; at < std::min(a.size(), b.size()); at += inputs) {
    both.insert(both.end(), a.begin() + static_cast<std::ptrdiff_t>(at),
                a.begin() + static_cast<std::ptrdiff_t>(at + inputs));
    both.insert(both.end(), b.begin() + static_cast<std::ptrdiff_t>(at),
                b.begin() + static_cast<std::ptrdiff_t>(at + inputs));
  }
  return both;
}

void PrintFound(const std::string& name, const Found& found) {
  const bool is_found = found.reason != ExtractionReason::kNone;
  Print({.name = name + (is_found ? ", found by " + std::string(NameOf(found.reason)) : ", not found"),
         .value = static_cast<double>(found.queries),
         .unit = "queries",
         .goal = static_cast<double>(kQueries),
         .holds = is_found});
}

// How well a copy that was trained on answers to natural inputs agrees with the model.
double Fidelity(Scene& scene, std::size_t queries) {
  data::Dataset known = Slice(scene.calibration, 0, queries);
  known.y = LikelyOf(scene.model, known.x);
  Mlp copy = Trained(known, {128}, 20);
  const std::vector<std::uint32_t> theirs = LikelyOf(copy, scene.held_out.x);
  const std::vector<std::uint32_t> ours = LikelyOf(scene.model, scene.held_out.x);
  std::size_t same = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) same += ours[i] == theirs[i] ? 1U : 0U;
  return static_cast<double>(same) / static_cast<double>(ours.size());
}

}  // namespace

void MeasureExtraction(Scene& scene) {
  const detect::Calibration calibration = CalibrationOf(scene, 0.05, kShipped);
  const std::size_t inputs = scene.model.shape().inputs;
  const std::string prefix = scene.name + ": queries to detection, ";
  const std::size_t natural_rows = std::min<std::size_t>(kQueries, scene.held_out.rows);
  const std::vector<float> natural = RowsFrom(scene.held_out, scene.held_out.rows - natural_rows, natural_rows);
  const std::vector<float> slow = JacobianQueries(scene, 100, 0.1F);
  const std::vector<float> fast = JacobianQueries(scene, 50, 0.25F);
  PrintFound(prefix + "Jacobian of 100 seeds, step 0.1", Ask(scene, calibration, slow, 1));
  PrintFound(prefix + "Jacobian of 50 seeds, step 0.25", Ask(scene, calibration, fast, 1));
  PrintFound(prefix + "the first over five identities of a group", Ask(scene, calibration, slow, 5));
  PrintFound(prefix + "the second over five identities of a group", Ask(scene, calibration, fast, 5));
  PrintFound(prefix + "the first mixed with natural inputs 1:1",
             Ask(scene, calibration, Interleaved(slow, natural, inputs), 1));
  PrintFound(prefix + "the second mixed with natural inputs 1:1",
             Ask(scene, calibration, Interleaved(fast, natural, inputs), 1));
  SplitMix64 random(9);
  std::vector<float> noise(kQueries * inputs);
  for (float& value : noise) value = scene.low + (scene.high - scene.low) * static_cast<float>(random.Uniform());
  PrintFound(prefix + "uniform noise", Ask(scene, calibration, noise, 1));
  PrintFound(prefix + "natural inputs", Ask(scene, calibration, natural, 1));
  for (const std::size_t queries : {100UL, 400UL, 1600UL}) {
    Print({.name = scene.name + ": agreement of a copy made of " + std::to_string(queries) + " natural queries",
           .value = Fidelity(scene, queries),
           .unit = "share"});
  }

  const std::size_t length = std::min<std::size_t>(1'000, scene.held_out.rows / 2);
  std::size_t alarms = 0;
  std::size_t streams = 0;
  for (std::size_t first = 0; first + length <= scene.held_out.rows; first += length) {
    const Found found = Ask(scene, calibration, RowsFrom(scene.held_out, first, length), 1);
    alarms += found.reason != ExtractionReason::kNone ? 1U : 0U;
    ++streams;
  }
  Print({.name = scene.name + ": benign streams with an alarm, of " + std::to_string(streams),
         .value = static_cast<double>(alarms),
         .unit = "streams",
         .goal = 0,
         .holds = alarms == 0});
  std::size_t narrow = 0;
  for (std::uint32_t label = 0; label < scene.held_out.classes; ++label) {
    const data::Dataset rows = OfClasses(scene.held_out, {label});
    narrow += Ask(scene, calibration, rows.x, 1).reason != ExtractionReason::kNone ? 1U : 0U;
  }
  Print(
      {.name = scene.name + ": benign streams of one class with an alarm, of " + std::to_string(scene.held_out.classes),
       .value = static_cast<double>(narrow),
       .unit = "streams",
       .goal = 0,
       .holds = narrow == 0});
}

}  // namespace tacit::benchmark
