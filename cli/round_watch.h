#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/output.h"

namespace tacit::cli {

/// Turns repeated answers about a task's rounds into the changes between them. Pure.
class RoundWatch {
 public:
  /// The last round that, with all before it, has ended: what to ask for rounds after.
  [[nodiscard]] std::uint64_t after() const { return after_; }

  /// The changes that `rounds` (oldest first) and the task's current round bring, in order of round; each is the
  /// round's object.
  std::vector<Json> Observe(const Json& rounds, const Json& current_round);

 private:
  void Note(const Json& round, std::vector<Json>& changes);

  std::uint64_t after_ = 0;
  std::map<std::uint64_t, std::string> seen_;  // of rounds after after_: what was last shown
};

}  // namespace tacit::cli
