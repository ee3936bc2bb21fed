#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "common/base/keystream.h"
#include "dp/noise_table.h"

// The loops under NoiseSampler; not for others. All of them give the same values for the same stream.
namespace tacit::dp {

/// The largest stride at which a second table, of scale 155, fills the gaps of the first (docs/PRIVACY.md).
inline constexpr std::uint64_t kLargestStride = 93;

/// Coordinates that are drawn together. Level l of group g reads the words (g * levels + l) * kNoiseGroup onward.
inline constexpr std::size_t kNoiseGroup = 16;

/// How a value is made of places drawn from tables. With pairs (low, high): low = p0 + factor p1, high = p2 + factor
/// p3, value = low + high_factor * high + highest_factor * p4 - centre; with a sign drawn first, value or its
/// complement.
struct NoisePlan {
  static constexpr std::size_t kMostLevels = 5;

  bool has_sign = false;   ///< The first table draws the sign: 1 gives -1 - value.
  std::size_t levels = 0;  ///< Tables, the sign's included.
  std::array<const AliasTable*, kMostLevels> tables{};
  std::uint32_t factor = 0;
  std::int64_t high_factor = 0;
  std::int64_t highest_factor = 0;
  std::int64_t centre = 0;
};

/// The place that a word draws, looking at the bits that only a tie needs.
std::uint32_t DrawPlace(const AliasTable& table, std::uint32_t word, std::uint64_t number, Keystream& bits);

/// Adds one draw to each value; the first belongs to group `group`.
void AddNoisePortable(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits);

/// Tables that the faster loops go up to.
inline constexpr std::size_t kMostLevelsOfFastLoops = 4;
static_assert(AliasTable::kPlaces / 2 * (1 + kLargestStride * (1 + kLargestStride * (1 + kLargestStride))) < 1U << 31U,
              "so many tables of a Gaussian give values of 32 bits");
static_assert(kLargestStride * kLargestStride < 1U << 15U, "and their third factor fits a signed half of that");

/// The round keys of AES-128; overwritten at the end. For x86-64 with AES instructions only.
class AesRoundKeys {
 public:
  static constexpr std::size_t kRounds = 10;

  explicit AesRoundKeys(const Keystream::Block& key);
  ~AesRoundKeys();
  AesRoundKeys(const AesRoundKeys&) = delete;
  AesRoundKeys& operator=(const AesRoundKeys&) = delete;
  /// The key of a round, 0 .. kRounds, aligned to its size.
  [[nodiscard]] const std::uint8_t* operator[](std::size_t round) const { return keys_[round].data(); }

 private:
  alignas(16) std::array<Keystream::Block, kRounds + 1> keys_;
};

/// Whether values need more than 32 bits: three digits of a Laplace draw do, four terms of a Gaussian do not.
template <std::size_t kLevels, bool kHasSign>
inline constexpr bool kNeedsWideValues = kHasSign && kLevels == 4;

/// Calls `loop.template operator()<kLevels, kHasSign>()` for the numbers of the plan. A plan that no loop was made for
/// must not pass without noise.
template <typename Loop>
void CallLoopOf(const NoisePlan& plan, Loop loop) {
  switch (plan.levels * 2 + (plan.has_sign ? 1 : 0)) {
    case 1 * 2:
      return loop.template operator()<1, false>();
    case 2 * 2:
      return loop.template operator()<2, false>();
    case 3 * 2:
      return loop.template operator()<3, false>();
    case 4 * 2:
      return loop.template operator()<4, false>();
    case 2 * 2 + 1:
      return loop.template operator()<2, true>();
    case 3 * 2 + 1:
      return loop.template operator()<3, true>();
    case 4 * 2 + 1:
      return loop.template operator()<4, true>();
    default:
      TACIT_CHECK(false, "there is a loop for every plan of at most kMostLevelsOfFastLoops tables");
  }
}

/// Whether the function after it may be called: this processor has AVX2 and AES.
bool HasAvx2();
/// The same, faster, for streams that are AES and at most kMostLevelsOfFastLoops tables.
void AddNoiseAvx2(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits);

/// Whether the function after it may be called: this processor has AVX-512 F, BW, DQ, VL and VAES.
bool HasAvx512();
/// As AddNoiseAvx2, faster again.
void AddNoiseAvx512(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits);

}  // namespace tacit::dp
