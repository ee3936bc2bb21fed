#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/owned_fd.h"
#include "common/base/result.h"
#include "edge_agent/inference/engine.h"
#include "edge_agent/protect/kernel.h"
#include "edge_agent/protect/protections.h"

namespace tacit::protect {

/// Memory that only this process can read, as far as the kernel can see to that: memfd_secret where it is there and
/// RLIMIT_MEMLOCK allows it, else memfd_create and mlock; in no core dump, in no child, between two pages that end the
/// process when they are touched. What is missing is told by protections(), and the memory is given all the same.
///
/// All of it is shared mappings of memory files. That is what lets sealed pages be overwritten: mseal forbids for good
/// to make a mapping writable or to take it away, so Wipe maps the same pages a second time to clear them. The
/// read-only mapping stays, full of zeros, until the process ends; a worker therefore loads one model and ends with it.
///
/// Threads: one at a time. Cost: the kernel takes each secret page out of its own map. Where that was measured, in a
/// virtual machine (Linux 6.18), the first touch of one took 95 to 104 us of CPU time, and 15 us of a plain one.
class ProtectedMemory final : public inference::Memory {
 public:
  /// At most `limit` bytes, counted in pages. `kernel` must outlive it.
  ProtectedMemory(std::size_t limit, Kernel& kernel);
  ~ProtectedMemory() override;
  ProtectedMemory(const ProtectedMemory&) = delete;
  ProtectedMemory& operator=(const ProtectedMemory&) = delete;

  /// After Seal, only a bug takes more.
  Result<std::span<std::uint8_t>> Take(std::size_t size) override;
  /// Makes all of it read-only, and for good where the kernel can. Errors: kUnavailable when not even the first works.
  Result<void> Seal();
  /// Ends the process where sealed pages cannot be mapped again to overwrite them; the kernel clears secret pages then.
  void Wipe() override;

  [[nodiscard]] const Protections& protections() const { return protections_; }

 private:
  enum class Kind : std::uint8_t { kSecret, kPlain };
  // A file in memory that nothing names; its pages are used one after the other.
  struct File {
    OwnedFd fd;
    std::size_t used = 0;
    bool refused = false;
  };
  // One mapping, a page on either side of it not counted.
  struct Piece {
    std::uint8_t* memory = nullptr;
    std::size_t size = 0;
    std::size_t taken = 0;
    std::size_t offset = 0;  // in the file
    Kind kind = Kind::kSecret;
    bool sealed = false;
  };

  Result<Piece> Map(std::size_t size);
  Result<Piece> MapFrom(Kind kind, std::size_t size);
  Result<void> OpenFile(Kind kind);
  void Shield(const Piece& piece);
  void Clear(const Piece& piece);
  void ClearSealed(const Piece& piece);
  File& file(Kind kind) { return kind == Kind::kSecret ? secret_ : plain_; }

  std::size_t limit_;
  Kernel& kernel_;
  File secret_;
  File plain_;
  std::vector<Piece> pieces_;
  Protections protections_;
  bool read_only_ = false;
};

}  // namespace tacit::protect
