#pragma once

#include <cstdint>
#include <optional>

#include "common/base/result.h"
#include "dp/accounting.h"
#include "dp/types.h"

namespace tacit::dp {

/// One release of the mechanism as it is added in truth, whatever the others are.
struct Release {
  Mechanism mechanism;  ///< Not kNone.
  NoiseMultiplier noise_multiplier;
  std::optional<CheckinCoin> coin = std::nullopt;

  bool operator==(const Release&) const = default;
};

/// A bound on the Renyi divergence of one release at `order`, both directions.
/// Guarantee: holds for the discrete noise of `ReleaseAverage`, apart from the sampler's distance and from a cohort
///   that turns devices away, which a filter takes off its delta.
/// Source: Canonne, Kamath, Steinke 2020 (the discrete Gaussian is concentrated like the continuous one); renyi.h.
double RenyiOf(const Release& release, double order);

/// What a filter promises, before anything was released.
struct FilterPromise {
  Epsilon epsilon;
  Delta delta;
  std::uint64_t max_releases;  ///< That one unit can be part of.
  /// The release that most are expected to be like: decides which Renyi order the filter works at, and nothing else.
  Release typical;
};

/// Releases whose noise is chosen on the way, from what earlier ones showed: loss distributions prove nothing about
/// those, while Renyi divergences at an order that was chosen before the first release may be added up until a budget
/// is used up.
///
/// Guarantee: as long as the sum of RenyiOf at `order` is at most `budget`, and the releases are at most
/// `max_releases`,
///   all of them together are (epsilon, delta)-DP, however they were chosen.
/// Source: Feldman, Zrnic 2021, theorem 3.1 (fully adaptive composition of Renyi DP); Canonne, Kamath, Steinke 2020,
///   proposition 12 (to epsilon).
class RenyiFilter {
 public:
  /// Errors: kInvalidArgument when not even one release like the typical one fits, and for an epsilon so large that the
  ///   sampler's distance would take more than half of delta.
  static Result<RenyiFilter> Create(const FilterPromise& promise);

  [[nodiscard]] double order() const { return order_; }
  /// Units: Renyi divergence at `order`.
  [[nodiscard]] double budget() const { return budget_; }
  [[nodiscard]] double CostOf(const Release& release) const;
  [[nodiscard]] bool Admits(double spent) const { return spent <= budget_; }
  /// What a sum of costs comes to at the promise's delta; 0 for nothing, at most the promise's epsilon for what is
  /// admitted.
  [[nodiscard]] double EpsilonOf(double spent) const;

 private:
  RenyiFilter(double order, double conversion, double budget)
      : order_(order), conversion_(conversion), budget_(budget) {}

  double order_;
  double conversion_;  // what is added to a divergence to make it an epsilon
  double budget_;
};

}  // namespace tacit::dp
