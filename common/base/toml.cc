#include "common/base/toml.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <expected>
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
using Scanned = std::expected<void, Fault>;

constexpr std::string_view kForeign = "text other than ASCII outside of comments and \"double quotes\"";

bool IsAscii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

/// Rewrites a file in ASCII without changing what it says. toml++ 3.3 asks about characters nearly anywhere whether
/// they are white space, and answers for most of those above ASCII with __builtin_unreachable(): undefined behaviour.
/// Multi-line text would make this a parser of its own; no file of ours needs it.
class AsciiForm {
 public:
  explicit AsciiForm(std::string_view text) : text_(text) { out_.reserve(text.size()); }

  std::expected<std::string, Fault> Take() {
    while (at_ < text_.size()) {
      if (auto scanned = TakeOne(); !scanned) return std::unexpected(scanned.error());
    }
    return std::move(out_);
  }

 private:
  Scanned TakeOne() {
    const char c = text_[at_];
    if (c == '#') return TakeComment();
    if (c != '"' && c != '\'') return Copy();
    if (at_ + 2 < text_.size() && text_[at_ + 1] == c && text_[at_ + 2] == c) {
      return std::unexpected(Fault{at_, "text over several lines"});
    }
    return TakeQuoted(c);
  }

  Scanned Copy() {
    if (!IsAscii(text_[at_])) return std::unexpected(Fault{at_, kForeign});
    out_ += text_[at_++];
    return {};
  }

  Scanned TakeComment() {
    for (; at_ < text_.size() && text_[at_] != '\n'; ++at_) out_ += IsAscii(text_[at_]) ? text_[at_] : '?';
    return {};
  }

  /// Up to and with the closing quote, or to the end of the line where there is none: the parser says so then.
  Scanned TakeQuoted(char quote) {
    out_ += text_[at_++];
    while (at_ < text_.size() && text_[at_] != '\n') {
      const char c = text_[at_];
      if (quote == '"' && !IsAscii(c)) {
        if (auto escaped = TakeEscaped(); !escaped) return escaped;
        continue;
      }
      if (auto copied = Copy(); !copied) return copied;
      if (c == quote) return {};
      if (c == '\\' && quote == '"' && at_ < text_.size() && text_[at_] != '\n') {
        if (auto copied = Copy(); !copied) return copied;
      }
    }
    return {};
  }

  /// One UTF-8 sequence as \UXXXXXXXX. Source: RFC 3629, section 3.
  Scanned TakeEscaped() {
    const auto lead = static_cast<unsigned char>(text_[at_]);
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
    std::uint32_t point = lead & (0xffU >> (length + 1));
    bool good = lead >= 0xc2 && lead <= 0xf4 && at_ + length <= text_.size();
    for (std::size_t i = 1; good && i < length; ++i) {
      const auto next = static_cast<unsigned char>(text_[at_ + i]);
      good = (next & 0xc0U) == 0x80;
      point = (point << 6U) | (next & 0x3fU);
    }
    if (!good || point < kSmallest[length]) return std::unexpected(Fault{at_, "text that is not UTF-8"});
    std::array<char, 16> escape{};
    std::snprintf(escape.data(), escape.size(), "\\U%08X", static_cast<unsigned>(point));
    out_ += escape.data();
    at_ += length;
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string out_;
};

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
  const auto ascii = AsciiForm(text).Take();
  if (!ascii) {
    const Fault& fault = ascii.error();
    return Refuse(file_name, PositionOf(text, fault.offset), std::string(fault.what) + " is not accepted here");
  }
  toml::parse_result parsed = toml::parse(std::string_view(*ascii), file_name);
  if (!parsed) {
    const toml::source_position at = parsed.error().source().begin;
    return Refuse(file_name, {at.line, at.column}, parsed.error().description());
  }
  return std::move(parsed).table();
}

}  // namespace tacit
