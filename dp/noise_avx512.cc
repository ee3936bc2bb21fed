#include "dp/noise_kernels.h"
#include "dp/wipe.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>

#define TACIT_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,aes,vaes")))
#define TACIT_AVX512_INLINE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,aes,vaes"), always_inline)) inline

namespace tacit::dp {
namespace {

constexpr int kRounds = 10;
/// Groups that go through the loop side by side: so many AES computations hide each other's latency.
constexpr std::size_t kSideBySide = 4;

struct KeySchedule {
  __m512i rounds[kRounds + 1];
};

template <int kRoundConstant>
TACIT_AVX512_INLINE __m128i NextRoundKey(__m128i key) {
  const __m128i assist = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, kRoundConstant), 0xff);
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, assist);
}

/// Source: FIPS 197, section 5.2.
TACIT_AVX512 void Expand(const Keystream::Block& key, KeySchedule& schedule) {
  __m128i rounds[kRounds + 1];
  rounds[0] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(key.data()));
  rounds[1] = NextRoundKey<0x01>(rounds[0]);
  rounds[2] = NextRoundKey<0x02>(rounds[1]);
  rounds[3] = NextRoundKey<0x04>(rounds[2]);
  rounds[4] = NextRoundKey<0x08>(rounds[3]);
  rounds[5] = NextRoundKey<0x10>(rounds[4]);
  rounds[6] = NextRoundKey<0x20>(rounds[5]);
  rounds[7] = NextRoundKey<0x40>(rounds[6]);
  rounds[8] = NextRoundKey<0x80>(rounds[7]);
  rounds[9] = NextRoundKey<0x1b>(rounds[8]);
  rounds[10] = NextRoundKey<0x36>(rounds[9]);
  for (int i = 0; i <= kRounds; ++i) schedule.rounds[i] = _mm512_broadcast_i32x4(rounds[i]);
  WipeMemory(rounds, sizeof rounds);
}

/// Four blocks at each of kSideBySide positions, `stride` blocks apart: sixteen words each.
TACIT_AVX512_INLINE void MakeWords(const KeySchedule& schedule, std::uint64_t block, std::uint64_t stride,
                                   __m512i* words) {
  // A position is the block as a big-endian number: its eight significant bytes stand last, turned round.
  const __m512i turn = _mm512_broadcast_i32x4(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 4, 3, 2, 1, 0));
  const __m512i steps = _mm512_set_epi64(3, 0, 2, 0, 1, 0, 0, 0);
  for (std::size_t i = 0; i < kSideBySide; ++i) {
    const std::uint64_t number = block + i * stride;
    const auto first = static_cast<long long>(number);
    const __m512i position = _mm512_add_epi64(_mm512_set_epi64(first, 0, first, 0, first, 0, first, 0), steps);
    words[i] = _mm512_xor_si512(_mm512_shuffle_epi8(position, turn), schedule.rounds[0]);
  }
  for (int round = 1; round < kRounds; ++round) {
    for (std::size_t i = 0; i < kSideBySide; ++i) words[i] = _mm512_aesenc_epi128(words[i], schedule.rounds[round]);
  }
  for (std::size_t i = 0; i < kSideBySide; ++i) words[i] = _mm512_aesenclast_epi128(words[i], schedule.rounds[kRounds]);
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

TACIT_AVX512_INLINE __m512i DrawPlaces(const AliasTable& table, __m512i words, std::uint64_t number, Keystream& bits) {
  const __m512i place_mask = _mm512_set1_epi32(AliasTable::kPlaces - 1);
  const __m512i places = _mm512_and_si512(words, place_mask);
  const __m512i entries = _mm512_i32gather_epi32(places, table.fast(), 4);
  const __m512i drawn = _mm512_srli_epi32(words, AliasTable::kPlaceBits);
  const __m512i thresholds = _mm512_srli_epi32(entries, AliasTable::kPlaceBits);
  const __mmask16 keeps = _mm512_cmplt_epu32_mask(drawn, thresholds);
  const __mmask16 ties = _mm512_cmpeq_epi32_mask(drawn, thresholds);
  if (ties != 0) [[unlikely]]
    return DrawAgain(table, words, number, bits);
  return _mm512_mask_mov_epi32(_mm512_and_si512(entries, place_mask), keeps, places);
}

template <int kHalf>
TACIT_AVX512_INLINE __m512i Widened(__m512i lanes) {
  return _mm512_cvtepi32_epi64(kHalf == 0 ? _mm512_castsi512_si256(lanes) : _mm512_extracti64x4_epi64(lanes, 1));
}

