#include "server/ownership/watermark.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "common/crypto/digest.h"
#include "edge_agent/training/network.h"
#include "server/ownership/keyed_words.h"

namespace tacit::ownership {

namespace {

using inference::Batch;
using inference::BatchScore;

// A mean loss at which all triggers stand far inside their classes: what makes the mark outlive changes.
constexpr double kTaughtLoss = 0.02;
// Multiplications for one mark, so that a large model holds the compute pool for minutes at most.
constexpr double kMostWork = 1e12;
constexpr double kClopperPearson = 0.01;

Batch BatchOf(const Triggers& triggers) {
  return {.x = triggers.x, .y = triggers.y};
}

training::Network NetworkFor(const model::ModelSpec& model, const Triggers& triggers) {
  auto network = training::MakeNetwork(model, triggers.y.size());
  TACIT_CHECK(network.has_value(), "every model of a task has derivatives");
  return *std::move(network);
}

BatchScore Known(const Result<BatchScore>& score) {
  TACIT_CHECK(score.has_value(), "triggers are rows of the model and of its classes");
  return *score;
}

std::uint32_t StepsOf(const model::ModelSpec& model, const task::Watermark& rules) {
  // A pass forward and one back: three multiplications where a number meets a weight.
  const double a_step = 3.0 * static_cast<double>(model.layers().cost().work) * rules.triggers;
  return std::min(rules.steps, std::max(1U, static_cast<std::uint32_t>(std::min(kMostWork / a_step, 1e9))));
}

/// Steps whose length does not depend on the scale of the inputs. Source: Kingma, Ba 2015, algorithm 1.
class Adam {
 public:
  Adam(std::size_t parameters, double rate) : rate_(rate), mean_(parameters), square_(parameters) {}

  void Step(std::span<const float> gradient, std::span<float> parameters) {
    decay_mean_ *= static_cast<double>(kMeanDecay);
    decay_square_ *= static_cast<double>(kSquareDecay);
    const auto scale = static_cast<float>(rate_ * std::sqrt(1 - decay_square_) / (1 - decay_mean_));
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      mean_[i] = kMeanDecay * mean_[i] + (1 - kMeanDecay) * gradient[i];
      square_[i] = kSquareDecay * square_[i] + (1 - kSquareDecay) * gradient[i] * gradient[i];
      parameters[i] -= scale * mean_[i] / (std::sqrt(square_[i]) + kTiny);
    }
  }

 private:
  static constexpr float kMeanDecay = 0.9F;
  static constexpr float kSquareDecay = 0.999F;
  static constexpr float kTiny = 1e-8F;

  double rate_;
  double decay_mean_ = 1;
  double decay_square_ = 1;
  std::vector<float> mean_;
  std::vector<float> square_;
};

bool AllFinite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

}  // namespace

crypto::SecretKey MarkKeyOf(const crypto::SecretKey& owner, const TaskId& task) {
  return owner.Derive(ByteWriter().Text("tacit-watermark/1").Text(task.str()).bytes());
}

Triggers MakeTriggers(const crypto::SecretKey& mark_key, const model::ModelSpec& model, const task::Watermark& rules) {
  const std::size_t numbers = std::size_t{rules.triggers} * model.inputs();
  const std::vector<std::uint64_t> bits = WordsOf(mark_key.Derive(AsBytes("inputs")), (numbers + 63) / 64);
  const auto low = static_cast<float>(rules.input_min);
  const auto high = static_cast<float>(rules.input_max);
  Triggers triggers{.x = std::vector<float>(numbers), .y = {}};
  for (std::size_t i = 0; i < numbers; ++i) triggers.x[i] = (bits[i / 64] >> (i % 64) & 1U) != 0 ? high : low;
  for (const std::uint64_t word : WordsOf(mark_key.Derive(AsBytes("labels")), rules.triggers)) {
    triggers.y.push_back(static_cast<std::uint32_t>(Below(word, model.classes())));
  }
  return triggers;
}

Embedding Embed(const model::ModelSpec& model, const task::Watermark& rules, const Triggers& triggers,
                std::span<float> parameters) {
  TACIT_CHECK(parameters.size() == model.ParameterCount(), "a model has all its parameters");
  training::Network network = NetworkFor(model, triggers);
  std::vector<float> marked(parameters.begin(), parameters.end());
  std::vector<float> gradient(parameters.size());
  Adam adam(parameters.size(), rules.learning_rate);
  const std::uint32_t most = StepsOf(model, rules);
  Embedding embedding;
  for (; embedding.steps < most; ++embedding.steps) {
    const BatchScore score = Known(network.differentiator.Gradient(marked, BatchOf(triggers), gradient));
    const auto rows = static_cast<double>(triggers.y.size());
    if (score.correct == triggers.y.size() && score.loss <= kTaughtLoss * rows) break;
    adam.Step(gradient, marked);
  }
  if (AllFinite(marked)) std::ranges::copy(marked, parameters.begin());
  embedding.matched = Known(network.differentiator.Score(parameters, BatchOf(triggers))).correct;
  return embedding;
}

