#pragma once

#include <cstddef>
#include <vector>

namespace tacit::detect {

inline constexpr std::size_t kMinShapiroWilk = 3;
inline constexpr std::size_t kMaxShapiroWilk = 5000;

/// How near values are to a normal distribution: Shapiro and Wilk's W, 1 at most. 0 where all are the same, of which W
/// is not defined. Shape: kMinShapiroWilk to kMaxShapiroWilk finite values. Cost: one sort.
/// Source: Royston 1995, algorithm AS R94 (the statistic; no p-value is taken from it); normal quantiles by Wichura
/// 1988, algorithm AS 241, PPND7.
[[nodiscard]] double ShapiroWilk(std::vector<double> values);

}  // namespace tacit::detect
