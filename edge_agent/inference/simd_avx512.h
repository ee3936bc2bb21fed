#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "edge_agent/inference/kernel_loops.h"

namespace tacit::inference::loops {

struct Avx512 {
  static constexpr std::size_t kWidth = 16;
  static constexpr int kTileRows = 12;
  using V = __m512;
  using I = std::int32_t __attribute__((vector_size(4 * kWidth)));

  TACIT_INLINE static __mmask16 Mask(std::size_t count) { return static_cast<__mmask16>((1U << count) - 1); }
  TACIT_INLINE static V Load(const float* from) { return _mm512_loadu_ps(from); }
  TACIT_INLINE static V LoadPart(const float* from, std::size_t count) {
    return _mm512_maskz_loadu_ps(Mask(count), from);
  }
  TACIT_INLINE static void Store(float* to, V vector) { _mm512_storeu_ps(to, vector); }
  TACIT_INLINE static void StorePart(float* to, V vector, std::size_t count) {
    _mm512_mask_storeu_ps(to, Mask(count), vector);
  }
  TACIT_INLINE static V Set(float value) { return _mm512_set1_ps(value); }
  TACIT_INLINE static V Fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  TACIT_INLINE static V Max(V a, V b) { return _mm512_max_ps(a, b); }
  TACIT_INLINE static V Min(V a, V b) { return _mm512_min_ps(a, b); }

  TACIT_INLINE static V LoadBytes(const std::uint8_t* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
  }
  TACIT_INLINE static V LoadSigned(const std::int8_t* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
  TACIT_INLINE static void StoreBytes(std::uint8_t* to, V vector) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(vector)));
  }

  /// Without an instruction for bytes: pairs of 16 bits, which cannot overflow.
  static constexpr BytePacking kPacking = BytePacking::kPairs;
  struct Four {
    __m512i pairs[2];
  };
  struct Weights {
    __m512i pairs[2];
  };
  TACIT_INLINE static Four LoadFour(const std::uint8_t* from) {
    std::int32_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    const __m512i words = _mm512_cvtepu8_epi16(_mm256_set1_epi32(bytes));
    return {{_mm512_shuffle_epi32(words, _MM_PERM_CCAA), _mm512_shuffle_epi32(words, _MM_PERM_DDBB)}};
  }
  TACIT_INLINE static Weights LoadWeights(const std::int8_t* from) {
    const auto* halves = reinterpret_cast<const __m256i*>(from);
    return {{_mm512_cvtepi8_epi16(_mm256_loadu_si256(halves)), _mm512_cvtepi8_epi16(_mm256_loadu_si256(halves + 1))}};
  }
  TACIT_INLINE static I Dot(I sum, const Four& four, const Weights& weights) {
    const I first = __builtin_bit_cast(I, _mm512_madd_epi16(four.pairs[0], weights.pairs[0]));
    return sum + first + __builtin_bit_cast(I, _mm512_madd_epi16(four.pairs[1], weights.pairs[1]));
  }
};

}  // namespace tacit::inference::loops
