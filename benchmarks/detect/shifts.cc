// Windows of clean inputs, and of inputs that have changed.

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include "benchmarks/detect/report.h"
#include "benchmarks/detect/scenes.h"
#include "common/base/random.h"
#include "edge_agent/detect/drift.h"
#include "edge_agent/detect/scores.h"

namespace tacit::benchmark {
namespace {

using Stream = std::vector<detect::DriftPlaces>;

Stream StreamOf(Scene& scene, const detect::DriftReference& reference, std::span<const float> x) {
  const auto& shape = scene.model.shape();
  const detect::DriftNumbersOf numbers_of(shape.inputs, reference.seed);
  detect::Answer answer;
  (void)scene.model.Run(x, answer);
  Stream stream;
  for (std::size_t i = 0; i < x.size() / shape.inputs; ++i) {
    const auto logits = std::span(answer.logits).subspan(i * shape.classes, shape.classes);
    const detect::DriftNumbers numbers = numbers_of(x.subspan(i * shape.inputs, shape.inputs), logits);
    stream.push_back(PlacesOf(reference, numbers, detect::MostLikely(logits)));
  }
  return stream;
}

// The share of windows without common rows that drift; `orders` times over all rows of the stream.
double DriftingShare(const detect::DriftReference& reference, const Stream& stream, int orders) {
  SplitMix64 random(13);
  std::vector<std::size_t> order(stream.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::size_t windows = 0;
  std::size_t drifting = 0;
  for (int repeat = 0; repeat < orders; ++repeat) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
    for (std::size_t first = 0; first + reference.window <= order.size(); first += reference.window) {
      detect::DriftSketch sketch(reference);
      for (std::size_t i = first; i < first + reference.window; ++i) {
        sketch.Add(stream[order[i]]);
      }
      drifting += CompareDrift(reference, sketch).drifted ? 1U : 0U;
      ++windows;
    }
  }
  return static_cast<double>(drifting) / static_cast<double>(windows);
}

using Change = std::function<void(std::span<const float> in, std::span<float> out)>;

std::vector<std::pair<std::string, Change>> Changes(const Scene& scene, SplitMix64& random) {
  const auto each = [](auto change) {
    return Change(
        [change](std::span<const float> in, std::span<float> out) { std::ranges::transform(in, out.begin(), change); });
  };
  const auto noise = [&random](float sigma) {
    return [&random, sigma](float value) {
      double sum = -6;
      for (int i = 0; i < 12; ++i) sum += random.Uniform();
      return value + sigma * static_cast<float>(sum);
    };
  };
  std::vector<std::pair<std::string, Change>> changes = {
      {"brightness +0.05", each([](float value) { return value + 0.05F; })},
      {"noise 0.1", each(noise(0.1F))},
      {"noise 0.2", each(noise(0.2F))},
      {"contrast x0.7", each([](float value) { return 0.7F * value; })}};
  if (scene.image) {
    const std::size_t width = scene.image->width;
    changes.emplace_back("shift by 1 pixel", [width](std::span<const float> in, std::span<float> out) {
      for (std::size_t i = 0; i < in.size(); ++i) out[i] = i % width == 0 ? 0.0F : in[i - 1];
    });
  }
  return changes;
}

// Rows of which the class 0 comes ten times as often as before.
std::vector<float> OverWeighted(const data::Dataset& rows) {
  std::vector<float> x;
  SplitMix64 random(17);
  const double others = 1.0 / 10;
  for (std::size_t i = 0; i < rows.rows; ++i) {
    if (rows.y[i] != 0 && random.Uniform() > others) continue;
    const auto row = std::span(rows.x).subspan(i * rows.features, rows.features);
    x.insert(x.end(), row.begin(), row.end());
  }
  return x;
}

}  // namespace

void MeasureDrift(Scene& scene) {
  const detect::DriftReference reference = CalibrationOf(scene, 0.05, kShipped).drift;
  const double false_alarms = DriftingShare(reference, StreamOf(scene, reference, scene.held_out.x), 100);
  Print({.name = scene.name + ": drift false alarms a window",
         .value = false_alarms,
         .unit = "share",
         .goal = 0.01,
         .holds = false_alarms <= 0.01});
  SplitMix64 random(19);
  std::vector<std::pair<std::string, std::vector<float>>> shifted;
  for (const auto& [name, change] : Changes(scene, random)) {
    std::vector<float> x(scene.held_out.x.size());
    for (std::size_t at = 0; at < x.size(); at += scene.held_out.features) {
      change(std::span(scene.held_out.x).subspan(at, scene.held_out.features),
             std::span(x).subspan(at, scene.held_out.features));
    }
    for (float& value : x) value = std::clamp(value, scene.low, scene.high);
    shifted.emplace_back(name, std::move(x));
  }
  shifted.emplace_back("a class ten times as often", OverWeighted(scene.held_out));
  for (const auto& [name, x] : shifted) {
    Print({.name = scene.name + ": drift found within a window, " + name,
           .value = DriftingShare(reference, StreamOf(scene, reference, x), 2),
           .unit = "share",
           .goal = 0.99});
  }
}

}  // namespace tacit::benchmark
