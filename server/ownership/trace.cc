#include "server/ownership/trace.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include <Eigen/Core>

#include "common/base/check.h"
#include "server/ownership/obfuscate.h"

namespace tacit::ownership {

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Multiplications of one comparison: half a minute.
constexpr double kMostComparisons = 5e11;
constexpr double kLevelsPerOctave = 8;
// Half steps of the offsets that a whole layer's factors may have been multiplied by: 2^-4 to 2^4.
constexpr std::size_t kOffsets = 64;

Eigen::Index Index(std::size_t number) {
  return static_cast<Eigen::Index>(number);
}

std::span<const float> FloatsOf(const graph::GraphView& model, graph::ValueId id) {
  const graph::Value& value = model.graph.values[id];
  if (!value.constant || value.element != graph::Element::kFloat32) return {};
  return {reinterpret_cast<const float*>(model.weights.data() + value.constant->offset),
          value.constant->size / sizeof(float)};
}

/// Where the numbers of a layer's inputs stand in the master, as far as that was found.
struct FoundSource {
  std::optional<std::size_t> place;
  double factor = 1;
};

class Comparison {
 public:
  Comparison(const graph::GraphView& master, const graph::GraphView& suspect)
      : master_(master), suspect_(suspect), channels_(FindChannels(master.graph)), found_(channels_.groups.size()) {}

  Result<Likeness> Run() {
    const std::vector<const graph::Node*> others = LayersOfSuspect();
    TACIT_TRY_VOID(CheckWork());
    for (std::size_t i = 0; i < channels_.nodes.size() && i < others.size(); ++i) {
      if (!SameShape(channels_.nodes[i], *others[i])) break;
      Follow(channels_.nodes[i], *others[i]);
    }
    return Finish();
  }

 private:
  [[nodiscard]] std::vector<const graph::Node*> LayersOfSuspect() const {
    std::vector<const graph::Node*> layers;
    for (const graph::Node& node : suspect_.graph.nodes) {
      const bool linear = node.op == graph::Operator::kGemm || node.op == graph::Operator::kConv;
      if (linear && !FloatsOf(suspect_, node.inputs[1]).empty()) layers.push_back(&node);
    }
    return layers;
  }

  [[nodiscard]] const graph::Node& NodeOf(const LinearNode& linear) const { return master_.graph.nodes[linear.node]; }

  [[nodiscard]] bool SameShape(const LinearNode& linear, const graph::Node& other) const {
    const graph::Node& node = NodeOf(linear);
    return node.op == other.op && node.inputs.size() == other.inputs.size() &&
           master_.graph.values[node.inputs[1]].shape == suspect_.graph.values[other.inputs[1]].shape;
  }

  /// Whether this layer is the first to say something of a group: then of which.
  [[nodiscard]] std::optional<std::size_t> NewGroup(const LinearNode& linear) const {
    if (linear.in.empty() || linear.out.size() != 1) return std::nullopt;
    const std::size_t group = linear.out[0].group;
    if (group == kFixed || found_[group]) return std::nullopt;
    return group;
  }

  [[nodiscard]] Result<void> CheckWork() const {
    double work = 0;
    for (const LinearNode& linear : channels_.nodes) {
      const auto numbers = static_cast<double>(FloatsOf(master_, NodeOf(linear).inputs[1]).size());
      if (!linear.in.empty() && linear.out[0].group != kFixed)
        work += numbers * static_cast<double>(linear.out[0].channels);
    }
    if (work <= kMostComparisons) return {};
    return Fail(ErrorCode::kTooLarge, "the model's layers are too wide to be compared");
  }

  [[nodiscard]] const FoundGroup* FoundOf(std::size_t group) const {
    const auto& found = found_[group];
    return found ? &*found : nullptr;
  }

  /// Empty where a layer's inputs hang on a group that was not followed.
  [[nodiscard]] std::vector<FoundSource> InputsOf(const LinearNode& linear) const {
    std::vector<FoundSource> sources;
    for (const Segment& segment : linear.in) {
      const std::size_t first = sources.size();
      const FoundGroup* const group = segment.group == kFixed ? nullptr : FoundOf(segment.group);
      if (segment.group != kFixed && group == nullptr) return {};
      for (std::size_t place = 0; place < segment.channels; ++place) {
        std::optional<FoundGroup::Place> channel = FoundGroup::Place{.channel = static_cast<std::uint32_t>(place)};
        if (group != nullptr) channel = group->places[place];
        for (std::size_t i = 0; i < segment.block; ++i) {
          FoundSource source;
          if (channel) source = {first + channel->channel * segment.block + i, std::exp2(channel->octaves)};
          sources.push_back(source);
        }
      }
    }
    return sources;
  }

