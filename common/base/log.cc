#include "common/base/log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

namespace tacit {
namespace {

constexpr std::array<std::string_view, 4> kLevelNames = {"debug", "info", "warn", "error"};

// Length of the valid UTF-8 sequence at the front of `text`, or 0. Source: RFC 3629, section 4.
std::size_t Utf8Length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return i < text.size() && at(i) >= low && at(i) <= high;
  };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : 0xbf;
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

std::string FormatNumber(double value) {
  if (!std::isfinite(value)) return JsonQuote(std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace

std::string JsonQuote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char c = text.front();
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escaped;
    } else {
      const std::size_t length = Utf8Length(text);
      out += length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, length);
      text.remove_prefix(length == 0 ? 1 : length);
      continue;
    }
    text.remove_prefix(1);
  }
  return out + '"';
}

void LogField::AppendTo(std::string& json) const {
  json += ',';
  json += JsonQuote(key_);
  json += ':';
  if (const auto* text = std::get_if<std::string>(&value_)) json += JsonQuote(*text);
  if (const auto* flag = std::get_if<bool>(&value_)) json += *flag ? "true" : "false";
  if (const auto* number = std::get_if<double>(&value_)) json += FormatNumber(*number);
  if (const auto* whole = std::get_if<std::int64_t>(&value_)) json += std::to_string(*whole);
}

Logger::Logger(int file_descriptor, const Clock& clock, LogLevel level)
    : file_descriptor_(file_descriptor), clock_(clock), level_(level) {}

void Logger::Write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (Writes(level)) WriteLine(level, event, fields, 0);
}

void Logger::WarnSparingly(std::string_view event, std::initializer_list<LogField> fields) {
  if (!Writes(LogLevel::kWarn)) return;
  const std::optional<std::uint64_t> untold = TakeLine(event);
  if (untold) WriteLine(LogLevel::kWarn, event, fields, *untold);
}

// What was left out before the line that may be written now, or nothing when this one is to be left out as well.
std::optional<std::uint64_t> Logger::TakeLine(std::string_view event) {
  const SteadyTime now = clock_.SteadyNow();
  const std::scoped_lock lock(mutex_);
  auto found = budgets_.find(event);
  if (found == budgets_.end()) found = budgets_.emplace(event, Budget{}).first;
  Budget& budget = found->second;
  if (budget.lines == kBurst) budget.next_line = now + kBetweenLines;
  if (now >= budget.next_line) {
    const auto earned = static_cast<std::uint64_t>((now - budget.next_line) / kBetweenLines) + 1;
    budget.lines = std::min(kBurst, budget.lines + earned);
    budget.next_line += earned * kBetweenLines;
  }
  if (budget.lines == 0) {
    ++budget.untold;
    return std::nullopt;
  }
  --budget.lines;
  return std::exchange(budget.untold, 0);
}

void Logger::WriteLine(LogLevel level, std::string_view event, std::span<const LogField> fields, std::uint64_t untold) {
  std::string line = R"({"time":")" + FormatRfc3339(clock_.Now()) + R"(","level":")";
  line += kLevelNames[static_cast<std::size_t>(level)];
  line += R"(","event":)";
  line += JsonQuote(event);
  for (const LogField& field : fields) field.AppendTo(line);
  if (untold > 0) LogField("untold", untold).AppendTo(line);
  line += "}\n";
  const std::scoped_lock lock(mutex_);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(file_descriptor_, rest.data(), rest.size());
    // A log that cannot be written must not stop the server; there is nowhere left to say so.
    if (written <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace tacit
