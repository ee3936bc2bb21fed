#include "benchmarks/detect/mlp.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <utility>

#include <Eigen/Core>

#include "common/base/random.h"
#include "edge_agent/detect/scores.h"
#include "edge_agent/training/trainer.h"

namespace tacit::benchmark {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<const Matrix>;

Eigen::Index At(std::size_t size) {
  return static_cast<Eigen::Index>(size);
}

// The rows at these places, each of a class that `renamed` gives it.
data::Dataset Picked(const data::Dataset& from, const std::vector<std::size_t>& places) {
  data::Dataset picked{.rows = places.size(),
                       .features = from.features,
                       .classes = from.classes,
                       .x = {},
                       .y = {},
                       .labels = from.labels,
                       .left_out = {}};
  picked.x.reserve(places.size() * from.features);
  for (const std::size_t place : places) {
    const auto row = std::span(from.x).subspan(place * from.features, from.features);
    picked.x.insert(picked.x.end(), row.begin(), row.end());
    picked.y.push_back(from.y[place]);
  }
  return picked;
}

}  // namespace

struct Mlp::Layers {
  std::vector<Matrix> weights;
  std::vector<Eigen::Matrix<float, 1, Eigen::Dynamic>> biases;
  std::vector<Matrix> outputs;
};

Mlp::Mlp(const model::ModelSpec& spec, std::vector<float> parameters) : layers_(std::make_unique<Layers>()) {
  const std::vector<model::Tensor> tensors = spec.Tensors();
  for (std::size_t i = 0; i < tensors.size(); i += 2) {
    const Eigen::Index out = At(tensors[i].shape[0]);
    const Eigen::Index in = At(tensors[i].shape[1]);
    layers_->weights.emplace_back(MatrixView(parameters.data() + tensors[i].offset, out, in));
    layers_->biases.emplace_back(
        Eigen::Map<const Eigen::Matrix<float, 1, Eigen::Dynamic>>(parameters.data() + tensors[i + 1].offset, out));
  }
  layers_->outputs.resize(layers_->weights.size());
  shape_ = {.inputs = spec.inputs(),
            .classes = spec.classes(),
            .features = static_cast<std::uint32_t>(layers_->weights.back().cols())};
}

Mlp::~Mlp() = default;
Mlp::Mlp(Mlp&&) noexcept = default;
Mlp& Mlp::operator=(Mlp&&) noexcept = default;

Result<void> Mlp::Run(std::span<const float> input, detect::Answer& answer) {
  const Eigen::Index rows = At(input.size() / shape_.inputs);
  const MatrixView in(input.data(), rows, shape_.inputs);
  for (std::size_t i = 0; i < layers_->weights.size(); ++i) {
    Matrix& out = layers_->outputs[i];
    if (i == 0) {
      out.noalias() = in * layers_->weights[i].transpose();
    } else {
      out.noalias() = layers_->outputs[i - 1] * layers_->weights[i].transpose();
    }
    out.rowwise() += layers_->biases[i];
    if (i + 1 < layers_->weights.size()) out = out.cwiseMax(0.0F);
  }
  const Matrix& logits = layers_->outputs.back();
  answer.logits.assign(logits.data(), logits.data() + logits.size());
  const Matrix& features = layers_->outputs[layers_->outputs.size() - 2];
  answer.features.assign(features.data(), features.data() + features.size());
  return {};
}

void Mlp::Pullback(const detect::Answer& slopes, std::span<float> gradient) const {
  const Eigen::Index rows = layers_->outputs.front().rows();
  Matrix slope = MatrixView(slopes.logits.data(), rows, shape_.classes);
  for (std::size_t i = layers_->weights.size(); i-- > 1;) {
    Matrix below = slope * layers_->weights[i];
    if (i + 1 == layers_->weights.size() && !slopes.features.empty()) {
      below += MatrixView(slopes.features.data(), rows, shape_.features);
    }
    slope = below.array() * (layers_->outputs[i - 1].array() > 0.0F).cast<float>();
  }
  Eigen::Map<Matrix>(gradient.data(), rows, shape_.inputs).noalias() = slope * layers_->weights[0];
}

Result<void> Mlp::InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                                std::span<float> gradient) {
  detect::Answer slopes;
  TACIT_TRY_VOID(Run(input, slopes));
  slopes.features.clear();
  for (std::size_t row = 0; row < classes.size(); ++row) {
    const auto logits = std::span(slopes.logits).subspan(row * shape_.classes, shape_.classes);
    const double sum = detect::LogSumExp(logits);
    for (float& logit : logits) logit = static_cast<float>(std::exp(static_cast<double>(logit) - sum));
    logits[classes[row]] -= 1.0F;
  }
  Pullback(slopes, gradient);
  return {};
}

Mlp Trained(const data::Dataset& rows, const std::vector<std::uint32_t>& hidden, std::uint32_t epochs) {
  const auto spec = model::ModelSpec::Create(
      {.inputs = static_cast<std::uint32_t>(rows.features), .hidden = hidden, .classes = rows.classes});
  std::vector<float> parameters = spec->InitialParameters(7);
  const auto update = training::Train(
      *spec, parameters, rows,
      {.epochs = epochs, .batch_size = 32, .learning_rate = 0.02, .momentum = 0.9, .proximal_mu = 0, .seed = 11});
  if (!update) {
    std::fprintf(stderr, "training: %s\n", update.error().message.c_str());
    std::exit(1);
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] += update->delta[i];
  return {*spec, std::move(parameters)};
}

std::vector<std::uint32_t> LikelyOf(Mlp& model, std::span<const float> input) {
  detect::Answer answer;
  (void)model.Run(input, answer);
  const std::size_t classes = model.shape().classes;
  std::vector<std::uint32_t> likely;
  for (std::size_t at = 0; at < answer.logits.size(); at += classes) {
    likely.push_back(detect::MostLikely(std::span(answer.logits).subspan(at, classes)));
  }
  return likely;
}

double AccuracyOf(Mlp& model, const data::Dataset& rows) {
  const std::vector<std::uint32_t> likely = LikelyOf(model, rows.x);
  std::size_t right = 0;
  for (std::size_t i = 0; i < rows.rows; ++i) right += likely[i] == rows.y[i] ? 1U : 0U;
  return static_cast<double>(right) / static_cast<double>(rows.rows);
}

data::Dataset Slice(const data::Dataset& from, std::size_t first, std::size_t count) {
  std::vector<std::size_t> places(count);
  std::iota(places.begin(), places.end(), first);
  return Picked(from, places);
}

data::Dataset OfClasses(const data::Dataset& from, const std::vector<std::uint32_t>& classes) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < from.rows; ++i) {
    if (std::ranges::find(classes, from.y[i]) != classes.end()) places.push_back(i);
  }
  data::Dataset picked = Picked(from, places);
  for (std::uint32_t& y : picked.y) y = static_cast<std::uint32_t>(std::ranges::find(classes, y) - classes.begin());
  picked.classes = static_cast<std::uint32_t>(classes.size());
  return picked;
}

data::Dataset Shuffled(const data::Dataset& from, std::uint64_t seed) {
  std::vector<std::size_t> places(from.rows);
  std::iota(places.begin(), places.end(), std::size_t{0});
  SplitMix64 random(seed);
  for (std::size_t i = places.size(); i > 1; --i) std::swap(places[i - 1], places[random.Below(i)]);
  return Picked(from, places);
}

}  // namespace tacit::benchmark
