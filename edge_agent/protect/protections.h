#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace tacit::protect {

/// What can protect a process and the pages of a model. Each is asked for; whether it holds is found out, and told.
enum class Measure : std::uint8_t {
  kNotDumpable,      ///< Other processes of the same user can neither trace it nor read its memory; no core dump.
  kNoCoreFile,       ///< The limit of a core file is 0.
  kNoNewPrivileges,  ///< No program that it runs could gain rights.
  kNoWriteExecute,   ///< Memory that was writable never becomes code.
  kDiesWithAgent,    ///< Is killed when the agent ends, however that ends.
  kOwnUser,          ///< Not root, whoever started it.
  kLimits,           ///< Bounds on memory, descriptors, processes.
  kNoFiles,          ///< Landlock: opens no file.
  kNoNetwork,        ///< Landlock: neither listens nor connects.
  kScopedSignals,    ///< Landlock: sends no signal and meets no abstract socket outside.
  kFewCalls,         ///< seccomp: only the listed system calls.
  kSecretPages,      ///< Weights are in pages that the kernel itself does not map (memfd_secret).
  kLockedPages,      ///< And never in swap.
  kSealedPages,      ///< And read-only for good once they are loaded (mseal).
  kPagesNotDumped,   ///< And in no core dump.
  kPagesNotForked,   ///< And in no child.
};
inline constexpr std::size_t kMeasures = 16;

/// Stable, `snake_case`: for reports, metrics and configuration.
std::string_view NameOf(Measure measure);
/// Errors: kInvalidArgument, naming those there are.
Result<Measure> ParseMeasure(std::string_view name);

/// Which measures hold, and why not those that do not. A measure that was asked for twice holds if it held both times.
class Protections {
 public:
  /// `error`: 0, or the errno of what was refused.
  void Record(Measure measure, int error);
  /// From the answer of Kernel::Call.
  void RecordCall(Measure measure, long answer) { Record(measure, answer < 0 ? static_cast<int>(-answer) : 0); }
  void Add(const Protections& others);

  /// Asked for, and given.
  [[nodiscard]] bool Holds(Measure measure) const;
  /// Asked for, and refused.
  [[nodiscard]] std::vector<Measure> Missing() const;
  /// One line for people: "memfd_secret ..." of each that is missing and why; empty when none is.
  [[nodiscard]] std::string Degradations() const;

  /// As it goes from a worker to its agent. Shape: kMeasures bytes.
  static constexpr std::size_t kEncodedSize = kMeasures;
  [[nodiscard]] Bytes Encode() const;
  /// Errors: kMalformed for another size.
  static Result<Protections> Parse(ByteSpan bytes);

  bool operator==(const Protections&) const = default;

 private:
  // 0: not asked for; 1: holds; else the errno + 1, at most 255.
  std::array<std::uint8_t, kMeasures> states_{};
};

}  // namespace tacit::protect
