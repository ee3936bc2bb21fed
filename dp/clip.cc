#include "dp/clip.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

#include "dp/vector_kernels.h"

namespace tacit::dp {
namespace {

auto FirstNotFinite(std::span<const float> values) {
  return std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
}

std::unexpected<Error> RefuseNotFinite(std::span<const float> values) {
  const auto bad = FirstNotFinite(values);
  return Fail(ErrorCode::kInvalidArgument, "the update is not finite: entry " + std::to_string(bad - values.begin()) +
                                               " is " + (std::isnan(*bad) ? "NaN" : "infinite"));
}

/// |value| as a word; right for the smallest integer too.
std::uint32_t Magnitude(std::int32_t value) {
  const auto word = static_cast<std::uint32_t>(value);
  return value < 0 ? 0U - word : word;
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

std::unexpected<Error> RefuseBeyond(std::span<const std::int32_t> grid, std::uint32_t bound, std::string_view name) {
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
  FloatMeasure measure;
  Kernels().measure(delta, norm, measure);
  TACIT_TRY(
      const internal::Scale scale,
      internal::ScaleOf(
          {.values = delta, .measure = measure, .clip_norm = clip_norm, .grid_radius = grid_radius, .norm = norm}));
  internal::PutOnGrid(delta, scale.factor, grid_radius, norm, grid);
  return ClipOutcome{scale.clipped};
}

Result<internal::Scale> internal::ScaleOf(const Measured& delta) {
  TACIT_TRY_VOID(CheckLength(delta.values.size()));
  if (!delta.measure.finite()) return RefuseNotFinite(delta.values);
  // The lanes' sum is within d / 64 * 2^-53 <= 2^-31 of the true one; the margin puts a scaled vector below the bound.
  // A vector that is not scaled can still be above it: squares too small for their lane are lost, and are whole steps
  // on a fine grid. The integers decide.
  constexpr double kMargin = 1 + 0x1p-30;
  const double length = delta.measure.Norm(delta.norm);
  const bool clipped = length > delta.clip_norm.value();
  // A product is at most 2^30 (1 + 2^-20): no conversion can overflow.
  return Scale{.factor = delta.grid_radius.value() / (clipped ? length * kMargin : delta.clip_norm.value()),
               .clipped = clipped};
}

void internal::PutOnGrid(std::span<const float> values, double factor, GridRadius grid_radius, Norm norm,
                         std::span<std::int32_t> grid) {
  const GridMeasure integers = Kernels().truncate(values, factor, norm, grid.data());
  if (!integers.Within(grid_radius, norm)) ShrinkToNorm(grid, grid_radius, norm);
}

void ShrinkToNorm(std::span<std::int32_t> grid, GridRadius grid_radius, Norm norm) {
  // Ends: each pass lowers every magnitude that is not zero, and zeros hold.
  while (!Kernels().measure_grid(grid, norm).Within(grid_radius, norm)) ShrinkByOneStep(grid);
}

Result<void> CheckFinite(std::span<const float> values) {
  if (FirstNotFinite(values) == values.end()) return {};
  return RefuseNotFinite(values);
}

Result<void> VerifyEntries(std::span<const std::int32_t> grid, std::uint32_t bound) {
  return internal::CheckEntries(grid, Kernels().measure_grid(grid, Norm::kL1), bound);
}

Result<void> internal::CheckEntries(std::span<const std::int32_t> grid, const GridMeasure& measure,
                                    std::uint32_t bound) {
  TACIT_TRY_VOID(CheckLength(grid.size()));
  if (measure.largest <= bound) return {};
  return RefuseBeyond(grid, bound, "bound on noised entries,");
}

Result<void> VerifyGrid(std::span<const std::int32_t> grid, GridRadius grid_radius, Norm norm) {
  return internal::CheckGrid(grid, Kernels().measure_grid(grid, norm), grid_radius, norm);
}

Result<void> internal::CheckGrid(std::span<const std::int32_t> grid, const GridMeasure& measure, GridRadius grid_radius,
                                 Norm norm) {
  TACIT_TRY_VOID(CheckLength(grid.size()));
  if (measure.largest > grid_radius.value()) return RefuseBeyond(grid, grid_radius.value(), "grid radius");
  if (measure.Within(grid_radius, norm)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              std::string("the ") + (norm == Norm::kL2 ? "L2" : "L1") + " norm of the update exceeds the grid radius " +
                  std::to_string(grid_radius.value()) + ": clip to the task's clip norm before rounding toward zero");
}

}  // namespace tacit::dp
