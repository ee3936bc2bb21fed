#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/durable.h"
#include "common/base/sealer.h"
#include "common/crypto/random.h"
#include "dp/noise_table.h"
#include "dp/numbers.h"
#include "dp/sum.h"
#include "dp/types.h"

namespace tacit::dp::testing {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
/// Small, so that a test can try whatever fits into it.
inline constexpr std::uint32_t kRadius = 1024;
inline constexpr Mechanism kG = Mechanism::kGaussian;
inline constexpr Mechanism kL = Mechanism::kLaplace;

inline Epsilon EpsilonOf(double value) {
  return *Epsilon::Create(value);
}
inline Delta DeltaOf(double value) {
  return *Delta::Create(value);
}
inline NoiseMultiplier MultiplierOf(double value) {
  return *NoiseMultiplier::Create(value);
}
inline ClipNorm ClipOf(double value) {
  return *ClipNorm::Create(value);
}
inline GridRadius RadiusOf(std::uint32_t value) {
  return *GridRadius::Create(value);
}
inline TaskId TaskOf(std::string_view name) {
  return *TaskId::Parse(name);
}

/// The generator that makes noise in production, under a key that makes a test repeatable.
inline crypto::AesKeystream TestBits(std::uint8_t key) {
  return crypto::AesKeystream(*crypto::SecretKey::FromBytes(std::array<std::uint8_t, 32>{key}));
}

/// A source that must not be asked.
class NoBits final : public Keystream {
 public:
  void Fill(std::uint64_t /*first*/, std::span<std::uint8_t> /*out*/) override { asked = true; }
  Block MoreFor(std::uint64_t /*word*/) override {
    asked = true;
    return {};
  }
  bool asked = false;
};

/// Says "durable" without a disk.
class TestMinter final : public DurableMinter {
 public:
  template <typename T>
  static Durable<T> Say(T value) {
    return Mint(std::move(value));
  }
};

/// Shows a test what a sum holds: "seals" by handing the plaintext back.
class GlassSealer final : public Sealer {
 public:
  using Sealer::Open;
  using Sealer::Seal;
  [[nodiscard]] std::size_t SealedSize(std::size_t plaintext) const override { return plaintext; }
  Result<void> Seal(std::size_t plaintext, const Writer& write, ByteSpan /*context*/,
                    std::span<std::uint8_t> sealed) const override {
    for (std::size_t at = 0; at < plaintext; at += kBlock)
      write(at, sealed.subspan(at, std::min(kBlock, plaintext - at)));
    if (fails) return Fail(ErrorCode::kInternal, "the glass broke");
    return {};
  }
  Result<void> Open(ByteSpan sealed, ByteSpan /*context*/, const Reader& read) const override {
    for (std::size_t at = 0; at < sealed.size(); at += kBlock)
      read(at, sealed.subspan(at, std::min(kBlock, sealed.size() - at)));
    if (fails) return Fail(ErrorCode::kDataLoss, "the glass broke");
    return {};
  }
  bool fails = false;
};

/// All of a sum, sealed.
inline Bytes SealedOf(const UnnoisedSum& sum, const Sealer& sealer, ByteSpan context) {
  AlignedBuffer room;
  const ByteSpan sealed = *sum.Seal(sealer, context, room);
  return {sealed.begin(), sealed.end()};
}

inline std::vector<std::int64_t> ContentsOf(const UnnoisedSum& sum) {
  const Bytes plaintext = SealedOf(sum, GlassSealer(), {});
  const std::size_t count = sum.options().parameters + (sum.options().bit_steps > 0 ? 1 : 0);
  const auto last_as = [&]<typename Entry>(Entry /*of*/) {
    std::vector<Entry> entries(count);
    std::memcpy(entries.data(), plaintext.data() + plaintext.size() - count * sizeof(Entry), count * sizeof(Entry));
    return std::vector<std::int64_t>(entries.begin(), entries.end());
  };
  const SumOptions& options = sum.options();
  const std::uint64_t largest = options.entry_bound > 0 ? options.entry_bound : options.grid_radius.value();
  const bool narrow = sum.total_weight() * largest <= std::numeric_limits<std::int32_t>::max();
  return narrow ? last_as(std::int32_t{}) : last_as(std::int64_t{});
}

/// A verified update of these integers.
inline VerifiedUpdate UpdateOf(std::span<const std::int32_t> grid, UpdateTerms terms, Fit fit = Fit::kWithinClip) {
  AlignedBuffer memory(grid.size_bytes());
  if (!grid.empty()) std::memcpy(memory.data(), grid.data(), grid.size_bytes());
  UpdateIntake intake(std::move(memory), UpdateIntake::Entries::kGrid, terms);
  intake.Received(grid.size_bytes());
  return *std::move(intake).Verify(fit);
}

/// A verified update of these floats, for clip norm 1.
inline VerifiedUpdate FloatsOf(std::span<const float> values, UpdateTerms terms) {
  AlignedBuffer memory(values.size_bytes());
  std::memcpy(memory.data(), values.data(), values.size_bytes());
  UpdateIntake intake(std::move(memory), UpdateIntake::Entries::kFloats, terms);
  intake.Received(values.size_bytes());
  return *std::move(intake).Clip(ClipOf(1));
}

/// Whether the exact norm of `values` is at most `radius`; written apart from the code under test.
template <typename T>
bool NormIsAtMost(std::span<const T> values, std::uint64_t radius, Norm norm) {
  Wide sum = 0;
  for (const T value : values) {
    const std::int64_t wide = value;
    const auto magnitude = static_cast<std::uint64_t>(wide < 0 ? -wide : wide);
    sum += norm == Norm::kL2 ? Wide{magnitude} * magnitude : Wide{magnitude};
  }
  return sum <= (norm == Norm::kL2 ? Wide{radius} * radius : Wide{radius});
}

struct NamedVector {
  std::string_view name;
  std::vector<float> values;
};

/// The sum of squares is 1 in double, because each small square falls below half a unit of its lane; on a grid of 2^30
/// each small entry is one whole step, and the integers are 6400 above the bound.
inline std::vector<float> LostBesideLargeOnes() {
  std::vector<float> lost(64 * 101, 0x1p-30F);
  std::fill_n(lost.begin(), 64, 0.125F);
  return lost;
}

/// Updates made to slip past a clip: what floating point, rounding or a special value could turn into a norm above the
/// bound.
inline std::vector<NamedVector> AdversarialVectors() {
  constexpr float kHuge = 3e38F;
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  std::vector<NamedVector> vectors{
      {"zero", std::vector<float>(100, 0.0F)},
      {"negative zero", std::vector<float>(3, -0.0F)},
      {"one-hot at the clip", {0, 0, 1.0F, 0}},
      {"one-hot above the clip", {0, 0, 0, std::nextafter(1.0F, 2.0F)}},
      {"one-hot below the clip", {std::nextafter(1.0F, 0.0F)}},
      {"one-hot huge", {0, -kHuge, 0}},
      {"all huge", std::vector<float>(5000, kHuge)},
      {"largest float", std::vector<float>(65, std::numeric_limits<float>::max())},
      {"denormals", std::vector<float>(1000, kTiny)},
      {"denormals beside a huge one", std::vector<float>(1000, kTiny)},
      {"above half a step, L2", std::vector<float>(33'400, 5.6F / 1024)},
      {"above half a step, L1", std::vector<float>(1600, 0.63F / 1024)},
      {"equal entries", std::vector<float>(10'001, -1e-2F)},
      {"pythagoras", {0.6F, -0.8F}},
      {"not a multiple of the lanes", std::vector<float>(63, 0.126F)},
      {"one", {0.3F}},
  };
  vectors[9].values[500] = kHuge;
  std::vector<float> alternating(4097);
  for (std::size_t i = 0; i < alternating.size(); ++i) alternating[i] = (i % 2 == 0 ? 1.0F : -1.0F) / 64;
  vectors.push_back({"alternating", std::move(alternating)});
  vectors.push_back({"entries lost beside large ones", LostBesideLargeOnes()});
  SplitMix64 random(7);
  std::vector<float> spread(10'000);
  for (float& value : spread) {
    value = static_cast<float>((random.Uniform() - 0.5) * std::exp2(80 * random.Uniform() - 40));
  }
  vectors.push_back({"forty decades", std::move(spread)});
  return vectors;
}

}  // namespace tacit::dp::testing
