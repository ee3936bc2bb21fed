#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/keystream.h"
#include "common/base/result.h"
#include "dp/ledger.h"
#include "dp/types.h"

namespace tacit::dp {

// An audit asks the mechanism itself what it gives away: canaries go in, an attacker looks at what comes out, and what
// the attacker gets right is a lower bound on epsilon. Beside the proved upper bound it can refute the proof or the
// code, and never confirm them. Why the numbers hold: docs/PRIVACY.md, "Empirical audit".

/// A stream of uniform bits that was never used, one for every call: the key of a round, the coins of an audit.
using NewBits = std::function<std::unique_ptr<Keystream>()>;

/// A mechanism as an audit meets it, round after round. The one that ships is behind the functions below that take no
/// other; tests audit broken copies.
class AuditedMechanism {
 public:
  AuditedMechanism() = default;
  virtual ~AuditedMechanism() = default;
  AuditedMechanism(const AuditedMechanism&) = delete;
  AuditedMechanism& operator=(const AuditedMechanism&) = delete;

  /// Starts a round over a model of so many parameters.
  virtual Result<void> Open(std::size_t parameters) = 0;
  /// One device's update, of any size, and the example count that the device claims.
  virtual Result<void> Add(std::span<const float> update, std::uint64_t claimed_weight) = 0;
  /// Ends the round with its average.
  virtual Result<std::vector<float>> Release(Keystream& noise_bits) = 0;
};

struct AuditOptions {
  Mechanism mechanism;
  NoiseMultiplier noise_multiplier;
  ClipNorm clip_norm;
  GridRadius grid_radius;
  std::uint64_t rounds;  ///< Rounds that every device takes part in; the attacker sees all their averages.
  Delta delta;
  double false_alarm;  ///< The probability that a mechanism that keeps its promise is called violated: 0 to 1/2.
  HashFunction hash;
  NewBits bits;
};

enum class AuditVerdict : std::uint8_t {
  kConsistent,  ///< The lower bound is below the proved one: nothing was refuted.
  kViolated,    ///< It is above: mechanism or proof is wrong, but for the false alarm.
};
/// `consistent` or `violated`.
std::string_view NameOf(AuditVerdict verdict);

/// Units: epsilons at the `delta` of the options, natural logarithms.
struct AuditReport {
  double epsilon_lower = 0;  ///< No mechanism with a smaller epsilon does this, but for the false alarm.
  double epsilon_upper = 0;  ///< What `Account` proves.
  double epsilon_reach = 0;  ///< The most that this audit could have found: below epsilon_upper it can refute nothing.
  AuditVerdict verdict = AuditVerdict::kConsistent;
};

inline constexpr std::uint64_t kMinAuditTrials = 100;
inline constexpr std::uint64_t kMaxAuditTrials = 10'000'000;
inline constexpr std::uint64_t kMinAuditCanaries = 100;
inline constexpr std::uint64_t kMaxAuditCanaries = 20'000;

/// Neighbouring inputs: `trials` independent tasks, in every other one of which a device's update is replaced by zeros.
/// The update is a thousand times too long and claims a thousand examples. The averages, projected on it, are compared
/// with a threshold that the first half of the trials chose; the second half bounds the rates of error.
///
/// Guarantee: epsilon_lower is above the mechanism's epsilon with probability at most `false_alarm`, in either
/// direction
///   of the relation.
/// Errors: kInvalidArgument for numbers out of range, and where no epsilon is proved; what the mechanism fails with.
/// Threads: one.
/// Cost: about 20 us a trial and round.
/// Source: Jagielski, Ullman, Oprea 2020 (canaries against threshold attacks); Clopper, Pearson 1934.
Result<AuditReport> AuditNeighbours(const AuditOptions& options, std::uint64_t trials);
Result<AuditReport> AuditNeighbours(const AuditOptions& options, std::uint64_t trials, AuditedMechanism& mechanism);

/// One run: `canaries` devices, each a thousand times too long in a coordinate of its own or zero, by a fair coin of
/// its own. The attacker guesses those whose coordinates came out largest and smallest.
///
/// Guarantee: as AuditNeighbours. The numbers of guesses that are tried are fixed and share the false alarm.
/// Errors: as AuditNeighbours.
/// Threads: one.
/// Cost: rounds * canaries^2 entries through the clip: 0.3 s for a round of ten thousand.
/// Source: Steinke, Nasr, Jagielski 2023, "Privacy auditing with one (1) training run".
Result<AuditReport> AuditOneRun(const AuditOptions& options, std::uint64_t canaries);
Result<AuditReport> AuditOneRun(const AuditOptions& options, std::uint64_t canaries, AuditedMechanism& mechanism);

}  // namespace tacit::dp
