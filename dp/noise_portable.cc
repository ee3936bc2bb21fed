#include <algorithm>
#include <bit>
#include <cstring>

#include "dp/noise_kernels.h"
#include "dp/wipe.h"

namespace tacit::dp {
namespace {

static_assert(std::endian::native == std::endian::little, "words are the stream's bytes, least significant first");

constexpr std::size_t kGroupsAtOnce = 16;
constexpr std::uint32_t kPlaceMask = AliasTable::kPlaces - 1;

using Lanes = std::array<std::uint32_t, kNoiseGroup>;

/// The places that sixteen words draw.
Lanes DrawPlaces(const AliasTable& table, const std::uint32_t* words, std::uint64_t number, Keystream& bits) {
  const std::uint32_t* const fast = table.fast();
  Lanes places;
  std::uint32_t ties = 0;
  for (std::size_t lane = 0; lane < kNoiseGroup; ++lane) {
    const std::uint32_t word = words[lane];
    const std::uint32_t place = word & kPlaceMask;
    const std::uint32_t entry = fast[place];
    const std::uint32_t drawn = word >> AliasTable::kPlaceBits;
    const std::uint32_t threshold = entry >> AliasTable::kPlaceBits;
    places[lane] = drawn < threshold ? place : entry & kPlaceMask;
    ties |= static_cast<std::uint32_t>(drawn == threshold);
  }
  if (ties != 0) [[unlikely]] {
    for (std::size_t lane = 0; lane < kNoiseGroup; ++lane)
      places[lane] = DrawPlace(table, words[lane], number + lane, bits);
  }
  return places;
}

/// One draw for each lane of a group; `words` are the group's.
std::array<std::int64_t, kNoiseGroup> DrawGroup(const NoisePlan& plan, const std::uint32_t* words, std::uint64_t number,
                                                Keystream& bits) {
  std::array<Lanes, NoisePlan::kMostLevels> places{};
  for (std::size_t level = 0; level < plan.levels; ++level)
    places[level] = DrawPlaces(*plan.tables[level], words + level * kNoiseGroup, number + level * kNoiseGroup, bits);
  const std::size_t first = plan.has_sign ? 1 : 0;
  const auto place = [&](std::size_t level, std::size_t lane) {
    return first + level < plan.levels ? std::int64_t{places[first + level][lane]} : 0;
  };
  std::array<std::int64_t, kNoiseGroup> values{};
  for (std::size_t lane = 0; lane < kNoiseGroup; ++lane) {
    const std::int64_t low = place(0, lane) + std::int64_t{plan.factor} * place(1, lane);
    const std::int64_t high = place(2, lane) + std::int64_t{plan.factor} * place(3, lane);
    values[lane] = low + plan.high_factor * high + plan.highest_factor * place(4, lane) - plan.centre;
    if (plan.has_sign) values[lane] ^= -std::int64_t{places[0][lane]};
  }
  return values;
}

}  // namespace

std::uint32_t DrawPlace(const AliasTable& table, std::uint32_t word, std::uint64_t number, Keystream& bits) {
  constexpr unsigned kMoreBits = AliasTable::kThresholdBits - AliasTable::kFastBits;
  const std::uint32_t place = word & kPlaceMask;
  Wide drawn = word >> AliasTable::kPlaceBits;
  const Wide threshold = table.threshold(place);
  if (drawn == threshold >> kMoreBits) {
    const Keystream::Block block = bits.MoreFor(number);
    Wide more = 0;
    std::memcpy(&more, block.data(), sizeof more);
    drawn = (drawn << kMoreBits) | (more & ((Wide{1} << kMoreBits) - 1));
  } else {
    drawn <<= kMoreBits;
  }
  return drawn < threshold ? place : table.alias(place);
}

void AddNoisePortable(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits) {
  std::array<std::uint32_t, kGroupsAtOnce * NoisePlan::kMostLevels * kNoiseGroup> words;
  const std::size_t words_a_group = plan.levels * kNoiseGroup;
  constexpr std::size_t kWordsABlock = sizeof(Keystream::Block) / sizeof(std::uint32_t);
  while (!values.empty()) {
    const std::size_t groups = std::min(kGroupsAtOnce, (values.size() + kNoiseGroup - 1) / kNoiseGroup);
    const std::uint64_t first_word = group * words_a_group;
    bits.Fill(first_word / kWordsABlock,
              {reinterpret_cast<std::uint8_t*>(words.data()), groups * words_a_group * sizeof(std::uint32_t)});
    for (std::size_t g = 0; g < groups; ++g) {
      const auto drawn = DrawGroup(plan, &words[g * words_a_group], first_word + g * words_a_group, bits);
      const std::size_t count = std::min(kNoiseGroup, values.size());
      for (std::size_t lane = 0; lane < count; ++lane) values[lane] += drawn[lane];
      values = values.subspan(count);
    }
    group += groups;
  }
  WipeMemory(words.data(), sizeof words);
}

}  // namespace tacit::dp
