#include "common/base/toml.h"

#include <optional>
#include <string>
#include <utility>

namespace tacit {
namespace {

/// More than any file of ours has.
constexpr std::size_t kMaxKeyDots = 2000;

bool IsKeyCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '"' || c == '\'';
}

/// An upper bound on the dots that nest tables, comments and fractions counted with them.
std::size_t CountKeyDots(std::string_view text) {
  std::size_t dots = 0;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] != '.') continue;
    const std::size_t before = text.find_last_not_of(" \t", i - 1);
    const std::size_t after = text.find_first_not_of(" \t", i + 1);
    if (before == std::string_view::npos || after == std::string_view::npos) continue;
    if (IsKeyCharacter(text[before]) && IsKeyCharacter(text[after])) ++dots;
  }
  return dots;
}

struct Fault {
  std::size_t offset = 0;
  std::string_view what;
};

/// One past the quoted text whose first quote is at `begin`; the end of the line where it is not closed.
std::size_t SkipQuoted(std::string_view text, std::size_t begin) {
  const char quote = text[begin];
  for (std::size_t i = begin + 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] == quote) return i + 1;
    if (text[i] == '\\' && quote == '"' && i + 1 < text.size() && text[i + 1] != '\n') ++i;
  }
  return text.find('\n', begin);
}

/// What must not reach the library's parser. toml++ 3.3 asks whether every character outside of quotes and comments is
/// white space, and answers for most of those above ASCII with __builtin_unreachable(): undefined behaviour.
std::optional<Fault> FindFault(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '#') {
      i = text.find('\n', i);
    } else if (c == '"' || c == '\'') {
      if (i + 2 < text.size() && text[i + 1] == c && text[i + 2] == c) return Fault{i, "text over several lines"};
      i = SkipQuoted(text, i);
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      return Fault{i, "a character other than ASCII outside of quotes and comments"};
    } else {
      ++i;
    }
  }
  return std::nullopt;
}

std::unexpected<Error> Refuse(std::string_view file_name, std::pair<std::size_t, std::size_t> at,
                              std::string_view what) {
  return Fail(ErrorCode::kInvalidArgument, std::string(file_name) + ":" + std::to_string(at.first) + ":" +
                                               std::to_string(at.second) + ": " + std::string(what));
}

/// Line and column, from 1.
std::pair<std::size_t, std::size_t> PositionOf(std::string_view text, std::size_t offset) {
  std::size_t line = 1;
  std::size_t start = 0;
  for (std::size_t i = 0; i < offset; ++i) {
    if (text[i] != '\n') continue;
    ++line;
    start = i + 1;
  }
  return {line, offset - start + 1};
}

}  // namespace

Result<toml::table> ParseToml(std::string_view text, std::string_view file_name, std::size_t max_bytes) {
  if (text.size() > max_bytes) {
    return Fail(ErrorCode::kTooLarge, std::string(file_name) + ": " + std::to_string(text.size()) + " bytes; at most " +
                                          std::to_string(max_bytes) + " are read");
  }
  if (CountKeyDots(text) > kMaxKeyDots) {
    return Refuse(file_name, {1, 1}, "more than " + std::to_string(kMaxKeyDots) + " dotted keys");
  }
  if (const auto fault = FindFault(text)) {
    return Refuse(file_name, PositionOf(text, fault->offset), std::string(fault->what) + " is not accepted here");
  }
  toml::parse_result parsed = toml::parse(text, file_name);
  if (!parsed) {
    const toml::source_position at = parsed.error().source().begin;
    return Refuse(file_name, {at.line, at.column}, parsed.error().description());
  }
  return std::move(parsed).table();
}

}  // namespace tacit
