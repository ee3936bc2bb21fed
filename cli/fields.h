#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/output.h"

namespace tacit::cli {

// Readers of a server's answer. None throws and none trusts a type: a field that is missing, null or of another type
// reads as its fallback, so that a newer or older server is still shown.

/// A text as it is, another scalar as JSON writes it, anything else as '-'.
std::string TextAt(const Json& object, std::string_view key);
double NumberAt(const Json& object, std::string_view key, double fallback);
std::uint64_t CountAt(const Json& object, std::string_view key);
/// As FormatNumber, '-' when it is no number.
std::string ShortNumberAt(const Json& object, std::string_view key);
/// As RoundedUp, for what must not look smaller than it is: an epsilon, a delta.
std::string CostAt(const Json& object, std::string_view key);
/// For an answer of our own. JSON has no infinity: null is "no guarantee".
Json FiniteOrNull(double value);
/// The member, or null.
const Json& MemberAt(const Json& object, std::string_view key);

}  // namespace tacit::cli
