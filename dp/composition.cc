#include "dp/composition.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dp/composed_losses.h"
#include "dp/composition_steps.h"
#include "dp/formulas.h"
#include "dp/loss_distribution.h"
#include "dp/loss_pairs.h"
#include "dp/numbers.h"
#include "dp/renyi.h"

namespace tacit::dp {
namespace {

template <typename Enum>
struct Word {
  Enum value;
  std::string_view text;
};
constexpr std::array kNeighbourings = {Word{Neighbouring::kAddOrRemoveOne, "add-or-remove-one"},
                                       Word{Neighbouring::kReplaceWithZero, "replace-with-zero"},
                                       Word{Neighbouring::kReplaceOne, "replace-one"}};
constexpr std::array kAccountants = {Word{Accountant::kTightest, "tightest"}, Word{Accountant::kExact, "exact"},
                                     Word{Accountant::kPld, "pld"}, Word{Accountant::kRdp, "rdp"}};

template <typename Enum, std::size_t kCount>
std::string_view TextOf(const std::array<Word<Enum>, kCount>& words, Enum value) {
  return std::ranges::find(words, value, &Word<Enum>::value)->text;
}
template <typename Enum, std::size_t kCount>
Result<Enum> ParseWord(const std::array<Word<Enum>, kCount>& words, std::string_view what, std::string_view text) {
  std::string known;
  for (const auto& word : words) {
    if (word.text == text) return word.value;
    known += (known.empty() ? "'" : ", '") + std::string(word.text) + "'";
  }
  return Fail(ErrorCode::kInvalidArgument,
              "unknown " + std::string(what) + " '" + std::string(text) + "'; there are " + known);
}

// ---- Closed forms ----

/// Sum of the squared distances of Gaussian steps; nothing when another kind is among them.
std::optional<double> GaussianSquares(std::span<const RepeatedStep> steps) {
  double squares = 0;
  for (const RepeatedStep& each : steps) {
    const auto* gaussian = std::get_if<GaussianStep>(&each.step);
    if (gaussian == nullptr) return std::nullopt;
    const double z = gaussian->noise_multiplier;
    squares += static_cast<double>(each.count) / (z * z);
  }
  return squares * (1 + 0x1p-48);
}

double PureEpsilon(std::span<const RepeatedStep> steps) {
  double sum = 0;
  for (const RepeatedStep& each : steps) sum += static_cast<double>(each.count) * PureEpsilon(each.step);
  return sum * (1 + 0x1p-48);
}

// ---- Renyi DP ----

/// Renyi divergence of one step by order.
struct Curve {
  std::function<double(double)> renyi;
  bool whole_orders = false;  ///< Cheap, or defined, at whole orders only.
  bool real_orders = false;   ///< Defined between them too, at a cost.
};

Curve SumOfDiscreteGaussians(const DistributedGaussianStep& s) {
  const auto units = static_cast<double>(s.units);
  const auto dimension = static_cast<double>(s.dimension);
  const double variance = s.local_sigma * s.local_sigma;
  double tau = 0;
  for (std::uint64_t k = 1; k < s.units; ++k) {
    const double term =
        10 * std::exp(-2 * M_PI * M_PI * variance * static_cast<double>(k) / static_cast<double>(k + 1));
    tau += term;
    if (term == 0) break;
  }
  const double l2 = s.l2_sensitivity / (s.local_sigma * std::sqrt(units));
  const double l1 = std::sqrt(dimension) * l2;
  return {.renyi = [=](double order) {
    return std::min({order * l2 * l2 / 2 + tau * dimension,
                     order / 2 * (l2 * l2 + 2 * l1 * tau + tau * tau * dimension),
                     order / 2 * (l2 + std::sqrt(dimension) * tau) * (l2 + std::sqrt(dimension) * tau)});
  }};
}

Curve FiniteCurve(std::vector<OutputPair::Masses> outcomes) {
  return {.renyi = [outcomes = std::move(outcomes)](double order) { return FiniteRenyi(outcomes, order); }};
}

std::optional<Curve> CurveOf(const Step& step, Neighbouring relation) {
  using Maybe = std::optional<Curve>;
  return std::visit(
      Overloaded{[](const GaussianStep& s) -> Maybe {
                   return Curve{.renyi = [s](double order) { return GaussianRenyi(s.noise_multiplier, order); }};
                 },
                 [](const LaplaceStep& s) -> Maybe {
                   return Curve{.renyi = [s](double order) { return LaplaceRenyi(s.noise_multiplier, order); }};
                 },
                 [relation](const PoissonGaussianStep& s) -> Maybe {
                   if (relation == Neighbouring::kReplaceOne) return std::nullopt;
                   return Curve{.renyi =
                                    [s](double order) {
                                      return PoissonGaussianRenyi(s.noise_multiplier, s.sampling_probability, order);
                                    },
                                .whole_orders = true,
                                .real_orders = true};
                 },
                 [](const PoissonLaplaceStep& s) -> Maybe {
                   return Curve{.renyi =
                                    [s](double order) {
                                      return PoissonLaplaceRenyi(s.noise_multiplier, s.sampling_probability, order);
                                    },
                                .whole_orders = true};
                 },
                 [](const TruncatedPoissonGaussianStep&) -> Maybe { return std::nullopt; },
                 [](const GroupPoissonGaussianStep&) -> Maybe { return std::nullopt; },
                 [](const FixedSizeGaussianStep& s) -> Maybe {
                   return Curve{.renyi =
                                    [s](double order) {
                                      return FixedSizeGaussianRenyi(s.noise_multiplier, s.sampling_fraction, order);
                                    },
                                .whole_orders = true};
                 },
                 [](const DiscreteGaussianStep& s) -> Maybe {
                   // Canonne, Kamath, Steinke 2020, theorem 4: as the continuous one.
                   const double z = s.sigma / static_cast<double>(s.sensitivity);
                   return Curve{.renyi = [z](double order) { return GaussianRenyi(z, order); }};
                 },
                 [](const DiscreteLaplaceStep& s) -> Maybe {
                   return FiniteCurve(DiscreteLaplaceOutcomes(s.rate, s.sensitivity));
                 },
                 [](const RandomisedResponseStep& s) -> Maybe {
                   return FiniteCurve(RandomisedResponseOutcomes(s.noise, s.buckets));
                 },
                 [](const BlackBoxStep& s) -> Maybe { return FiniteCurve(WorstCaseOutcomes(s.epsilon, 0)); },
                 [](const SkellamStep& s) -> Maybe {
                   return Curve{.renyi =
                                    [s](double order) {
                                      return SkellamRenyi(s.variance, s.l1_sensitivity, s.l2_sensitivity, order);
                                    },
                                .whole_orders = true};
                 },
                 [](const DistributedGaussianStep& s) -> Maybe { return SumOfDiscreteGaussians(s); }},
      step);
}

/// Nothing when a step has no curve.
std::optional<double> RdpEpsilon(std::span<const RepeatedStep> steps, Neighbouring relation, double delta) {
  std::vector<std::pair<Curve, double>> curves;
  bool whole_orders = false;
  bool real_orders = true;
  double log_kept = 0;  // what black boxes take from delta
  for (const RepeatedStep& each : steps) {
    std::optional<Curve> curve = CurveOf(each.step, relation);
    if (!curve) return std::nullopt;
    const auto count = static_cast<double>(each.count);
    whole_orders = whole_orders || curve->whole_orders;
    real_orders = real_orders && (curve->real_orders || !curve->whole_orders);
    if (const auto* box = std::get_if<BlackBoxStep>(&each.step)) log_kept += count * std::log1p(-box->delta);
    curves.emplace_back(*std::move(curve), count);
  }
  const double left = delta + std::expm1(log_kept) * (1 + 0x1p-40);
  if (!(left > 0)) return kInfinity;
  const auto renyi = [&](double order) {
    double sum = 0;
    for (const auto& [curve, count] : curves) sum += count * curve.renyi(order);
    return sum;
  };
  if (!whole_orders) return RenyiToEpsilon(renyi, left);
  return real_orders ? RealOrdersToEpsilon(renyi, left) : WholeOrdersToEpsilon(renyi, left);
}

// ---- Loss distributions ----

/// P(Binomial(n, p) = k) for k from `from` on, until nothing is left.
template <typename Visit>
void VisitBinomial(double n, double p, double from, Visit visit) {
  const double odds = std::log(p) - std::log1p(-p);
  double log_mass = std::lgamma(n + 1) - std::lgamma(from + 1) - std::lgamma(n - from + 1) + from * std::log(p) +
                    (n - from) * std::log1p(-p);
  for (double k = from; k <= n; ++k) {
    const double mass = std::exp(log_mass);
    visit(k, mass);
    if (mass < 1e-30 && k > n * p) break;
    log_mass += std::log((n - k) / (k + 1)) + odds;
  }
}

/// What the logarithms of factorials can have lost, relative.
double BinomialSlack(double n) {
  return 1e-9 + 0x1p-48 * std::lgamma(n + 1);
}

/// P(Binomial(n, p) >= from), rounded up.
double BinomialFrom(double n, double p, double from) {
  if (from <= 0) return 1;
  if (from > n || p == 0) return 0;
  if (p == 1) return 1;
  double sum = 0;
  VisitBinomial(n, p, from, [&](double, double mass) { sum += mass; });
  return std::min(1.0, sum * (1 + BinomialSlack(n)));
}

/// A step as a pair, or as two of which a public coin chooses, or as a list of outcomes.
struct Source {
  std::unique_ptr<OutputPair> pair;
  std::unique_ptr<OutputPair> other;
  double weight_of_other = 0;
  std::vector<OutputPair::Masses> outcomes;

