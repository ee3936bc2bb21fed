#if defined(__x86_64__)

#include <immintrin.h>

#define TACIT_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#include "edge_agent/inference/kernel_loops.h"

namespace tacit::inference {
namespace {

struct Avx512 {
  static constexpr std::size_t kWidth = 16;
  static constexpr int kTileRows = 12;
  using V = __m512;

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
};

}  // namespace

const Kernels kAvx512Kernels = loops::Table<Avx512>();

}  // namespace tacit::inference

#endif
