#include "dp/audit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "common/base/durable.h"
#include "dp/accounting.h"
#include "dp/audit_bounds.h"
#include "dp/clip.h"
#include "dp/noise.h"
#include "dp/release.h"
#include "dp/sum.h"

namespace tacit::dp {
namespace {

/// How many times the clip norm a canary's largest entry is, and how many examples its device claims.
constexpr float kExcess = 1000;
constexpr std::uint64_t kClaimedWeight = 1000;

/// Of the audit with neighbouring inputs: a model on which a Gaussian canary fits, and devices beside the canary's.
constexpr std::size_t kParameters = 16;
constexpr std::uint64_t kOthers = 2;

/// All, a half, ... a thirty-second of the canaries are guessed. Fixed before anything is seen.
constexpr std::array<std::uint64_t, 6> kGuessedParts{1, 2, 4, 8, 16, 32};

/// The ledger of an audit is that of a task that exists nowhere and ends with the process: memory is as durable as it
/// needs.
class MemoryMinter final : private DurableMinter {
 public:
  static Durable<LedgerEntry> Say(LedgerEntry entry) { return Mint(std::move(entry)); }
};

/// The mechanism that ships: ledger, clip, sum, token, noise and average as a server strings them together.
class ShippedMechanism final : public AuditedMechanism {
 public:
  static Result<std::unique_ptr<ShippedMechanism>> Create(const AuditOptions& options, std::uint64_t cohort) {
    TACIT_TRY(TaskId task, TaskId::Parse("audit"));
    TACIT_TRY(const Epsilon budget, Epsilon::Create(std::numeric_limits<double>::max()));
    TACIT_TRY(BudgetLedger ledger, BudgetLedger::Restore({.task = std::move(task),
                                                          .mechanism = options.mechanism,
                                                          .noise_multiplier = options.noise_multiplier,
                                                          .clip_norm = options.clip_norm,
                                                          .grid_radius = options.grid_radius,
                                                          .cohort = cohort,
                                                          .delta = options.delta,
                                                          .budget = budget,
                                                          .max_participations = options.rounds,
                                                          .min_separation = 1,
                                                          .coin = {},
                                                          .tracking = {},
                                                          .hash = options.hash},
                                                         {}, 0));
    return std::unique_ptr<ShippedMechanism>(new ShippedMechanism(std::move(ledger)));
  }

  Result<void> Open(std::size_t parameters) override {
    TACIT_TRY(LedgerEntry reserve, ledger_.ProposeReserve(++round_, {}));
    TACIT_TRY_VOID(ledger_.Apply(MemoryMinter::Say(std::move(reserve))));
    const BudgetPolicy& policy = ledger_.policy();
    grid_.resize(parameters);
    TACIT_TRY(sum_, UnnoisedSum::Create({.round = {.task = policy.task, .round = round_},
                                         .mechanism = policy.mechanism,
                                         .grid_radius = policy.grid_radius,
                                         .parameters = parameters}));
    return {};
  }

  /// The claim is tried first: a sum that took it would be found out.
  Result<void> Add(std::span<const float> update, std::uint64_t claimed_weight) override {
    if (!sum_) return Fail(ErrorCode::kConflict, "no round is open");
    const BudgetPolicy& policy = ledger_.policy();
    TACIT_TRY_VOID(ClipToGrid(update, policy.clip_norm, policy.grid_radius, NormOf(policy.mechanism), grid_));
    if (claimed_weight != 1 && sum_->AddWeighted(grid_, claimed_weight)) return {};
    return sum_->Add(grid_);
  }

  Result<std::vector<float>> Release(Keystream& noise_bits) override {
    if (!sum_) return Fail(ErrorCode::kConflict, "no round is open");
    TACIT_TRY(LedgerEntry entry, ledger_.ProposeCharge(round_, sum_->contributions(), {}));
    const Durable<LedgerEntry> charge = MemoryMinter::Say(std::move(entry));
    TACIT_TRY_VOID(ledger_.Apply(charge));
    TACIT_TRY(ReleaseToken token, ledger_.Redeem(charge));
    UnnoisedSum sum = *std::move(sum_);
    sum_.reset();
    return ReleaseAverage(std::move(sum), std::move(token), noise_bits, samplers_);
  }