/// low + high_factor * high - centre, or its complement, added to eight values.
template <bool kHasHigh, bool kHasSign, int kHalf>
TACIT_AVX512_INLINE void AddHalf(const NoisePlan& plan, __m512i low, __m512i high, __m512i sign, std::int64_t* values) {
  __m512i value = _mm512_sub_epi64(Widened<kHalf>(low), _mm512_set1_epi64(plan.centre));
  // Both are below 2^31, so the product of the low halves is the product.
  if constexpr (kHasHigh)
    value = _mm512_add_epi64(value, _mm512_mul_epi32(Widened<kHalf>(high), _mm512_set1_epi64(plan.high_factor)));
  if constexpr (kHasSign)
    value = _mm512_xor_si512(value, _mm512_sub_epi64(_mm512_setzero_si512(), Widened<kHalf>(sign)));
  auto* const at = reinterpret_cast<__m512i*>(values + std::ptrdiff_t{kHalf} * 8);
  _mm512_storeu_si512(at, _mm512_add_epi64(_mm512_loadu_si512(at), value));
}

template <std::size_t kLevels, bool kHasSign>
TACIT_AVX512 void AddGroups(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group,
                            const KeySchedule& schedule, Keystream& bits) {
  constexpr std::size_t kFirst = kHasSign ? 1 : 0;
  constexpr std::size_t kPlaces = kLevels - kFirst;
  constexpr std::uint64_t kBlocksALevel = kNoiseGroup * sizeof(std::uint32_t) / sizeof(Keystream::Block);
  // As 16-bit pairs (factor, 0): a place fits 16 bits, so one multiply-add of pairs multiplies.
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(plan.factor));
  for (std::size_t at = 0; at < values.size(); at += kSideBySide * kNoiseGroup, group += kSideBySide) {
    __m512i drawn[kLevels][kSideBySide];
    for (std::size_t level = 0; level < kLevels; ++level) {
      __m512i words[kSideBySide];
      MakeWords(schedule, (group * kLevels + level) * kBlocksALevel, kLevels * kBlocksALevel, words);
      for (std::size_t i = 0; i < kSideBySide; ++i) {
        drawn[level][i] =
            DrawPlaces(*plan.tables[level], words[i], ((group + i) * kLevels + level) * kNoiseGroup, bits);
      }
    }
    for (std::size_t i = 0; i < kSideBySide; ++i) {
      __m512i low = drawn[kFirst][i];
      if constexpr (kPlaces > 1) low = _mm512_add_epi32(low, _mm512_madd_epi16(drawn[kFirst + 1][i], factor));
      __m512i high = _mm512_setzero_si512();
      if constexpr (kPlaces > 2) high = drawn[kFirst + 2][i];
      if constexpr (kPlaces > 3) high = _mm512_add_epi32(high, _mm512_madd_epi16(drawn[kFirst + 3][i], factor));
      std::int64_t* const to = &values[at + i * kNoiseGroup];
      AddHalf<(kPlaces > 2), kHasSign, 0>(plan, low, high, drawn[0][i], to);
      AddHalf<(kPlaces > 2), kHasSign, 1>(plan, low, high, drawn[0][i], to);
    }
  }
}

}  // namespace

bool HasAvx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("vaes");
}

void AddNoiseAvx512(const NoisePlan& plan, std::span<std::int64_t> values, std::uint64_t group, Keystream& bits) {
  constexpr std::size_t kAtOnce = kSideBySide * kNoiseGroup;
  const std::span<std::int64_t> whole = values.first(values.size() / kAtOnce * kAtOnce);
  if (!whole.empty()) {
    KeySchedule schedule;
    Expand(*bits.AesKey(), schedule);
    const auto run = [&](auto function) { function(plan, whole, group, schedule, bits); };
    if (plan.has_sign) {
      if (plan.levels == 2) run(&AddGroups<2, true>);
      if (plan.levels == 3) run(&AddGroups<3, true>);
      if (plan.levels == 4) run(&AddGroups<4, true>);
    } else {
      if (plan.levels == 1) run(&AddGroups<1, false>);
      if (plan.levels == 2) run(&AddGroups<2, false>);
      if (plan.levels == 3) run(&AddGroups<3, false>);
      if (plan.levels == 4) run(&AddGroups<4, false>);
    }
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
