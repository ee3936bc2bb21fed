#include "dp/noise_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "dp/wipe.h"

#define TACIT_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,aes,vaes")))
#define TACIT_AVX512_INLINE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,aes,vaes"), always_inline)) inline

namespace tacit::dp {
namespace {

/// Groups that go through the loop side by side: so many AES computations hide each other's latency.
constexpr std::size_t kSideBySide = 4;
constexpr std::uint64_t kBlocksALevel = kNoiseGroup * sizeof(std::uint32_t) / sizeof(Keystream::Block);

/// A word, a place or a sum for each lane of a group, for each of the groups side by side.
struct Lanes {
  __m512i of[kSideBySide];
};

/// Each round key four times; to the first, the numbers 0 to 3 are already added, which are what the positions of four
/// neighbouring blocks differ in.
struct KeySchedule {
  __m512i rounds[AesRoundKeys::kRounds + 1];
};

TACIT_AVX512 void Broadcast(const AesRoundKeys& keys, KeySchedule& schedule) {
  for (std::size_t i = 0; i <= AesRoundKeys::kRounds; ++i)
    schedule.rounds[i] = _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(keys[i])));
  const auto last_byte = [](long long value) { return value << 56; };
  schedule.rounds[0] = _mm512_xor_si512(
      schedule.rounds[0], _mm512_set_epi64(last_byte(3), 0, last_byte(2), 0, last_byte(1), 0, last_byte(0), 0));
}

/// Four blocks, sixteen words, from each of kSideBySide positions that are `stride` blocks apart; both are multiples
/// of four.
TACIT_AVX512_INLINE Lanes MakeWords(const KeySchedule& schedule, std::uint64_t block, std::uint64_t stride) {
  constexpr __mmask8 kSecondHalves = 0xaa;
  Lanes words;
  for (std::size_t i = 0; i < kSideBySide; ++i) {
    // A position is the block as a big-endian number: its eight significant bytes stand last, turned round.
    const auto position = static_cast<long long>(__builtin_bswap64(block + i * stride));
    words.of[i] =
        _mm512_mask_xor_epi64(schedule.rounds[0], kSecondHalves, schedule.rounds[0], _mm512_set1_epi64(position));
  }
  for (std::size_t round = 1; round < AesRoundKeys::kRounds; ++round) {
    for (__m512i& each : words.of) each = _mm512_aesenc_epi128(each, schedule.rounds[round]);
  }
  for (__m512i& each : words.of) each = _mm512_aesenclast_epi128(each, schedule.rounds[AesRoundKeys::kRounds]);
  return words;
}

/// What a tie needs, apart from the loop.
__attribute__((noinline)) TACIT_AVX512 __m512i DrawAgain(const AliasTable& table, __m512i words, std::uint64_t number,
                                                         Keystream& bits) {
  alignas(64) std::uint32_t lanes[kNoiseGroup];
  _mm512_store_si512(lanes, words);
  for (std::size_t lane = 0; lane < kNoiseGroup; ++lane)
    lanes[lane] = DrawPlace(table, lanes[lane], number + lane, bits);
  return _mm512_load_si512(lanes);
}

/// A place for each word. `number` is that of the first word; those of the next group are `stride` further.
TACIT_AVX512_INLINE Lanes DrawPlaces(const AliasTable& table, const Lanes& words, std::uint64_t number,
                                     std::uint64_t stride, Keystream& bits) {
  const __m512i place_mask = _mm512_set1_epi32(AliasTable::kPlaces - 1);
  Lanes places;
  __m512i closest = _mm512_set1_epi32(-1);
  for (std::size_t i = 0; i < kSideBySide; ++i) {
    const __m512i place = _mm512_and_si512(words.of[i], place_mask);
    const __m512i entry = _mm512_i32gather_epi32(place, table.fast(), 4);
    // Both have what is compared in their highest bits. Where these are equal, the other bits decide here, wrongly, and
    // it is decided again below.
    const __mmask16 leaves = _mm512_cmpge_epu32_mask(words.of[i], entry);
    places.of[i] = _mm512_mask_and_epi32(place, leaves, entry, place_mask);
    closest = _mm512_min_epu32(closest, _mm512_xor_si512(words.of[i], entry));
  }
  if (_mm512_cmplt_epu32_mask(closest, _mm512_set1_epi32(AliasTable::kPlaces)) != 0) [[unlikely]] {
    for (std::size_t i = 0; i < kSideBySide; ++i)
      places.of[i] = DrawAgain(table, words.of[i], number + i * stride, bits);
  }
  return places;
}

/// What values are made of while their places are drawn.
struct Parts {
  Lanes low;
  Lanes high;  ///< Of wide values.
  Lanes sign;
};

