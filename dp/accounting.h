#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "dp/types.h"

namespace tacit::dp {

/// What a number of rounds costs one device. Infinite where there is no guarantee.
/// Units: natural logarithms.
/// Guarantee: every field is an upper bound; rounding errs upward.
struct EpsilonReport {
  double epsilon = 0;              ///< The reported number: the smallest bound the accountants prove at `delta`.
  double epsilon_rdp = 0;          ///< The same from Renyi DP: never below `epsilon`.
  double rho_zcdp = 0;             ///< Zero-concentrated DP of the composition.
  double delta = 0;                ///< What `epsilon` is stated at.
  std::uint64_t compositions = 0;  ///< Rounds that were composed.
  /// `gaussian-exact`, `laplace-pld`, `sampled-gaussian-pld`, `sampled-laplace-pld`, `renyi-filter` or `none`.
  std::string_view accountant;
};

/// A cohort that the server draws: in each round each device takes part by a coin of its own that nobody but the server
/// and the device ever sees. Updates beyond `max_cohort` are refused, and nothing else depends on how many came.
struct CheckinCoin {
  SamplingProbability probability;
  std::uint64_t population;  ///< The most devices that hold a coin.
  std::uint64_t max_cohort;

  bool operator==(const CheckinCoin&) const = default;
};

/// Zero-concentrated DP of `compositions` releases without a coin; infinite for kNone.
/// Guarantee: rounded up.
/// Source: Bun, Steinke 2016, propositions 1.4 and 1.6.
double ConcentratedRho(Mechanism mechanism, NoiseMultiplier noise_multiplier, std::uint64_t compositions);

/// An upper bound on the probability that the coins of one round let in more than `max_cohort` devices.
/// Source: Chernoff 1952, Hoeffding 1963, theorem 1.
double CohortOverflow(const CheckinCoin& coin);

struct AccountOptions {
  Mechanism mechanism;
  NoiseMultiplier noise_multiplier;
  std::uint64_t compositions;  ///< Rounds that one device can have contributed to; with a coin, rounds.
  Delta delta;
  std::optional<CheckinCoin> coin = std::nullopt;  ///< None: devices come when they like, and nothing is amplified.
};

/// The privacy loss of one device after it took part in `compositions` rounds; unit and neighbouring relation:
/// docs/PRIVACY.md.
///
/// Guarantee: holds for the discrete noise that `ReleaseAverage` adds, for every grid radius and up to kMaxParameters
///   coordinates. Gaussian: exact for the continuous Gaussian of variance z^2 - 1.6^2 / 2^20 (the smallest grid radius
///   is assumed, so that one number holds for all), plus the smoothing slack; see docs/PRIVACY.md. Laplace: the
///   smallest of the pure bound, Renyi DP, and a pessimistic loss distribution. With a coin: the smallest of Renyi DP,
///   a pessimistic loss distribution of the sampled steps, and what it would be without the coin; what a full cohort
///   can turn away counts against delta. Does not decrease as `compositions` grows, but for the accuracy of a loss
///   distribution. 0 compositions cost 0; kNone costs infinity after the first.
/// Cost: Gaussian below 1 ms, all else up to about 20 ms.
/// Source: Balle, Wang 2018; Canonne, Kamath, Steinke 2020; Doroshenko et al. 2022.
EpsilonReport Account(const AccountOptions& options);

}  // namespace tacit::dp
