#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace tacit {

/// A name that is safe in a URL path, a file name, a log line and a certificate: [a-z0-9]([a-z0-9-]{0,62}).
/// Tag keeps names of different things from being mixed up.
template <typename Tag>
class Name {
 public:
  /// Errors: kInvalidArgument, naming the rule that `text` breaks.
  static Result<Name> Parse(std::string_view text) {
    const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    bool good = !text.empty() && text.size() <= 63 && text.front() != '-';
    for (const char c : text) good = good && fits(c);
    if (!good) {
      return Fail(ErrorCode::kInvalidArgument,
                  std::string(Tag::kWhat) + " must be 1 to 63 of a-z, 0-9 and '-', " + "not starting with '-'");
    }
    return Name(std::string(text));
  }
  [[nodiscard]] const std::string& str() const { return text_; }
  auto operator<=>(const Name&) const = default;

 private:
  explicit Name(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

struct TaskIdTag {
  static constexpr std::string_view kWhat = "a task name";
};
struct DeviceIdTag {
  static constexpr std::string_view kWhat = "a device name";
};
using TaskId = Name<TaskIdTag>;
using DeviceId = Name<DeviceIdTag>;

/// Rounds of a task are numbered from 1.
using RoundNumber = std::uint64_t;
/// Model version v is what round v published; version 0 is the initial model.
using ModelVersion = std::uint64_t;

/// One round of one task.
struct RoundKey {
  TaskId task;
  RoundNumber round = 0;
  auto operator<=>(const RoundKey&) const = default;
};

}  // namespace tacit

template <typename Tag>
struct std::hash<tacit::Name<Tag>> {
  std::size_t operator()(const tacit::Name<Tag>& name) const noexcept { return std::hash<std::string>{}(name.str()); }
};
