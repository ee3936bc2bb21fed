#if defined(__x86_64__)

#define TACIT_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,avx512vnni")))
#include "edge_agent/inference/kernel_integers.h"
#include "edge_agent/inference/simd_avx512.h"

namespace tacit::inference {
namespace loops {

/// With the instruction that adds four products of bytes at once.
struct Avx512Vnni : Avx512 {
  using Four = __m512i;
  using Weights = __m512i;
  TACIT_INLINE static Four LoadFour(const std::uint8_t* from) {
    std::int32_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return _mm512_set1_epi32(bytes);
  }
  TACIT_INLINE static Weights LoadWeights(const std::int8_t* from) { return _mm512_loadu_si512(from); }
  TACIT_INLINE static I Dot(I sum, Four four, Weights weights) {
    return __builtin_bit_cast(I, _mm512_dpbusd_epi32(__builtin_bit_cast(__m512i, sum), four, weights));
  }
};

}  // namespace loops

void MultiplyBytesAvx512Vnni(const IntegerTile& tile) {
  loops::IntegerTileOfRows<loops::Avx512Vnni, loops::Avx512::kTileRows>(tile);
}

}  // namespace tacit::inference

#endif
