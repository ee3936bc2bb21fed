#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/model/spec.h"

namespace tacit::training {

/// Rows to compute on at once. Shape: `x` is y.size() x inputs, row-major; each of `y` is below the number of classes.
template <typename Scalar>
struct Batch {
  std::span<const Scalar> x;
  std::span<const std::uint32_t> y;
};

struct BatchScore {
  double loss = 0;  ///< Sum over the rows of the cross-entropy, in nats.
  std::size_t correct = 0;
};

/// A fully connected network with ReLU between its layers and softmax behind the last, over a flat parameter vector
/// that it does not own. Keeps activations between calls, so that training takes no memory in its inner loop. Threads:
/// one at a time.
template <typename Scalar>
class Network {
 public:
  explicit Network(const model::ModelSpec& spec);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// The loss over `batch`. Shape: `parameters` has spec.ParameterCount() elements.
  BatchScore Score(std::span<const Scalar> parameters, Batch<Scalar> batch);
  /// The same, and the gradient of the mean loss, written over all of `gradient` (as long as `parameters`).
  /// Source: Goodfellow, Bengio, Courville 2016, algorithm 6.4.
  BatchScore Gradient(std::span<const Scalar> parameters, Batch<Scalar> batch, std::span<Scalar> gradient);

 private:
  struct Layers;
  std::unique_ptr<Layers> layers_;
};

extern template class Network<float>;  // network.cc compiles it once

}  // namespace tacit::training
