#include "edge_agent/detect/extraction.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "edge_agent/detect/scores.h"

namespace tacit::detect {
namespace {

constexpr std::size_t kConfidence = static_cast<std::size_t>(DriftStatistic::kUnconfidence);
constexpr std::size_t kMostMemory = std::size_t{1} << 30U;

// Where all go for whom there is no place: no name hashes to it but by accident, and then they share one.
constexpr Digest128 kOthers{};

std::string Shown(double value) {
  std::string text = std::to_string(value);
  text.resize(std::min(text.size(), text.find('.') + 4));
  return text;
}

}  // namespace

std::string_view NameOf(ExtractionReason reason) {
  constexpr std::array<std::string_view, 6> kNames = {
      "none", "identity budget", "group budget", "identity distances", "group distances", "hardness"};
  return kNames.at(static_cast<std::size_t>(reason));
}

double SlidingCount::Within(std::uint64_t window, std::uint64_t now) const {
  const std::uint64_t slot = now / window;
  const double gone = static_cast<double>(now % window) / static_cast<double>(window);
  if (slot == slot_) return static_cast<double>(current_) + static_cast<double>(previous_) * (1 - gone);
  if (slot == slot_ + 1) return static_cast<double>(current_) * (1 - gone);
  return 0;
}

void SlidingCount::Add(std::uint64_t window, std::uint64_t now, std::uint64_t queries) {
  const std::uint64_t slot = now / window;
  if (slot != slot_) {
    previous_ = slot == slot_ + 1 ? current_ : 0;
    current_ = 0;
    slot_ = slot;
  }
  current_ += queries;
}

ExtractionGuard::ExtractionGuard(const ExtractionOptions& options, Mode mode, const Calibration& calibration)
    : options_(options),
      mode_(mode),
      clean_(std::make_unique<const Clean>(Clean{.shape = calibration.shape,
                                                 .distances = calibration.distances,
                                                 .confidence = calibration.drift.bins[kConfidence]})),
      hash_({.inputs = calibration.shape.inputs,
             .dimension = calibration.distances.dimension,
             .seed = calibration.distances.seed}) {}

Result<ExtractionGuard> ExtractionGuard::Create(const ExtractionOptions& options, Mode mode,
                                                const Calibration& calibration) {
  constexpr std::size_t kMostPlaces = 100'000;
  if (options.max_identities == 0 || options.max_groups == 0 || options.max_identities > kMostPlaces ||
      options.max_groups > kMostPlaces || options.window_seconds == 0 || options.check_every == 0 ||
      options.hardness_queries == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "an extraction guard needs places, at most 100,000, and windows of one second or query at least");
  }
  if (options.identity_budget == 0 || options.group_budget < options.identity_budget) {
    return Fail(ErrorCode::kInvalidArgument, "a group's query budget is at least that of one of its identities");
  }
  ExtractionGuard guard(options, mode, calibration);
  if (guard.MemoryBound() > kMostMemory) {
    return Fail(ErrorCode::kInvalidArgument, "an extraction guard of these sizes could take more than a GiB of memory");
  }
  return guard;
}

std::size_t ExtractionGuard::MemoryBound() const {
  const std::size_t floats =
      std::size_t{clean_->shape.classes} * clean_->distances.anchors_per_class * clean_->distances.dimension;
  // A vector that grows can be twice as large as what is in it.
  const std::size_t stream = 2 * (floats * sizeof(float) + DistanceTest::kDistances * sizeof(double)) +
                             clean_->shape.classes * std::size_t{64} + 1024;
  return (options_.max_identities + options_.max_groups + 2) * stream;
}

ExtractionGuard::Stream& ExtractionGuard::Of(Streams& streams, std::size_t most, const Query& query,
                                             std::string_view name) {
  const Digest128 key = Xxh3(AsBytes(name));
  if (const auto found = streams.find(key); found != streams.end()) return found->second;
  // Two windows after its last query, nothing of a stream counts any more.
  std::erase_if(streams, [&](const auto& entry) {
    return query.now > entry.second.last && query.now - entry.second.last >= 2 * options_.window_seconds;
  });
  const std::size_t told_apart = streams.size() - streams.count(kOthers);
  return streams.try_emplace(told_apart < most ? key : kOthers, clean_->distances).first->second;
}

void ExtractionGuard::Look(Stream& stream, const Query& query, std::span<const float> hashed) const {
  stream.last = std::max(stream.last, query.now);
  stream.count.Add(options_.window_seconds, query.now);
  stream.test.Add(MostLikely(query.logits), hashed);
  if (++stream.queries % options_.check_every == 0) {
    stream.normality = stream.test.Normality();
    stream.strangeness = stream.test.Strangeness();
  }
  const DriftBins& clean = clean_->confidence;
  stream.confidence.resize(clean.counts.size());
  ++stream.confidence[BinOf(clean, static_cast<float>(UnconfidenceScore(query.logits)))];
  if (stream.queries % options_.hardness_queries == 0) {
    stream.hardness = KolmogorovSmirnov(stream.confidence, clean.counts);
    std::ranges::fill(stream.confidence, 0U);
  }
}

ExtractionVerdict ExtractionGuard::Say(ExtractionReason reason, double value, double limit) const {
  return {.decision = DecisionFor(mode_),
          .reason = reason,
          .value = value,
          .limit = limit,
          .text = std::string(NameOf(reason)) + ": " + Shown(value) + ", and the limit is " + Shown(limit)};
}

std::optional<ExtractionVerdict> ExtractionGuard::Distances(const Stream& stream, ExtractionReason reason) const {
  const double normal = clean_->distances.normality;
  const double strange = clean_->distances.bins.threshold;
  if (stream.normality && *stream.normality < normal) return Say(reason, *stream.normality, normal);
  if (stream.strangeness && *stream.strangeness > strange) return Say(reason, *stream.strangeness, strange);
  return std::nullopt;
}

ExtractionVerdict ExtractionGuard::Observe(const Query& query) {
  Stream& identity = Of(identities_, options_.max_identities, query, query.identity);
  Stream& group = Of(groups_, options_.max_groups, query, query.group);
  const double mine = identity.count.Within(options_.window_seconds, query.now) + 1;
  const double ours = group.count.Within(options_.window_seconds, query.now) + 1;
  std::optional<ExtractionVerdict> spent;
  if (const auto budget = static_cast<double>(options_.identity_budget); mine > budget) {
    spent = Say(ExtractionReason::kIdentityBudget, mine, budget);
  } else if (const auto shared = static_cast<double>(options_.group_budget); ours > shared) {
    spent = Say(ExtractionReason::kGroupBudget, ours, shared);
  }
  if (spent && mode_ == Mode::kReject) return *spent;

  std::vector<float> hashed(hash_.dimension());
  hash_.Apply(query.input, hashed);
  Look(identity, query, hashed);
  Look(group, query, hashed);
  if (spent) return *spent;
  if (const auto made = Distances(identity, ExtractionReason::kIdentityDistances)) return *made;
  if (const auto made = Distances(group, ExtractionReason::kGroupDistances)) return *made;
  if (identity.hardness > options_.hardness_threshold) {
    return Say(ExtractionReason::kHardness, identity.hardness, options_.hardness_threshold);
  }
  return {};
}

}  // namespace tacit::detect
