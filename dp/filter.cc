#include "dp/filter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/text.h"
#include "dp/discrete.h"
#include "dp/renyi.h"

namespace tacit::dp {
namespace {

/// Far above what sums of a million costs, and a conversion, lose in double precision.
constexpr double kRounding = 1e-9;
/// By what factor, e to this, one release may differ at a point from what is accounted for: the sampler's 2^-66.5 a
/// coordinate, and the smoothing (docs/PRIVACY.md, "From discrete to continuous"), for 2^28 coordinates.
constexpr double kFactors = 0x1p-37;
/// Beyond, a moment between whole orders takes a long sum; the next whole order is above it.
constexpr double kLargestRealOrder = 12;

/// Where a budget goes furthest is flat: orders this close lose a thousandth of it at most.
std::vector<double> Orders() {
  std::vector<double> orders;
  for (int i = -64; i <= 192; ++i) {
    const double order = 1 + std::exp2(i / 16.0);
    orders.push_back(order);
    if (order >= 2) orders.push_back(std::round(order));  // where sampled curves are sharpest
  }
  return orders;
}

/// What is left of delta when the sampler and full cohorts have taken their part of every release, as in `Account`.
double DeltaLeft(const FilterPromise& promise) {
  const double distance = kSamplerDistance + (promise.typical.coin ? CohortOverflow(*promise.typical.coin) : 0);
  return promise.delta.value() -
         static_cast<double>(promise.max_releases) * distance * (1 + std::exp(promise.epsilon.value() + 1));
}

}  // namespace

double RenyiOf(const Release& release, double order) {
  const bool gaussian = release.mechanism == Mechanism::kGaussian;
  TACIT_CHECK(gaussian || release.mechanism == Mechanism::kLaplace, "a release without noise has no bound");
  const double z = gaussian ? ContinuousGaussianMultiplier(release.noise_multiplier)
                            : ContinuousLaplaceMultiplier(release.noise_multiplier);
  const double whole = gaussian ? GaussianRenyi(z, order) : LaplaceRenyi(z, order);
  // No continuous mechanism stands for noise this small, and a sampled one of it costs no less.
  if (!(z > 0)) return std::numeric_limits<double>::infinity();
  if (!release.coin) return whole;
  const double q = release.coin->probability.value();
  if (!gaussian) return std::min(whole, PoissonLaplaceRenyi(z, q, std::max(2.0, std::ceil(order))));
  return std::min(whole, PoissonGaussianRenyi(z, q, order > kLargestRealOrder ? std::ceil(order) : order));
}

Result<RenyiFilter> RenyiFilter::Create(const FilterPromise& promise) {
  const double delta = DeltaLeft(promise);
  if (!(delta > promise.delta.value() / 2)) {
    return Fail(ErrorCode::kInvalidArgument,
                "a filter for epsilon " + RoundedUp(promise.epsilon.value()) + " at delta " +
                    RoundedUp(promise.delta.value()) +
                    " is finer than what the sampler of the noise keeps, and than what a full cohort turns away: it "
                    "takes a smaller epsilon or a larger delta");
  }
  std::optional<RenyiFilter> best;
  double most = 0;
  for (const double order : Orders()) {
    // Distributions within e^+-s of each other move a divergence of this order by at most s (2 order - 1) / (order -
    // 1).
    const double factors = static_cast<double>(promise.max_releases) * kFactors * (2 * order - 1) / (order - 1);
    const double conversion = RenyiConversion(order, delta) + factors;
    const double epsilon = promise.epsilon.value();
    const double budget = epsilon - conversion - (epsilon + std::abs(conversion)) * kRounding;
    const double releases = budget / RenyiOf(promise.typical, order);
    if (!(releases > most)) continue;
    most = releases;
    best = RenyiFilter(order, conversion, budget);
  }
  if (best && most >= 1) return *best;
  return Fail(ErrorCode::kInvalidArgument, "epsilon " + RoundedUp(promise.epsilon.value()) + " at delta " +
                                               RoundedUp(promise.delta.value()) +
                                               " does not pay for one release with noise multiplier " +
                                               RoundedUp(promise.typical.noise_multiplier.value()));
}

double RenyiFilter::CostOf(const Release& release) const {
  return RenyiOf(release, order_);
}

double RenyiFilter::EpsilonOf(double spent) const {
  if (spent <= 0) return 0;
  return std::max(0.0, spent + conversion_ + (spent + std::abs(conversion_)) * kRounding / 4);
}

}  // namespace tacit::dp
