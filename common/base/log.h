#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/clock.h"

namespace tacit {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn, kError };

/// One field of a log event. A field is a release: callers pass only what docs/PRIVACY.md allows.
class LogField {
 public:
  LogField(std::string_view key, std::string_view value) : key_(key), value_(std::string(value)) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, const std::string& value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, bool value) : key_(key), value_(value) {}
  LogField(std::string_view key, double value) : key_(key), value_(value) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  LogField(std::string_view key, T value) : key_(key), value_(static_cast<std::int64_t>(value)) {}

  void AppendTo(std::string& json) const;

 private:
  std::string_view key_;
  std::variant<std::string, bool, double, std::int64_t> value_;
};

/// Writes one JSON object a line: {"time", "level", "event", ...fields}. Every event is listed in docs/OPERATING.md.
/// Threads: any; a line is written whole.
class Logger {
 public:
  /// `file_descriptor` is borrowed; the clock must outlive the logger.
  Logger(int file_descriptor, const Clock& clock, LogLevel level);
  /// Whether events of this level are written; for callers whose fields cost something to make.
  [[nodiscard]] bool Writes(LogLevel level) const { return level >= level_; }
  void Write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);
  void Debug(std::string_view event, std::initializer_list<LogField> fields = {}) {
    Write(LogLevel::kDebug, event, fields);
  }
  void Info(std::string_view event, std::initializer_list<LogField> fields = {}) {
    Write(LogLevel::kInfo, event, fields);
  }
  void Warn(std::string_view event, std::initializer_list<LogField> fields = {}) {
    Write(LogLevel::kWarn, event, fields);
  }
  void Error(std::string_view event, std::initializer_list<LogField> fields = {}) {
    Write(LogLevel::kError, event, fields);
  }
  /// A warning that strangers can cause as often as they like: of each event kBurst lines at once, and then one every
  /// kBetweenLines, in which "untold" says how many were left out since the last. A flood does not become one of the
  /// log.
  void WarnSparingly(std::string_view event, std::initializer_list<LogField> fields);

  static constexpr std::uint64_t kBurst = 50;
  static constexpr Millis kBetweenLines{2'000};

 private:
  struct Budget {
    std::uint64_t lines = kBurst;
    SteadyTime next_line{};
    std::uint64_t untold = 0;
  };
  std::optional<std::uint64_t> TakeLine(std::string_view event);
  void WriteLine(LogLevel level, std::string_view event, std::span<const LogField> fields, std::uint64_t untold);

  int file_descriptor_;
  const Clock& clock_;
  const LogLevel level_;
  std::mutex mutex_;
  std::map<std::string, Budget, std::less<>> budgets_;  // guarded by mutex_; by event
};

/// `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD, so a hostile name cannot break a
/// line.
std::string JsonQuote(std::string_view text);

}  // namespace tacit
