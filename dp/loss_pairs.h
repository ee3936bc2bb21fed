#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dp/loss_distribution.h"

namespace tacit::dp {

/// Noise that is added to one number; scale is the standard deviation, or the b of Laplace.
enum class Noise : std::uint8_t { kGaussian, kLaplace };

/// Whose loss is looked at: that of a data set which has the unit against one which has not, or the other way round.
enum class Direction : std::uint8_t { kRemove, kAdd };

/// A unit that takes part with probability q, or is left out, seen through noise.
/// Units: `scale` over the sensitivity; 0 < q <= 1.
/// Source: dominating pairs of the subsampled mechanisms, Zhu, Dong, Wang 2022, theorem 11 and its corollaries.
std::unique_ptr<OutputPair> PoissonPair(Noise noise, double scale, double q, Direction direction);

/// A value that is drawn from a distribution over multiples of the sensitivity, and hidden in Gaussian noise.
struct WeightedShift {
  double weight;
  double shift;
};
/// The loss must grow with the outcome: all shifts of `with` at or above 0, all of `without` at or below.
std::unique_ptr<OutputPair> GaussianMixturePair(double scale, const std::vector<WeightedShift>& with,
                                                const std::vector<WeightedShift>& without);

/// k-ary randomised response: with probability `noise` the answer is uniform. Replace-one.
std::vector<OutputPair::Masses> RandomisedResponseOutcomes(double noise, std::uint64_t buckets);

/// The worst mechanism that is (epsilon, delta)-differentially private.
/// Source: Kairouz, Oh, Viswanath 2015, theorem 3.2 and its proof.
std::vector<OutputPair::Masses> WorstCaseOutcomes(double epsilon, double delta);

/// One coordinate with discrete Gaussian noise, moved by `shift` grid points; sigma in grid points.
std::vector<OutputPair::Masses> DiscreteGaussianOutcomes(double sigma, std::uint64_t shift);

/// One coordinate with discrete Laplace noise, P(x) proportional to e^(-rate |x|), moved by `shift` grid points.
std::vector<OutputPair::Masses> DiscreteLaplaceOutcomes(double rate, std::uint64_t shift);

}  // namespace tacit::dp
