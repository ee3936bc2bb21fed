#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "dp/loss_distribution.h"

namespace tacit::dp {

// Renyi divergences of single steps, at an order above 1; infinity where none is known.
// Units: natural logarithms; noise multipliers and scales over the sensitivity.

/// Source: Mironov 2017, proposition 7.
double GaussianRenyi(double noise_multiplier, double order);

/// Source: Mironov 2017, proposition 6.
double LaplaceRenyi(double noise_multiplier, double order);

/// Poisson-sampled Gaussian, both directions. Guarantee: within 1e-9 above the true value.
/// Source: Mironov, Talwar, Zhang 2019, equation 30 (integer orders) and section 3.3 (all orders).
double PoissonGaussianRenyi(double noise_multiplier, double sampling_probability, double order);

/// Poisson-sampled Laplace, both directions; an upper bound. Integer orders only.
/// Source: Zhu, Wang 2019, theorem 5.
double PoissonLaplaceRenyi(double noise_multiplier, double sampling_probability, double order);

/// A uniform subset of `cohort` of `population` units, replace-one; the noise multiplier is over the replace-one
/// sensitivity. An upper bound. Integer orders only.
/// Source: Wang, Balle, Kasiviswanathan 2019, theorem 27.
double FixedSizeGaussianRenyi(double noise_multiplier, double sampling_fraction, double order);

/// Skellam noise of variance `variance` for sensitivities l1 and l2. Integer orders only.
/// Source: Agarwal, Kairouz, Liu 2021, theorem 3.5.
double SkellamRenyi(double variance, double l1, double l2, double order);

/// The divergence of a mechanism with finitely many outcomes, the larger of both directions.
double FiniteRenyi(std::span<const OutputPair::Masses> outcomes, double order);

// Smallest epsilon at `delta` that a Renyi curve proves. Any order is valid, so a bad search only errs upward.
// Source: Canonne, Kamath, Steinke 2020, proposition 12.

/// What is added to a Renyi divergence at `order` to make it the epsilon that it proves at `delta`, whatever the order.
double RenyiConversion(double order, double delta);
/// Over all real orders, for a curve that is cheap.
double RenyiToEpsilon(const std::function<double(double order)>& renyi, double delta);
/// Over whole orders from 2 on, and the straight lines between them.
double WholeOrdersToEpsilon(const std::function<double(double order)>& renyi, double delta);
/// The same, and over the real orders between where that makes a difference.
double RealOrdersToEpsilon(const std::function<double(double order)>& renyi, double delta);

}  // namespace tacit::dp
