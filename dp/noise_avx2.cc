#include "dp/noise_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#define TACIT_AVX2 __attribute__((target("avx2,aes")))
#define TACIT_AVX2_INLINE __attribute__((target("avx2,aes"), always_inline)) inline

namespace tacit::dp {
namespace {

/// Groups that go through the loop side by side: so many AES computations hide each other's latency.
constexpr std::size_t kSideBySide = 2;
constexpr std::size_t kBlocksALevel = kNoiseGroup * sizeof(std::uint32_t) / sizeof(Keystream::Block);
constexpr std::size_t kLanes = sizeof(__m256i) / sizeof(std::uint32_t);
constexpr std::size_t kHalves = kNoiseGroup / kLanes;

/// A word, a place or a sum for each lane of the groups side by side: the halves of the first group, of the second.
struct Lanes {
  __m256i of[kSideBySide * kHalves];
};

TACIT_AVX2_INLINE __m128i RoundKey(const AesRoundKeys& keys, std::size_t round) {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(keys[round]));
}

/// Four blocks, sixteen words, from each of kSideBySide positions that are `stride` blocks apart.
TACIT_AVX2_INLINE Lanes MakeWords(const AesRoundKeys& keys, std::uint64_t block, std::uint64_t stride) {
  constexpr std::size_t kBlocks = kSideBySide * kBlocksALevel;
  __m128i blocks[kBlocks];
  for (std::size_t i = 0; i < kBlocks; ++i) {
    // A position is the block as a big-endian number: its eight significant bytes stand last, turned round.
    const std::uint64_t number = block + i / kBlocksALevel * stride + i % kBlocksALevel;
    const __m128i position = _mm_set_epi64x(static_cast<long long>(__builtin_bswap64(number)), 0);
    blocks[i] = _mm_xor_si128(position, RoundKey(keys, 0));
  }
  for (std::size_t round = 1; round < AesRoundKeys::kRounds; ++round) {
    const __m128i key = RoundKey(keys, round);
    for (__m128i& each : blocks) each = _mm_aesenc_si128(each, key);
  }
  const __m128i last_key = RoundKey(keys, AesRoundKeys::kRounds);
  for (__m128i& each : blocks) each = _mm_aesenclast_si128(each, last_key);
  Lanes words;
  for (std::size_t i = 0; i < kBlocks / 2; ++i) words.of[i] = _mm256_set_m128i(blocks[2 * i + 1], blocks[2 * i]);
  return words;
}

/// What a tie needs, apart from the loop.
__attribute__((noinline)) TACIT_AVX2 __m256i DrawAgain(const AliasTable& table, __m256i words, std::uint64_t number,
                                                       Keystream& bits) {
  alignas(32) std::uint32_t lanes[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), words);
  for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = DrawPlace(table, lanes[lane], number + lane, bits);
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes));
}