  /// A row for each output: its weights, and its bias, which is scaled with them.
  [[nodiscard]] static Matrix RowsOf(const graph::GraphView& model, const graph::Node& node, std::size_t rows) {
    const auto weight = FloatsOf(model, node.inputs[1]);
    const auto bias = node.inputs.size() > 2 ? FloatsOf(model, node.inputs[2]) : std::span<const float>();
    const std::size_t columns = weight.size() / rows;
    Matrix matrix = Matrix::Zero(Index(rows), Index(columns + 1));
    for (std::size_t row = 0; row < rows; ++row) {
      std::copy_n(weight.begin() + static_cast<std::ptrdiff_t>(row * columns), columns, &matrix(Index(row), 0));
      if (row < bias.size()) matrix(Index(row), Index(columns)) = bias[row];
    }
    return matrix;
  }

  /// The suspect's rows with their columns where the master has them, and without its factors.
  [[nodiscard]] static Matrix Undo(const Matrix& rows, const std::vector<FoundSource>& inputs) {
    const std::size_t kernel = static_cast<std::size_t>(rows.cols() - 1) / inputs.size();
    Matrix undone = Matrix::Zero(rows.rows(), rows.cols());
    undone.col(rows.cols() - 1) = rows.col(rows.cols() - 1);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::optional<std::size_t>& place = inputs[i].place;
      if (!place) continue;
      undone.middleCols(Index(*place * kernel), Index(kernel)) =
          rows.middleCols(Index(i * kernel), Index(kernel)) * static_cast<float>(inputs[i].factor);
    }
    return undone;
  }

  void Follow(const LinearNode& linear, const graph::Node& other) {
    const auto group = NewGroup(linear);
    if (!group) return;
    const std::vector<FoundSource> inputs = InputsOf(linear);
    if (inputs.empty()) return;
    const std::size_t rows = linear.out[0].channels;
    const Matrix ours = RowsOf(master_, NodeOf(linear), rows);
    const Matrix theirs = Undo(RowsOf(suspect_, other, rows), inputs);
    if (!theirs.allFinite() || !ours.allFinite()) return;
    found_[*group] = Match(ours, theirs, *group);
  }

  /// Each of their rows with the one of ours that points most the same way; where two want one, who is more like it.
  FoundGroup Match(const Matrix& ours, const Matrix& theirs, std::size_t group) {
    const auto norms = [](const Matrix& matrix) {
      return Eigen::VectorXf(matrix.rowwise().norm().cwiseMax(std::numeric_limits<float>::min()));
    };
    const Eigen::VectorXf our_norms = norms(ours);
    Matrix cosines = theirs * ours.transpose();
    cosines.array().colwise() /= norms(theirs).array();
    cosines.array().rowwise() /= our_norms.transpose().array();
    FoundGroup found{.group = group, .places = {}};
    std::vector<std::optional<std::size_t>> taken(static_cast<std::size_t>(ours.rows()));
    std::vector<float> best(static_cast<std::size_t>(theirs.rows()));
    for (std::size_t row = 0; row < best.size(); ++row) {
      Eigen::Index like = 0;
      best[row] = cosines.row(Index(row)).maxCoeff(&like);
      similarity_ += static_cast<double>(best[row]);
      ++compared_;
      found.places.emplace_back();
      auto& holder = taken[static_cast<std::size_t>(like)];
      if (best[row] <= 0 || (holder && best[*holder] >= best[row])) continue;
      if (holder) found.places[*holder].reset();
      holder = row;
      const double ratio = static_cast<double>(theirs.row(Index(row)).dot(ours.row(like))) /
                           std::pow(static_cast<double>(our_norms(like)), 2);
      found.places[row] = {static_cast<std::uint32_t>(like), ratio > 0 ? std::log2(ratio) : 0};
    }
    return found;
  }

