#pragma once

#include <cstdint>

namespace tacit::dp {

// The closed forms under `Account`, for continuous noise and raw numbers. Total functions: a parameter without a
// guarantee (no noise, delta 0 with Gaussian noise, NaN) gives infinity, and 0 compositions or delta >= 1 give 0.
// Units: `noise_multiplier` is noise scale over sensitivity; epsilon and rho are natural logarithms.

/// delta of `compositions` Gaussian mechanisms at `epsilon`.
/// Guarantee: never below the true value; above it by less than 1e-6 of it for multipliers up to 2^17.
/// Source: Balle, Wang 2018, theorem 8, written with Mills ratios so that nothing overflows or cancels.
double GaussianDelta(double noise_multiplier, std::uint64_t compositions, double epsilon);

/// Smallest epsilon at `delta` of `compositions` Gaussian mechanisms.
/// Guarantee: never below the true value.
/// Source: as GaussianDelta.
double GaussianEpsilon(double noise_multiplier, std::uint64_t compositions, double delta);

/// rho of `compositions` Gaussian mechanisms.
/// Guarantee: rounded up.
/// Source: Bun, Steinke 2016, proposition 1.6.
double GaussianRho(double noise_multiplier, std::uint64_t compositions);

/// Smallest epsilon at `delta` that rho-zCDP gives through Renyi DP of all real orders.
/// Guarantee: never below the optimum over orders; any order is valid, so a bad search only errs upward.
/// Source: Canonne, Kamath, Steinke 2020, proposition 12.
double ZcdpEpsilon(double rho, double delta);

/// Epsilon at delta 0 of `compositions` Laplace mechanisms.
/// Guarantee: rounded up.
/// Source: Dwork, McSherry, Nissim, Smith 2006.
double LaplacePureEpsilon(double noise_multiplier, std::uint64_t compositions);

/// Smallest epsilon at `delta` of `compositions` Laplace mechanisms through Renyi DP.
/// Guarantee: as ZcdpEpsilon.
double LaplaceRdpEpsilon(double noise_multiplier, std::uint64_t compositions, double delta);

}  // namespace tacit::dp