/// A place for each word. `number` is that of the first word; those of the next group are `stride` further.
TACIT_AVX2_INLINE Lanes DrawPlaces(const AliasTable& table, const Lanes& words, std::uint64_t number,
                                   std::uint64_t stride, Keystream& bits) {
  const __m256i place_mask = _mm256_set1_epi32(AliasTable::kPlaces - 1);
  Lanes places;
  __m256i closest = _mm256_set1_epi32(-1);
  for (std::size_t i = 0; i < kSideBySide * kHalves; ++i) {
    const __m256i word = words.of[i];
    const __m256i entry =
        _mm256_i32gather_epi32(reinterpret_cast<const int*>(table.fast()), _mm256_and_si256(word, place_mask), 4);
    // Both have what is compared in their highest bits. Where these are equal, the other bits decide here, wrongly, and
    // it is decided again below. AVX2 compares with a sign only, so the larger of the two is taken and looked at.
    const __m256i leaves = _mm256_cmpeq_epi32(_mm256_max_epu32(word, entry), word);
    places.of[i] = _mm256_and_si256(_mm256_blendv_epi8(word, entry, leaves), place_mask);
    closest = _mm256_min_epu32(closest, _mm256_xor_si256(word, entry));
  }
  // A difference below kPlaces is one of its low bits only.
  const __m256i ties = _mm256_cmpeq_epi32(_mm256_andnot_si256(place_mask, closest), _mm256_setzero_si256());
  if (_mm256_movemask_epi8(ties) != 0) [[unlikely]] {
    for (std::size_t i = 0; i < kSideBySide * kHalves; ++i)
      places.of[i] = DrawAgain(table, words.of[i], number + i / kHalves * stride + i % kHalves * kLanes, bits);
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
TACIT_AVX2_INLINE void TakeIn(const NoisePlan& plan, std::size_t level, const Lanes& places, Parts& parts) {
  const std::size_t term = kHasSign ? level - 1 : level;  // of the sign: none of those below
  const auto high_factor = static_cast<int>(plan.high_factor);
  for (std::size_t i = 0; i < kSideBySide * kHalves; ++i) {
    const __m256i place = places.of[i];
    __m256i& low = parts.low.of[i];
    // A place fits the lower half of its 32 bits: where the factor does so as well, one multiply-add of pairs of halves
    // multiplies.
    if (kHasSign && level == 0) parts.sign.of[i] = _mm256_sub_epi32(_mm256_setzero_si256(), place);
    if (term == 0) low = _mm256_sub_epi32(place, _mm256_set1_epi32(static_cast<int>(plan.centre)));
    if (term == 1)
      low = _mm256_add_epi32(low, _mm256_madd_epi16(place, _mm256_set1_epi32(static_cast<int>(plan.factor))));
    if (term == 2 && kNeedsWideValues<kLevels, kHasSign>) parts.high.of[i] = place;
    if (term == 2 && !kNeedsWideValues<kLevels, kHasSign>)
      low = _mm256_add_epi32(low, _mm256_madd_epi16(place, _mm256_set1_epi32(high_factor)));
    // Sums of 32 bits may wrap on the way; the last one does not.
    if (term == 3) {
      const auto factor = static_cast<int>(plan.factor) * high_factor;
      low = _mm256_add_epi32(low, _mm256_mullo_epi32(place, _mm256_set1_epi32(factor)));
    }
  }
}

template <int kHalf>
TACIT_AVX2_INLINE __m256i Widened(__m256i lanes) {
  return _mm256_cvtepi32_epi64(kHalf == 0 ? _mm256_castsi256_si128(lanes) : _mm256_extracti128_si256(lanes, 1));
}

/// Adds four of eight values.
template <bool kIsWide, bool kHasSign, int kHalf>
TACIT_AVX2_INLINE void AddHalf(const NoisePlan& plan, const Parts& parts, std::size_t eight, std::int64_t* values) {
  __m256i low = parts.low.of[eight];
  if constexpr (kHasSign && !kIsWide) low = _mm256_xor_si256(low, parts.sign.of[eight]);
  __m256i value = Widened<kHalf>(low);
  if constexpr (kIsWide) {
    // Both are below 2^31, so the product of the low halves is the product.
    const __m256i high = _mm256_mul_epi32(Widened<kHalf>(parts.high.of[eight]), _mm256_set1_epi64x(plan.high_factor));
    value = _mm256_xor_si256(_mm256_add_epi64(value, high), Widened<kHalf>(parts.sign.of[eight]));
  }
  auto* const at = reinterpret_cast<__m256i*>(values + std::ptrdiff_t{kHalf} * 4);
  _mm256_storeu_si256(at, _mm256_add_epi64(_mm256_loadu_si256(at), value));
}

template <std::size_t kLevels, bool kHasSign>
TACIT_AVX2 void AddGroups(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group,
                          const AesRoundKeys& keys, Keystream& bits) {
  constexpr std::uint64_t kStride = kLevels * kBlocksALevel;
  for (std::size_t at = 0; at < values.size(); at += kSideBySide * kNoiseGroup, group += kSideBySide) {
    Parts parts;
#pragma GCC unroll 4
    for (std::size_t level = 0; level < kLevels; ++level) {
      const Lanes words = MakeWords(keys, group * kStride + level * kBlocksALevel, kStride);
      const Lanes places =
          DrawPlaces(*plan.tables[level], words, (group * kLevels + level) * kNoiseGroup, kLevels * kNoiseGroup, bits);
      TakeIn<kLevels, kHasSign>(plan, level, places, parts);
    }
    for (std::size_t i = 0; i < kSideBySide * kHalves; ++i) {
      std::int64_t* const to = values.data() + at + i * kLanes;
      AddHalf<kNeedsWideValues<kLevels, kHasSign>, kHasSign, 0>(plan, parts, i, to);
      AddHalf<kNeedsWideValues<kLevels, kHasSign>, kHasSign, 1>(plan, parts, i, to);
    }
  }
}

}  // namespace

bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes");
}

void AddNoiseAvx2(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits) {
  constexpr std::size_t kAtOnce = kSideBySide * kNoiseGroup;
  const std::span<std::int64_t> whole = values.first(values.size() / kAtOnce * kAtOnce);
  if (!whole.empty()) {
    const AesRoundKeys keys(*bits.AesKey());
    CallLoopOf(plan, [&]<std::size_t kLevels, bool kHasSign>() {
      AddGroups<kLevels, kHasSign>(plan, whole, group, keys, bits);
    });
  }
  AddNoisePortable(plan, values.subspan(whole.size()), group + whole.size() / kNoiseGroup, bits);
}

}  // namespace tacit::dp

#else

namespace tacit::dp {

bool HasAvx2() {
  return false;
}
void AddNoiseAvx2(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits) {
  AddNoisePortable(plan, values, group, bits);
}

}  // namespace tacit::dp

#endif
