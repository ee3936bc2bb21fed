#if defined(__x86_64__)

#define TACIT_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#include "edge_agent/inference/kernel_space.h"
#include "edge_agent/inference/simd_avx512.h"

namespace tacit::inference {

const Kernels kAvx512Kernels = loops::Table<loops::Avx512>();

}  // namespace tacit::inference

#endif
