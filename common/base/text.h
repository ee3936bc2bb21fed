#pragma once

#include <string>
#include <string_view>

namespace tacit {

/// What stands in a file or came over the network, for a message: in quotes, cut after 40 characters, with '?' for
/// control characters, so that it can neither fill a log nor write to a terminal.
std::string Excerpt(std::string_view text);

/// A number in four significant digits that is never below it: for what must not look better than it is. "-" for no
/// number.
std::string RoundedUp(double value);

}  // namespace tacit
