#include "dp/clip.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace tacit::dp {
namespace {

__extension__ using Wide = unsigned __int128;

// Sums run in this many independent lanes, combined in the order written here: the same bits on every CPU and at every
// vector width, and an error that grows with d / 64 instead of d. (A single float32 chain over 10^8 equal entries was
// measured to be wrong by a factor of two.)
constexpr std::size_t kLanes = 64;
using Block = std::array<float, kLanes>;

constexpr std::uint32_t kSignMask = 0x7fffffffU;
constexpr std::uint32_t kSmallestExponent = 0x00800000U;
constexpr std::uint32_t kNotFinite = 0x80000000U;

/// Copies up to kLanes floats from position `at`, and zeros behind the end. Through memcpy, because the same memory may
/// be written as integers.
Block LoadBlock(std::span<const float> values, std::size_t at) {
  Block block{};
  std::memcpy(block.data(), values.data() + at, std::min(kLanes, values.size() - at) * sizeof(float));
  return block;
}

/// A word whose top bit says that `value` is NaN or infinite: the exponent, all ones, overflows into it.
std::uint32_t NotFiniteBit(float value) {
  return (std::bit_cast<std::uint32_t>(value) & kSignMask) + kSmallestExponent;
}

struct FloatNorm {
  double norm;
  bool finite;
};

/// The norm in double, and whether all entries are finite. No early exit: the time does not depend on the values. No
/// intermediate overflows: a square is at most 2^256 and there are at most 2^28 of them.
template <Norm kNorm>
FloatNorm MeasureFloats(std::span<const float> values) {
  std::array<double, kLanes> lanes{};
  std::uint32_t not_finite = 0;
  for (std::size_t at = 0; at < values.size(); at += kLanes) {
    const Block block = LoadBlock(values, at);
    for (std::size_t i = 0; i < kLanes; ++i) {
      const double magnitude = std::abs(static_cast<double>(block[i]));
      lanes[i] += kNorm == Norm::kL2 ? magnitude * magnitude : magnitude;
      not_finite |= NotFiniteBit(block[i]);
    }
  }
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return {kNorm == Norm::kL2 ? std::sqrt(lanes[0]) : lanes[0], (not_finite & kNotFinite) == 0};
}

FloatNorm MeasureFloats(std::span<const float> values, Norm norm) {
  return norm == Norm::kL2 ? MeasureFloats<Norm::kL2>(values) : MeasureFloats<Norm::kL1>(values);
}

std::unexpected<Error> RefuseNotFinite(std::span<const float> values) {
  const auto bad = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  return Fail(ErrorCode::kInvalidArgument, "the update is not finite: entry " + std::to_string(bad - values.begin()) +
                                               " is " + (std::isnan(*bad) ? "NaN" : "infinite"));
}

/// grid_i = trunc(values_i * factor). |values_i * factor| is at most 2^30 (1 + 2^-20), so the conversion cannot
/// overflow.
void Truncate(std::span<const float> values, double factor, std::span<std::int32_t> grid) {
  for (std::size_t at = 0; at < values.size(); at += kLanes) {
    const Block block = LoadBlock(values, at);
    std::array<std::int32_t, kLanes> whole;
    for (std::size_t i = 0; i < kLanes; ++i)
      whole[i] = static_cast<std::int32_t>(static_cast<double>(block[i]) * factor);
    std::memcpy(grid.data() + at, whole.data(), std::min(kLanes, values.size() - at) * sizeof(std::int32_t));
  }
}

/// |value| as a word; right for the smallest integer too.
std::uint32_t Magnitude(std::int32_t value) {
  const auto word = static_cast<std::uint32_t>(value);
  return value < 0 ? 0U - word : word;
}

std::uint32_t LargestMagnitude(std::span<const std::int32_t> grid) {
  std::uint32_t largest = 0;
  for (const std::int32_t value : grid) largest = std::max(largest, Magnitude(value));
  return largest;
}

/// sum(q_i^2), exactly. A square is at most 2^62; its halves are below 2^32 each, and 2^32 of them fit a 64-bit sum.
Wide SumOfSquares(std::span<const std::int32_t> grid) {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  for (const std::int32_t value : grid) {
    const std::uint64_t magnitude = Magnitude(value);
    const std::uint64_t square = magnitude * magnitude;
    low += square & 0xffffffffU;
    high += square >> 32U;
  }
  return (Wide{high} << 32U) + low;
}

/// sum(|q_i|), exactly: at most 2^31 * 2^28.
std::uint64_t SumOfMagnitudes(std::span<const std::int32_t> grid) {
  std::uint64_t sum = 0;
  for (const std::int32_t value : grid) sum += Magnitude(value);
  return sum;
}

bool NormHolds(std::span<const std::int32_t> grid, GridRadius grid_radius, Norm norm) {
  const std::uint64_t radius = grid_radius.value();
  return norm == Norm::kL2 ? SumOfSquares(grid) <= Wide{radius} * radius : SumOfMagnitudes(grid) <= radius;
}

/// Moves every entry that is not zero one step toward zero.
void ShrinkByOneStep(std::span<std::int32_t> grid) {
  for (std::int32_t& value : grid) value -= static_cast<std::int32_t>(value > 0) - static_cast<std::int32_t>(value < 0);
}

Result<void> CheckLength(std::size_t size) {
  if (size <= kMaxParameters) return {};
  return Fail(ErrorCode::kInvalidArgument, "the update has " + std::to_string(size) + " entries and at most " +
                                               std::to_string(kMaxParameters) + " are supported");
}

Result<void> CheckMagnitudes(std::span<const std::int32_t> grid, std::uint32_t bound, std::string_view name) {
  if (LargestMagnitude(grid) <= bound) return {};
  const auto bad = std::ranges::find_if(grid, [&](std::int32_t q) { return Magnitude(q) > bound; });
  return Fail(ErrorCode::kInvalidArgument, "the update lies outside the " + std::string(name) + ' ' +
                                               std::to_string(bound) + ": entry " + std::to_string(bad - grid.begin()));
}

}  // namespace

