#include "dp/stochastic_rounding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "dp/vector_kernels.h"

namespace tacit::dp {
namespace {

constexpr std::size_t kWordsAtOnce = 4096;
// How many standard deviations of the coins' part of the norm the first scaling leaves room for.
constexpr double kRoom = 4;
constexpr double kShrink = 0.99;

struct Size {
  double magnitudes = 0;
  double squares = 0;
  double entries = 0;  // that are not zero
};

Size SizeOf(std::span<const std::int32_t> grid, double step) {
  Size size;
  for (const std::int32_t q : grid) {
    const double y = q / step;
    size.magnitudes += std::abs(y);
    size.squares += y * y;
    size.entries += q != 0 ? 1 : 0;
  }
  return size;
}

// By how much the vector must shrink for the norm to hold once coins have fallen, in units of `radius`: a coin adds at
// most 1/4 to the expected square of its entry, and nothing to its expected magnitude.
double ScaleFor(const Size& size, double radius, Norm norm) {
  const double coins = size.entries / 4;
  if (norm == Norm::kL1) return (radius - kRoom * std::sqrt(coins)) / size.magnitudes;
  const double room = radius * radius - coins - kRoom * std::sqrt(size.squares + coins);
  return room > 0 ? std::sqrt(room / size.squares) : 0;
}

class Coins {
 public:
  explicit Coins(Keystream& bits) : bits_(bits) {}

  std::uint32_t Next() {
    if (at_ == words_.size()) Refill();
    return words_.at(at_++);
  }

 private:
  void Refill() {
    bits_.Fill(next_block_, {reinterpret_cast<std::uint8_t*>(words_.data()), sizeof words_});
    next_block_ += sizeof words_ / sizeof(Keystream::Block);
    at_ = 0;
  }

  Keystream& bits_;
  std::uint64_t next_block_ = 0;
  std::array<std::uint32_t, kWordsAtOnce> words_{};
  std::size_t at_ = kWordsAtOnce;
};

// floor(q / 2^shift), and one more with the probability of what that leaves out.
std::int32_t Round(std::int32_t q, std::uint32_t shift, Coins& coins) {
  const std::uint32_t mask = (1U << shift) - 1;
  const std::uint32_t rest = static_cast<std::uint32_t>(q) & mask;
  return (q >> shift) + static_cast<std::int32_t>((coins.Next() & mask) < rest);
}

}  // namespace

Result<std::uint32_t> RoundToWidth(std::span<std::int32_t> grid, Width width, GridRadius grid_radius, Norm norm,
                                   Keystream& bits) {
  if (width == Width::k32) return 0U;
  const std::uint32_t most = (1U << (8 * BytesOf(width) - 1)) - 1;  // the smaller side of two's complement
  const std::uint32_t largest = Kernels().measure_grid(grid, norm).largest;
  std::uint32_t shift = 0;
  while (((largest + (1U << shift) - 1) >> shift) > most) ++shift;
  if (shift == 0) return shift;
  const auto places = static_cast<std::int32_t>(shift);
  const double step = std::ldexp(1.0, places);
  double scale = std::min(1.0, ScaleFor(SizeOf(grid, step), grid_radius.value() / step, norm));
  if (scale < 0.5) {
    return Fail(ErrorCode::kInvalidArgument,
                "an update of " + std::to_string(grid.size()) + " parameters does not fit entries of " +
                    std::to_string(8 * BytesOf(width)) +
                    " bits: rounding would be as large as the update; use a wider encoding");
  }
  const std::vector<std::int32_t> exact(grid.begin(), grid.end());
  Coins coins(bits);
  // Ends: a vector that is scaled down far enough has no entry left.
  for (;; scale *= kShrink) {
    for (std::size_t i = 0; i < grid.size(); ++i) {
      const auto scaled = scale < 1 ? static_cast<std::int32_t>(exact[i] * scale) : exact[i];
      grid[i] = Round(scaled, shift, coins);
    }
    for (std::int32_t& q : grid) q <<= places;
    const GridMeasure measure = Kernels().measure_grid(grid, norm);
    for (std::int32_t& q : grid) q >>= places;
    if (measure.Within(grid_radius, norm)) return shift;
  }
}

}  // namespace tacit::dp
