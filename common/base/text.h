#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tacit {

/// What stands in a file or came over the network, for a message: in quotes, cut after 40 characters, with '?' for
/// control characters, so that it can neither fill a log nor write to a terminal.
std::string Excerpt(std::string_view text);

/// The text as a whole number, all of it: no sign, no space, no other base, nothing behind it. Nothing where it is
/// none, or does not fit.
std::optional<std::uint64_t> ParseWhole(std::string_view text);

/// ASCII letters in lower case, all else as it is: names of protocols are compared so, whatever the locale.
constexpr char LowerCase(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string LowerCase(std::string_view text);
/// Whether two texts are the same but for the case of ASCII letters.
bool EqualInAnyCase(std::string_view one, std::string_view other);

/// A number and what it counts: "1 round", "2 rounds".
std::string Counted(std::uint64_t number, std::string_view singular);

/// A number in four significant digits that is never below it: for what must not look better than it is. "-" for no
/// number.
std::string RoundedUp(double value);

/// " (did you mean 'size'?)" for the known word that is nearest to an unknown one: a few letters away, or begun with
/// it; nothing when none is.
std::string DidYouMean(std::string_view unknown, std::span<const std::string> known);

}  // namespace tacit
