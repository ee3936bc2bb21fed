#include "dp/planning.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>

#include "common/base/check.h"
#include "dp/calibration.h"
#include "dp/noise.h"

namespace tacit::dp {
namespace {

double EpsilonOf(const CalibrationTarget& target, double noise_multiplier) {
  const Result<NoiseMultiplier> checked = NoiseMultiplier::Create(noise_multiplier);
  TACIT_CHECK(checked.has_value(), "the search stays inside the range of the type");
  return Account({.mechanism = target.mechanism,
                  .noise_multiplier = *checked,
                  .compositions = target.compositions,
                  .delta = target.delta,
                  .coin = target.coin})
      .epsilon;
}

/// The least multiplier within the target, from above, within 1e-7 of itself (1e-4 where every look takes a loss
/// distribution). `high` must be within the target.
double Bisect(const CalibrationTarget& target, double low, double high) {
  const double closeness = target.coin ? 1e-4 : 1e-7;
  while (high / low > 1 + closeness) {
    const double middle = std::sqrt(low * high);
    (EpsilonOf(target, middle) <= target.epsilon.value() ? high : low) = middle;
  }
  return high;
}

EpsilonReport AccountOf(const BudgetQuestion& question, std::uint64_t compositions) {
  return Account({.mechanism = question.mechanism,
                  .noise_multiplier = question.noise_multiplier,
                  .compositions = compositions,
                  .delta = question.delta,
                  .coin = question.coin});
}

struct UtilityClass {
  double up_to;
  std::string_view meaning;
};

// Measured with linear and small network models on two tasks: docs/PRIVACY.md, "What the noise does to a model".
constexpr double kNoVisibleLoss = 0.003;
constexpr std::array<UtilityClass, 5> kUtilityClasses{{
    {kNoVisibleLoss, "no visible loss of accuracy is expected"},
    {0.005, "about one point of accuracy is expected to be lost"},
    {0.04, "several points of accuracy, 3 to 10 where it was measured, are expected to be lost"},
    {0.1, "a large loss of accuracy is expected"},
    {std::numeric_limits<double>::infinity(),
     "a large loss of accuracy is expected, up to all of it in larger models (at 0.13 a linear one kept 81 of 91 "
     "points in one task)"},
}};

std::string Sentence(double noise_to_signal) {
  const auto* const found =
      std::ranges::find_if(kUtilityClasses, [&](const UtilityClass& c) { return noise_to_signal <= c.up_to; });
  std::array<char, 32> text{};
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), noise_to_signal, std::chars_format::general, 2).ptr;
  return "noise on each parameter of the average is " + std::string(text.data(), end) +
         " of the clip norm: " + std::string(found->meaning);
}

/// Of noise of scale `noise_multiplier`: the standard deviation of a Laplace is sqrt(2) times its scale.
double Deviation(Mechanism mechanism, NoiseMultiplier noise_multiplier) {
  return noise_multiplier.value() * (mechanism == Mechanism::kLaplace ? std::numbers::sqrt2 : 1.0);
}

UtilityForecast ForecastOf(double noise_to_signal, double cohort_needed) {
  const auto needed = static_cast<std::uint64_t>(std::ceil(cohort_needed));
  return {.noise_to_signal = noise_to_signal, .cohort_needed = needed, .meaning = Sentence(noise_to_signal)};
}

constexpr std::uint32_t kUsualGridRadius = std::uint32_t{1} << 20U;
constexpr std::uint32_t kNoiselessGridRadius = std::uint32_t{1} << 24U;
constexpr double kNoiseOverTruncation = 64;

}  // namespace

Result<NoiseMultiplier> CalibrateNoise(const CalibrationTarget& target) {
  if (target.mechanism == Mechanism::kNone)
    return Fail(ErrorCode::kInvalidArgument, "mechanism none has no noise to calibrate");
  if (target.compositions == 0) return Fail(ErrorCode::kInvalidArgument, "noise for 0 rounds cannot be calibrated");
  const double epsilon = target.epsilon.value();
  double high = 1;
  while (EpsilonOf(target, high) > epsilon) {
    if (high >= kMaxNoiseMultiplier) {
      return Fail(ErrorCode::kInvalidArgument,
                  "epsilon cannot be reached: it would need a noise multiplier above 131072; allow a larger "
                  "epsilon or delta, or fewer rounds");
    }
    high *= 2;
  }
  double low = high / 2;
  while (low > 0x1p-40 && EpsilonOf(target, low) <= epsilon) low /= 2;
  return NoiseMultiplier::Create(RoundedUpToSixDigits(Bisect(target, low, 2 * low)));
}

std::uint64_t RoundsWithinBudget(const BudgetQuestion& question) {
  const auto fits = [&](std::uint64_t rounds) {
    return AccountOf(question, rounds).epsilon <= question.budget.value();
  };
  if (question.mechanism == Mechanism::kNone || question.max_participations == 0) return 0;
  if (fits(question.max_participations)) return kUnlimitedRounds;
  std::uint64_t within = 0;
  std::uint64_t beyond = 1;
  while (beyond < question.max_participations && fits(beyond)) {
    within = beyond;
    beyond = beyond > question.max_participations / 2 ? question.max_participations : beyond * 2;
  }
  while (beyond - within > 1) {
    const std::uint64_t middle = within + (beyond - within) / 2;
    (fits(middle) ? within : beyond) = middle;
  }
  return within;
}

UtilityForecast ForecastUtility(Mechanism mechanism, NoiseMultiplier noise_multiplier, std::uint64_t cohort) {
  if (mechanism == Mechanism::kNone) {
    return {.noise_to_signal = 0,
            .cohort_needed = 1,
            .meaning = "no noise is added: there is no privacy, and no loss from it"};
  }
  const double deviation = Deviation(mechanism, noise_multiplier);
  return ForecastOf(deviation / static_cast<double>(std::max<std::uint64_t>(cohort, 1)), deviation / kNoVisibleLoss);
}

UtilityForecast ForecastLocalUtility(Mechanism mechanism, NoiseMultiplier noise_multiplier, std::uint64_t cohort) {
  const double deviation = Deviation(mechanism, noise_multiplier);
  const double root = deviation / kNoVisibleLoss;
  return ForecastOf(deviation / std::sqrt(static_cast<double>(std::max<std::uint64_t>(cohort, 1))), root * root);
}

GridRadius PlanGridRadius(Mechanism mechanism, std::optional<NoiseMultiplier> noise_multiplier, std::uint64_t cohort) {
  std::uint32_t radius = mechanism == Mechanism::kNone ? kNoiselessGridRadius : kUsualGridRadius;
  if (mechanism != Mechanism::kNone && noise_multiplier) {
    const double z = noise_multiplier->value();
    // z C / m against C / R.
    while (radius < kMaxGridRadius && radius * z < kNoiseOverTruncation * static_cast<double>(cohort)) radius *= 2;
    while (radius < kMaxGridRadius && radius * z < double{kMinNoiseSteps}) radius *= 2;
    while (radius > kMinGridRadius && radius * z > double{kMaxNoiseSteps}) radius /= 2;
  }
  const Result<GridRadius> checked = GridRadius::Create(radius);
  TACIT_CHECK(checked.has_value(), "powers of two between the smallest and the largest radius");
  return *checked;
}

}  // namespace tacit::dp