  [[nodiscard]] double GridStep() const;
  [[nodiscard]] LossMass OnGrid(double step, double truncate) const;
};

double Source::GridStep() const {
  if (pair != nullptr) return GridStepFor(*pair);
  double highest = 0;
  for (const OutputPair::Masses& each : outcomes) {
    if (each.with > 1e-9 && each.without > 0) highest = std::max(highest, std::abs(std::log(each.with / each.without)));
  }
  if (highest == 0) return 1;  // all losses that matter are infinite
  return std::exp2(std::floor(std::log2(highest / 64)));
}

LossMass Source::OnGrid(double step, double truncate) const {
  if (pair == nullptr) return PutOnGrid(outcomes, step);
  LossMass loss = PutOnGrid(*pair, step, truncate);
  return other == nullptr ? loss : Mixture(loss, PutOnGrid(*other, step, truncate), weight_of_other);
}

Source PairSource(std::unique_ptr<OutputPair> pair) {
  return {.pair = std::move(pair), .other = nullptr, .weight_of_other = 0, .outcomes = {}};
}
Source ListSource(std::vector<OutputPair::Masses> outcomes) {
  return {.pair = nullptr, .other = nullptr, .weight_of_other = 0, .outcomes = std::move(outcomes)};
}

Source TruncatedSource(const TruncatedPoissonGaussianStep& s, Direction direction) {
  // Whether the other units alone fill the cohort depends on their coins only. If they do, a uniform subset of them and
  // of this unit is one of them alone in which this unit then takes a random place, with the probability below
  // (reservoir sampling), so that the sum moves by at most twice the sensitivity.
  const auto n = static_cast<double>(s.population);
  const auto cap = static_cast<double>(s.max_cohort);
  const double full = BinomialFrom(n - 1, s.sampling_probability, cap);
  Source source = PairSource(PoissonPair(Noise::kGaussian, s.noise_multiplier, s.sampling_probability, direction));
  if (full == 0) return source;
  const double at_least_full = full / (1 + 2 * BinomialSlack(n));
  const double enters = std::min(1.0, cap * BinomialFrom(n, s.sampling_probability, cap + 1) / (n * at_least_full));
  source.other = PoissonPair(Noise::kGaussian, s.noise_multiplier / 2, enters, direction);
  source.weight_of_other = full;
  return source;
}

Source GroupSource(const GroupPoissonGaussianStep& s, Direction direction) {
  std::vector<WeightedShift> shifts;
  const double sign = direction == Direction::kRemove ? 1 : -1;
  const auto k = static_cast<double>(s.group_size);
  if (s.sampling_probability == 1) {
    shifts.push_back({1, sign * k});
  } else {
    VisitBinomial(k, s.sampling_probability, 0, [&](double i, double mass) { shifts.push_back({mass, sign * i}); });
  }
  std::vector<WeightedShift> still{{1, 0}};
  return PairSource(direction == Direction::kRemove ? GaussianMixturePair(s.noise_multiplier, shifts, still)
                                                    : GaussianMixturePair(s.noise_multiplier, still, shifts));
}

/// Nothing when only Renyi DP is known.
std::optional<Source> SourceOf(const Step& step, Neighbouring relation, Direction direction) {
  using Maybe = std::optional<Source>;
  return std::visit(
      Overloaded{
          [&](const GaussianStep& s) -> Maybe {
            return PairSource(PoissonPair(Noise::kGaussian, s.noise_multiplier, 1, direction));
          },
          [&](const LaplaceStep& s) -> Maybe {
            return PairSource(PoissonPair(Noise::kLaplace, s.noise_multiplier, 1, direction));
          },
          [&](const PoissonGaussianStep& s) -> Maybe {
            const double q = s.sampling_probability;
            if (relation != Neighbouring::kReplaceOne)
              return PairSource(PoissonPair(Noise::kGaussian, s.noise_multiplier, q, direction));
            return PairSource(GaussianMixturePair(s.noise_multiplier, {{1 - q, 0}, {q, 1}}, {{1 - q, 0}, {q, -1}}));
          },
          [&](const PoissonLaplaceStep& s) -> Maybe {
            return PairSource(PoissonPair(Noise::kLaplace, s.noise_multiplier, s.sampling_probability, direction));
          },
          [&](const TruncatedPoissonGaussianStep& s) -> Maybe { return TruncatedSource(s, direction); },
          [&](const GroupPoissonGaussianStep& s) -> Maybe { return GroupSource(s, direction); },
          [](const FixedSizeGaussianStep&) -> Maybe { return std::nullopt; },
          [](const DiscreteGaussianStep& s) -> Maybe {
            return ListSource(DiscreteGaussianOutcomes(s.sigma, s.sensitivity));
          },
          [](const DiscreteLaplaceStep& s) -> Maybe {
            return ListSource(DiscreteLaplaceOutcomes(s.rate, s.sensitivity));
          },
          [](const RandomisedResponseStep& s) -> Maybe {
            return ListSource(RandomisedResponseOutcomes(s.noise, s.buckets));
          },
          [](const BlackBoxStep& s) -> Maybe { return ListSource(WorstCaseOutcomes(s.epsilon, s.delta)); },
          [](const SkellamStep&) -> Maybe { return std::nullopt; },
          [](const DistributedGaussianStep&) -> Maybe { return std::nullopt; }},
      step);
}

/// Both directions of the same: those which differ matter for sampling only.
bool IsSymmetric(const Step& step) {
  return !std::holds_alternative<PoissonGaussianStep>(step) && !std::holds_alternative<PoissonLaplaceStep>(step) &&
         !std::holds_alternative<TruncatedPoissonGaussianStep>(step) &&
         !std::holds_alternative<GroupPoissonGaussianStep>(step);
}

/// All Gaussian steps as the one that they are together (Dong, Roth, Su 2019).
std::vector<RepeatedStep> WithGaussiansJoined(std::span<const RepeatedStep> steps) {
  std::vector<RepeatedStep> joined;
  double squares = 0;
  for (const RepeatedStep& each : steps) {
    const auto own = GaussianSquares({&each, 1});
    if (own) {
      squares += *own;
    } else {
      joined.push_back(each);
    }
  }
  if (squares > 0) joined.push_back({GaussianStep{1 / std::sqrt(squares)}, 1});
  return joined;
}

}  // namespace

/// Entries never move, so that a composition can point at them.
class LossMemory::Impl {
 public:
  struct Losses {
    double step;
    double truncate;
    LossMass loss;
  };
  struct Known {
    Step step;
    Neighbouring relation;
    Direction direction;
    Source source;
    double grid_step;
    std::deque<Losses> grids;
  };

