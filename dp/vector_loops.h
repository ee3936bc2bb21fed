#pragma once

#include <algorithm>
#include <cstring>

#include "dp/vector_kernels.h"

// The source of all VectorKernels: inlined into functions that are compiled for one instruction set each, and
// vectorised there. Vectors are the compiler's own and never cross a call, so that a set without such registers splits
// them.
namespace tacit::dp::loops {

#define TACIT_INLINE [[gnu::always_inline]] inline
#define TACIT_INLINE_LAMBDA __attribute__((always_inline))

inline constexpr std::size_t kWidth = 8;
using Floats = float __attribute__((vector_size(kWidth * sizeof(float))));
using Words = std::uint32_t __attribute__((vector_size(kWidth * sizeof(std::uint32_t))));
using Integers = std::int32_t __attribute__((vector_size(kWidth * sizeof(std::int32_t))));
using PairOfWords = std::uint32_t __attribute__((vector_size(2 * kWidth * sizeof(std::uint32_t))));
using PairOfIntegers = std::int32_t __attribute__((vector_size(2 * kWidth * sizeof(std::int32_t))));
using Doubles = double __attribute__((vector_size(kWidth * sizeof(double))));
using LongWords = std::uint64_t __attribute__((vector_size(kWidth * sizeof(std::uint64_t))));
using LongIntegers = std::int64_t __attribute__((vector_size(kWidth * sizeof(std::int64_t))));

inline constexpr std::uint32_t kSignMask = 0x7fffffffU;
inline constexpr std::uint32_t kSmallestExponent = 0x00800000U;

// Through memcpy, because the same memory may be read as floats and written as integers.
template <typename Vector>
TACIT_INLINE void Load(const void* from, Vector& vector) {
  std::memcpy(&vector, from, sizeof vector);
}
template <typename Vector>
TACIT_INLINE void Store(const Vector& vector, void* to) {
  std::memcpy(to, &vector, sizeof vector);
}

/// Calls `block(from)` for every whole block of kBlock entries, and for the rest filled up with zeros.
template <std::size_t kBlock, typename T, typename Block>
TACIT_INLINE void ForBlocks(std::span<const T> values, Block block) {
  const std::size_t whole = values.size() / kBlock * kBlock;
  for (std::size_t at = 0; at < whole; at += kBlock) block(values.data() + at, at, kBlock);
  if (whole == values.size()) return;
  std::array<T, kBlock> rest{};
  std::memcpy(rest.data(), values.data() + whole, (values.size() - whole) * sizeof(T));
  block(rest.data(), whole, values.size() - whole);
}

template <Norm kNorm>
TACIT_INLINE void MeasureFloats(std::span<const float> values, FloatMeasure& measure) {
  constexpr std::size_t kVectors = FloatMeasure::kLanes / kWidth;
  Doubles lanes[kVectors];
  for (std::size_t i = 0; i < kVectors; ++i) Load(measure.lanes.data() + i * kWidth, lanes[i]);
  Words not_finite;
  Load(measure.not_finite.data(), not_finite);
  ForBlocks<FloatMeasure::kLanes>(values, [&](const float* from, std::size_t, std::size_t) TACIT_INLINE_LAMBDA {
    for (std::size_t i = 0; i < kVectors; ++i) {
      Words bits;
      Load(from + i * kWidth, bits);
      bits &= kSignMask;
      not_finite |= bits + kSmallestExponent;
      Floats magnitudes;
      Load(&bits, magnitudes);
      const Doubles wide = __builtin_convertvector(magnitudes, Doubles);
      lanes[i] += kNorm == Norm::kL2 ? wide * wide : wide;
    }
  });
  for (std::size_t i = 0; i < kVectors; ++i) Store(lanes[i], measure.lanes.data() + i * kWidth);
  Store(not_finite, measure.not_finite.data());
}

TACIT_INLINE void Measure(std::span<const float> values, Norm norm, FloatMeasure& measure) {
  norm == Norm::kL2 ? MeasureFloats<Norm::kL2>(values, measure) : MeasureFloats<Norm::kL1>(values, measure);
}

/// Adds up integers of one chunk, which is short enough for the squares of all but the largest to fit into 64 bits.
template <Norm kNorm>
class GridSums {
 public:
  static constexpr std::size_t kChunk = 2048;
  static constexpr std::size_t kBlock = 2 * kWidth;

