#include "cli/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "common/base/bytes.h"

namespace tacit::cli {
namespace {

constexpr std::chrono::seconds kLongestDuration = std::chrono::days(3653);

struct Unit {
  char letter;
  std::int64_t seconds;
};
constexpr std::array<Unit, 4> kUnits{{{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}}};

std::vector<std::size_t> ColumnWidths(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  return widths;
}

}  // namespace

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  const std::vector<std::size_t> widths = ColumnWidths(rows);
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

std::string FormatPairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::size_t width = 0;
  for (const auto& [name, value] : pairs) width = std::max(width, name.size());
  std::string text;
  for (const auto& [name, value] : pairs) {
    text += name + ":" + std::string(width - name.size() + 2, ' ') + value + "\n";
  }
  return text;
}

std::string FormatNumber(double value) {
  if (!std::isfinite(value)) return "-";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

std::string FormatNoise(double value) {
  if (!std::isfinite(value)) return "-";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

std::string FormatProgress(std::uint64_t done, std::uint64_t total) {
  if (total == 0) return {};
  constexpr std::size_t kWidth = 30;
  constexpr std::uint64_t kKiB = 1024;
  const double part = static_cast<double>(std::min(done, total)) / static_cast<double>(total);
  std::string bar(static_cast<std::size_t>(part * kWidth), '=');
  bar.resize(kWidth, ' ');
  const bool large = total >= kKiB * kKiB;
  const std::uint64_t unit = large ? kKiB * kKiB : kKiB;
  return "[" + bar + "] " + std::to_string(static_cast<int>(part * 100)) + " % of " +
         std::to_string((total + unit - 1) / unit) + (large ? " MiB" : " KiB");
}

std::string ShellQuote(std::string_view text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,";
  if (!text.empty() && text.find_first_not_of(kPlain) == text.npos) return std::string(text);
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string PercentEncode(std::string_view text) {
  constexpr std::string_view kUnreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  std::string encoded;
  for (const char c : text) {
    encoded += kUnreserved.contains(c) ? std::string(1, c) : "%" + ToHex(AsBytes(std::string_view(&c, 1)));
  }
  return encoded;
}

Result<std::chrono::seconds> ParseDuration(std::string_view text) {
  const auto refuse = [&] {
    return Fail(ErrorCode::kInvalidArgument,
                "'" + std::string(text) + "' is not a duration such as 90s, 15m, 24h or 7d (at most 10 years)");
  };
  if (text.size() < 2) return refuse();
  const auto* const unit = std::ranges::find(kUnits, text.back(), &Unit::letter);
  if (unit == kUnits.end()) return refuse();
  std::int64_t count = 0;
  const std::string_view digits = text.substr(0, text.size() - 1);
  const auto [stop, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (failure != std::errc() || stop != digits.data() + digits.size() || count <= 0) return refuse();
  if (count > kLongestDuration.count() / unit->seconds) return refuse();
  return std::chrono::seconds(count * unit->seconds);
}

}  // namespace tacit::cli