Result<ClipOutcome> ClipToGrid(std::span<const float> delta, ClipNorm clip_norm, GridRadius grid_radius, Norm norm,
                               std::span<std::int32_t> grid) {
  TACIT_TRY_VOID(CheckLength(delta.size()));
  if (grid.size() != delta.size()) {
    return Fail(ErrorCode::kInvalidArgument, "the grid has room for " + std::to_string(grid.size()) +
                                                 " entries and the update has " + std::to_string(delta.size()));
  }
  const FloatNorm measured = MeasureFloats(delta, norm);
  if (!measured.finite) return RefuseNotFinite(delta);
  // The lanes' sum is within d / 64 * 2^-53 <= 2^-31 of the true one; the margin puts a scaled vector below the bound.
  // A vector that is not scaled can still be above it: squares too small for their lane are lost, and are whole steps
  // on a fine grid. The integers decide.
  constexpr double kMargin = 1 + 0x1p-30;
  const bool clipped = measured.norm > clip_norm.value();
  Truncate(delta, grid_radius.value() / (clipped ? measured.norm * kMargin : clip_norm.value()), grid);
  ShrinkToNorm(grid, grid_radius, norm);
  return ClipOutcome{clipped};
}

void ShrinkToNorm(std::span<std::int32_t> grid, GridRadius grid_radius, Norm norm) {
  // Ends: each pass lowers every magnitude that is not zero, and zeros hold.
  while (!NormHolds(grid, grid_radius, norm)) ShrinkByOneStep(grid);
}

Result<void> VerifyEntries(std::span<const std::int32_t> grid, std::uint32_t bound) {
  TACIT_TRY_VOID(CheckLength(grid.size()));
  return CheckMagnitudes(grid, bound, "bound on noised entries,");
}

Result<void> VerifyGrid(std::span<const std::int32_t> grid, GridRadius grid_radius, Norm norm) {
  TACIT_TRY_VOID(CheckLength(grid.size()));
  TACIT_TRY_VOID(CheckMagnitudes(grid, grid_radius.value(), "grid radius"));
  if (NormHolds(grid, grid_radius, norm)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              std::string("the ") + (norm == Norm::kL2 ? "L2" : "L1") + " norm of the update exceeds the grid radius " +
                  std::to_string(grid_radius.value()) + ": clip to the task's clip norm before rounding toward zero");
}

}  // namespace tacit::dp
