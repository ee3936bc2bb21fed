#include "edge_agent/inference/kernel_space.h"

#if defined(__aarch64__)
#include <arm_neon.h>
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
};

}  // namespace

const Kernels kPortableKernels = loops::Table<Portable>();

}  // namespace tacit::inference
