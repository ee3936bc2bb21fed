#include "edge_agent/detect/extraction.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "edge_agent/detect/scores.h"
#include "edge_agent/detect/shapiro_wilk.h"

namespace tacit::detect {
namespace {

constexpr std::size_t kConfidence = static_cast<std::size_t>(DriftStatistic::kUnconfidence);
constexpr std::size_t kMostMemory = std::size_t{1} << 30U;

// Where all go for whom there is no place: no name hashes to it but by accident, and then they share one.
constexpr Digest128 kOthers{};

std::size_t BinOf(const DriftReference& reference, double unconfidence) {
  const std::vector<float>& edges = reference.bins[kConfidence].edges;
  if (std::isnan(unconfidence)) return edges.size();
  return static_cast<std::size_t>(std::ranges::lower_bound(edges, static_cast<float>(unconfidence)) - edges.begin());
}

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

DistanceTest::DistanceTest(const DistanceOptions& options)
    : options_(options), dimension_(std::min(options.inputs, options.dimension)), classes_(options.classes) {}

void DistanceTest::Add(std::uint32_t likely, std::span<const float> hashed) {
  Anchors& anchors = classes_[likely];
  double nearest = std::numeric_limits<double>::infinity();
  for (std::size_t at = 0; at < anchors.inputs.size(); at += dimension_) {
    float sum = 0;
    for (std::size_t i = 0; i < dimension_; ++i) {
      const float step = anchors.inputs[at + i] - hashed[i];
      sum += step * step;
    }
    nearest = std::min(nearest, std::sqrt(static_cast<double>(sum)));
  }
  if (anchors.inputs.empty()) {
    anchors.inputs.assign(hashed.begin(), hashed.end());
    return;
  }
  // Also what is not a number.
  if (!(nearest > 0) || !std::isfinite(nearest)) return;
  if (distances_.size() < options_.distances) {
    distances_.push_back(nearest);
  } else {
    distances_[next_] = nearest;
    next_ = (next_ + 1) % distances_.size();
  }
  const bool is_full = anchors.inputs.size() >= options_.anchors_per_class * dimension_;
  if (is_full || nearest <= anchors.threshold) return;
  anchors.inputs.insert(anchors.inputs.end(), hashed.begin(), hashed.end());
  anchors.distances += 1;
  const double step = nearest - anchors.mean;
  anchors.mean += step / anchors.distances;
  anchors.squares += step * (nearest - anchors.mean);
  anchors.threshold = std::max(anchors.threshold, anchors.mean - std::sqrt(anchors.squares / anchors.distances));
}

std::optional<double> DistanceTest::W() const {
  if (distances_.size() < options_.min_distances) return std::nullopt;
  const auto size = static_cast<double>(distances_.size());
  double mean = 0;
  for (const double distance : distances_) mean += distance / size;
  double squares = 0;
  for (const double distance : distances_) squares += (distance - mean) * (distance - mean);
  const double three = 3 * std::sqrt(squares / size);
  std::vector<double> within;
  std::ranges::copy_if(distances_, std::back_inserter(within),
                       [&](double distance) { return std::abs(distance - mean) <= three; });
  if (within.size() < kMinShapiroWilk) return std::nullopt;
  return ShapiroWilk(std::move(within));
}

double SlidingCount::Within(std::uint64_t window, std::uint64_t now) const {
  const std::uint64_t slot = now / window;
  const double gone = static_cast<double>(now % window) / static_cast<double>(window);
  if (slot == slot_) return static_cast<double>(current_) + static_cast<double>(previous_) * (1 - gone);
  if (slot == slot_ + 1) return static_cast<double>(current_) * (1 - gone);
  return 0;
}

void SlidingCount::Add(std::uint64_t window, std::uint64_t now) {
  const std::uint64_t slot = now / window;
  if (slot != slot_) {
    previous_ = slot == slot_ + 1 ? current_ : 0;
    current_ = 0;
    slot_ = slot;
  }
  ++current_;
}

Result<ExtractionGuard> ExtractionGuard::Create(const ExtractionOptions& options, Mode mode, DriftReference reference) {
  const DistanceOptions& distances = options.distances;
  if (distances.inputs == 0 || distances.classes == 0 || distances.dimension == 0 || distances.anchors_per_class == 0 ||
      options.max_identities == 0 || options.max_groups == 0 || options.window_seconds == 0 ||
      options.check_every == 0 || options.hardness_queries == 0) {
    return Fail(ErrorCode::kInvalidArgument, "an extraction guard needs sizes, windows and places above 0");
  }
  if (distances.min_distances < kMinShapiroWilk || distances.distances < distances.min_distances ||
      distances.distances > kMaxShapiroWilk) {
    return Fail(ErrorCode::kInvalidArgument,
                "of distances, 3 at least, and 5000 at most, can be compared with a normal distribution");
  }
  if (options.identity_budget == 0 || options.group_budget < options.identity_budget) {
    return Fail(ErrorCode::kInvalidArgument, "a group's query budget is at least that of one of its identities");
  }
  ExtractionGuard guard(options, mode, std::move(reference));
  // In floating point first: the product of what was configured may not fit an integer.
  const double floats = static_cast<double>(distances.classes) * static_cast<double>(distances.anchors_per_class) *
                        static_cast<double>(std::min(distances.dimension, distances.inputs)) *
                        static_cast<double>(options.max_identities + options.max_groups + 2);
  if (floats * sizeof(float) > static_cast<double>(kMostMemory)) {
    return Fail(ErrorCode::kInvalidArgument, "an extraction guard of these sizes could take more than a GiB of memory");
  }
  return guard;
}

ExtractionGuard::ExtractionGuard(const ExtractionOptions& options, Mode mode, DriftReference reference)
    : options_(options),
      mode_(mode),
      reference_(std::move(reference)),
      hash_({.inputs = options.distances.inputs,
             .dimension = options.distances.dimension,
             .seed = options.distances.seed}) {}

std::size_t ExtractionGuard::MemoryBound() const {
  const DistanceOptions& distances = options_.distances;
  const std::size_t floats = distances.classes * distances.anchors_per_class * hash_.dimension();
  // A vector that grows can be twice as large as what is in it.
  const std::size_t stream = 2 * floats * sizeof(float) + distances.distances * 2 * sizeof(double) + 4096;
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
  return streams.try_emplace(told_apart < most ? key : kOthers, options_.distances).first->second;
}

void ExtractionGuard::Look(Stream& stream, const Query& query, std::span<const float> hashed) const {
  stream.last = std::max(stream.last, query.now);
  stream.count.Add(options_.window_seconds, query.now);
  stream.test.Add(MostLikely(query.logits), hashed);
  if (stream.queries++ % options_.check_every == 0) stream.w = stream.test.W();
  const DriftBins& clean = reference_.bins[kConfidence];
  stream.confidence.resize(clean.counts.size());
  ++stream.confidence[BinOf(reference_, UnconfidenceScore(query.logits))];
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
  const double threshold = options_.distances.threshold;
  if (identity.w && *identity.w < threshold) return Say(ExtractionReason::kIdentityDistances, *identity.w, threshold);
  if (group.w && *group.w < threshold) return Say(ExtractionReason::kGroupDistances, *group.w, threshold);
  if (identity.hardness > options_.hardness_threshold) {
    return Say(ExtractionReason::kHardness, identity.hardness, options_.hardness_threshold);
  }
  return {};
}

}  // namespace tacit::detect
