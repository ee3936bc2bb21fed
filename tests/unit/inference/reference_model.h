#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/graph/builder.h"
#include "common/graph/graph.h"
#include "edge_agent/inference/engine.h"
#include "edge_agent/inference/kernels.h"

namespace tacit::inference {

inline constexpr KernelPath kPaths[] = {KernelPath::kPortable, KernelPath::kAvx2, KernelPath::kAvx2Vnni,
                                        KernelPath::kAvx512, KernelPath::kAvx512Vnni};

/// Memory on the heap, which says what is in it after a wipe.
class HeapMemory final : public Memory {
 public:
  Result<std::span<std::uint8_t>> Take(std::size_t size) override;
  void Wipe() override;
  [[nodiscard]] std::size_t taken() const { return taken_; }

 private:
  std::vector<AlignedBuffer> blocks_;
  std::size_t taken_ = 0;
};

/// Numbers of one value, all rows, as its shape says.
using Numbers = std::vector<double>;

/// Every output of a model, computed number by number in double precision, straight from what the operators mean.
std::vector<Numbers> ComputeReference(const graph::GraphView& model, std::size_t rows,
                                      const std::vector<Numbers>& inputs);

/// Random models of a few nodes.
class ModelMaker {
 public:
  explicit ModelMaker(std::uint32_t seed) : bits_(seed) {}

  graph::ValueId Input(graph::Shape shape);
  graph::ValueId Floats(graph::Shape shape, float low = -1, float high = 1);
  graph::ValueId Bytes8(graph::Shape shape);
  graph::ValueId Constant(graph::Element element, graph::Shape shape, std::vector<double> numbers);
  graph::ValueId Node(graph::Operator op, std::vector<graph::ValueId> inputs, graph::Attributes attributes = {});
  graph::ValueId Reshape(graph::ValueId input, graph::Shape shape);
  /// x in 8 bits and back again.
  graph::ValueId Requantize(graph::ValueId x, double scale, int zero, graph::Element element);
  void Output(graph::ValueId id) { builder_.AddOutput(id, "out" + std::to_string(outputs_++)); }
  graph::OwnedGraph Finish() &&;

  std::mt19937& bits() { return bits_; }

 private:
  graph::Builder builder_;
  std::mt19937 bits_;
  int inputs_ = 0;
  int outputs_ = 0;
};

}  // namespace tacit::inference