 private:
  explicit ShippedMechanism(BudgetLedger ledger) : ledger_(std::move(ledger)) {}

  BudgetLedger ledger_;
  RoundNumber round_ = 0;
  std::vector<std::int32_t> grid_;
  std::optional<UnnoisedSum> sum_;
  NoiseSamplers samplers_;
};

Result<double> ProvedEpsilon(const AuditOptions& options) {
  const double epsilon = Account({.mechanism = options.mechanism,
                                  .noise_multiplier = options.noise_multiplier,
                                  .compositions = options.rounds,
                                  .delta = options.delta})
                             .epsilon;
  if (std::isfinite(epsilon)) return epsilon;
  return Fail(ErrorCode::kInvalidArgument,
              "nothing to audit: the accountant of tasks gives so little noise no finite epsilon at this delta");
}

Result<void> CheckOptions(const AuditOptions& options) {
  if (options.rounds == 0) return Fail(ErrorCode::kInvalidArgument, "an audit of 0 rounds");
  if (options.bits == nullptr) return Fail(ErrorCode::kInvalidArgument, "the audit has no source of bits");
  if (options.false_alarm > 0 && options.false_alarm < 0.5) return {};
  return Fail(ErrorCode::kInvalidArgument, "the confidence of an audit must be below 1, and its false alarm below 1/2");
}

Result<void> CheckCount(std::uint64_t count, std::uint64_t least, std::uint64_t most, std::string_view what) {
  if (count >= least && count <= most) return {};
  return Fail(ErrorCode::kInvalidArgument, std::to_string(count) + " " + std::string(what) + "; an audit takes " +
                                               std::to_string(least) + " to " + std::to_string(most));
}

AuditReport ReportOf(double lower, double upper, double reach) {
  return {.epsilon_lower = lower,
          .epsilon_upper = upper,
          .epsilon_reach = reach,
          .verdict = lower > upper ? AuditVerdict::kViolated : AuditVerdict::kConsistent};
}

// Neighbouring inputs.

/// Spread over all coordinates for Gaussian noise, which shows an L2 norm wherever it lies; in one coordinate for
/// Laplace, where that is the worst case.
std::vector<float> NeighbourCanary(const AuditOptions& options) {
  const float entry = kExcess * static_cast<float>(options.clip_norm.value());
  if (options.mechanism != Mechanism::kLaplace) return std::vector<float>(kParameters, entry);
  std::vector<float> canary(kParameters, 0.0F);
  canary.front() = entry;
  return canary;
}

/// What another device sends: within the clip in either norm.
std::vector<float> OtherUpdate(const AuditOptions& options) {
  std::vector<float> update(kParameters, static_cast<float>(options.clip_norm.value() / (2 * kParameters)));
  for (std::size_t i = 0; i < kParameters; i += 2) update[i] = -update[i];
  return update;
}

/// Runs tasks with the canary's device, or with its update replaced by zeros.
class NeighbourTask {
 public:
  NeighbourTask(const AuditOptions& options, AuditedMechanism& mechanism)
      : options_(options), mechanism_(mechanism), canary_(NeighbourCanary(options)), other_(OtherUpdate(options)) {}

  /// The averages of a task's rounds along the canary, in canaries.
  Result<double> Score(bool with_canary) {
    double score = 0;
    for (std::uint64_t round = 0; round < options_.rounds; ++round) {
      TACIT_TRY_VOID(mechanism_.Open(kParameters));
      for (std::uint64_t other = 0; other < kOthers; ++other) TACIT_TRY_VOID(mechanism_.Add(other_, 1));
      TACIT_TRY_VOID(mechanism_.Add(with_canary ? canary_ : zeros_, kClaimedWeight));
      const std::unique_ptr<Keystream> bits = options_.bits();
      TACIT_TRY(const std::vector<float> average, mechanism_.Release(*bits));
      score += std::inner_product(average.begin(), average.end(), canary_.begin(), 0.0) /
               static_cast<double>(canary_.front());
    }
    return score;
  }

