#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "edge_agent/detect/drift.h"
#include "edge_agent/detect/feature_hash.h"
#include "edge_agent/detect/verdict.h"

namespace tacit::detect {

struct DistanceOptions {
  std::size_t inputs = 0;
  std::uint32_t classes = 0;
  std::size_t dimension = 256;         ///< Longer inputs are hashed to so many numbers.
  std::size_t anchors_per_class = 64;  ///< The most inputs kept of a class; then the set does not grow any more.
  std::size_t distances = 500;         ///< The last so many are looked at; at most kMaxShapiroWilk.
  std::size_t min_distances = 100;     ///< Nothing is said before there are so many.
  double threshold = 0.92;             ///< W below it is no distribution of natural inputs.
  std::uint64_t seed = 0;
};

/// Whether the distances between an asker's inputs of one class are normal, as those of natural inputs are, or made.
/// Differs from its source where memory must be bounded: sets stop growing, old distances are forgotten, and long
/// inputs are hashed; whoever fills the sets with natural inputs first, or mixes them in, is measured against those. An
/// input that was asked before is not counted: it teaches nothing, and pollers repeat themselves. Cost:
/// anchors_per_class x dimension multiplications a query, and a sort of the distances when W is asked for. Source:
/// Juuti et al. 2019, algorithm 3 (PRADA).
class DistanceTest {
 public:
  explicit DistanceTest(const DistanceOptions& options);
  void Add(std::uint32_t likely, std::span<const float> hashed);
  /// W of the distances within three standard deviations; nothing while there are too few.
  [[nodiscard]] std::optional<double> W() const;

 private:
  struct Anchors {
    std::vector<float> inputs;
    double distances = 0;  // Welford's sums over the distances at which the set grew
    double mean = 0;
    double squares = 0;
    double threshold = 0;
  };
  DistanceOptions options_;
  std::size_t dimension_;
  std::vector<Anchors> classes_;
  std::vector<double> distances_;  // a ring
  std::size_t next_ = 0;
};

/// How many queries came within the last window, from two counts: exact for a steady stream.
class SlidingCount {
 public:
  [[nodiscard]] double Within(std::uint64_t window, std::uint64_t now) const;
  void Add(std::uint64_t window, std::uint64_t now);

 private:
  std::uint64_t slot_ = 0;
  std::uint64_t current_ = 0;
  std::uint64_t previous_ = 0;
};

struct ExtractionOptions {
  DistanceOptions distances;
  std::uint64_t window_seconds = 86'400;
  std::uint64_t identity_budget = 2'000;  ///< Queries within a window.
  std::uint64_t group_budget = 5'000;     ///< Of all identities of a group together.
  std::size_t max_identities = 16;        ///< The most that are told apart at once; later ones share one place.
  std::size_t max_groups = 8;
  std::size_t check_every = 10;  ///< Queries between two looks at the distances.
  /// KS distance of an identity's answers from the clean ones, in confidence, over `hardness_queries`; above 1: never.
  double hardness_threshold = 0.6;
  std::uint32_t hardness_queries = 100;
};

enum class ExtractionReason : std::uint8_t {
  kNone = 0,
  kIdentityBudget = 1,
  kGroupBudget = 2,
  kIdentityDistances = 3,
  kGroupDistances = 4,
  kHardness = 5,
};
[[nodiscard]] std::string_view NameOf(ExtractionReason reason);

struct ExtractionVerdict {
  Decision decision = Decision::kAccepted;
  ExtractionReason reason = ExtractionReason::kNone;
  double value = 0;
  double limit = 0;
  std::string text;  ///< Empty without a reason.
};

struct Query {
  std::string_view identity;
  std::string_view group;  ///< Who pays for the identity: identities that one party can make at will share one.
  std::uint64_t now = 0;   ///< Seconds of a clock that does not go back.
  std::span<const float> input;
  std::span<const float> logits;
};

/// Watches who asks how much, and whether what they ask looks made, so as to copy the model. Sees nothing wrong in
/// somebody who asks about natural inputs within the budget: the budget is what that costs. Threads: one at a time.
/// Memory: at most (max_identities + max_groups + 2) streams of classes x anchors_per_class x dimension floats.
class ExtractionGuard {
 public:
  /// The confidences of `reference` are what hardness is compared with. Errors: kInvalidArgument for an option that
  /// contradicts another or is out of its range, and for a memory bound above a GiB.
  static Result<ExtractionGuard> Create(const ExtractionOptions& options, Mode mode, DriftReference reference);

  /// The most memory its streams can take.
  [[nodiscard]] std::size_t MemoryBound() const;
  /// What to do about a query, before it is answered but after it was computed. One that a budget refuses counts for
  /// nothing else.
  ExtractionVerdict Observe(const Query& query);

 private:
  struct Stream {
    explicit Stream(const DistanceOptions& options) : test(options) {}
    SlidingCount count;
    DistanceTest test;
    std::uint64_t queries = 0;
    std::uint64_t last = 0;
    std::optional<double> w;                // at the last look
    std::vector<std::uint32_t> confidence;  // of the running block of hardness_queries
    double hardness = 0;                    // of the last block that was complete
  };
  using Streams = std::map<Digest128, Stream>;

  ExtractionGuard(const ExtractionOptions& options, Mode mode, DriftReference reference);
  Stream& Of(Streams& streams, std::size_t most, const Query& query, std::string_view name);
  void Look(Stream& stream, const Query& query, std::span<const float> hashed) const;
  [[nodiscard]] ExtractionVerdict Say(ExtractionReason reason, double value, double limit) const;

  ExtractionOptions options_;
  Mode mode_;
  DriftReference reference_;
  FeatureHash hash_;
  Streams identities_;
  Streams groups_;
};

}  // namespace tacit::detect
