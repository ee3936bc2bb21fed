// The audit on the mechanism that ships, and on copies that are broken on purpose.
//
// Null hypothesis: the mechanism keeps the epsilon that `Account` proves. False alarm of each audit: 1e-6, over the
// keys of the noise; here the keys are fixed, so that a run repeats. Sample sizes stand with the tests. Defects caught:
// less noise than charged, updates that are not clipped, weights that a device claims.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <gmock/gmock.h>

#include "common/crypto/digest.h"
#include "dp/audit.h"
#include "dp/noise.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsErrorSaying;

constexpr double kFalseAlarm = 1e-6;

/// Every stream under a key of its own, in an order that repeats.
NewBits BitsOf(std::uint8_t seed) {
  return [seed, next = std::uint64_t{0}]() mutable {
    std::array<std::uint8_t, 32> key{seed};
    ++next;
    std::memcpy(key.data() + 1, &next, sizeof next);
    return std::make_unique<crypto::AesKeystream>(*crypto::SecretKey::FromBytes(key));
  };
}

AuditOptions OptionsOf(Mechanism mechanism, double noise_multiplier, double delta, std::uint8_t seed) {
  return {.mechanism = mechanism,
          .noise_multiplier = testing::MultiplierOf(noise_multiplier),
          .clip_norm = testing::ClipOf(0.5),
          .grid_radius = testing::RadiusOf(1U << 16U),
          .rounds = 1,
          .delta = testing::DeltaOf(delta),
          .false_alarm = kFalseAlarm,
          .hash = &crypto::Sha256,
          .bits = BitsOf(seed)};
}

struct Faults {
  double noise_share = 1;
  bool skips_clip = false;
  bool trusts_weights = false;
};

/// A mechanism as it might be written without the types of this library: nothing makes it clip, or keeps it from
/// believing a device.
class LooseMechanism final : public AuditedMechanism {
 public:
  LooseMechanism(const AuditOptions& options, std::uint64_t cohort, Faults faults)
      : options_(options), cohort_(cohort), faults_(faults) {}

  Result<void> Open(std::size_t parameters) override {
    sum_.assign(parameters, 0);
    return {};
  }

  Result<void> Add(std::span<const float> update, std::uint64_t claimed_weight) override {
    const auto weight = static_cast<std::int64_t>(faults_.trusts_weights ? claimed_weight : 1);
    const double scale = faults_.skips_clip ? 1 : ClipFactor(update);
    for (std::size_t i = 0; i < update.size(); ++i) {
      sum_[i] += weight * static_cast<std::int64_t>(static_cast<double>(update[i]) * scale / Step());
    }
    return {};
  }

  Result<std::vector<float>> Release(Keystream& noise_bits) override {
    const auto steps = *NoiseSteps(options_.noise_multiplier, options_.grid_radius);
    TACIT_TRY(const NoiseSampler sampler,
              samplers_.For(options_.mechanism,
                            static_cast<std::uint64_t>(static_cast<double>(steps) * faults_.noise_share)));
    sampler.AddTo(sum_, 0, noise_bits);
    std::vector<float> average;
    for (const std::int64_t value : sum_) {
      average.push_back(static_cast<float>(static_cast<double>(value) * Step() / static_cast<double>(cohort_)));
    }
    return average;
  }

 private:
  [[nodiscard]] double Step() const { return options_.clip_norm.value() / options_.grid_radius.value(); }

  [[nodiscard]] double ClipFactor(std::span<const float> update) const {
    const bool l1 = NormOf(options_.mechanism) == Norm::kL1;
    double norm = 0;
    for (const float value : update) {
      const auto wide = static_cast<double>(value);
      norm += l1 ? std::abs(wide) : wide * wide;
    }
    if (!l1) norm = std::sqrt(norm);
    return norm > options_.clip_norm.value() ? options_.clip_norm.value() / norm : 1;
  }

  AuditOptions options_;
  std::uint64_t cohort_;
  Faults faults_;
  std::vector<std::int64_t> sum_;
  NoiseSamplers samplers_;
};

constexpr std::uint64_t kTrials = 40'000;
constexpr std::uint64_t kCanaries = 4000;

AuditReport Neighbours(const AuditOptions& options, Faults faults) {
  LooseMechanism mechanism(options, 3, faults);
  return *AuditNeighbours(options, kTrials, mechanism);
}
AuditReport OneRun(const AuditOptions& options, Faults faults, std::uint64_t canaries = kCanaries) {
  LooseMechanism mechanism(options, canaries, faults);
  return *AuditOneRun(options, canaries, mechanism);
}

// Deltas are large where trials are few: the bound at a delta looks at events that are about as rare.
AuditOptions Gaussian(std::uint8_t seed) {
  return OptionsOf(Mechanism::kGaussian, 1, 1e-2, seed);
}
AuditOptions Laplace(std::uint8_t seed) {
  return OptionsOf(Mechanism::kLaplace, 0.5, 1e-10, seed);
}
/// Of a one-run audit delta must be far below the false alarm over the number of canaries.
AuditOptions GaussianOnce(std::uint8_t seed) {
  return OptionsOf(Mechanism::kGaussian, 2, 1e-10, seed);
}

