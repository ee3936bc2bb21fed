#if defined(__x86_64__)

#define TACIT_TARGET __attribute__((target("avx2,fma,avxvnni")))
#include "edge_agent/inference/kernel_integers.h"
#include "edge_agent/inference/simd_avx2.h"

namespace tacit::inference {
namespace loops {

/// With the instruction that adds four products of bytes at once.
struct Avx2Vnni : Avx2 {
  using Four = __m256i;
  using Weights = __m256i;
  TACIT_INLINE static Four LoadFour(const std::uint8_t* from) {
    std::int32_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return _mm256_set1_epi32(bytes);
  }
  TACIT_INLINE static Weights LoadWeights(const std::int8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  TACIT_INLINE static I Dot(I sum, Four four, Weights weights) {
    return __builtin_bit_cast(I, _mm256_dpbusd_avx_epi32(__builtin_bit_cast(__m256i, sum), four, weights));
  }
};

}  // namespace loops

void MultiplyBytesAvx2Vnni(const IntegerTile& tile) {
  loops::IntegerTileOfRows<loops::Avx2Vnni, loops::Avx2::kTileRows>(tile);
}

}  // namespace tacit::inference

#endif