  /// Nothing when the step has no loss distribution.
  Known* Find(const Step& step, Neighbouring relation, Direction direction) {
    for (Known& each : known_)
      if (each.step == step && each.relation == relation && each.direction == direction) return &each;
    std::optional<Source> source = SourceOf(step, relation, direction);
    if (!source) return nullptr;
    const double grid_step = source->GridStep();
    return &known_.emplace_back(step, relation, direction, *std::move(source), grid_step);
  }
  const LossMass& OnGrid(Known& known, double step, double truncate) {
    for (const Losses& each : known.grids)
      if (each.step == step && each.truncate == truncate) return each.loss;
    const Losses& made = known.grids.emplace_back(step, truncate, known.source.OnGrid(step, truncate));
    points_ += made.loss.mass.size();
    return made.loss;
  }
  /// Between questions only.
  void Limit() {
    constexpr std::size_t kMostPoints = std::size_t{1} << 23U;
    constexpr std::size_t kMostSteps = 64;
    if (points_ <= kMostPoints && known_.size() <= kMostSteps) return;
    known_.clear();
    points_ = 0;
  }

 private:
  std::deque<Known> known_;
  std::size_t points_ = 0;
};

LossMemory::LossMemory() : impl_(std::make_unique<Impl>()) {}
LossMemory::LossMemory(LossMemory&& other) noexcept = default;
LossMemory& LossMemory::operator=(LossMemory&& other) noexcept = default;
LossMemory::~LossMemory() = default;

namespace {

constexpr double kFinestStep = 0x1p-34;
constexpr double kCoarsestStep = 0x1p10;
constexpr double kManySteps = 25'000;

struct PldQuestion {
  std::vector<RepeatedStep> steps;
  Neighbouring relation;
  /// How much of the probability may be called infinite.
  double negligible;
};

/// What a single one of `total` steps may call infinite: by powers of sixteen, so that more steps share it.
double NegligibleOfOne(double negligible, double total) {
  constexpr double kBitsOfSixteen = 4;
  return negligible / std::exp2(kBitsOfSixteen * std::ceil(std::log2(total) / kBitsOfSixteen));
}

/// Asks `answer` about the composition in one direction, on a grid fine enough for what comes out.
/// Nothing when a step has no loss distribution.
template <typename Answer>
std::optional<double> InDirection(const PldQuestion& question, Direction direction, double resolution,
                                  LossMemory::Impl& memory, Answer answer) {
  std::vector<LossMemory::Impl::Known*> sources;
  double squares = 0;
  double total = 0;
  for (const RepeatedStep& each : question.steps) {
    LossMemory::Impl::Known* const known = memory.Find(each.step, question.relation, direction);
    if (known == nullptr) return std::nullopt;
    const double own = known->grid_step;
    const auto count = static_cast<double>(each.count);
    squares += count * own * own;
    total += count;
    sources.push_back(known);
  }
  const double truncate = NegligibleOfOne(question.negligible, total);
  double step = std::exp2(std::floor(std::log2(std::sqrt(squares / total))));
  // A sum of few steps is narrow: there is room for a finer grid. Never the other way, so that the bound grows with
  // them.
  if (total < kManySteps) step /= 2;
  double best = kInfinity;
  bool coarsened = false;
  while (true) {
    std::vector<RepeatedLoss> parts;
    for (std::size_t i = 0; i < sources.size(); ++i)
      parts.push_back({&memory.OnGrid(*sources[i], step, truncate), question.steps[i].count});
    // Losses that cannot be told from infinite ones leave nothing to compose.
    for (const RepeatedLoss& part : parts)
      if (std::ranges::none_of(part.loss->mass, [](double mass) { return mass > 0; })) return kInfinity;
    const std::optional<double> value = answer(parts);
    if (!value) {  // too many grid points
      if (best < kInfinity || step > kCoarsestStep) return best;
      coarsened = true;
      step *= 4;
      continue;
    }
    best = std::min(best, *value);
    constexpr std::size_t kFiner = 8;
    const auto is_fine = [&](const RepeatedLoss& part) { return part.loss->mass.size() > kMaxGridPoints / kFiner; };
    if (coarsened || best == 0 || best >= resolution * step || step < kFinestStep) return best;
    if (std::ranges::any_of(parts, is_fine)) return best;
    step /= kFiner;
  }
}

/// The larger of both directions, or the one when they are the same; `unknown` stands for a direction without an
/// answer.
template <typename Answer>
std::optional<double> WorstDirection(const PldQuestion& question, double resolution, double unknown,
                                     LossMemory::Impl& memory, Answer answer) {
  memory.Limit();
  const std::optional<double> remove = InDirection(question, Direction::kRemove, resolution, memory, answer);
  const auto symmetric = [](const RepeatedStep& each) { return IsSymmetric(each.step); };
  if (!remove || std::ranges::all_of(question.steps, symmetric)) return remove;
  return std::max(*remove, InDirection(question, Direction::kAdd, resolution, memory, answer).value_or(unknown));
}

std::optional<double> PldEpsilon(std::span<const RepeatedStep> steps, Neighbouring relation, double delta,
                                 LossMemory::Impl& memory) {
  constexpr double kStepsAnEpsilon = 48;
  return WorstDirection({WithGaussiansJoined(steps), relation, delta * 1e-9}, kStepsAnEpsilon, kInfinity, memory,
                        [&](std::span<const RepeatedLoss> parts) { return ComposedEpsilon(parts, delta); });
}

std::optional<double> PldDelta(std::span<const RepeatedStep> steps, Neighbouring relation, double epsilon) {
  LossMemory memory;
  return WorstDirection({WithGaussiansJoined(steps), relation, 1e-18}, 0, 1, memory.impl(),
                        [&](std::span<const RepeatedLoss> parts) { return ComposedDelta(parts, epsilon); });
}

// ---- Putting it together ----

/// The steps that count, in one relation; nothing when one of them has no privacy at all.
Result<std::optional<std::vector<RepeatedStep>>> StepsThatCount(const CompositionQuery& query) {
  std::vector<RepeatedStep> steps;
  bool all_private = true;
  for (const RepeatedStep& each : query.steps) {
    TACIT_TRY_VOID(CheckStep(each.step));
    TACIT_TRY(const Step step, InRelation(each.step, query.neighbouring));
    const Nature nature = NatureOf(step);
    if (each.count == 0 || nature == Nature::kFree) continue;
    all_private = all_private && nature != Nature::kNotPrivate;
    steps.push_back({step, each.count});
  }
  if (!all_private) return std::nullopt;
  return steps;
}

Result<CompositionReport> NoAnswer(const char* why) {
  return Fail(ErrorCode::kInvalidArgument, why);
}

void Improve(CompositionReport& report, std::optional<double> epsilon, std::string_view accountant) {
  if (epsilon && *epsilon < report.epsilon) report = {*epsilon, accountant};
}

}  // namespace

std::string_view NameOf(Neighbouring relation) {
  return TextOf(kNeighbourings, relation);
}
Result<Neighbouring> ParseNeighbouring(std::string_view name) {
  return ParseWord(kNeighbourings, "neighbouring relation", name);
}
std::string_view NameOf(Accountant accountant) {
  return TextOf(kAccountants, accountant);
}
Result<Accountant> ParseAccountant(std::string_view name) {
  return ParseWord(kAccountants, "accountant", name);
}

Result<CompositionReport> ComposedEpsilon(const CompositionQuery& query) {
  LossMemory memory;
  return ComposedEpsilon(query, memory);
}

Result<CompositionReport> ComposedEpsilon(const CompositionQuery& query, LossMemory& memory) {
  if (!(query.delta >= 0 && query.delta <= 1)) return NoAnswer("delta must be from 0 to 1");
  TACIT_TRY(const auto counted, StepsThatCount(query));
  const bool any = query.accountant == Accountant::kTightest;
  const std::string_view closed = NameOf(Accountant::kExact);
  if (query.delta == 1 || (counted && counted->empty())) return CompositionReport{0, closed};
  if (!counted) return CompositionReport{kInfinity, closed};
  const std::vector<RepeatedStep>& steps = *counted;
  const double pure = PureEpsilon(steps);
  if (query.delta == 0) return CompositionReport{pure, closed};
  const std::optional<double> gaussian = GaussianSquares(steps);
  if (gaussian && (any || query.accountant == Accountant::kExact))
    return CompositionReport{GaussianEpsilon(1 / std::sqrt(*gaussian), 1, query.delta), closed};
  if (query.accountant == Accountant::kExact && !(pure < kInfinity))
    return NoAnswer("these steps together have no closed form; ask for pld or rdp");
  CompositionReport report{kInfinity, any ? NameOf(Accountant::kRdp) : NameOf(query.accountant)};
  if (any || query.accountant == Accountant::kExact) Improve(report, pure, closed);
  if (any || query.accountant == Accountant::kRdp) {
    const auto rdp = RdpEpsilon(steps, query.neighbouring, query.delta);
    if (!rdp && !any) return NoAnswer("no Renyi bound is known for one of these steps; ask for pld");
    Improve(report, rdp, NameOf(Accountant::kRdp));
  }
  if (any || query.accountant == Accountant::kPld) {
    if (query.delta < kMinPldDelta) {
      if (!any) return NoAnswer("delta is below 1e-12, where a loss distribution proves nothing; ask for rdp");
      return report;
    }
    const auto pld = PldEpsilon(steps, query.neighbouring, query.delta, memory.impl());
    if (!pld && !any) return NoAnswer("only a Renyi bound is known for one of these steps; ask for rdp");
    Improve(report, pld, NameOf(Accountant::kPld));
  }
  return report;
}

Result<double> ComposedDelta(const CompositionQuery& query, double epsilon) {
  if (!(epsilon >= 0)) return Fail(ErrorCode::kInvalidArgument, "epsilon must be from 0 on");
  TACIT_TRY(const auto counted, StepsThatCount(query));
  if (!counted) return 1.0;
  if (counted->empty() || epsilon == kInfinity) return 0.0;
  if (const auto squares = GaussianSquares(*counted)) return GaussianDelta(1 / std::sqrt(*squares), 1, epsilon);
  const auto delta = PldDelta(*counted, query.neighbouring, epsilon);
  if (!delta) return Fail(ErrorCode::kInvalidArgument, "only a Renyi bound is known for one of these steps");
  return std::clamp(*delta, kMinPldDelta / 1024, 1.0);
}

}  // namespace tacit::dp
