#if defined(__x86_64__)

#include <immintrin.h>

#define TACIT_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#include "edge_agent/inference/kernel_space.h"

namespace tacit::inference {
namespace {

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
};

}  // namespace

const Kernels kAvx512Kernels = loops::Table<Avx512>();

}  // namespace tacit::inference

#endif
