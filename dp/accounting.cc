#include "dp/accounting.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "dp/composition.h"
#include "dp/discrete.h"
#include "dp/formulas.h"
#include "dp/numbers.h"

namespace tacit::dp {
namespace {

// Each round adds at most 2 d 2^-66.4 of pure epsilon and multiplies delta by at most exp(d 2^-66.4), d <= 2^28: 2^-37
// covers both.
constexpr double kSmoothingSlack = 0x1p-37;
constexpr std::uint64_t kMaxCompositions = std::uint64_t{1} << 30U;

/// Infinite where the accountant proves nothing.
double EpsilonBy(Accountant accountant, const RepeatedStep& step, double delta) {
  const auto report = ComposedEpsilon({.steps = {&step, 1}, .delta = delta, .accountant = accountant});
  return report ? report->epsilon : kInfinity;
}

std::string_view AccountantOf(const AccountOptions& options) {
  switch (options.mechanism) {
    case Mechanism::kGaussian:
      return options.coin ? "sampled-gaussian-pld" : "gaussian-exact";
    case Mechanism::kLaplace:
      return options.coin ? "sampled-laplace-pld" : "laplace-pld";
    case Mechanism::kNone:
      break;
  }
  return "none";
}

double SmoothingSlack(const AccountOptions& options) {
  return static_cast<double>(options.compositions) * kSmoothingSlack;
}

EpsilonReport AccountGaussian(const AccountOptions& options, double left) {
  const double z = ContinuousGaussianMultiplier(options.noise_multiplier);
  const double slack = SmoothingSlack(options);
  const double delta = left * (1 - slack);
  const double exact = GaussianEpsilon(z, options.compositions, delta) + slack;
  const double rho = ConcentratedRho(options.mechanism, options.noise_multiplier, options.compositions);
  const double rdp = ZcdpEpsilon(rho, delta) + slack;
  return {.epsilon = std::min(exact, rdp),
          .epsilon_rdp = rdp,
          .rho_zcdp = rho,
          .delta = options.delta.value(),
          .compositions = options.compositions,
          .accountant = AccountantOf(options)};
}

EpsilonReport AccountLaplace(const AccountOptions& options, double delta) {
  const double z = ContinuousLaplaceMultiplier(options.noise_multiplier);
  const double pure = LaplacePureEpsilon(options.noise_multiplier.value(), options.compositions);
  const double rdp = std::min(pure, LaplaceRdpEpsilon(z, options.compositions, delta));
  const double pld = EpsilonBy(Accountant::kPld, {LaplaceStep{z}, options.compositions}, delta);
  return {.epsilon = std::min(rdp, pld),
          .epsilon_rdp = rdp,
          .rho_zcdp = ConcentratedRho(options.mechanism, options.noise_multiplier, options.compositions),
          .delta = options.delta.value(),
          .compositions = options.compositions,
          .accountant = AccountantOf(options)};
}

double ProbabilityOf(const AccountOptions& options) {
  return Present(options.coin, "only with a coin are steps sampled").probability.value();
}

/// A coin on top of what `unsampled` says. Whether the vector of a device that stays away is missing or zero is the
/// same to the sum, so the pairs of Poisson sampling under add or remove stand for zero-out.
EpsilonReport WithCoin(const AccountOptions& options, const Step& sampled, double delta, EpsilonReport unsampled) {
  const bool gaussian = options.mechanism == Mechanism::kGaussian;
  const double slack = gaussian ? SmoothingSlack(options) : 0;
  const RepeatedStep steps{sampled, options.compositions};
  const double left = delta * (1 - slack);
  const double rdp = std::min(unsampled.epsilon_rdp, EpsilonBy(Accountant::kRdp, steps, left) + slack);
  const double pld = EpsilonBy(Accountant::kPld, steps, left) + slack;
  unsampled.epsilon_rdp = rdp;
  unsampled.epsilon = std::min({unsampled.epsilon, rdp, pld});
  return unsampled;
}

EpsilonReport AccountSampledGaussian(const AccountOptions& options, double delta) {
  const double z = ContinuousGaussianMultiplier(options.noise_multiplier);
  const double q = ProbabilityOf(options);
  return WithCoin(options, PoissonGaussianStep{z, q}, delta, AccountGaussian(options, delta));
}

EpsilonReport AccountSampledLaplace(const AccountOptions& options, double delta) {
  const double z = ContinuousLaplaceMultiplier(options.noise_multiplier);
  const double q = ProbabilityOf(options);
  return WithCoin(options, PoissonLaplaceStep{z, q}, delta, AccountLaplace(options, delta));
}

EpsilonReport WithoutGuarantee(const AccountOptions& options) {
  return {.epsilon = kInfinity,
          .epsilon_rdp = kInfinity,
          .rho_zcdp = kInfinity,
          .delta = options.delta.value(),
          .compositions = options.compositions,
          .accountant = AccountantOf(options)};
}

/// Accounts at what is left of delta when the sampler, and a cohort that turns devices away, have taken their part. Two
/// mechanisms that are each within t of ones that are (epsilon, delta)-indistinguishable are so with delta + (1 +
/// e^epsilon) t; Renyi DP at half of delta bounds the epsilon that is put in.
EpsilonReport WithSampler(const AccountOptions& options,
                          EpsilonReport (*account)(const AccountOptions& options, double delta)) {
  const double half = options.delta.value() / 2;
  const double z = options.noise_multiplier.value();
  const double bound =
      options.mechanism == Mechanism::kGaussian
          ? ZcdpEpsilon(GaussianRho(ContinuousGaussianMultiplier(options.noise_multiplier), options.compositions),
                        half / 2)
          : LaplacePureEpsilon(z, options.compositions);
  const double distance = kSamplerDistance + (options.coin ? CohortOverflow(*options.coin) : 0);
  const auto taken = [&](double epsilon) {
    return static_cast<double>(options.compositions) * distance * (1 + std::exp(epsilon + 1));
  };
  if (taken(bound) <= half) return account(options, options.delta.value() - taken(bound));
  const double closer = account(options, half).epsilon;
  if (!(taken(closer) <= half)) return WithoutGuarantee(options);
  return account(options, options.delta.value() - taken(closer));
}

}  // namespace

double CohortOverflow(const CheckinCoin& coin) {
  if (coin.max_cohort >= coin.population) return 0;
  const double q = coin.probability.value();
  const double share = static_cast<double>(coin.max_cohort + 1) / static_cast<double>(coin.population);
  if (share <= q) return 1;
  const double stays = share < 1 ? (1 - share) * std::log((1 - share) / (1 - q)) : 0;
  // A handful of roundings of 2^-53 each, of terms below 50.
  const double divergence = share * std::log(share / q) + stays - 0x1p-45;
  return std::min(1.0, std::exp(-static_cast<double>(coin.population) * divergence) * (1 + 0x1p-30));
}

double ConcentratedRho(Mechanism mechanism, NoiseMultiplier noise_multiplier, std::uint64_t compositions) {
  switch (mechanism) {
    case Mechanism::kGaussian:
      return GaussianRho(ContinuousGaussianMultiplier(noise_multiplier), compositions);
    case Mechanism::kLaplace: {
      const double once = LaplacePureEpsilon(noise_multiplier.value(), 1);
      return static_cast<double>(compositions) * once * once / 2 * (1 + 0x1p-50);
    }
    case Mechanism::kNone:
      break;
  }
  return kInfinity;
}

EpsilonReport Account(const AccountOptions& options) {
  if (options.compositions == 0) return {.delta = options.delta.value(), .accountant = AccountantOf(options)};
  if (options.compositions > kMaxCompositions) return WithoutGuarantee(options);
  switch (options.mechanism) {
    case Mechanism::kGaussian:
      return WithSampler(options, options.coin ? AccountSampledGaussian : AccountGaussian);
    case Mechanism::kLaplace:
      return WithSampler(options, options.coin ? AccountSampledLaplace : AccountLaplace);
    case Mechanism::kNone:
      break;
  }
  return WithoutGuarantee(options);
}

}  // namespace tacit::dp