  Result<Likeness> Finish() {
    Likeness likeness;
    for (auto& each : found_) {
      if (!each) continue;
      likeness.scales.push_back(channels_.groups[each->group].scales);
      likeness.groups.push_back(*std::move(each));
    }
    if (likeness.groups.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "no hidden layer of the copy has the shape of the model's, so there is nothing to compare");
    }
    likeness.similarity = std::min(1.0, similarity_ / static_cast<double>(compared_));
    return likeness;
  }

  const graph::GraphView& master_;
  const graph::GraphView& suspect_;
  Channels channels_;
  std::vector<std::optional<FoundGroup>> found_;  // beside channels_.groups
  double similarity_ = 0;
  std::size_t compared_ = 0;
};

/// How many factors are those of a copy, if all of the layer were multiplied by one number more: the best such number,
/// in half steps. Of the 16 levels one at most fits a channel under each.
std::size_t CountFactors(const FoundGroup& group, const GroupCode& code) {
  std::array<std::size_t, kOffsets + 1> counts{};
  for (const auto& place : group.places) {
    if (!place) continue;
    const double offset = place->octaves * kLevelsPerOctave - (code.levels[place->channel] - 7.5);
    const double half_steps = std::floor(offset * 2 + kOffsets / 2.0);
    // A window is a step wide, and begins at each half.
    for (const double window : {half_steps - 1, half_steps})
      if (window >= 0 && window < kOffsets) ++counts.at(static_cast<std::size_t>(window));
  }
  return std::ranges::max(counts);
}

/// Fixed points of random orders, one or many: the moments of their number are those of a Poisson law at most, so
/// P(X >= k) <= E[C(X, k)] <= groups^k / k!.
double LogOfOrders(std::size_t groups, std::size_t in_order) {
  const auto k = static_cast<double>(in_order);
  return std::min(0.0, k * std::log(static_cast<double>(groups)) - std::lgamma(k + 1));
}

/// log P(Binomial(n, 1/16) >= k) by Chernoff's bound, and all offsets of all groups at once.
double LogOfFactors(std::size_t groups, std::size_t n, std::size_t k) {
  constexpr double kChance = 1.0 / kLevels;
  const double share = n == 0 ? 0 : static_cast<double>(k) / static_cast<double>(n);
  if (share <= kChance) return 0;
  const double rest = share < 1 ? (1 - share) * std::log((1 - share) / (1 - kChance)) : 0;
  const double divergence = share * std::log(share / kChance) + rest;
  return std::min(0.0, static_cast<double>(groups) * std::log(double{kOffsets}) - static_cast<double>(n) * divergence);
}

double Share(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

double Score::match() const {
  return std::max(Share(in_order, places), Share(at_factor, factors));
}

Result<Likeness> Compare(const graph::GraphView& master, const graph::GraphView& suspect) {
  return Comparison(master, suspect).Run();
}

Score ScoreOf(const Likeness& likeness, const crypto::SecretKey& copy_key) {
  Score score;
  std::size_t scaled = 0;
  for (std::size_t number = 0; number < likeness.groups.size(); ++number) {
    const FoundGroup& group = likeness.groups[number];
    const GroupCode code = CodeOf(copy_key, group.group, group.places.size());
    score.places += group.places.size();
    for (std::size_t i = 0; i < group.places.size(); ++i) {
      const std::optional<FoundGroup::Place>& place = group.places[i];
      score.in_order += place && place->channel == code.order[i] ? 1U : 0U;
    }
    if (!likeness.scales[number]) continue;
    ++scaled;
    score.factors += group.places.size();
    score.at_factor += CountFactors(group, code);
  }
  // The better of two tests is up to twice as likely.
  score.log_p = std::min(0.0, std::log(2.0) + std::min(LogOfOrders(likeness.groups.size(), score.in_order),
                                                       LogOfFactors(scaled, score.factors, score.at_factor)));
  return score;
}

void Lineup::Add(const DeviceId& device, const Score& score) {
  ++devices_;
  if (!best_ || score.log_p < best_->score.log_p) {
    runner_up_ = std::exchange(best_, Entry{device, score});
  } else if (!runner_up_ || score.log_p < runner_up_->score.log_p) {
    runner_up_ = Entry{device, score};
  }
}

double Lineup::FalseAccusation() const {
  if (!best_) return 1;
  return std::min(1.0, std::exp(best_->score.log_p + std::log(static_cast<double>(devices_))));
}

bool Lineup::Names() const {
  return best_ && FalseAccusation() <= kAccusationLimit;
}

}  // namespace tacit::ownership
