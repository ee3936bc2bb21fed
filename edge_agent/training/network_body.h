#pragma once

// The definitions behind network.h, apart from it because Eigen is slow to compile: included where a Network is
// instantiated, by network.cc for float and by the gradient test for double.

#include <algorithm>
#include <cmath>
#include <vector>

#include <Eigen/Core>

#include "edge_agent/training/network.h"

namespace tacit::training {

template <typename Scalar>
struct Network<Scalar>::Layers {
  using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using MatrixView = Eigen::Map<const Matrix>;
  using RowView = Eigen::Map<const Eigen::Matrix<Scalar, 1, Eigen::Dynamic>>;

  // One layer's place in the flat vector. `output` is what the last Forward gave (logits in the last layer, ReLU
  // elsewhere); `slope` is the loss's derivative by it.
  struct Layer {
    Eigen::Index in = 0;
    Eigen::Index out = 0;
    std::size_t weight = 0;
    std::size_t bias = 0;
    Matrix output;
    Matrix slope;
  };

  explicit Layers(const model::ModelSpec& spec) {
    const std::vector<model::Tensor> tensors = spec.Tensors();
    for (std::size_t i = 0; i < tensors.size(); i += 2) {
      layers.push_back({.in = static_cast<Eigen::Index>(tensors[i].shape[1]),
                        .out = static_cast<Eigen::Index>(tensors[i].shape[0]),
                        .weight = tensors[i].offset,
                        .bias = tensors[i + 1].offset,
                        .output = {},
                        .slope = {}});
    }
  }

  static MatrixView WeightOf(const Layer& layer, std::span<const Scalar> parameters) {
    return MatrixView(parameters.data() + layer.weight, layer.out, layer.in);
  }

  MatrixView InputOf(Batch<Scalar> batch) const {
    return MatrixView(batch.x.data(), static_cast<Eigen::Index>(batch.y.size()), layers.front().in);
  }

  void Forward(std::span<const Scalar> parameters, Batch<Scalar> batch) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      Layer& layer = layers[i];
      const auto weight = WeightOf(layer, parameters);
      const RowView bias(parameters.data() + layer.bias, layer.out);
      if (i == 0) {
        layer.output.noalias() = InputOf(batch) * weight.transpose();
      } else {
        layer.output.noalias() = layers[i - 1].output * weight.transpose();
      }
      layer.output.rowwise() += bias;
      if (i + 1 < layers.size()) layer.output = layer.output.cwiseMax(Scalar{0});
    }
  }

  // Turns the logits into probabilities in place of `slope`, and scores them.
  BatchScore Softmax(std::span<const std::uint32_t> labels) {
    Layer& last = layers.back();
    BatchScore score;
    last.slope.resize(last.output.rows(), last.output.cols());
    for (Eigen::Index row = 0; row < last.output.rows(); ++row) {
      const auto label = static_cast<Eigen::Index>(labels[static_cast<std::size_t>(row)]);
      Eigen::Index best = 0;
      // The largest logit is taken off first: exp cannot overflow, and the sum is at least 1.
      const Scalar largest = last.output.row(row).maxCoeff(&best);
      last.slope.row(row) = (last.output.row(row).array() - largest).exp();
      const Scalar sum = last.slope.row(row).sum();
      last.slope.row(row) /= sum;
      score.loss += std::log(static_cast<double>(sum)) + static_cast<double>(largest - last.output(row, label));
      score.correct += best == label ? 1U : 0U;
    }
    return score;
  }

  // How many rows a pass takes at once: what it keeps of each layer is bounded, however large a batch a task asks for.
  [[nodiscard]] std::size_t RowsAtOnce() const {
    constexpr std::size_t kValuesAtOnce = std::size_t{4} << 20U;
    std::size_t values_a_row = 0;
    for (const Layer& layer : layers) values_a_row += static_cast<std::size_t>(layer.out);
    return std::max<std::size_t>(1, kValuesAtOnce / values_a_row);
  }

  // From probabilities in the last `slope` to these rows' part of the gradient of a mean loss over `rows` rows.
  void Backward(std::span<const Scalar> parameters, Batch<Scalar> batch, std::size_t rows, std::span<Scalar> gradient,
                bool add) {
    Matrix& last = layers.back().slope;
    for (Eigen::Index row = 0; row < last.rows(); ++row) {
      last(row, static_cast<Eigen::Index>(batch.y[static_cast<std::size_t>(row)])) -= Scalar{1};
    }
    last /= static_cast<Scalar>(rows);
    for (std::size_t i = layers.size(); i-- > 0;) {
      Layer& layer = layers[i];
      Eigen::Map<Matrix> weight_gradient(gradient.data() + layer.weight, layer.out, layer.in);
      Eigen::Map<Eigen::Matrix<Scalar, 1, Eigen::Dynamic>> bias_gradient(gradient.data() + layer.bias, layer.out);
      if (!add) {
        weight_gradient.setZero();
        bias_gradient.setZero();
      }
      bias_gradient += layer.slope.colwise().sum();
      if (i == 0) {
        weight_gradient.noalias() += layer.slope.transpose() * InputOf(batch);
        continue;
      }
      Layer& below = layers[i - 1];
      weight_gradient.noalias() += layer.slope.transpose() * below.output;
      below.slope.noalias() = layer.slope * WeightOf(layer, parameters);
      below.slope.array() *= (below.output.array() > Scalar{0}).template cast<Scalar>();
    }
  }

  std::vector<Layer> layers;
};

template <typename Scalar>
Network<Scalar>::Network(const model::ModelSpec& spec) : layers_(std::make_unique<Layers>(spec)) {}

template <typename Scalar>
Network<Scalar>::~Network() = default;

// Calls `visit(part, is_first)` for the batch in parts that fit.
template <typename Scalar, typename Visit>
BatchScore InParts(std::size_t rows_at_once, Batch<Scalar> batch, Visit visit) {
  const std::size_t rows = batch.y.size();
  const std::size_t inputs = rows == 0 ? 0 : batch.x.size() / rows;
  BatchScore total;
  for (std::size_t first = 0; first < rows; first += rows_at_once) {
    const std::size_t count = std::min(rows_at_once, rows - first);
    const BatchScore score =
        visit(Batch<Scalar>{.x = batch.x.subspan(first * inputs, count * inputs), .y = batch.y.subspan(first, count)},
              first == 0);
    total.loss += score.loss;
    total.correct += score.correct;
  }
  return total;
}

template <typename Scalar>
BatchScore Network<Scalar>::Score(std::span<const Scalar> parameters, Batch<Scalar> batch) {
  return InParts(layers_->RowsAtOnce(), batch, [&](Batch<Scalar> part, bool) {
    layers_->Forward(parameters, part);
    return layers_->Softmax(part.y);
  });
}

template <typename Scalar>
BatchScore Network<Scalar>::Gradient(std::span<const Scalar> parameters, Batch<Scalar> batch,
                                     std::span<Scalar> gradient) {
  return InParts(layers_->RowsAtOnce(), batch, [&](Batch<Scalar> part, bool is_first) {
    layers_->Forward(parameters, part);
    const BatchScore score = layers_->Softmax(part.y);
    layers_->Backward(parameters, part, batch.y.size(), gradient, !is_first);
    return score;
  });
}

}  // namespace tacit::training