std::uint64_t MemoryOfMark(const model::ModelSpec& model, const task::Watermark& rules) {
  // Outputs and slopes of each layer, for as many rows as a Differentiator takes at once; and the parameters as the
  // model that it is made for has them, twice, while it is made.
  constexpr std::uint64_t kValuesAtOnce = std::uint64_t{1} << 18U;
  const model::RowCost& row = model.layers().cost();
  const std::uint64_t parameters = model.ParameterCount();
  const std::uint64_t values =
      std::min(rules.triggers * row.numbers, std::max({kValuesAtOnce, parameters, row.numbers}));
  // A trigger's feature is a number, and was a bit.
  return std::uint64_t{rules.triggers} * model.inputs() * 5 + (values + parameters) * 2 * sizeof(float) +
         row.columns * sizeof(float);
}

std::size_t CountMatches(const model::ModelSpec& model, std::span<const float> parameters, const Triggers& triggers) {
  TACIT_CHECK(parameters.size() == model.ParameterCount(), "a model has all its parameters");
  return Known(NetworkFor(model, triggers).differentiator.Score(parameters, BatchOf(triggers))).correct;
}

Digest256 DigestOf(const Triggers& triggers) {
  crypto::Sha256Stream digest;
  digest.Update(ByteWriter().Text("tacit-triggers/1").U64(triggers.y.size()).bytes());
  digest.Update(AsBytes(std::span<const float>(triggers.x)));
  digest.Update(AsBytes(std::span<const std::uint32_t>(triggers.y)));
  return digest.Finish();
}

Digest256 NonceOf(const crypto::SecretKey& mark_key, ModelVersion version) {
  const crypto::SecretKey nonce = mark_key.Derive(ByteWriter().Text("nonce").U64(version).bytes());
  Digest256 bytes{};
  std::ranges::copy(nonce.bytes(), bytes.begin());
  return bytes;
}

Digest256 CommitmentTo(const Opening& opening) {
  return crypto::Sha256(ByteWriter()
                            .Text("tacit-watermark-commitment/1")
                            .Text(opening.task.str())
                            .U64(opening.version)
                            .Raw(opening.model)
                            .Raw(opening.triggers)
                            .Raw(opening.nonce)
                            .bytes());
}

double BinomialTail(std::size_t n, double p, std::size_t from) {
  if (from == 0) return 1;
  if (from > n) return 0;
  const auto log_choose = [n](std::size_t k) {
    const auto of = [](std::size_t x) { return std::lgamma(static_cast<double>(x) + 1); };
    return of(n) - of(k) - of(n - k);
  };
  double sum = 0;
  for (std::size_t k = n + 1; k-- > from;) {  // the smallest first
    sum += std::exp(log_choose(k) + static_cast<double>(k) * std::log(p) + static_cast<double>(n - k) * std::log1p(-p));
  }
  // lgamma errs by less than 1e-12 for n up to 1000, where it is below 6000.
  return std::min(1.0, sum * (1 + 1e-9));
}

Verdict Judge(std::size_t matched, std::size_t triggers, std::uint32_t classes) {
  TACIT_CHECK(triggers > 0 && matched <= triggers && classes >= 2, "a mark has triggers and a model classes");
  Verdict verdict{.matched = matched, .triggers = triggers};
  verdict.match_rate = static_cast<double>(matched) / static_cast<double>(triggers);
  verdict.chance = std::max(kAssumedChance, 1.0 / classes);
  verdict.p_value = BinomialTail(triggers, verdict.chance, matched);
  // The rate at which so many matches are just as unlikely as the bound may be wrong.
  double high = verdict.match_rate;
  for (int i = 0; i < 50 && matched > 0; ++i) {
    const double middle = (verdict.match_rate_low + high) / 2;
    (BinomialTail(triggers, middle, matched) < kClopperPearson ? verdict.match_rate_low : high) = middle;
  }
  verdict.supports_claim = verdict.match_rate >= kClaimThreshold && verdict.p_value <= kClaimPValue;
  return verdict;
}

}  // namespace tacit::ownership
