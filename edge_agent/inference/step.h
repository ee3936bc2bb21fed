#pragma once

#include <cstddef>
#include <cstdint>

#include "edge_agent/inference/kernels.h"

// What a plan is made of; not for others.
namespace tacit::inference {

/// How the numbers of a value with channels and space lie in a row of it: as their shape says, or so that the channels
/// of each place are side by side.
enum class Layout : std::uint8_t { kPlain, kChannelsLast };

/// Memory of one value, or of something between.
using BufferId = std::uint32_t;

/// Where things are while some rows are computed.
struct Frame {
  const Kernels* kernels = nullptr;
  const std::uint8_t* packed = nullptr;  ///< What Load made of the weights.
  std::uint8_t* arena = nullptr;
  const std::size_t* offsets = nullptr;  ///< Of each buffer, for one row.
  std::size_t rows = 0;

  template <typename T>
  [[nodiscard]] T* At(BufferId id) const {
    return reinterpret_cast<T*>(arena + offsets[id] * rows);
  }
  template <typename T>
  [[nodiscard]] const T* Packed(std::size_t offset) const {
    return reinterpret_cast<const T*>(packed + offset);
  }
};

/// Part of what computes a model: reads buffers and packed weights, fills buffers.
class Step {
 public:
  virtual ~Step() = default;
  virtual void Run(const Frame& frame) const = 0;
};

}  // namespace tacit::inference
