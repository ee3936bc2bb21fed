#pragma once

namespace tacit::dp {

// The standard normal law where a bound needs its tails.

/// (1 - Phi(x)) / phi(x) for x >= 0, within 2^-48 of it.
/// Source: Abramowitz, Stegun 26.2.14 (Laplace's continued fraction). All terms are positive, so evaluating it
///   backwards loses nothing; n terms leave a relative rest of about exp(-2 x sqrt(n)), below 2^-60 for the n used here
///   (compared with 50 digits for x from 2 to 200).
double MillsRatio(double x);

/// ln phi(x).
double LogNormalDensity(double x);

/// ln (1 - Phi(x)), for any x, also where 1 - Phi(x) is below the smallest double.
double LogNormalTail(double x);

}  // namespace tacit::dp
