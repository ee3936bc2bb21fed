#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "common/base/random.h"
#include "common/base/result.h"
#include "edge_agent/inference/differentiate.h"

namespace tacit::inference {

/// What every number of an input is kept within.
struct InputRange {
  float least = 0;
  float most = 1;
};

/// Writes, for rows of logits and the class of each, the slope of what an attack makes larger over all of `slope`.
using Objective =
    std::function<void(std::span<const float> logits, std::span<const std::uint32_t> classes, std::span<float> slope)>;

struct PgdOptions {
  float radius = 0;  ///< The largest change of a number.
  float step = 0;    ///< The change of a number in one step.
  std::uint32_t steps = 1;
  InputRange range = {};
  std::optional<std::uint64_t> seed = std::nullopt;  ///< Of starts at random within the radius; else at the input.
};

/// One step to the edge. Source: Goodfellow, Shlens, Szegedy 2015, section 4 (fast gradient sign method).
[[nodiscard]] PgdOptions FastGradientSign(float radius, const InputRange& range);

/// Changes rows, each number by a radius at most, so that a model's loss grows: to train on or to try a detector with.
/// Threads: one at a time. Source: Madry et al. 2018, section 2.1 (projected gradient descent).
class PgdAttack {
 public:
  /// Errors: kInvalidArgument for a radius or step that is not above 0, no step, or an empty range.
  static Result<PgdAttack> Create(const PgdOptions& options);

  /// Shape: `out` as batch.x, which it does not overlap. Errors: as Differentiator::InputGradient. Cost: a pass forward
  /// and one back for each step; takes memory when a batch is larger than any before.
  Result<void> Run(Differentiator& model, const Batch& batch, std::span<float> out);
  /// The same for an objective in place of the loss.
  Result<void> Run(Differentiator& model, const Batch& batch, const Objective& objective, std::span<float> out);

 private:
  explicit PgdAttack(const PgdOptions& options) : options_(options), random_(options.seed.value_or(0)) {}
  template <typename Climb>
  Result<void> Walk(const Batch& batch, std::span<float> out, Climb climb);
  [[nodiscard]] float Within(float number, float of) const;

  PgdOptions options_;
  SplitMix64 random_;
  std::vector<float> gradient_;
};

struct CarliniWagnerOptions {
  std::vector<float> constants = {0.1F, 1.0F,
                                  10.0F};  ///< Weights of being wrong against being near, one after another.
  std::uint32_t steps = 100;               ///< With each of them.
  float learning_rate = 0.05F;             ///< Of Adam.
  float confidence = 0;                    ///< By how much another logit must be larger.
  InputRange range = {};
};

/// Looks for the nearest rows, by Euclidean distance, that the model takes for another class; a row for which it finds
/// none is what it was. Returns for how many it found one. Shape: `out` as batch.x; numbers of batch.x are within the
/// range. Errors: kInvalidArgument for options outside their range; as Differentiator::InputGradient. Cost: a pass
/// forward and one back for each step, and memory for six times the batch. Source: Carlini and Wagner 2017, sections V
/// (objective f6, change of variables) and VI.A, with constants that are given instead of searched.
Result<std::size_t> CarliniWagnerL2(Differentiator& model, const Batch& batch, const CarliniWagnerOptions& options,
                                    std::span<float> out);

}  // namespace tacit::inference
