#include "edge_agent/inference/heap_memory.h"

#include <algorithm>
#include <cstring>

namespace tacit::inference {

Result<std::span<std::uint8_t>> HeapMemory::Take(std::size_t size) {
  AlignedBuffer& piece = pieces_.emplace_back(size);
  std::ranges::fill(piece.bytes(), std::uint8_t{0});
  return piece.bytes();
}

void HeapMemory::Wipe() {
  // Not a fill, which a compiler may leave out before memory is freed.
  for (AlignedBuffer& piece : pieces_) ::explicit_bzero(piece.data(), piece.size());
  pieces_.clear();
}

}  // namespace tacit::inference