template <std::size_t kLevels, bool kHasSign>
TACIT_AVX512_INLINE void TakeIn(const NoisePlan& plan, std::size_t level, const Lanes& places, Parts& parts) {
  const std::size_t term = kHasSign ? level - 1 : level;  // of the sign: none of those below
  const auto high_factor = static_cast<int>(plan.high_factor);
  for (std::size_t i = 0; i < kSideBySide; ++i) {
    const __m512i place = places.of[i];
    __m512i& low = parts.low.of[i];
    // A place fits the lower half of its 32 bits: where the factor does so as well, one multiply-add of pairs of halves
    // multiplies.
    if (kHasSign && level == 0) parts.sign.of[i] = _mm512_sub_epi32(_mm512_setzero_si512(), place);
    if (term == 0) low = _mm512_sub_epi32(place, _mm512_set1_epi32(static_cast<int>(plan.centre)));
    if (term == 1)
      low = _mm512_add_epi32(low, _mm512_madd_epi16(place, _mm512_set1_epi32(static_cast<int>(plan.factor))));
    if (term == 2 && kNeedsWideValues<kLevels, kHasSign>) parts.high.of[i] = place;
    if (term == 2 && !kNeedsWideValues<kLevels, kHasSign>)
      low = _mm512_add_epi32(low, _mm512_madd_epi16(place, _mm512_set1_epi32(high_factor)));
    // Sums of 32 bits may wrap on the way; the last one does not.
    if (term == 3) {
      const auto factor = static_cast<int>(plan.factor) * high_factor;
      low = _mm512_add_epi32(low, _mm512_mullo_epi32(place, _mm512_set1_epi32(factor)));
    }
  }
}

template <int kHalf>
TACIT_AVX512_INLINE __m512i Widened(__m512i lanes) {
  return _mm512_cvtepi32_epi64(kHalf == 0 ? _mm512_castsi512_si256(lanes) : _mm512_extracti64x4_epi64(lanes, 1));
}

/// Adds eight of a group's values.
template <bool kIsWide, bool kHasSign, int kHalf>
TACIT_AVX512_INLINE void AddHalf(const NoisePlan& plan, const Parts& parts, std::size_t group, std::int64_t* values) {
  __m512i low = parts.low.of[group];
  if constexpr (kHasSign && !kIsWide) low = _mm512_xor_si512(low, parts.sign.of[group]);
  __m512i value = Widened<kHalf>(low);
  if constexpr (kIsWide) {
    // Both are below 2^31, so the product of the low halves is the product.
    const __m512i high = _mm512_mul_epi32(Widened<kHalf>(parts.high.of[group]), _mm512_set1_epi64(plan.high_factor));
    value = _mm512_xor_si512(_mm512_add_epi64(value, high), Widened<kHalf>(parts.sign.of[group]));
  }
  auto* const at = reinterpret_cast<__m512i*>(values + std::ptrdiff_t{kHalf} * 8);
  _mm512_storeu_si512(at, _mm512_add_epi64(_mm512_loadu_si512(at), value));
}

template <std::size_t kLevels, bool kHasSign>
TACIT_AVX512 void AddGroups(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group,
                            const KeySchedule& schedule, Keystream& bits) {
  constexpr std::uint64_t kStride = kLevels * kBlocksALevel;
  Lanes words = MakeWords(schedule, group * kStride, kStride);
  for (std::size_t at = 0; at < values.size(); at += kSideBySide * kNoiseGroup, group += kSideBySide) {
    Parts parts;
#pragma GCC unroll 4
    for (std::size_t level = 0; level < kLevels; ++level) {
      // The words that are drawn from next, so that AES and the look-ups, which wait for other parts of the processor,
      // do not wait for each other. After the last group they are made in vain.
      const std::uint64_t next =
          level + 1 < kLevels ? group * kStride + (level + 1) * kBlocksALevel : (group + kSideBySide) * kStride;
      const Lanes next_words = MakeWords(schedule, next, kStride);
      const Lanes places =
          DrawPlaces(*plan.tables[level], words, (group * kLevels + level) * kNoiseGroup, kLevels * kNoiseGroup, bits);
      TakeIn<kLevels, kHasSign>(plan, level, places, parts);
      words = next_words;
    }
    for (std::size_t i = 0; i < kSideBySide; ++i) {
      std::int64_t* const to = values.data() + at + i * kNoiseGroup;
      AddHalf<kNeedsWideValues<kLevels, kHasSign>, kHasSign, 0>(plan, parts, i, to);
      AddHalf<kNeedsWideValues<kLevels, kHasSign>, kHasSign, 1>(plan, parts, i, to);
    }
  }
}

}  // namespace

bool HasAvx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("aes") &&
         __builtin_cpu_supports("vaes");
}

void AddNoiseAvx512(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits) {
  constexpr std::size_t kAtOnce = kSideBySide * kNoiseGroup;
  const std::span<std::int64_t> whole = values.first(values.size() / kAtOnce * kAtOnce);
  if (!whole.empty()) {
    KeySchedule schedule;
    Broadcast(AesRoundKeys(*bits.AesKey()), schedule);
    CallLoopOf(plan, [&]<std::size_t kLevels, bool kHasSign>() {
      AddGroups<kLevels, kHasSign>(plan, whole, group, schedule, bits);
    });
    WipeMemory(&schedule, sizeof schedule);
  }
  AddNoisePortable(plan, values.subspan(whole.size()), group + whole.size() / kNoiseGroup, bits);
}

}  // namespace tacit::dp

#else

namespace tacit::dp {

bool HasAvx512() {
  return false;
}
void AddNoiseAvx512(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits) {
  AddNoisePortable(plan, values, group, bits);
}

}  // namespace tacit::dp

#endif
