#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "common/graph/graph.h"
#include "edge_agent/inference/kernels.h"
#include "edge_agent/inference/step.h"

namespace tacit::inference {

/// How a model is computed: what is to be packed, which steps follow each other, and where in memory their values are.
/// Holds shapes and places, and nothing that could tell weights.
class Plan {
 public:
  /// Memory of `size` bytes a row. Buffers whose steps do not overlap share memory.
  BufferId AddBuffer(std::size_t size);
  /// Packed weights of `size` bytes, which `fill` writes into zeroed memory before the first step; returns where.
  std::size_t AddPacked(std::size_t size, std::function<void(std::uint8_t*)> fill);
  /// A step behind all others. Shape: `buffers` are all that it reads and writes.
  void AddStep(std::unique_ptr<Step> step, std::span<const BufferId> buffers);
  /// Keeps a buffer from the beginning on, or to the end.
  void KeepFromBegin(BufferId id) { buffers_[id].first = 0; }
  void KeepToEnd(BufferId id) { buffers_[id].last = SIZE_MAX; }

  /// Finds places for all buffers; nothing can be added then.
  void Arrange();

  [[nodiscard]] std::size_t packed_size() const { return packed_size_; }
  /// Of the buffers of one row; a row more takes as much again.
  [[nodiscard]] std::size_t row_size() const { return row_size_; }
  [[nodiscard]] const std::size_t* offsets() const { return offsets_.data(); }
  /// Writes packed weights, and forgets how. Shape: packed_size zeroed bytes at a multiple of 64.
  void Fill(std::uint8_t* packed);
  void Run(const Frame& frame) const;

 private:
  struct Buffer {
    std::size_t size = 0;
    std::size_t first = SIZE_MAX;  // step
    std::size_t last = 0;
  };
  struct Packed {
    std::size_t offset = 0;
    std::function<void(std::uint8_t*)> fill;
  };

  std::vector<Buffer> buffers_;
  std::vector<Packed> packed_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<std::size_t> offsets_;
  std::size_t packed_size_ = 0;
  std::size_t row_size_ = 0;
};

/// A plan with what goes in and comes out, in the order of the graph.
struct PlannedModel {
  Plan plan;
  std::vector<BufferId> inputs;
  std::vector<BufferId> outputs;
};

/// Plans a model for `kernels`. Shape: a graph that Check takes; view and weights stay until Plan::Fill, and the
/// weights as long as the plan.
PlannedModel MakePlan(const graph::GraphView& model, const Kernels& kernels);

}  // namespace tacit::inference
