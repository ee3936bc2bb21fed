#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dp/types.h"

// The loops over whole vectors under clipping and summing; not for others. Each instruction set has a table of them,
// compiled from one source without contraction, so that all of them give the same bits.
namespace tacit::dp {

/// What floats add up to, in lanes that are combined in one order: the same bits on every CPU and at every vector
/// width, in one piece or in many, and an error that grows with d / 64 instead of d. (A single float32 chain over 10^8
/// equal entries was measured to be wrong by a factor of two.)
struct FloatMeasure {
  static constexpr std::size_t kLanes = 64;

  /// Of squares (kL2) or magnitudes (kL1). Not aligned to a vector: it can stand in a coroutine's frame, which is not.
  std::array<double, kLanes> lanes{};
  /// Words of which one has its top bit set when an entry was NaN or infinite: an exponent of all ones overflows into
  /// it.
  std::array<std::uint32_t, 8> not_finite{};

  [[nodiscard]] double Norm(dp::Norm norm) const;
  [[nodiscard]] bool finite() const;
};

/// What integers add up to, exactly: a square is at most 2^62; its halves are below 2^32 each, and 2^32 of them fit.
struct GridMeasure {
  std::uint64_t low = 0;         ///< sum(q^2) is low + 2^32 high; of kL2.
  std::uint64_t high = 0;        ///< Of kL2.
  std::uint64_t magnitudes = 0;  ///< sum(|q|); of kL1.
  std::uint32_t largest = 0;     ///< The largest |q|.

  /// Of another piece of the vector.
  void Add(const GridMeasure& piece);
  [[nodiscard]] bool Within(GridRadius grid_radius, Norm norm) const;
};

/// The width that integers travel in.
enum class Width : std::uint8_t { k8 = 1, k16 = 2, k32 = 4 };  // bytes
constexpr std::size_t BytesOf(Width width) {
  return static_cast<std::size_t>(width);
}
/// The largest shift that leaves every entry of the width within 2^30, either way.
constexpr std::uint32_t LargestShift(Width width) {
  return width == Width::k8 ? 23 : width == Width::k16 ? 15 : 0;
}

struct VectorKernels {
  /// Goes on with `measure`. Pieces of one vector come in order, and all but the last are whole multiples of kLanes.
  void (*measure)(std::span<const float> values, Norm norm, FloatMeasure& measure);
  /// grid_i = trunc(values_i * factor), and what that adds up to. `grid` may be the very memory of `values`; every
  /// product is below 2^31.
  GridMeasure (*truncate)(std::span<const float> values, double factor, Norm norm, std::int32_t* grid);
  /// grid_i = values_i * 2^shift, at most LargestShift. The values may stand at the end of the very memory of `grid`.
  void (*widen8)(std::span<const std::int8_t> values, std::uint32_t shift, std::int32_t* grid);
  void (*widen16)(std::span<const std::int16_t> values, std::uint32_t shift, std::int32_t* grid);
  GridMeasure (*measure_grid)(std::span<const std::int32_t> grid, Norm norm);
  /// sum_i += weight * grid_i.
  void (*add)(std::span<const std::int32_t> grid, std::int64_t weight, std::int64_t* sum);
  /// sum_i += grid_i, in 32 bits: for blocks whose sums are known to fit.
  void (*add_narrow)(std::span<const std::int32_t> grid, std::int32_t* sum);
};

enum class VectorPath : std::uint8_t { kPortable, kAvx2, kAvx512 };
/// Whether this processor has it.
bool Has(VectorPath path);
/// Of a path that this processor has.
const VectorKernels& KernelsOf(VectorPath path);
/// Of the fastest path that this processor has.
const VectorKernels& Kernels();

extern const VectorKernels kPortableKernels;
extern const VectorKernels kAvx2Kernels;
extern const VectorKernels kAvx512Kernels;

}  // namespace tacit::dp
