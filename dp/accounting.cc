#include "dp/accounting.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "dp/composition.h"
#include "dp/formulas.h"

namespace tacit::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// docs/PRIVACY.md, "From discrete to continuous". tau = 1.6 grid steps are taken off the variance, seen from the
// coarsest grid.
constexpr double kSmoothingVariance = 1.6 * 1.6 / (double{kMinGridRadius} * kMinGridRadius);
// Each round adds at most 2 d 2^-66.4 of pure epsilon and multiplies delta by at most exp(d 2^-66.4), d <= 2^28: 2^-37
// covers both.
constexpr double kSmoothingSlack = 0x1p-37;
// How far the draws of one round can be, in total variation, from those that are accounted for: five tables of 4096
// places that are rounded at 2^-124 each, and tails below 2^-110, make 2^-109 a draw; up to 2^28 draws
// (docs/PRIVACY.md, "The sampler").
constexpr double kSamplerDistance = 0x1p-80;
constexpr std::uint64_t kMaxCompositions = std::uint64_t{1} << 30U;

/// The multiplier of the continuous Gaussian that the discrete one is a post-processing of, rounded down; 0 when there
/// is none.
double ContinuousGaussianMultiplier(NoiseMultiplier noise_multiplier) {
  const double variance = noise_multiplier.value() * noise_multiplier.value() * (1 - 0x1p-50) - kSmoothingVariance;
  return variance > 0 ? std::sqrt(variance) * (1 - 0x1p-50) : 0;
}

/// The multiplier of a continuous Laplace that is nowhere harder to tell apart than the discrete one, rounded down: 1 /
/// z + 1 / (4 z^2 R^2) = 1 / z', seen from the coarsest grid.
double ContinuousLaplaceMultiplier(NoiseMultiplier noise_multiplier) {
  const double z = noise_multiplier.value();
  return z / (1 + 1 / (4 * z * kMinGridRadius * kMinGridRadius)) * (1 - 0x1p-50);
}

/// Infinite where a loss distribution proves nothing.
double LossDistributionEpsilon(const RepeatedStep& step, double delta) {
  const auto report = ComposedEpsilon({.steps = {&step, 1}, .delta = delta, .accountant = Accountant::kPld});
  return report ? report->epsilon : kInfinity;
}

EpsilonReport AccountGaussian(const AccountOptions& options, double left) {
  const double z = ContinuousGaussianMultiplier(options.noise_multiplier);
  const double slack = static_cast<double>(options.compositions) * kSmoothingSlack;
  const double delta = left * (1 - slack);
  const double exact = GaussianEpsilon(z, options.compositions, delta) + slack;
  const double rho = GaussianRho(z, options.compositions);
  const double rdp = ZcdpEpsilon(rho, delta) + slack;
  return {.epsilon = std::min(exact, rdp),
          .epsilon_rdp = rdp,
          .rho_zcdp = rho,
          .delta = options.delta.value(),
          .compositions = options.compositions,
          .accountant = "gaussian-exact"};
}

EpsilonReport AccountLaplace(const AccountOptions& options, double delta) {
  const double z = ContinuousLaplaceMultiplier(options.noise_multiplier);
  const double pure = LaplacePureEpsilon(options.noise_multiplier.value(), options.compositions);
  const double rdp = std::min(pure, LaplaceRdpEpsilon(z, options.compositions, delta));
  const double pld = LossDistributionEpsilon({LaplaceStep{z}, options.compositions}, delta);
  const double once = LaplacePureEpsilon(options.noise_multiplier.value(), 1);
  return {.epsilon = std::min(rdp, pld),
          .epsilon_rdp = rdp,
          .rho_zcdp = static_cast<double>(options.compositions) * once * once / 2 *
                      (1 + 0x1p-50),  // Bun, Steinke 2016, proposition 1.4
          .delta = options.delta.value(),
          .compositions = options.compositions,
          .accountant = "laplace-pld"};
}

EpsilonReport WithoutGuarantee(const AccountOptions& options, std::string_view accountant) {
  return {.epsilon = kInfinity,
          .epsilon_rdp = kInfinity,
          .rho_zcdp = kInfinity,
          .delta = options.delta.value(),
          .compositions = options.compositions,
          .accountant = accountant};
}

std::string_view AccountantOf(Mechanism mechanism) {
  switch (mechanism) {
    case Mechanism::kGaussian:
      return "gaussian-exact";
    case Mechanism::kLaplace:
      return "laplace-pld";
    case Mechanism::kNone:
      break;
  }
  return "none";
}

/// Accounts at what is left of delta when the sampler has taken its part. Two mechanisms that are each within t of ones
/// that are (epsilon, delta)-indistinguishable are so with delta + (1 + e^epsilon) t; Renyi DP at half of delta bounds
/// the epsilon that is put in.
EpsilonReport WithSampler(const AccountOptions& options, std::string_view accountant,
                          EpsilonReport (*account)(const AccountOptions& options, double delta)) {
  const double half = options.delta.value() / 2;
  const double z = options.noise_multiplier.value();
  const double bound =
      options.mechanism == Mechanism::kGaussian
          ? ZcdpEpsilon(GaussianRho(ContinuousGaussianMultiplier(options.noise_multiplier), options.compositions),
                        half / 2)
          : LaplacePureEpsilon(z, options.compositions);
  const auto taken = [&](double epsilon) {
    return static_cast<double>(options.compositions) * kSamplerDistance * (1 + std::exp(epsilon + 1));
  };
  if (taken(bound) <= half) return account(options, options.delta.value() - taken(bound));
  const double closer = account(options, half).epsilon;
  if (!(taken(closer) <= half)) return WithoutGuarantee(options, accountant);
  return account(options, options.delta.value() - taken(closer));
}

}  // namespace

EpsilonReport Account(const AccountOptions& options) {
  const std::string_view accountant = AccountantOf(options.mechanism);
  if (options.compositions == 0) return {.delta = options.delta.value(), .accountant = accountant};
  if (options.compositions > kMaxCompositions) return WithoutGuarantee(options, accountant);
  switch (options.mechanism) {
    case Mechanism::kGaussian:
      return WithSampler(options, accountant, AccountGaussian);
    case Mechanism::kLaplace:
      return WithSampler(options, accountant, AccountLaplace);
    case Mechanism::kNone:
      break;
  }
  return WithoutGuarantee(options, accountant);
}

}  // namespace tacit::dp