 private:
  const AuditOptions& options_;
  AuditedMechanism& mechanism_;
  std::vector<float> canary_;
  std::vector<float> other_;
  std::vector<float> zeros_ = std::vector<float>(kParameters, 0.0F);
};

/// The scores of both sides, ascending.
struct Scores {
  std::vector<double> with;
  std::vector<double> without;
};

Result<Scores> CollectScores(NeighbourTask& task, std::uint64_t each) {
  Scores scores;
  for (std::uint64_t i = 0; i < each; ++i) {
    TACIT_TRY(const double with, task.Score(true));
    TACIT_TRY(const double without, task.Score(false));
    scores.with.push_back(with);
    scores.without.push_back(without);
  }
  std::ranges::sort(scores.with);
  std::ranges::sort(scores.without);
  return scores;
}

Observed Above(const std::vector<double>& scores, double threshold) {
  const auto first = std::ranges::upper_bound(scores, threshold);
  return {.hits = static_cast<std::uint64_t>(scores.end() - first), .trials = scores.size()};
}
Observed NotAbove(const std::vector<double>& scores, double threshold) {
  const Observed above = Above(scores, threshold);
  return {.hits = above.trials - above.hits, .trials = above.trials};
}

/// What an event says that is likely on one side and not on the other: P <= e^epsilon Q + delta.
double EventBound(Observed likely, Observed unlikely, double delta, double doubt) {
  const double excess = LowerLimit(likely, doubt) - delta;
  if (!(excess > 0)) return 0;
  return std::max(0.0, std::log(excess / UpperLimit(unlikely, doubt)));
}

/// The event "a score above the threshold" says that the canary is there, "not above" that it is not.
double BoundWith(const Scores& scores, double threshold, double delta, double doubt) {
  return EventBound(Above(scores.with, threshold), Above(scores.without, threshold), delta, doubt);
}
double BoundWithout(const Scores& scores, double threshold, double delta, double doubt) {
  return EventBound(NotAbove(scores.without, threshold), NotAbove(scores.with, threshold), delta, doubt);
}
using Bound = double (*)(const Scores& scores, double threshold, double delta, double doubt);

/// Scores at the ends closely, in the middle coarsely: there are at most about a hundred and fifty.
std::vector<double> Thresholds(const Scores& scores) {
  std::vector<double> all = scores.with;
  all.insert(all.end(), scores.without.begin(), scores.without.end());
  std::ranges::sort(all);
  std::vector<double> thresholds;
  for (std::size_t rank = 0; rank < all.size() / 2; rank += 1 + rank / 5) {
    thresholds.push_back(all[rank]);
    thresholds.push_back(all[all.size() - 1 - rank]);
  }
  return thresholds;
}

/// The threshold that would have given the largest bound on the scores it is chosen by.
double BestThreshold(const Scores& scores, Bound bound, double delta, double doubt) {
  const std::vector<double> thresholds = Thresholds(scores);
  return std::ranges::max(thresholds, {}, [&](double t) { return bound(scores, t, delta, doubt); });
}

// One run.

/// A fair coin for each canary.
std::vector<bool> FlipCoins(Keystream& bits, std::uint64_t count) {
  constexpr std::size_t kBlockBytes = sizeof(Keystream::Block);
  constexpr std::size_t kByteBits = 8;
  std::vector<std::uint8_t> bytes((count / (kBlockBytes * kByteBits) + 1) * kBlockBytes);
  bits.Fill(0, bytes);
  std::vector<bool> coins(count);
  for (std::size_t i = 0; i < count; ++i) coins[i] = ((bytes[i / kByteBits] >> (i % kByteBits)) & 1U) != 0;
  return coins;
}

/// What the coordinates of the canaries show after all rounds.
Result<std::vector<double>> CanaryScores(const AuditOptions& options, const std::vector<bool>& coins,
                                         AuditedMechanism& mechanism) {
  std::vector<double> scores(coins.size(), 0.0);
  std::vector<float> update(coins.size(), 0.0F);
  for (std::uint64_t round = 0; round < options.rounds; ++round) {
    TACIT_TRY_VOID(mechanism.Open(coins.size()));
    for (std::size_t i = 0; i < coins.size(); ++i) {
      if (coins[i]) update[i] = kExcess * static_cast<float>(options.clip_norm.value());
      TACIT_TRY_VOID(mechanism.Add(update, kClaimedWeight));
      update[i] = 0;
    }
    const std::unique_ptr<Keystream> bits = options.bits();
    TACIT_TRY(const std::vector<float> average, mechanism.Release(*bits));
    for (std::size_t i = 0; i < coins.size(); ++i) scores[i] += static_cast<double>(average[i]);
  }
  return scores;
}

/// The coins in the order of the scores, smallest first; equal scores in the order of the canaries.
std::vector<bool> ByScore(const std::vector<bool>& coins, const std::vector<double>& scores) {
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < scores.size(); ++i) order.emplace_back(scores[i], i);
  std::ranges::sort(order);
  std::vector<bool> sorted;
  for (const auto& [score, i] : order) sorted.push_back(coins[i]);
  return sorted;
}

/// Guesses "out" for the first `half` and "in" for the last.
Guesses GuessEnds(const std::vector<bool>& sorted, std::uint64_t half) {
  const auto count = static_cast<std::ptrdiff_t>(half);
  const auto out = std::count(sorted.begin(), sorted.begin() + count, false);
  const auto in = std::count(sorted.end() - count, sorted.end(), true);
  return {.canaries = sorted.size(), .made = 2 * half, .right = static_cast<std::uint64_t>(in + out)};
}

struct OneRunBounds {
  double lower = 0;
  double reach = 0;
};

OneRunBounds BoundsOf(const std::vector<bool>& sorted, const AuditOptions& options) {
  const double delta = options.delta.value();
  const double doubt = options.false_alarm / kGuessedParts.size();
  OneRunBounds bounds;
  for (const std::uint64_t part : kGuessedParts) {
    Guesses guesses = GuessEnds(sorted, sorted.size() / part / 2);
    bounds.lower = std::max(bounds.lower, RefutedEpsilon(guesses, delta, doubt));
    guesses.right = guesses.made;
    bounds.reach = std::max(bounds.reach, RefutedEpsilon(guesses, delta, doubt));
  }
  return bounds;
}

}  // namespace

