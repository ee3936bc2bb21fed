#if defined(__x86_64__)

#include <immintrin.h>

#define TACIT_TARGET __attribute__((target("avx2,fma")))
#include "edge_agent/inference/kernel_space.h"

namespace tacit::inference {
namespace {

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
};

}  // namespace

const Kernels kAvx2Kernels = loops::Table<Avx2>();

}  // namespace tacit::inference

#endif
