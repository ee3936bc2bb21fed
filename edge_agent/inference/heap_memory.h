#pragma once

#include <vector>

#include "edge_agent/inference/engine.h"

namespace tacit::inference {

/// Memory from the heap, for models and rows that whoever reads this process may know.
class HeapMemory final : public Memory {
 public:
  HeapMemory() = default;
  ~HeapMemory() override { Wipe(); }
  HeapMemory(const HeapMemory&) = delete;
  HeapMemory& operator=(const HeapMemory&) = delete;

  Result<std::span<std::uint8_t>> Take(std::size_t size) override;
  void Wipe() override;

 private:
  std::vector<AlignedBuffer> pieces_;
};

}  // namespace tacit::inference
