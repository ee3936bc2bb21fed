#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tacit::worker {

/// Codes with which a worker ends itself.
inline constexpr int kQuitExit = 0;
inline constexpr int kFaultExit = 70;     ///< Its agent was gone or wrote what no agent writes.
inline constexpr int kRefusedExit = 71;   ///< A system call was refused.
inline constexpr int kTamperedExit = 72;  ///< Weights were not what had been loaded.

/// What a worker writes as its last words where a call was refused: the number of the call follows.
inline constexpr std::string_view kRefusedWords = "refused ";

enum class EndCause : std::uint8_t {
  kQuit,         ///< It was asked to.
  kCrashed,      ///< By a signal or a failed check.
  kRefusedCall,  ///< It tried what its sandbox forbids.
  kTampered,     ///< Its weights had changed.
  kStuck,        ///< It did not answer before a deadline, and was killed.
};

/// Stable, `snake_case`.
std::string_view NameOf(EndCause cause);

struct Ending {
  EndCause cause = EndCause::kQuit;
  std::string detail;  ///< Which call, which signal, its last words: printable ASCII, at most 300 characters.
};

/// What became of a worker. `status` is of waitpid(2); `words` what it wrote at the end, which a worker that was taken
/// over chooses: that the kernel refused is certain, which call is what the worker says.
Ending ReadEnding(int status, std::string_view words);

}  // namespace tacit::worker
