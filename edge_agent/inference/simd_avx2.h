#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "edge_agent/inference/kernel_loops.h"

namespace tacit::inference::loops {

struct Avx2 {
  static constexpr std::size_t kWidth = 8;
  static constexpr int kTileRows = 6;
  using V = __m256;
  using I = std::int32_t __attribute__((vector_size(4 * kWidth)));

  TACIT_INLINE static __m256i Mask(std::size_t count) {
    const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), places);
  }
  TACIT_INLINE static V Load(const float* from) { return _mm256_loadu_ps(from); }
  TACIT_INLINE static V LoadPart(const float* from, std::size_t count) { return _mm256_maskload_ps(from, Mask(count)); }
  TACIT_INLINE static void Store(float* to, V vector) { _mm256_storeu_ps(to, vector); }
  TACIT_INLINE static void StorePart(float* to, V vector, std::size_t count) {
    _mm256_maskstore_ps(to, Mask(count), vector);
  }
  TACIT_INLINE static V Set(float value) { return _mm256_set1_ps(value); }
  TACIT_INLINE static V Fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  TACIT_INLINE static V Max(V a, V b) { return _mm256_max_ps(a, b); }
  TACIT_INLINE static V Min(V a, V b) { return _mm256_min_ps(a, b); }

  TACIT_INLINE static V LoadBytes(const std::uint8_t* from) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  }
  TACIT_INLINE static V LoadSigned(const std::int8_t* from) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  TACIT_INLINE static void StoreBytes(std::uint8_t* to, V vector) {
    const __m256i words = _mm256_cvtps_epi32(vector);
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(halves, halves));
  }

  /// Without an instruction for bytes: pairs of 16 bits, which cannot overflow.
  static constexpr BytePacking kPacking = BytePacking::kPairs;
  struct Four {
    __m256i pairs[2];
  };
  struct Weights {
    __m256i pairs[2];
  };
  TACIT_INLINE static Four LoadFour(const std::uint8_t* from) {
    std::int32_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    const __m256i words = _mm256_cvtepu8_epi16(_mm_set1_epi32(bytes));
    return {{_mm256_shuffle_epi32(words, 0xA0), _mm256_shuffle_epi32(words, 0xF5)}};
  }
  TACIT_INLINE static Weights LoadWeights(const std::int8_t* from) {
    const auto* halves = reinterpret_cast<const __m128i*>(from);
    return {{_mm256_cvtepi8_epi16(_mm_loadu_si128(halves)), _mm256_cvtepi8_epi16(_mm_loadu_si128(halves + 1))}};
  }
  TACIT_INLINE static I Dot(I sum, const Four& four, const Weights& weights) {
    const I first = __builtin_bit_cast(I, _mm256_madd_epi16(four.pairs[0], weights.pairs[0]));
    return sum + first + __builtin_bit_cast(I, _mm256_madd_epi16(four.pairs[1], weights.pairs[1]));
  }
};

}  // namespace tacit::inference::loops
