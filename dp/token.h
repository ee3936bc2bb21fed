#pragma once

#include <optional>
#include <utility>

#include "common/base/ids.h"
#include "dp/types.h"

namespace tacit::dp {

/// What a token pays for: the mechanism as it was charged. `ReleaseAverage` takes its parameters from here and from
/// nowhere else, so a round cannot be released with less noise than the ledger says.
struct ReleaseTerms {
  RoundKey round;
  Mechanism mechanism;
  std::optional<NoiseMultiplier> noise_multiplier;  ///< Absent for kNone only.
  ClipNorm clip_norm;
  GridRadius grid_radius;
  double divisor;               ///< The declared cohort; for kNone the sum of weights.
  std::uint32_t bit_steps = 0;  ///< As in SumOptions; the noise multiplier is over vector and bit together.
};

struct NoPrivacyTerms;

/// The right to read one round's sum, once. Minted by `BudgetLedger::Redeem` for a charge that is durable, or by
/// `NoPrivacyToken` for a task that declares mechanism none.
class ReleaseToken {
 public:
  ReleaseToken(ReleaseToken&& other) noexcept : terms_(std::exchange(other.terms_, std::nullopt)) {}
  ReleaseToken& operator=(ReleaseToken&&) = delete;
  ReleaseToken(const ReleaseToken&) = delete;
  ReleaseToken& operator=(const ReleaseToken&) = delete;

  /// Takes the terms out; a second call finds nothing. That is what makes a token single use.
  [[nodiscard]] std::optional<ReleaseTerms> Spend() && { return std::exchange(terms_, std::nullopt); }

 private:
  friend class BudgetLedger;
  friend ReleaseToken NoPrivacyToken(const NoPrivacyTerms& terms);
  explicit ReleaseToken(ReleaseTerms terms) : terms_(std::move(terms)) {}
  std::optional<ReleaseTerms> terms_;
};

struct NoPrivacyTerms {
  RoundKey round;
  ClipNorm clip_norm;
  GridRadius grid_radius;
  double divisor;  ///< Above 0: the sum of the weights, or the number of contributions.
};

/// A token that releases a sum WITHOUT PRIVACY. It opens only sums that were made for Mechanism::kNone. Every use is a
/// place to review: grep for the name.
ReleaseToken NoPrivacyToken(const NoPrivacyTerms& terms);

}  // namespace tacit::dp
