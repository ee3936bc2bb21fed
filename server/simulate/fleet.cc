// Whether a fleet can carry a task.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "common/base/text.h"
#include "server/simulate/run.h"

namespace tacit::simulate {
namespace {

std::unexpected<Error> Refuse(const std::string& why) {
  return Fail(ErrorCode::kInvalidArgument, why);
}

std::string Decimal(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

std::uint64_t CeilOfQuotient(std::uint64_t dividend, std::uint64_t divisor) {
  return (dividend + divisor - 1) / divisor;
}

Result<void> CheckCoinFleet(const task::TaskSpec& spec, const Fleet& fleet) {
  if (fleet.devices <= spec.privacy.population) return {};
  return Refuse("the coins are accounted for with 'privacy.population' = " + std::to_string(spec.privacy.population) +
                ", and no round opens with more devices: give --devices " + std::to_string(spec.privacy.population) +
                " or fewer, or raise 'privacy.population'");
}

// How often one device may come says how many there must be.
Result<void> CheckLimits(const task::TaskSpec& spec, const Fleet& fleet) {
  const std::uint64_t least = spec.cohort.min;
  const std::uint64_t by_count = CeilOfQuotient(spec.rounds * least, spec.max_participations);
  const std::uint64_t by_separation = least * std::min(spec.min_separation, spec.rounds);
  const std::uint64_t needed = std::max(by_count, by_separation);
  if (fleet.devices >= needed) return {};
  const std::string rule = by_count >= by_separation
                               ? "'rounds.max_participations' = " + std::to_string(spec.max_participations)
                               : "'rounds.min_separation' = " + std::to_string(spec.min_separation);
  return Refuse("with " + rule + " the " + Counted(spec.rounds, "round") + " of at least " + std::to_string(least) +
                " updates need " + std::to_string(needed) + " devices: give --devices " + std::to_string(needed) +
                " or more, or change that limit");
}

Result<void> CheckDropout(const task::TaskSpec& spec, const Fleet& fleet) {
  const double leases = static_cast<double>(std::min(fleet.devices, spec.cohort.MaxAdmitted()));
  const double answers = leases * (1 - fleet.dropout);
  if (answers >= spec.cohort.min) return {};
  // A little more than what the mean needs, in two digits that are never too few.
  const double needed = std::ceil(105 * spec.cohort.min / (1 - fleet.dropout) / spec.cohort.size) / 100;
  return Refuse("with --dropout " + Decimal(fleet.dropout) + " about " + Decimal(answers) + " of " + Decimal(leases) +
                " leases are answered, and a round needs " + std::to_string(spec.cohort.min) +
                " updates: set [cohort] over_selection to " + Decimal(needed) +
                " or more with as many devices, or lower [cohort] min");
}

}  // namespace

Result<void> CheckFleet(const task::TaskSpec& spec, const Fleet& fleet) {
  if (spec.asynchronous) {
    return Refuse(
        "a task with [asynchronous] is not simulated: how stale updates are is a matter of how fast devices are, which "
        "nobody knows before they are there; leave the table out to see what its clip norm and noise do to synchronous "
        "rounds");
  }
  if (fleet.devices < spec.cohort.min) {
    return Refuse("a fleet of " + Counted(fleet.devices, "device") + " is too small: a round of this task needs " +
                  std::to_string(spec.cohort.min) + " updates; give --devices " + std::to_string(spec.cohort.min) +
                  " or more, or lower [cohort] size and min");
  }
  if (spec.privacy.delta && spec.privacy.delta->value() * static_cast<double>(fleet.devices) >= 1) {
    return Refuse("'privacy.delta' = " + Decimal(spec.privacy.delta->value()) + " must be below 1 / " +
                  std::to_string(fleet.devices) + " for " + Counted(fleet.devices, "device"));
  }
  if (spec.privacy.coin) return CheckCoinFleet(spec, fleet);
  TACIT_TRY_VOID(CheckLimits(spec, fleet));
  return CheckDropout(spec, fleet);
}

std::vector<std::string> NotesOn(const task::TaskSpec& spec, const Fleet& fleet) {
  std::vector<std::string> notes;
  if (const auto& coin = spec.privacy.coin) {
    const double answers = coin->probability.value() * static_cast<double>(fleet.devices) * (1 - fleet.dropout);
    if (answers < 0.9 * spec.cohort.size) {
      notes.push_back("the coins let in about " + Decimal(answers) + " of " + Counted(fleet.devices, "device") +
                      ", and their sum is divided by 'cohort.size' = " + std::to_string(spec.cohort.size) +
                      ": each step is smaller by as much");
    }
  }
  if (spec.updates.top_k > 0)
    notes.emplace_back(
        "'updates.top_k' is not simulated: every update is whole, as that of a device with --encoding float32");
  return notes;
}

}  // namespace tacit::simulate
