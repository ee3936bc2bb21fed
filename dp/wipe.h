#pragma once

#include <cstddef>
#include <cstring>

namespace tacit::dp {

/// Overwrites memory that held secrets; the barrier keeps the compiler from dropping a write that nothing reads.
inline void WipeMemory(void* memory, std::size_t size) {
  if (size == 0) return;
  std::memset(memory, 0, size);
  asm volatile("" : : "r"(memory) : "memory");
}

}  // namespace tacit::dp
