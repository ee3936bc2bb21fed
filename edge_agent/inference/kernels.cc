#include "edge_agent/inference/kernels.h"

#include "common/base/check.h"

namespace tacit::inference {
namespace {

#if defined(__x86_64__)
Kernels WithVnni(Kernels kernels, void (*integer_tile)(const IntegerTile&)) {
  kernels.integer_tile = integer_tile;
  kernels.byte_packing = BytePacking::kFours;
  return kernels;
}
#endif

}  // namespace

bool Has(KernelPath path) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (path == KernelPath::kAvx2) return avx2;
  if (path == KernelPath::kAvx2Vnni) return avx2 && __builtin_cpu_supports("avxvnni");
  if (path == KernelPath::kAvx512) return avx512;
  if (path == KernelPath::kAvx512Vnni) return avx512 && __builtin_cpu_supports("avx512vnni");
#endif
  return path == KernelPath::kPortable;
}

const Kernels& KernelsOf(KernelPath path) {
  TACIT_CHECK(Has(path), "a path was asked for that this processor lacks");
#if defined(__x86_64__)
  static const Kernels avx2_vnni = WithVnni(kAvx2Kernels, MultiplyBytesAvx2Vnni);
  static const Kernels avx512_vnni = WithVnni(kAvx512Kernels, MultiplyBytesAvx512Vnni);
  if (path == KernelPath::kAvx2) return kAvx2Kernels;
  if (path == KernelPath::kAvx2Vnni) return avx2_vnni;
  if (path == KernelPath::kAvx512) return kAvx512Kernels;
  if (path == KernelPath::kAvx512Vnni) return avx512_vnni;
#endif
  return kPortableKernels;
}

KernelPath FastestPath() {
  for (const KernelPath path :
       {KernelPath::kAvx512Vnni, KernelPath::kAvx512, KernelPath::kAvx2Vnni, KernelPath::kAvx2}) {
    if (Has(path)) return path;
  }
  return KernelPath::kPortable;
}

}  // namespace tacit::inference