std::string_view NameOf(AuditVerdict verdict) {
  return verdict == AuditVerdict::kViolated ? "violated" : "consistent";
}

Result<AuditReport> AuditNeighbours(const AuditOptions& options, std::uint64_t trials) {
  TACIT_TRY(const auto mechanism, ShippedMechanism::Create(options, kOthers + 1));
  return AuditNeighbours(options, trials, *mechanism);
}

Result<AuditReport> AuditNeighbours(const AuditOptions& options, std::uint64_t trials, AuditedMechanism& mechanism) {
  TACIT_TRY_VOID(CheckOptions(options));
  TACIT_TRY_VOID(CheckCount(trials, kMinAuditTrials, kMaxAuditTrials, "trials"));
  TACIT_TRY(const double upper, ProvedEpsilon(options));
  NeighbourTask task(options, mechanism);
  const std::uint64_t each = trials / 4;  // per side, to choose by and then to judge by
  TACIT_TRY(const Scores choosing, CollectScores(task, each));
  TACIT_TRY(const Scores judging, CollectScores(task, each));
  const double delta = options.delta.value();
  const double doubt = options.false_alarm / 4;  // two events, two limits each
  double lower = 0;
  for (const Bound bound : {BoundWith, BoundWithout}) {
    lower = std::max(lower, bound(judging, BestThreshold(choosing, bound, delta, doubt), delta, doubt));
  }
  const double reach = EventBound({.hits = each, .trials = each}, {.hits = 0, .trials = each}, delta, doubt);
  return ReportOf(lower, upper, reach);
}

Result<AuditReport> AuditOneRun(const AuditOptions& options, std::uint64_t canaries) {
  TACIT_TRY(const auto mechanism, ShippedMechanism::Create(options, canaries));
  return AuditOneRun(options, canaries, *mechanism);
}

Result<AuditReport> AuditOneRun(const AuditOptions& options, std::uint64_t canaries, AuditedMechanism& mechanism) {
  TACIT_TRY_VOID(CheckOptions(options));
  TACIT_TRY_VOID(CheckCount(canaries, kMinAuditCanaries, kMaxAuditCanaries, "canaries"));
  TACIT_TRY(const double upper, ProvedEpsilon(options));
  const std::vector<bool> coins = FlipCoins(*options.bits(), canaries);
  TACIT_TRY(const std::vector<double> scores, CanaryScores(options, coins, mechanism));
  const OneRunBounds bounds = BoundsOf(ByScore(coins, scores), options);
  return ReportOf(bounds.lower, upper, bounds.reach);
}

}  // namespace tacit::dp
