#if defined(__x86_64__)

#define TACIT_TARGET __attribute__((target("avx2,fma")))
#include "edge_agent/inference/kernel_space.h"
#include "edge_agent/inference/simd_avx2.h"

namespace tacit::inference {

const Kernels kAvx2Kernels = loops::Table<loops::Avx2>();

}  // namespace tacit::inference

#endif
