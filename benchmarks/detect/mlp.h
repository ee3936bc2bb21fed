#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/model/spec.h"
#include "edge_agent/data/dataset.h"
#include "edge_agent/detect/model.h"

namespace tacit::benchmark {

/// A fully connected network with ReLU, as detectors and attackers see it: the features are what its last layer takes.
class Mlp final : public detect::Model {
 public:
  Mlp(const model::ModelSpec& spec, std::vector<float> parameters);
  ~Mlp() override;
  Mlp(Mlp&&) noexcept;
  Mlp& operator=(Mlp&&) noexcept;

  [[nodiscard]] const detect::ModelShape& shape() const override { return shape_; }
  Result<void> Run(std::span<const float> input, detect::Answer& answer) override;
  Result<void> InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                             std::span<float> gradient) override;

  /// The derivative, by the inputs of the last Run, of the sum of the logits and features, each times its slope.
  void Pullback(const detect::Answer& slopes, std::span<float> gradient) const;

 private:
  struct Layers;
  std::unique_ptr<Layers> layers_;
  detect::ModelShape shape_;
};

/// Trains one on a data set, from a fixed start; ends the process where that fails.
Mlp Trained(const data::Dataset& rows, const std::vector<std::uint32_t>& hidden, std::uint32_t epochs);

/// The share of rows that it classifies rightly.
double AccuracyOf(Mlp& model, const data::Dataset& rows);

/// What it says is most likely, of each row.
std::vector<std::uint32_t> LikelyOf(Mlp& model, std::span<const float> input);

/// The rows of `from` in [first, first + count).
data::Dataset Slice(const data::Dataset& from, std::size_t first, std::size_t count);

/// The rows of these classes, which are numbered anew.
data::Dataset OfClasses(const data::Dataset& from, const std::vector<std::uint32_t>& classes);

/// In an order that the seed decides.
data::Dataset Shuffled(const data::Dataset& from, std::uint64_t seed);

}  // namespace tacit::benchmark
