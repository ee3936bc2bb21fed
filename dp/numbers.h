#pragma once

#include <limits>

namespace tacit::dp {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The largest relative error of one correctly rounded operation on doubles.
inline constexpr double kUnit = 0x1p-53;

}  // namespace tacit::dp
