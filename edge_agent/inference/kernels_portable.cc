#include "edge_agent/inference/kernel_space.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#else
#include <emmintrin.h>
#endif

namespace tacit::inference {
namespace {

/// Vectors of 16 bytes, which every processor that the project is built for has: SSE2 or NEON.
struct Portable {
  static constexpr std::size_t kWidth = 4;
#if defined(__aarch64__)
  static constexpr int kTileRows = 8;
#else
  static constexpr int kTileRows = 6;
#endif
  using V = float __attribute__((vector_size(16)));
  using I = std::int32_t __attribute__((vector_size(4 * kWidth)));

  TACIT_INLINE static V Load(const float* from) {
    V vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
  }
  TACIT_INLINE static V LoadPart(const float* from, std::size_t count) {
    V vector = Set(0);
    for (std::size_t i = 0; i < count && i < kWidth; ++i) vector[static_cast<int>(i)] = from[i];
    return vector;
  }
  TACIT_INLINE static void Store(float* to, V vector) { std::memcpy(to, &vector, sizeof vector); }
  TACIT_INLINE static void StorePart(float* to, V vector, std::size_t count) {
    for (std::size_t i = 0; i < count && i < kWidth; ++i) to[i] = vector[static_cast<int>(i)];
  }
  TACIT_INLINE static V Set(float value) { return V{value, value, value, value}; }
  TACIT_INLINE static V Fma(V a, V b, V c) {
#if defined(__aarch64__)
    return vfmaq_f32(c, a, b);
#else
    return a * b + c;
#endif
  }
  TACIT_INLINE static V Max(V a, V b) { return a > b ? a : b; }
  TACIT_INLINE static V Min(V a, V b) { return a < b ? a : b; }

  TACIT_INLINE static V LoadBytes(const std::uint8_t* from) {
    using Bytes = std::uint8_t __attribute__((vector_size(4)));
    Bytes bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return __builtin_convertvector(bytes, V);
  }
  TACIT_INLINE static V LoadSigned(const std::int8_t* from) {
    using Bytes = std::int8_t __attribute__((vector_size(4)));
    Bytes bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return __builtin_convertvector(bytes, V);
  }
  TACIT_INLINE static void StoreBytes(std::uint8_t* to, V vector) {
    using Bytes = std::uint8_t __attribute__((vector_size(4)));
    const Bytes bytes = __builtin_convertvector(__builtin_convertvector(vector, I), Bytes);
    std::memcpy(to, &bytes, sizeof bytes);
  }

  static constexpr BytePacking kPacking = BytePacking::kPairs;
#if defined(__aarch64__)
  using Words = int16x8_t;
#else
  using Words = __m128i;
#endif
  struct Four {
    Words pairs[2];
  };
  struct Weights {
    Words pairs[2];
  };
  TACIT_INLINE static Words Repeat(std::uint8_t first, std::uint8_t second) {
    const std::int32_t pair = first | second << 16;
#if defined(__aarch64__)
    return vreinterpretq_s16_s32(vdupq_n_s32(pair));
#else
    return _mm_set1_epi32(pair);
#endif
  }
  TACIT_INLINE static Four LoadFour(const std::uint8_t* from) {
    return {{Repeat(from[0], from[1]), Repeat(from[2], from[3])}};
  }
  TACIT_INLINE static Weights LoadWeights(const std::int8_t* from) {
#if defined(__aarch64__)
    return {{vmovl_s8(vld1_s8(from)), vmovl_s8(vld1_s8(from + 8))}};
#else
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return {{_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8), _mm_srai_epi16(_mm_unpackhi_epi8(bytes, bytes), 8)}};
#endif
  }
  TACIT_INLINE static I AddPairs(I sum, Words a, Words b) {
#if defined(__aarch64__)
    return sum + vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
#else
    return sum + __builtin_bit_cast(I, _mm_madd_epi16(a, b));
#endif
  }
  TACIT_INLINE static I Dot(I sum, const Four& four, const Weights& weights) {
    return AddPairs(AddPairs(sum, four.pairs[0], weights.pairs[0]), four.pairs[1], weights.pairs[1]);
  }
};

}  // namespace

const Kernels kPortableKernels = loops::Table<Portable>();

}  // namespace tacit::inference
