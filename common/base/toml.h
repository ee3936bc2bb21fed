#pragma once

#include <cstddef>
#include <string_view>

#include "common/base/result.h"

// toml++ as all our code uses it: header-only, because the package's shared library is built to throw, and without
// assertions. With NDEBUG the library turns those into assumptions about what a file holds, which is for the file to
// decide: "[~" would be undefined behaviour. With assertions that do nothing its parser reaches the checks behind them.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(expr) static_assert(true)
#pragma push_macro("NDEBUG")
#undef NDEBUG
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace tacit {

/// Parses TOML 1.0, less what no file of ours needs and the library gets wrong: text other than ASCII stands only in
/// comments and in double quotes, there is no text over several lines, and dots in keys are few (their tables nest
/// without a limit otherwise, and are walked recursively). Columns behind such text count its escaped form.
/// Errors: kInvalidArgument, `file:line:column: what`; kTooLarge over `max_bytes`.
Result<toml::table> ParseToml(std::string_view text, std::string_view file_name, std::size_t max_bytes);

}  // namespace tacit
