#include "proto/codec/fields.h"

#include <cmath>

namespace tacit::codec {
namespace {

bool IsTokenCharacter(char c) {
  return c > 0x20 && c < 0x7f;
}
bool IsTextCharacter(char c) {
  return IsTokenCharacter(c) || c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

std::string Bound(double value, bool included) {
  return std::to_string(value) + (included ? " (included)" : " (not included)");
}

}  // namespace

Result<void> FieldError(std::string_view field, std::string_view rule) {
  return Fail(ErrorCode::kInvalidArgument, std::string(field) + " must be " + std::string(rule));
}

Result<void> CheckText(std::string_view field, std::string_view text, TextRule rule) {
  if (text.size() < rule.min_bytes || text.size() > rule.max_bytes) {
    return FieldError(field, std::to_string(rule.min_bytes) + " to " + std::to_string(rule.max_bytes) + " bytes, not " +
                                 std::to_string(text.size()));
  }
  const auto fits = rule.token_characters_only ? IsTokenCharacter : IsTextCharacter;
  if (std::ranges::all_of(text, fits)) return {};
  return FieldError(field, rule.token_characters_only ? "printable ASCII without spaces" : "printable ASCII");
}

std::string PrintableText(std::string text) {
  std::ranges::replace_if(text, [](char c) { return !IsTextCharacter(c); }, '?');
  return text;
}

Result<void> CheckReal(std::string_view field, double value, RealRule rule) {
  const bool above = rule.low_included ? value >= rule.low : value > rule.low;
  const bool below = rule.high_included ? value <= rule.high : value < rule.high;
  if (std::isfinite(value) && above && below) return {};
  return FieldError(field, "a number from " + Bound(rule.low, rule.low_included) + " to " +
                               Bound(rule.high, rule.high_included) + ", not " + std::to_string(value));
}

}  // namespace tacit::codec