  TACIT_INLINE void Take(const PairOfIntegers& values) {
    PairOfWords magnitudes;
    PairOfWords signs;
    Load(&values, magnitudes);
    const PairOfIntegers negative = values >> 31;
    Load(&negative, signs);
    magnitudes = (magnitudes ^ signs) - signs;  // |value|, of the smallest integer too
    largest_ = magnitudes > largest_ ? magnitudes : largest_;
    // Each entry stays where it is, in one half of a long word: nothing has to be moved to be widened.
    LongWords words;
    Load(&magnitudes, words);
    const LongWords even = words & kLowHalf;
    const LongWords odd = words >> 32U;
    even_ += kNorm == Norm::kL2 ? even * even : even;
    odd_ += kNorm == Norm::kL2 ? odd * odd : odd;
  }

  /// Of the chunk whose blocks were taken.
  TACIT_INLINE GridMeasure Total(std::span<const std::int32_t> chunk) const {
    GridMeasure total;
    for (std::size_t i = 0; i < kBlock; ++i) total.largest = std::max<std::uint32_t>(total.largest, largest_[i]);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kWidth; ++i) sum += even_[i] + odd_[i];
    if (kNorm == Norm::kL1) {
      total.magnitudes = sum;
    } else if (total.largest <= kLargestExact) {
      total.low = sum & kLowHalf;
      total.high = sum >> 32U;
    } else {
      AddSquares(chunk, total);
    }
    return total;
  }

 private:
  static constexpr std::uint64_t kLowHalf = 0xffffffffU;
  static constexpr std::uint32_t kLargestExact = std::uint32_t{1} << 26U;
  static_assert(std::uint64_t{kChunk} * kLargestExact <= (std::uint64_t{1} << 63U) / kLargestExact);

  TACIT_INLINE static void AddSquares(std::span<const std::int32_t> chunk, GridMeasure& total) {
    for (const std::int64_t entry : chunk) {
      const auto square = static_cast<std::uint64_t>(entry * entry);
      total.low += square & kLowHalf;
      total.high += square >> 32U;
    }
  }

  PairOfWords largest_{};
  LongWords even_{};
  LongWords odd_{};
};

/// Calls `take(sums, from, at, count)` for every block of `values`, at most GridSums::kBlock each, and adds up what the
/// blocks of each chunk of `grid` added to its sums. What is beyond `count` is zero.
template <Norm kNorm, typename T, typename Take>
TACIT_INLINE GridMeasure MeasureChunks(std::span<const T> values, const std::int32_t* grid, Take take) {
  using Sums = GridSums<kNorm>;
  GridMeasure total;
  for (std::size_t first = 0; first < values.size(); first += Sums::kChunk) {
    const std::size_t size = std::min(Sums::kChunk, values.size() - first);
    Sums sums;
    ForBlocks<Sums::kBlock>(values.subspan(first, size),
                            [&](const T* from, std::size_t at, std::size_t count)
                                TACIT_INLINE_LAMBDA { take(sums, from, first + at, count); });
    total.Add(sums.Total({grid + first, size}));
  }
  return total;
}

template <Norm kNorm>
TACIT_INLINE GridMeasure TruncateTo(std::span<const float> values, double factor, std::int32_t* grid) {
  return MeasureChunks<kNorm>(
      values, grid,
      [&](GridSums<kNorm>& sums, const float* from, std::size_t at, std::size_t count) TACIT_INLINE_LAMBDA {
        Integers halves[2];
        for (std::size_t i = 0; i < 2; ++i) {
          Floats floats;
          Load(from + i * kWidth, floats);
          halves[i] = __builtin_convertvector(__builtin_convertvector(floats, Doubles) * factor, Integers);
        }
        PairOfIntegers whole;
        std::memcpy(&whole, halves, sizeof whole);
        sums.Take(whole);
        std::memcpy(grid + at, &whole, count * sizeof(std::int32_t));
      });
}

TACIT_INLINE GridMeasure Truncate(std::span<const float> values, double factor, Norm norm, std::int32_t* grid) {
  return norm == Norm::kL2 ? TruncateTo<Norm::kL2>(values, factor, grid) : TruncateTo<Norm::kL1>(values, factor, grid);
}

template <Norm kNorm>
TACIT_INLINE GridMeasure MeasureIntegers(std::span<const std::int32_t> grid) {
  return MeasureChunks<kNorm>(grid, grid.data(),
                              [](GridSums<kNorm>& sums, const std::int32_t* from, std::size_t, std::size_t)
                                  TACIT_INLINE_LAMBDA {
                                    PairOfIntegers values;
                                    Load(from, values);
                                    sums.Take(values);
                                  });
}

