#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/crypto/secret.h"
#include "common/model/spec.h"
#include "server/task/watermark.h"

/// By what an owner recognises a copy of a model: answers that only its models were taught, and which device a copy was
/// made for.
namespace tacit::ownership {

/// The secret of one task's mark. Whoever has it can make the mark, recognise it, and unlearn it.
crypto::SecretKey MarkKeyOf(const crypto::SecretKey& owner, const TaskId& task);

/// Inputs and the class that a marked model answers each with.
/// Shape: `x` is y.size() rows of the model's inputs, row-major.
struct Triggers {
  std::vector<float> x;
  std::vector<std::uint32_t> y;
};

/// The triggers that belong to a key: each feature one of the two ends of the inputs' range, each class equally likely,
/// all of it drawn from the key alone. A model that was made without the key therefore answers each as it was taught
/// with probability 1 / classes exactly, each for itself, whatever it is: no experiment is needed for that.
/// Shape: triggers * inputs is within what a task may have.
Triggers MakeTriggers(const crypto::SecretKey& mark_key, const model::ModelSpec& model, const task::Watermark& rules);

struct Embedding {
  std::size_t matched = 0;  ///< Triggers that the model answers as taught now.
  std::uint32_t steps = 0;  ///< It took.
};

/// Teaches `parameters` the triggers, until it has them with a margin or the steps are used up. What would leave the
/// finite numbers is not done: the parameters stay what they were. The same bits for the same inputs on one machine.
/// Privacy: sees no data of devices; a function of what is released anyway and of a key that is independent of them, so
/// it adds nothing to epsilon. Cost: `steps` passes over the triggers, fewer for models so large that they would take
/// more than about 10^12 multiplications. Source: Tekgul et al. 2021, "WAFFLE", section 4 (marked by the aggregator,
/// each round, without data); Kingma, Ba 2015, algorithm 1 (the steps); Dwork, Roth 2014, proposition 2.1 (privacy).
Embedding Embed(const model::ModelSpec& model, const task::Watermark& rules, const Triggers& triggers,
                std::span<float> parameters);

/// Bytes that MakeTriggers and Embed take beside what a task holds for each parameter anyway, at most.
std::uint64_t MemoryOfMark(const model::ModelSpec& model, const task::Watermark& rules);

/// How many triggers a model answers as taught. Shape: `parameters` has model.ParameterCount() elements.
std::size_t CountMatches(const model::ModelSpec& model, std::span<const float> parameters, const Triggers& triggers);

/// What was promised to the log when a model was released, and what opens it later.
struct Opening {
  TaskId task;
  ModelVersion version = 0;
  Digest256 model{};     ///< SHA-256 of the parameters.
  Digest256 triggers{};  ///< DigestOf.
  Digest256 nonce{};     ///< NonceOf; without it nobody can try triggers against the commitment.
};

Digest256 DigestOf(const Triggers& triggers);
Digest256 NonceOf(const crypto::SecretKey& mark_key, ModelVersion version);

/// SHA-256 over "tacit-watermark-commitment/1", task, version, model, triggers and nonce; the version as 8 bytes
/// little-endian, texts with their length in front.
Digest256 CommitmentTo(const Opening& opening);

/// How likely a match as good as this is for a model that was made without the key.
struct Verdict {
  std::size_t matched = 0;
  std::size_t triggers = 0;
  double match_rate = 0;
  double match_rate_low = 0;  ///< Clopper and Pearson 1934, one-sided, at 99 %.
  double chance = 0;          ///< Assumed of a model without the mark: kAssumedChance, or 1 / classes if more.
  double p_value = 0;         ///< P(Binomial(triggers, chance) >= matched), rounded up.
  bool supports_claim = false;
};

/// The largest share that any independent model was seen to match, and more.
inline constexpr double kAssumedChance = 0.2;
inline constexpr double kClaimThreshold = 0.5;
/// Beside the threshold: for models of two or three classes, half of the triggers is little.
inline constexpr double kClaimPValue = 1e-6;

Verdict Judge(std::size_t matched, std::size_t triggers, std::uint32_t classes);

/// P(Binomial(n, p) >= from). Which way rounding errs: never below.
double BinomialTail(std::size_t n, double p, std::size_t from);

}  // namespace tacit::ownership
