#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "edge_agent/detect/calibration.h"
#include "edge_agent/detect/distance_test.h"
#include "edge_agent/detect/feature_hash.h"
#include "edge_agent/detect/verdict.h"

namespace tacit::detect {

/// How many queries came within the last window, from two counts: exact for a steady stream.
class SlidingCount {
 public:
  [[nodiscard]] double Within(std::uint64_t window, std::uint64_t now) const;
  void Add(std::uint64_t window, std::uint64_t now, std::uint64_t queries = 1);

 private:
  std::uint64_t slot_ = 0;
  std::uint64_t current_ = 0;
  std::uint64_t previous_ = 0;
};

struct ExtractionOptions {
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
/// Memory: at most MemoryBound, which is (max_identities + max_groups + 2) times what a DistanceTest takes.
class ExtractionGuard {
 public:
  /// Errors: kInvalidArgument for an option that contradicts another or is out of its range, and for a memory bound
  /// above a GiB.
  static Result<ExtractionGuard> Create(const ExtractionOptions& options, Mode mode, const Calibration& calibration);

  /// The most memory its streams can take.
  [[nodiscard]] std::size_t MemoryBound() const;
  /// What to do about a query, before it is answered but after it was computed. One that a budget refuses counts for
  /// nothing else.
  ExtractionVerdict Observe(const Query& query);

 private:
  struct Stream {
    explicit Stream(const DistanceReference& reference) : test(reference) {}
    SlidingCount count;
    DistanceTest test;
    std::uint64_t queries = 0;
    std::uint64_t last = 0;
    std::optional<double> normality;  // at the last look, as the next
    std::optional<double> strangeness;
    std::vector<std::uint32_t> confidence;  // of the running block of hardness_queries
    double hardness = 0;                    // of the last block that was complete
  };
  using Streams = std::map<Digest128, Stream>;

  struct Clean {
    ModelShape shape;
    DistanceReference distances;
    DriftBins confidence;
  };

  ExtractionGuard(const ExtractionOptions& options, Mode mode, const Calibration& calibration);
  Stream& Of(Streams& streams, std::size_t most, const Query& query, std::string_view name);
  void Look(Stream& stream, const Query& query, std::span<const float> hashed) const;
  [[nodiscard]] std::optional<ExtractionVerdict> Distances(const Stream& stream, ExtractionReason reason) const;
  [[nodiscard]] ExtractionVerdict Say(ExtractionReason reason, double value, double limit) const;

  ExtractionOptions options_;
  Mode mode_;
  std::unique_ptr<const Clean> clean_;  // where the tests of the streams find it, wherever the guard is moved
  FeatureHash hash_;
  Streams identities_;
  Streams groups_;
};

}  // namespace tacit::detect
