#include "edge_agent/worker/ending.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>

#include "edge_agent/worker/call_names.h"

namespace tacit::worker {
namespace {

constexpr std::size_t kMostShown = 200;

// Somebody who took the worker over must not steer a terminal or break a line of a log.
std::string Printable(std::string_view words) {
  while (!words.empty() && words.back() == '\n') words.remove_suffix(1);
  std::string text(words.substr(0, kMostShown));
  std::ranges::replace_if(text, [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text;
}

Ending Refused(std::string_view words) {
  const std::size_t at = words.find(kRefusedWords);
  long number = -1;
  if (at != std::string_view::npos) {
    const std::string_view digits = words.substr(at + kRefusedWords.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
  }
  return {EndCause::kRefusedCall, number < 0 ? "a call that it did not name" : NameOfCall(number)};
}

}  // namespace

std::string_view NameOf(EndCause cause) {
  constexpr std::array<std::string_view, 5> kNames = {"quit", "crashed", "refused_call", "tampered", "stuck"};
  return kNames[static_cast<std::size_t>(cause)];
}

Ending ReadEnding(int status, std::string_view words) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    if (signal == SIGSYS) return {EndCause::kRefusedCall, "a call of another architecture"};
    return {EndCause::kCrashed, "signal " + std::to_string(signal) + (words.empty() ? "" : ": " + Printable(words))};
  }
  switch (WEXITSTATUS(status)) {
    case kQuitExit:
      return {EndCause::kQuit, ""};
    case kRefusedExit:
      return Refused(words);
    case kTamperedExit:
      return {EndCause::kTampered, "the weights in memory are not those that were loaded"};
    default:
      return {EndCause::kCrashed,
              "exit code " + std::to_string(WEXITSTATUS(status)) + (words.empty() ? "" : ": " + Printable(words))};
  }
}

}  // namespace tacit::worker
