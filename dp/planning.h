#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "dp/accounting.h"
#include "dp/types.h"

namespace tacit::dp {

struct CalibrationTarget {
  Mechanism mechanism;
  Epsilon epsilon;
  Delta delta;
  std::uint64_t compositions;  ///< Rounds that one device may contribute to.
  std::optional<CheckinCoin> coin = std::nullopt;
};

/// The least noise that keeps `compositions` rounds within the target, rounded up to six significant decimal digits.
/// Guarantee: `Account` of the answer is at most the target; of 0.999 times the answer it is above.
/// Errors: kInvalidArgument for kNone, for 0 compositions, and when more than kMaxNoiseMultiplier would be needed.
/// Cost: tens of milliseconds for Gaussian, up to a second for Laplace.
Result<NoiseMultiplier> CalibrateNoise(const CalibrationTarget& target);

struct BudgetQuestion {
  Mechanism mechanism;
  NoiseMultiplier noise_multiplier;
  Delta delta;
  Epsilon budget;
  std::uint64_t
      max_participations;  ///< Rounds that one device may contribute to: more rounds than that cost it nothing more.
  std::optional<CheckinCoin> coin = std::nullopt;
};

/// What `RoundsWithinBudget` answers when even a device in every round it may take stays within the budget.
inline constexpr std::uint64_t kUnlimitedRounds = std::numeric_limits<std::uint64_t>::max();

/// How many rounds a budget pays for in all.
/// Guarantee: `Account` of the answer (of `max_participations`, for kUnlimitedRounds) is within the budget. 0 for
///   kNone.
std::uint64_t RoundsWithinBudget(const BudgetQuestion& question);

/// What the noise will do to the model, before a round is spent.
struct UtilityForecast {
  double noise_to_signal =
      0;  ///< Standard deviation of the noise on one coordinate of the average, over the clip norm.
  std::uint64_t cohort_needed = 0;  ///< Devices a round needs for no visible loss at this noise multiplier.
  std::string meaning;              ///< One sentence for people.
};

/// Guarantee: none; a rule of thumb measured on two tasks with small models (docs/PRIVACY.md), linear in nothing but
///   the noise.
UtilityForecast ForecastUtility(Mechanism mechanism, NoiseMultiplier noise_multiplier, std::uint64_t cohort);

/// The same where each of `cohort` devices adds noise of its own (local_noise.h): a root of the cohort is averaged
/// away, not all of it.
UtilityForecast ForecastLocalUtility(Mechanism mechanism, NoiseMultiplier noise_multiplier, std::uint64_t cohort);

/// The grid for a task that does not name one: 2^20, or finer where truncation (at most one step a coordinate) would
/// not stay 64 times below the noise of the average; 2^24 without noise; and never so fine that the noise could not be
/// sampled.
/// Privacy: holds for every grid; this choice is about accuracy only.
GridRadius PlanGridRadius(Mechanism mechanism, std::optional<NoiseMultiplier> noise_multiplier, std::uint64_t cohort);

}  // namespace tacit::dp