/// In order, and each block is read before it is written: where the values stand at the end of the memory of the grid,
/// what is written is never beyond what was read.
template <typename Narrow>
TACIT_INLINE void Widen(std::span<const Narrow> values, std::uint32_t shift, std::int32_t* grid) {
  using Narrows = Narrow __attribute__((vector_size(kWidth * sizeof(Narrow))));
  ForBlocks<kWidth>(values, [&](const Narrow* from, std::size_t at, std::size_t count) TACIT_INLINE_LAMBDA {
    Narrows narrow;
    Load(from, narrow);
    Integers wide = __builtin_convertvector(narrow, Integers);
    wide <<= static_cast<std::int32_t>(shift);
    std::memcpy(grid + at, &wide, count * sizeof(std::int32_t));
  });
}

TACIT_INLINE GridMeasure MeasureGrid(std::span<const std::int32_t> grid, Norm norm) {
  return norm == Norm::kL2 ? MeasureIntegers<Norm::kL2>(grid) : MeasureIntegers<Norm::kL1>(grid);
}

TACIT_INLINE void Add(std::span<const std::int32_t> grid, std::int64_t weight, std::int64_t* sum) {
  const std::size_t whole = grid.size() / kWidth * kWidth;
  for (std::size_t at = 0; at < whole; at += kWidth) {
    Integers values;
    LongIntegers sums;
    Load(grid.data() + at, values);
    Load(sum + at, sums);
    const LongIntegers wide = __builtin_convertvector(values, LongIntegers);
    sums += weight == 1 ? wide : wide * weight;
    Store(sums, sum + at);
  }
  for (std::size_t at = whole; at < grid.size(); ++at) sum[at] += weight * grid[at];
}

TACIT_INLINE void AddNarrow(std::span<const std::int32_t> grid, std::int32_t* sum) {
  const std::size_t whole = grid.size() / kWidth * kWidth;
  for (std::size_t at = 0; at < whole; at += kWidth) {
    Words values;
    Words sums;
    Load(grid.data() + at, values);
    Load(sum + at, sums);
    sums += values;
    Store(sums, sum + at);
  }
  for (std::size_t at = whole; at < grid.size(); ++at) sum[at] += grid[at];
}

}  // namespace tacit::dp::loops

/// Defines a table of kernels, each compiled for the instruction set that the attributes name.
#define TACIT_VECTOR_KERNELS(name, ...)                                                                           \
  namespace tacit::dp {                                                                                           \
  namespace {                                                                                                     \
  __VA_ARGS__ void Measure(std::span<const float> values, Norm norm, FloatMeasure& measure) {                     \
    loops::Measure(values, norm, measure);                                                                        \
  }                                                                                                               \
  __VA_ARGS__ GridMeasure Truncate(std::span<const float> values, double factor, Norm norm, std::int32_t* grid) { \
    return loops::Truncate(values, factor, norm, grid);                                                           \
  }                                                                                                               \
  __VA_ARGS__ void Widen8(std::span<const std::int8_t> values, std::uint32_t shift, std::int32_t* grid) {         \
    loops::Widen(values, shift, grid);                                                                            \
  }                                                                                                               \
  __VA_ARGS__ void Widen16(std::span<const std::int16_t> values, std::uint32_t shift, std::int32_t* grid) {       \
    loops::Widen(values, shift, grid);                                                                            \
  }                                                                                                               \
  __VA_ARGS__ GridMeasure MeasureGrid(std::span<const std::int32_t> grid, Norm norm) {                            \
    return loops::MeasureGrid(grid, norm);                                                                        \
  }                                                                                                               \
  __VA_ARGS__ void Add(std::span<const std::int32_t> grid, std::int64_t weight, std::int64_t* sum) {              \
    loops::Add(grid, weight, sum);                                                                                \
  }                                                                                                               \
  __VA_ARGS__ void AddNarrow(std::span<const std::int32_t> grid, std::int32_t* sum) {                             \
    loops::AddNarrow(grid, sum);                                                                                  \
  }                                                                                                               \
  }                                                                                                               \
  const VectorKernels name{.measure = Measure,                                                                    \
                           .truncate = Truncate,                                                                  \
                           .widen8 = Widen8,                                                                      \
                           .widen16 = Widen16,                                                                    \
                           .measure_grid = MeasureGrid,                                                           \
                           .add = Add,                                                                            \
                           .add_narrow = AddNarrow};                                                              \
  }
