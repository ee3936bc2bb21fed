#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <source_location>

namespace tacit {

/// Ends the process because an invariant that only a bug can break is broken.
[[noreturn]] inline void CheckFailed(const char* expression, const char* reason, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: check failed: %s (%s)\n", file, line, expression, reason);
  std::abort();
}

/// What an optional holds that only a bug in Tacit could have left empty; `reason` says why it must hold something.
template <typename T>
T& Present(std::optional<T>& value, const char* reason,
           const std::source_location& where = std::source_location::current()) {
  if (!value) [[unlikely]]
    CheckFailed("an optional value is there", reason, where.file_name(), static_cast<int>(where.line()));
  return *value;
}
template <typename T>
const T& Present(const std::optional<T>& value, const char* reason,
                 const std::source_location& where = std::source_location::current()) {
  if (!value) [[unlikely]]
    CheckFailed("an optional value is there", reason, where.file_name(), static_cast<int>(where.line()));
  return *value;
}

}  // namespace tacit

/// Asserts, in every build, what only a bug in Tacit could make false; `reason` says why it must hold.
#define TACIT_CHECK(condition, reason)                              \
  do {                                                              \
    if (!(condition)) [[unlikely]]                                  \
      ::tacit::CheckFailed(#condition, reason, __FILE__, __LINE__); \
  } while (false)
