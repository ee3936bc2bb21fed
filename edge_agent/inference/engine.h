#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/graph/graph.h"

namespace tacit::inference {

/// What goes into a model or comes out of it. Shape: the first dimension is graph::kRows.
struct Port {
  std::string name;
  graph::Element element = graph::Element::kFloat32;
  graph::Shape shape;

  /// Elements of one row.
  [[nodiscard]] std::size_t RowSize() const;
};

struct Signature {
  std::vector<Port> inputs;
  std::vector<Port> outputs;
};

/// Where an engine keeps whatever can tell the weights or what is computed from them. Threads: one at a time.
class Memory {
 public:
  virtual ~Memory() = default;
  /// Zeroed, at a multiple of 64; stays where it is until Wipe. Errors: kUnavailable when there is none left.
  virtual Result<std::span<std::uint8_t>> Take(std::size_t size) = 0;
  /// Overwrites everything that was given out and takes it back.
  virtual void Wipe() = 0;
};

/// Computes what a model says, on rows that are computed at once, in memory that Load takes and Run does not add to
/// (but when there are more rows than ever before). Threads: one at a time.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Reads a model from bytes that must stay as they are until Wipe; the built-in engine uses the weights in place.
  /// Errors: kMalformed where the bytes are none; kInvalidArgument for a model that this engine cannot run, naming
  /// node and operator; kUnavailable without memory. After a failure nothing is loaded.
  virtual Result<void> Load(ByteSpan model) = 0;
  [[nodiscard]] virtual const Signature& signature() const = 0;

  /// Shape: of each input and output of the signature, in its order, `rows` rows, without gaps. Errors:
  /// kInvalidArgument, naming the input whose size is wrong, or for rows of 0 or more than can be computed at once.
  virtual Result<void> Run(std::size_t rows, std::span<const ByteSpan> inputs,
                           std::span<const std::span<std::uint8_t>> outputs) = 0;

  /// The derivative, by each element of the only input, of the cross-entropy (nats) between softmax of the first output
  /// and one class a row. Shape: `input` and `gradient` rows x RowSize, `classes` rows. Errors: as Run;
  /// kInvalidArgument too where the model has more inputs than one, or an operator that has no derivative here.
  virtual Result<void> InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                                     std::span<float> gradient) = 0;

  struct Step {
    std::span<const float> input;            ///< rows x RowSize.
    std::span<const std::uint32_t> classes;  ///< One a row.
    double learning_rate = 0;
    double momentum = 0;
  };
  /// One step of stochastic gradient descent on the mean cross-entropy of these rows, on the engine's own copy of the
  /// weights; returns the mean loss before it, in nats. Errors: as InputGradient.
  virtual Result<double> TrainStep(const Step& step) = 0;

  /// Overwrites weights, activations and everything else that was computed; nothing is loaded then.
  virtual void Wipe() = 0;
};

}  // namespace tacit::inference
