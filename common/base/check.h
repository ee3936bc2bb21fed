#pragma once

#include <cstdio>
#include <cstdlib>

namespace tacit {

/// Ends the process because an invariant that only a bug can break is broken.
[[noreturn]] inline void CheckFailed(const char* expression, const char* reason, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: check failed: %s (%s)\n", file, line, expression, reason);
  std::abort();
}

}  // namespace tacit

/// Asserts, in every build, what only a bug in Tacit could make false; `reason` says why it must hold.
#define TACIT_CHECK(condition, reason)                              \
  do {                                                              \
    if (!(condition)) [[unlikely]]                                  \
      ::tacit::CheckFailed(#condition, reason, __FILE__, __LINE__); \
  } while (false)
