#include "edge_agent/inference/kernels.h"

#include "common/base/check.h"

namespace tacit::inference {

bool Has(KernelPath path) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (path == KernelPath::kAvx2) return avx2;
  if (path == KernelPath::kAvx512) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return path == KernelPath::kPortable;
}

const Kernels& KernelsOf(KernelPath path) {
  TACIT_CHECK(Has(path), "a path was asked for that this processor lacks");
#if defined(__x86_64__)
  if (path == KernelPath::kAvx2) return kAvx2Kernels;
  if (path == KernelPath::kAvx512) return kAvx512Kernels;
#endif
  return kPortableKernels;
}

KernelPath FastestPath() {
  static const KernelPath fastest = Has(KernelPath::kAvx512) ? KernelPath::kAvx512
                                    : Has(KernelPath::kAvx2) ? KernelPath::kAvx2
                                                             : KernelPath::kPortable;
  return fastest;
}

}  // namespace tacit::inference
