#pragma once

#include <cstddef>
#include <cstdint>

// The loops that take the time of inference; not for others. Each instruction set has a table of them, compiled from
// one source (kernel_loops.h), and the fastest that this processor has is chosen at run time. Results differ between
// sets in the last bits: sums have other orders, and the portable set has no fused multiplication on x86.
namespace tacit::inference {

/// Rows of floats times a packed matrix: out[i][j] = clamp(bias[j] + add[i][j] + sum_tk rows[t][i][k] panel[t][k][j]).
/// A convolution has one row an output pixel and one tap a place of its kernel, a product of matrices one tap.
struct Tile {
  /// Of each tap `row_count` pointers to `depth` floats, those of the next tap kTileRows further.
  const float* const* rows = nullptr;
  std::size_t taps = 1;
  std::size_t depth = 0;
  std::size_t row_count = 0;     ///< At most Kernels::tile_rows.
  const float* panel = nullptr;  ///< As PackedPanels lays it out.
  std::size_t columns = 0;       ///< At most Kernels::PanelColumns.
  const float* bias = nullptr;   ///< `columns` floats, or null for zeros.
  const float* add = nullptr;    ///< Null for zeros; may be `out`.
  std::size_t add_stride = 0;    ///< Floats from one row to the next.
  float* out = nullptr;
  std::size_t out_stride = 0;
  bool clamps = false;
  float minimum = 0;
  float maximum = 0;
};

/// Distance between the pointers of two taps.
inline constexpr std::size_t kTileRows = 12;

struct Kernels {
  std::size_t width = 0;      ///< Floats of one vector.
  std::size_t tile_rows = 0;  ///< Rows that one call computes at once.

  /// Columns of all panels but the last, which has PanelWidth of them.
  [[nodiscard]] std::size_t PanelColumns() const { return 2 * width; }
  /// Columns that a panel of `columns` is filled up to.
  [[nodiscard]] std::size_t PanelWidth(std::size_t columns) const { return columns > width ? 2 * width : width; }
  /// Columns that a matrix of `columns` takes when it is packed.
  [[nodiscard]] std::size_t PackedColumns(std::size_t columns) const { return (columns + width - 1) / width * width; }

  void (*tile)(const Tile& tile) = nullptr;
  /// One row times all panels of a matrix: `rows` has one row of one tap, `columns` may be any number.
  void (*row)(const Tile& tile) = nullptr;
};

/// The widest vector of any set, in floats.
inline constexpr std::size_t kMaxWidth = 16;

enum class KernelPath : std::uint8_t { kPortable, kAvx2, kAvx512 };
/// Whether this processor has it.
bool Has(KernelPath path);
/// Of a path that this processor has.
const Kernels& KernelsOf(KernelPath path);
/// Of the fastest path that this processor has.
KernelPath FastestPath();

extern const Kernels kPortableKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;

}  // namespace tacit::inference
