#include "cli/round_watch.h"

#include "cli/fields.h"

namespace tacit::cli {
namespace {

bool HasEnded(const Json& round) {
  const std::string phase = TextAt(round, "phase");
  return phase == "published" || phase == "abandoned";
}

// What makes a line worth showing again: each step and each new reason to wait, but not each update that is counted.
std::string StateOf(const Json& round) {
  std::string state = TextAt(round, "phase") + "\n" + TextAt(round, "waiting_for");
  std::erase_if(state, [](char c) { return c >= '0' && c <= '9'; });
  return state;
}

}  // namespace

void RoundWatch::Note(const Json& round, std::vector<Json>& changes) {
  const std::uint64_t number = CountAt(round, "round");
  if (number <= after_) return;
  const std::string state = StateOf(round);
  const auto [entry, is_new] = seen_.try_emplace(number, state);
  if (!is_new && entry->second == state) return;
  entry->second = state;
  changes.push_back(round);
  if (!HasEnded(round)) return;
  // Rounds of a task follow each other: when one has ended, so have those before it.
  after_ = number;
  seen_.erase(seen_.begin(), seen_.upper_bound(number));
}

std::vector<Json> RoundWatch::Observe(const Json& rounds, const Json& current_round) {
  std::vector<Json> changes;
  const std::uint64_t current = CountAt(current_round, "round");
  for (const Json& round : rounds) {
    // The current round is told by the task, which says more about it.
    if (CountAt(round, "round") != current || HasEnded(round)) Note(round, changes);
  }
  // Once it has ended, the list has it, with the model it made.
  if (current_round.is_object() && !HasEnded(current_round)) Note(current_round, changes);
  return changes;
}

}  // namespace tacit::cli