/// Consistent, and not for want of sensitivity: the lower bound is at least `share` of the proved one. The shares below
/// are about two thirds of what was measured.
void ExpectConsistent(const AuditReport& report, double share) {
  EXPECT_EQ(report.verdict, AuditVerdict::kConsistent);
  EXPECT_LE(report.epsilon_lower, report.epsilon_upper);
  EXPECT_GE(report.epsilon_lower, share * report.epsilon_upper);
}
void ExpectViolated(const AuditReport& report) {
  EXPECT_EQ(report.verdict, AuditVerdict::kViolated)
      << report.epsilon_lower << " of at most " << report.epsilon_reach << ", against " << report.epsilon_upper;
}

TEST(AuditNeighbours, FindsTheShippedMechanismsConsistent) {
  ExpectConsistent(*AuditNeighbours(Gaussian(1), kTrials), 0.4);
  ExpectConsistent(*AuditNeighbours(Laplace(2), kTrials), 0.6);
}

TEST(AuditNeighbours, FollowsTheShippedMechanismThroughRounds) {
  AuditOptions options = OptionsOf(Mechanism::kGaussian, 2, 1e-2, 3);
  options.rounds = 4;
  ExpectConsistent(*AuditNeighbours(options, kTrials / 2), 0.35);
}

TEST(AuditOneRun, FindsTheShippedMechanismsConsistent) {
  ExpectConsistent(*AuditOneRun(GaussianOnce(4), kCanaries), 0.1);
  ExpectConsistent(*AuditOneRun(Laplace(5), kCanaries), 0.55);
}

// The frame of the broken copies below is no reason to fail.
TEST(Audits, FindALooseCopyWithoutFaultsConsistent) {
  ExpectConsistent(Neighbours(Gaussian(6), {}), 0.4);
  ExpectConsistent(OneRun(Laplace(7), {}), 0.55);
}

TEST(AuditNeighbours, CatchesHalfTheNoise) {
  ExpectViolated(Neighbours(Gaussian(8), {.noise_share = 0.5}));
  ExpectViolated(Neighbours(Laplace(9), {.noise_share = 0.5}));
}

// Half of the Gaussian noise is beyond a one-run audit at any size that is run here: its guesses show the privacy loss
// of ordinary outputs, and delta that of the rarest. A quarter is within reach.
TEST(AuditOneRun, CatchesHalfTheLaplaceNoiseAndAQuarterOfTheGaussian) {
  ExpectViolated(OneRun(Laplace(10), {.noise_share = 0.5}));
  ExpectViolated(OneRun(GaussianOnce(20), {.noise_share = 0.25}, 3 * kCanaries));
}

TEST(AuditNeighbours, CatchesUpdatesThatAreNotClipped) {
  ExpectViolated(Neighbours(Gaussian(11), {.skips_clip = true}));
  ExpectViolated(Neighbours(Laplace(12), {.skips_clip = true}));
}

TEST(AuditOneRun, CatchesUpdatesThatAreNotClipped) {
  ExpectViolated(OneRun(GaussianOnce(13), {.skips_clip = true}));
  ExpectViolated(OneRun(Laplace(14), {.skips_clip = true}));
}

TEST(AuditNeighbours, CatchesWeightsThatAreTrusted) {
  ExpectViolated(Neighbours(Gaussian(15), {.trusts_weights = true}));
  ExpectViolated(Neighbours(Laplace(16), {.trusts_weights = true}));
}

TEST(AuditOneRun, CatchesWeightsThatAreTrusted) {
  ExpectViolated(OneRun(GaussianOnce(17), {.trusts_weights = true}));
  ExpectViolated(OneRun(Laplace(18), {.trusts_weights = true}));
}

TEST(Audits, RefuseWhatTheyCannotAnswer) {
  AuditOptions options = Gaussian(19);
  EXPECT_THAT(AuditNeighbours(options, 10), IsErrorSaying(ErrorCode::kInvalidArgument, "10 trials"));
  EXPECT_THAT(AuditOneRun(options, 1'000'000), IsErrorSaying(ErrorCode::kInvalidArgument, "1000000 canaries"));
  options.false_alarm = 0;
  EXPECT_THAT(AuditNeighbours(options, 1000), IsErrorSaying(ErrorCode::kInvalidArgument, "confidence"));
  options = Gaussian(19);
  options.rounds = 0;
  EXPECT_FALSE(AuditOneRun(options, 1000));
  options = Gaussian(19);
  options.mechanism = Mechanism::kNone;
  EXPECT_FALSE(AuditNeighbours(options, 1000));
}

}  // namespace
}  // namespace tacit::dp
