#pragma once

#include <cstddef>
#include <cstdint>

// The loops that take the time of inference; not for others. Each instruction set has a table of them, compiled from
// one source (kernel_loops.h), and the fastest that this processor has is chosen at run time. Results differ between
// sets in the last bits: sums have other orders, and the portable set has no fused multiplication on x86.
namespace tacit::inference {

/// What results are clamped to.
struct Range {
  bool clamps = false;
  float minimum = 0;
  float maximum = 0;
};

/// How results become 8 bits: round(sum * multipliers[c] + offsets[c]), clamped to [minimum, maximum].
struct Requantize {
  const float* multipliers = nullptr;
  const float* offsets = nullptr;
  float minimum = 0;
  float maximum = 255;
};

/// Rows of floats times a packed matrix: out[i][j] = clamp(bias[j] + add[i][j] + sum_tk rows[t][i][k] panel[t][k][j]).
/// A convolution has one row an output pixel and one tap a place of its kernel, a product of matrices one tap.
struct Tile {
  /// Of each tap `row_count` pointers to `depth` floats, those of the next tap kTileRows further.
  const float* const* rows = nullptr;
  std::size_t taps = 1;
  std::size_t depth = 0;
  std::size_t row_count = 0;     ///< At most Kernels::tile_rows.
  const float* panel = nullptr;  ///< As PackPanels lays it out; null where panel8 is used.
  /// The same in 8 bits, of which column j counts in units of scales[j].
  const std::int8_t* panel8 = nullptr;
  const float* scales = nullptr;
  std::size_t columns = 0;      ///< At most Kernels::PanelColumns.
  const float* bias = nullptr;  ///< `columns` floats, or null for zeros.
  const float* add = nullptr;   ///< Null for zeros; may be `out`.
  std::size_t add_stride = 0;   ///< Floats from one row to the next.
  float* out = nullptr;
  std::size_t out_stride = 0;
  Range range = {};
};

/// Distance between the pointers of two taps.
inline constexpr std::size_t kTileRows = 12;

/// The same of unsigned bytes and signed bytes: sum[i][j] = start[j] + sum_tk rows[t][i][k] panel[t][k][j], exactly.
struct IntegerTile {
  const std::uint8_t* const* rows = nullptr;  ///< Up to 3 bytes behind each row are read, and count nothing.
  std::size_t taps = 1;
  std::size_t depth = 0;
  std::size_t row_count = 0;
  const std::int8_t* panel = nullptr;  ///< As PackIntegerPanels lays it out.
  std::size_t columns = 0;
  const std::int32_t* start = nullptr;  ///< PanelWidth(columns) numbers.
  Requantize to = {};                   ///< Arrays of `columns` numbers.
  std::uint8_t* out = nullptr;          ///< Of 8 bits; null where the next is used.
  float* out_floats = nullptr;          ///< sum * multipliers + offsets, clamped.
  std::size_t out_stride = 0;
};

/// A convolution of each channel with a kernel of its own, over one row of values whose channels lie side by side.
struct Depthwise {
  const float* input = nullptr;          ///< Null where the next is used.
  const std::uint8_t* input8 = nullptr;  ///< In units of 1 from `zero`: sums are exact while taps are below 512.
  float zero = 0;
  std::size_t channels = 0;
  std::size_t height = 0;
  std::size_t width = 0;
  std::size_t out_height = 0;
  std::size_t out_width = 0;
  std::size_t kernel[2] = {1, 1};
  std::size_t strides[2] = {1, 1};
  std::size_t dilations[2] = {1, 1};
  std::size_t pads[2] = {0, 0};    ///< Before.
  const float* weights = nullptr;  ///< [kernel height, kernel width, channels].
  const float* bias = nullptr;     ///< Null for zeros. Of floats.
  Range range = {};                ///< Of floats.
  float* out = nullptr;            ///< Null where the next is used.
  Requantize to = {};
  std::uint8_t* out8 = nullptr;
};

/// A pool over one row of values whose channels lie side by side.
struct Pool {
  bool averages = false;  ///< Or else takes the largest.
  bool counts_padding = false;
  const float* input = nullptr;
  std::size_t channels = 0;
  std::size_t height = 0;
  std::size_t width = 0;
  std::size_t out_height = 0;
  std::size_t out_width = 0;
  std::size_t kernel[2] = {1, 1};
  std::size_t strides[2] = {1, 1};
  std::size_t pads_before[2] = {0, 0};
  std::size_t pads_behind[2] = {0, 0};
  float* out = nullptr;
};

/// Vectors of `count` floats; of one with a step of 0 the first counts everywhere.
struct Elements {
  const float* a = nullptr;
  std::size_t a_step = 1;
  const float* b = nullptr;
  std::size_t b_step = 1;
  float* out = nullptr;  ///< May be a or b.
  std::size_t count = 0;
  Range range = {};
};

/// Vectors of floats x and of bytes q with x = (q - zero) * scale.
struct Bytewise {
  const float* floats = nullptr;
  std::uint8_t* bytes = nullptr;
  std::size_t count = 0;
  float scale = 1;
  float zero = 0;
};

/// In which order four places of a column lie: together, or as two pairs, the first pairs of all columns of a vector
/// in front of the second.
enum class BytePacking : std::uint8_t { kFours, kPairs };

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
  void (*integer_tile)(const IntegerTile& tile) = nullptr;
  BytePacking byte_packing = BytePacking::kFours;
  void (*depthwise)(const Depthwise& depthwise) = nullptr;
  void (*pool)(const Pool& pool) = nullptr;
  void (*add)(const Elements& elements) = nullptr;
  void (*multiply)(const Elements& elements) = nullptr;
  void (*clamp)(const Elements& elements) = nullptr;    ///< Of a.
  void (*sigmoid)(const Elements& elements) = nullptr;  ///< Of a; relative error below 1e-6.
  void (*tanh)(const Elements& elements) = nullptr;     ///< Of a; relative error below 1e-6.
  void (*softmax)(const Elements& elements) = nullptr;  ///< Of a as a whole; relative error below 1e-5.
  /// bytes = round half to even(floats / scale) + zero, saturated.
  void (*quantize)(const Bytewise& bytewise) = nullptr;
};

/// The widest vector of any set, in floats.
inline constexpr std::size_t kMaxWidth = 16;

/// The slower first; of two that differ in Vnni alone, the second multiplies bytes faster.
enum class KernelPath : std::uint8_t { kPortable, kAvx2, kAvx2Vnni, kAvx512, kAvx512Vnni };
/// Whether this processor has it.
bool Has(KernelPath path);
/// Of a path that this processor has.
const Kernels& KernelsOf(KernelPath path);
/// Of the fastest path that this processor has.
KernelPath FastestPath();

extern const Kernels kPortableKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
void MultiplyBytesAvx2Vnni(const IntegerTile& tile);
void MultiplyBytesAvx512Vnni(const IntegerTile& tile);

}  // namespace tacit::inference
