#pragma once

#include <cstddef>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/base/result.h"

namespace tacit::identity {

/// JSON of somebody else, of which no two readers can make different things: an object, no name twice in one object, no
/// more than 16 levels, UTF-8, nothing behind its end. `what` names it in messages.
/// Errors: kMalformed; kTooLarge over `max_bytes`.
Result<nlohmann::json> ParseStrictObject(std::string_view text, std::string_view what, std::size_t max_bytes);

/// The member of that name, when it is a text; else null.
const std::string* TextMember(const nlohmann::json& object, std::string_view name);

}  // namespace tacit::identity
