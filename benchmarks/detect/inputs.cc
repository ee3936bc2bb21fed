// False positives, attacks and strange inputs.

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "benchmarks/detect/attacks.h"
#include "benchmarks/detect/report.h"
#include "benchmarks/detect/scenes.h"
#include "common/base/random.h"

namespace tacit::benchmark {
namespace {

constexpr std::size_t kVictims = 400;
// What a detector of attacks is measured by; a row that misses it says so.
constexpr double kAttackGoal = 0.5;

std::string Percent(double share) {
  return std::to_string(static_cast<int>(std::lround(share * 100))) + "%";
}

// Of attacked rows, those that are classified wrongly now.
std::vector<float> Successful(Scene& scene, const Victims& victims, const std::vector<float>& attacked) {
  const std::vector<std::uint32_t> likely = LikelyOf(scene.model, attacked);
  const std::size_t inputs = scene.model.shape().inputs;
  std::vector<float> successful;
  for (std::size_t i = 0; i < likely.size(); ++i) {
    if (likely[i] == victims.y[i]) continue;
    const auto row = std::span(attacked).subspan(i * inputs, inputs);
    successful.insert(successful.end(), row.begin(), row.end());
  }
  return successful;
}

struct Attack {
  std::string name;
  std::vector<float> x;  // successful ones
};

std::vector<Attack> Attacks(Scene& scene, const Victims& victims) {
  std::vector<Attack> attacks;
  const auto add = [&](const std::string& name, const std::vector<float>& attacked) {
    Attack attack{.name = scene.name + ": " + name, .x = Successful(scene, victims, attacked)};
    const double share = static_cast<double>(attack.x.size()) / static_cast<double>(victims.x.size());
    Print({.name = attack.name + " succeeds", .value = share, .unit = "share"});
    if (!attack.x.empty()) attacks.push_back(std::move(attack));
  };
  for (const float epsilon : scene.epsilons) {
    const std::string size = " " + std::to_string(epsilon).substr(0, 4);
    add("FGSM" + size, Fgsm(scene.model, victims, epsilon));
    add("PGD-40" + size, Pgd(scene.model, victims, epsilon, 40));
  }
  add("CW confidence 0", CarliniWagner(scene.model, victims, 0));
  add("CW confidence 5", CarliniWagner(scene.model, victims, 5));
  return attacks;
}

std::vector<float> Noise(const Scene& scene, std::size_t rows, bool normal) {
  SplitMix64 random(5);
  std::vector<float> x(rows * scene.held_out.features);
  for (float& value : x) {
    double at = random.Uniform();
    if (normal) {  // Irwin and Hall: near enough to a bell, and the same everywhere
      double sum = -6;
      for (int i = 0; i < 12; ++i) sum += random.Uniform();
      at = 0.5 + 0.25 * sum;
    }
    value = std::clamp(scene.low + (scene.high - scene.low) * static_cast<float>(at), scene.low, scene.high);
  }
  return x;
}

}  // namespace

void MeasureFalsePositives(Scene& scene) {
  Print({.name = scene.name + ": accuracy of the model",
         .value = AccuracyOf(scene.model, scene.held_out),
         .unit = "share"});
  for (const double target : {0.01, 0.05}) {
    const double share = SuspiciousShare(scene, CalibrationOf(scene, target, kShipped), scene.held_out.x);
    Print({.name = scene.name + ": false positives at " + Percent(target),
           .value = share,
           .unit = "share",
           .goal = target,
           .holds = std::abs(share - target) <= 0.01});
  }
}

void MeasureAttacks(Scene& scene) {
  const data::Dataset rows = RightRows(scene, kVictims);
  const Victims victims{.x = rows.x, .y = rows.y, .low = scene.low, .high = scene.high};
  const std::vector<Attack> attacks = Attacks(scene, victims);
  using detect::Score;
  std::vector<std::pair<std::string, std::vector<Score>>> detectors = {
      {"ensemble", kShipped},
      {"all scores",
       {Score::kUnconfidence, Score::kGradient, Score::kExcess, Score::kEnergy, Score::kMahalanobis, Score::kInput}}};
  for (const Score score : {Score::kUnconfidence, Score::kGradient, Score::kSqueezing, Score::kExcess, Score::kEnergy,
                            Score::kMahalanobis, Score::kInput}) {
    if (score == Score::kSqueezing && !scene.image) continue;
    detectors.emplace_back(std::string(NameOf(score)) + " alone", std::vector{score});
  }
  for (const auto& [name, scores] : detectors) {
    const detect::Calibration calibration = CalibrationOf(scene, 0.05, scores);
    for (const Attack& attack : attacks) {
      Row row{.name = attack.name + " detected, " + name,
              .value = SuspiciousShare(scene, calibration, attack.x),
              .unit = "share"};
      if (scores == kShipped) row.goal = kAttackGoal;
      Print(row);
    }
  }
  const detect::Calibration calibration = CalibrationOf(scene, 0.05, kShipped);
  for (const float epsilon : scene.epsilons) {
    const std::vector<float> attacked =
        Successful(scene, victims, AdaptivePgd(scene.model, victims, epsilon, calibration));
    const std::string name = scene.name + ": adaptive PGD " + std::to_string(epsilon).substr(0, 4);
    Print({.name = name + " succeeds",
           .value = static_cast<double>(attacked.size()) / static_cast<double>(victims.x.size()),
           .unit = "share"});
    if (attacked.empty()) continue;
    Print({.name = name + " detected, ensemble",
           .value = SuspiciousShare(scene, calibration, attacked),
           .unit = "share",
           .goal = kAttackGoal});
  }
}

void MeasureStrangers(Scene& scene) {
  const detect::Calibration calibration = CalibrationOf(scene, 0.05, kShipped);
  const auto measure = [&](const std::string& name, std::span<const float> x) {
    Print({.name = scene.name + ": " + name + " detected",
           .value = SuspiciousShare(scene, calibration, x),
           .unit = "share",
           .goal = kAttackGoal});
  };
  measure("uniform noise", Noise(scene, 500, false));
  measure("normal noise", Noise(scene, 500, true));
  std::vector<float> inverted(scene.held_out.x.begin(),
                              scene.held_out.x.begin() + static_cast<std::ptrdiff_t>(500 * scene.held_out.features));
  for (float& value : inverted) value = scene.low + scene.high - value;
  measure("inverted inputs", inverted);

  // A model of the other classes, which has never seen the last one.
  std::vector<std::uint32_t> known;
  for (std::uint32_t i = 0; i + 1 < scene.held_out.classes; ++i) known.push_back(i);
  data::Dataset training = OfClasses(scene.training, known);
  Mlp model = Trained(training, {128, 64}, 6);
  Scene without{.name = scene.name,
                .training = std::move(training),
                .calibration = OfClasses(scene.calibration, known),
                .held_out = OfClasses(scene.held_out, known),
                .model = std::move(model),
                .low = scene.low,
                .high = scene.high,
                .image = scene.image,
                .epsilons = {}};
  const data::Dataset stranger = OfClasses(scene.held_out, {scene.held_out.classes - 1});
  Print({.name = scene.name + ": a class held out detected",
         .value = SuspiciousShare(without, CalibrationOf(without, 0.05, kShipped), stranger.x),
         .unit = "share",
         .goal = kAttackGoal});
}

}  // namespace tacit::benchmark
