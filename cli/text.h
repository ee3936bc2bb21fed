#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace tacit::cli {

/// Columns wide enough for what is in them, two spaces apart; the first row is the heading.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

/// One `name: value` a line, values below each other.
std::string FormatPairs(const std::vector<std::pair<std::string, std::string>>& pairs);

/// Up to four significant digits; '-' for what is not finite.
std::string FormatNumber(double value);

/// A noise multiplier with the six significant digits that a computed one has: it is copied into task files, and one
/// digit less could be less noise than what is said of it. '-' for what is not finite.
std::string FormatNoise(double value);

/// `[=====     ]  50 % of 12 MiB`; empty when there is nothing to come. Units: bytes.
std::string FormatProgress(std::uint64_t done, std::uint64_t total);

/// `text` as one word of a shell command.
std::string ShellQuote(std::string_view text);

/// `text` as one value of a URL's query.
std::string PercentEncode(std::string_view text);

/// A whole number and a unit: 90s, 15m, 24h, 7d. Errors: kInvalidArgument, also for 0 and for more than 10 years.
Result<std::chrono::seconds> ParseDuration(std::string_view text);

}  // namespace tacit::cli
