#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tacit::doctor {

enum class Verdict : std::uint8_t {
  kOk,
  kWarning,  ///< Works, but not well, or not for long.
  kProblem,  ///< Does not work.
};
/// `ok`, `warning` or `problem`.
std::string_view NameOf(Verdict verdict);

/// What one look found.
struct Finding {
  std::string area;  ///< One word: `clock`, `disk`, ...
  Verdict verdict = Verdict::kOk;
  std::string what;
  std::string next;  ///< The next command or action to try; empty when all is well.
};
using Findings = std::vector<Finding>;

inline Finding Ok(std::string area, std::string what) {
  return {std::move(area), Verdict::kOk, std::move(what), {}};
}

}  // namespace tacit::doctor
