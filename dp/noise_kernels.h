#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/keystream.h"
#include "dp/noise_table.h"

// The loops under NoiseSampler; not for others. All of them give the same values for the same stream.
namespace tacit::dp {

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

/// Whether the next function may be called: this processor has what it needs (AVX-512 F, BW, DQ and VAES).
bool HasAvx512();
/// The same, faster, for streams that are AES and whole groups of values. Wipes the key schedule.
void AddNoiseAvx512(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits);

}  // namespace tacit::dp
