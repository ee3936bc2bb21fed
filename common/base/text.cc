#include "common/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace tacit {
namespace {

std::string FourDigits(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

/// Levenshtein distance, two rows at a time.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Excerpt(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string shown(text.substr(0, kLongest));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return "'" + shown + (text.size() > kLongest ? "...'" : "'");
}

std::optional<std::uint64_t> ParseWhole(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = LowerCase(c);
  return lower;
}

bool EqualInAnyCase(std::string_view one, std::string_view other) {
  const auto lower = [](char c) { return LowerCase(c); };
  return std::ranges::equal(one, other, {}, lower, lower);
}

std::string Counted(std::uint64_t number, std::string_view singular) {
  return std::to_string(number) + " " + std::string(singular) + (number == 1 ? "" : "s");
}

std::string RoundedUp(double value) {
  if (std::isinf(value)) return "infinity";
  if (std::isnan(value)) return "-";
  const std::string nearest = FourDigits(value);
  if (std::strtod(nearest.c_str(), nullptr) >= value) return nearest;
  const double last_place = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 3);
  return FourDigits(value + last_place);
}

std::string DidYouMean(std::string_view unknown, std::span<const std::string> known) {
  constexpr std::size_t kLongestWord = 40;
  // Shorter beginnings fit too much.
  constexpr std::size_t kShortestBeginning = 4;
  if (unknown.size() > kLongestWord) return "";
  std::size_t best = std::max<std::size_t>(1, unknown.size() / 3) + 1;
  std::string_view closest;
  for (const std::string& word : known) {
    const bool begun = unknown.size() >= kShortestBeginning && word.starts_with(unknown);
    const std::size_t distance = begun ? 0 : EditDistance(unknown, word);
    if (distance >= best) continue;
    best = distance;
    closest = word;
  }
  return closest.empty() ? "" : " (did you mean '" + std::string(closest) + "'?)";
}

}  // namespace tacit
