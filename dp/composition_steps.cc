#include "dp/composition_steps.h"

#include <cmath>
#include <string>

#include "dp/numbers.h"

namespace tacit::dp {
namespace {

// ---- What the parameters may be ----

Result<void> Refuse(const std::string& what) {
  return Fail(ErrorCode::kInvalidArgument, what);
}
Result<void> CheckNoise(double noise_multiplier) {
  if (noise_multiplier >= 0 && noise_multiplier < kInfinity) return {};
  return Refuse("a noise multiplier must be a number from 0 on");
}
Result<void> CheckProbability(double probability) {
  if (probability >= 0 && probability <= 1) return {};
  return Refuse("a sampling probability must be from 0 to 1");
}
Result<void> CheckSampled(double noise_multiplier, double probability) {
  TACIT_TRY_VOID(CheckNoise(noise_multiplier));
  return CheckProbability(probability);
}
Result<void> CheckOneOf(bool good, const char* what) {
  return good ? Result<void>{} : Refuse(what);
}

/// A distribution on the integers is listed point by point.
constexpr double kMaxListedSigma = 1e5;
constexpr std::uint64_t kMaxListedShift = 1'000'000;
/// Binomial probabilities are added up one by one.
constexpr std::uint64_t kMaxPopulation = 1'000'000'000;

}  // namespace

Result<void> CheckStep(const Step& step) {
  return std::visit(
      Overloaded{
          [](const GaussianStep& s) { return CheckNoise(s.noise_multiplier); },
          [](const LaplaceStep& s) { return CheckNoise(s.noise_multiplier); },
          [](const PoissonGaussianStep& s) { return CheckSampled(s.noise_multiplier, s.sampling_probability); },
          [](const PoissonLaplaceStep& s) { return CheckSampled(s.noise_multiplier, s.sampling_probability); },
          [](const TruncatedPoissonGaussianStep& s) -> Result<void> {
            TACIT_TRY_VOID(CheckSampled(s.noise_multiplier, s.sampling_probability));
            return CheckOneOf(s.population >= 1 && s.population <= kMaxPopulation && s.max_cohort >= 1,
                              "the population must be from 1 to 1000000000, the largest cohort above 0");
          },
          [](const GroupPoissonGaussianStep& s) -> Result<void> {
            TACIT_TRY_VOID(CheckSampled(s.noise_multiplier, s.sampling_probability));
            return CheckOneOf(s.group_size >= 1 && s.group_size <= 1000, "a group has from 1 to 1000 units");
          },
          [](const FixedSizeGaussianStep& s) { return CheckSampled(s.noise_multiplier, s.sampling_fraction); },
          [](const DiscreteGaussianStep& s) {
            return CheckOneOf(s.sigma > 0 && s.sigma <= kMaxListedSigma && s.sensitivity <= kMaxListedShift,
                              "sigma must be above 0 and at most 100000 grid points, the sensitivity at most 1000000");
          },
          [](const DiscreteLaplaceStep& s) {
            return CheckOneOf(s.rate > 0 && s.rate < kInfinity && s.sensitivity <= kMaxListedShift,
                              "the rate must be above 0, the sensitivity at most 1000000");
          },
          [](const RandomisedResponseStep& s) {
            return CheckOneOf(s.noise >= 0 && s.noise <= 1 && s.buckets >= 1,
                              "randomised response needs a noise from 0 to 1 and at least one bucket");
          },
          [](const BlackBoxStep& s) {
            return CheckOneOf(s.epsilon >= 0 && s.epsilon < kInfinity && s.delta >= 0 && s.delta <= 1,
                              "a black box needs an epsilon from 0 on and a delta from 0 to 1");
          },
          [](const SkellamStep& s) {
            return CheckOneOf(s.variance >= 0 && s.l1_sensitivity >= 0 && s.l2_sensitivity >= 0,
                              "variance and sensitivities must be from 0 on");
          },
          [](const DistributedGaussianStep& s) {
            // The bound is proved from 1/2 on (Kairouz, Liu, Steinke 2021).
            return CheckOneOf((s.local_sigma == 0 || s.local_sigma >= 0.5) && s.units >= 1 && s.l2_sensitivity >= 0 &&
                                  s.dimension >= 1,
                              "sigma must be 0 or from 0.5 on, the sensitivity from 0 on, units and dimension above 0");
          }},
      step);
}

// ---- One relation ----

Result<Step> InRelation(const Step& step, Neighbouring relation) {
  const bool replace = relation == Neighbouring::kReplaceOne;
  const auto only = [&](const auto& same, bool good, const char* what) -> Result<Step> {
    if (good) return Step(same);
    return Fail(ErrorCode::kInvalidArgument, what);
  };
  return std::visit(
      Overloaded{[&](GaussianStep s) -> Result<Step> {
                   if (replace) s.noise_multiplier /= 2;
                   return Step(s);
                 },
                 [&](LaplaceStep s) -> Result<Step> {
                   if (replace) s.noise_multiplier /= 2;
                   return Step(s);
                 },
                 // A step that always takes part is one without sampling, which has more closed forms.
                 [&](const PoissonGaussianStep& s) -> Result<Step> {
                   if (s.sampling_probability == 1) return InRelation(GaussianStep{s.noise_multiplier}, relation);
                   return Step(s);
                 },
                 [&](const PoissonLaplaceStep& s) -> Result<Step> {
                   if (s.sampling_probability == 1) return InRelation(LaplaceStep{s.noise_multiplier}, relation);
                   return only(s, !replace, "Poisson sampling with Laplace noise is not accounted under replace-one");
                 },
                 [&](const TruncatedPoissonGaussianStep& s) {
                   return only(s, !replace, "truncated Poisson sampling is not accounted under replace-one");
                 },
                 [&](const GroupPoissonGaussianStep& s) {
                   return only(s, !replace, "groups are added or removed, not replaced");
                 },
                 [&](const FixedSizeGaussianStep& s) {
                   return only(s, replace, "sampling a fixed number is accounted under replace-one only");
                 },
                 [&](DiscreteGaussianStep s) -> Result<Step> {
                   if (replace) s.sensitivity *= 2;
                   return Step(s);
                 },
                 [&](DiscreteLaplaceStep s) -> Result<Step> {
                   if (replace) s.sensitivity *= 2;
                   return Step(s);
                 },
                 [&](const RandomisedResponseStep& s) {
                   return only(s, replace, "randomised response is accounted under replace-one only");
                 },
                 [&](const BlackBoxStep& s) -> Result<Step> { return Step(s); },
                 [&](SkellamStep s) -> Result<Step> {
                   if (replace) s = {s.variance, 2 * s.l1_sensitivity, 2 * s.l2_sensitivity};
                   return Step(s);
                 },
                 [&](DistributedGaussianStep s) -> Result<Step> {
                   if (replace) s.l2_sensitivity *= 2;
                   return Step(s);
                 }},
      step);
}

Nature NatureOf(const Step& step) {
  const auto sampled = [](double noise_multiplier, double q) {
    return q == 0 ? Nature::kFree : noise_multiplier == 0 ? Nature::kNotPrivate : Nature::kOrdinary;
  };
  const auto when = [](bool free, bool not_private) {
    return free ? Nature::kFree : not_private ? Nature::kNotPrivate : Nature::kOrdinary;
  };
  return std::visit(
      Overloaded{
          [&](const GaussianStep& s) { return sampled(s.noise_multiplier, 1); },
          [&](const LaplaceStep& s) { return sampled(s.noise_multiplier, 1); },
          [&](const PoissonGaussianStep& s) { return sampled(s.noise_multiplier, s.sampling_probability); },
          [&](const PoissonLaplaceStep& s) { return sampled(s.noise_multiplier, s.sampling_probability); },
          [&](const TruncatedPoissonGaussianStep& s) { return sampled(s.noise_multiplier, s.sampling_probability); },
          [&](const GroupPoissonGaussianStep& s) { return sampled(s.noise_multiplier, s.sampling_probability); },
          [&](const FixedSizeGaussianStep& s) { return sampled(s.noise_multiplier, s.sampling_fraction); },
          [&](const DiscreteGaussianStep& s) { return when(s.sensitivity == 0, false); },
          [&](const DiscreteLaplaceStep& s) { return when(s.sensitivity == 0, false); },
          [&](const RandomisedResponseStep& s) { return when(s.buckets == 1 || s.noise == 1, s.noise == 0); },
          [&](const BlackBoxStep& s) { return when(s.epsilon == 0 && s.delta == 0, s.delta == 1); },
          [&](const SkellamStep& s) { return when(s.l2_sensitivity == 0, s.variance == 0); },
          [&](const DistributedGaussianStep& s) { return when(s.l2_sensitivity == 0, s.local_sigma == 0); }},
      step);
}

double PureEpsilon(const Step& step) {
  return std::visit(Overloaded{[](const LaplaceStep& s) { return 1 / s.noise_multiplier; },
                               [](const PoissonLaplaceStep& s) {
                                 return std::log1p(s.sampling_probability * std::expm1(1 / s.noise_multiplier));
                               },
                               [](const DiscreteLaplaceStep& s) { return s.rate * static_cast<double>(s.sensitivity); },
                               [](const RandomisedResponseStep& s) {
                                 return std::log1p(static_cast<double>(s.buckets) * (1 - s.noise) / s.noise);
                               },
                               [](const BlackBoxStep& s) { return s.delta == 0 ? s.epsilon : kInfinity; },
                               [](const auto& /*other*/) { return kInfinity; }},
                    step);
}

}  // namespace tacit::dp
