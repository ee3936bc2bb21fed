#pragma once

#include <string_view>

namespace tacit {

/// The version of every program of this source tree; CMake's project version is checked against it.
inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace tacit
