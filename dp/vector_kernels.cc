#include "dp/vector_kernels.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace tacit::dp {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint32_t kNotFinite = 0x80000000U;

}  // namespace

double FloatMeasure::Norm(dp::Norm norm) const {
  std::array<double, kLanes> sums = lanes;
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) sums[i] += sums[i + width];
  }
  return norm == dp::Norm::kL2 ? std::sqrt(sums[0]) : sums[0];
}

bool FloatMeasure::finite() const {
  return std::ranges::none_of(not_finite, [](std::uint32_t word) { return (word & kNotFinite) != 0; });
}

void GridMeasure::Add(const GridMeasure& piece) {
  low += piece.low;
  high += piece.high;
  magnitudes += piece.magnitudes;
  largest = std::max(largest, piece.largest);
}

bool GridMeasure::Within(GridRadius grid_radius, Norm norm) const {
  const std::uint64_t radius = grid_radius.value();
  return norm == Norm::kL2 ? (Wide{high} << 32U) + low <= Wide{radius} * radius : magnitudes <= radius;
}

bool Has(VectorPath path) {
#if defined(__x86_64__)
  if (path == VectorPath::kAvx2) return __builtin_cpu_supports("avx2");
  if (path == VectorPath::kAvx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return path == VectorPath::kPortable;
}

const VectorKernels& KernelsOf(VectorPath path) {
  TACIT_CHECK(Has(path), "a path was asked for that this processor lacks");
#if defined(__x86_64__)
  if (path == VectorPath::kAvx2) return kAvx2Kernels;
  if (path == VectorPath::kAvx512) return kAvx512Kernels;
#endif
  return kPortableKernels;
}

const VectorKernels& Kernels() {
  static const VectorKernels& fastest = KernelsOf(Has(VectorPath::kAvx512) ? VectorPath::kAvx512
                                                  : Has(VectorPath::kAvx2) ? VectorPath::kAvx2
                                                                           : VectorPath::kPortable);
  return fastest;
}

}  // namespace tacit::dp
