#pragma once

#include <cstddef>
#include <cstdint>

namespace tacit::protect {

/// Numbers that the headers of Debian 12 (Linux 6.1) do not have yet. Source: Linux 6.18, include/uapi.
inline constexpr long kCallMseal = 462;
inline constexpr int kPrctlSetMdwe = 65;
inline constexpr std::uint64_t kMdweRefuseExecGain = 1;
inline constexpr unsigned kMemfdNoexecSeal = 8;

/// The kernel as protections see it: a seam, so that a test can take a feature away from it. Threads: any.
class Kernel {
 public:
  virtual ~Kernel() = default;

  /// A system call; at least 0, or a negative errno.
  virtual long Call(long number, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0, std::uint64_t d = 0,
                    std::uint64_t e = 0, std::uint64_t f = 0) = 0;
};

class SystemKernel final : public Kernel {
 public:
  long Call(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d, std::uint64_t e,
            std::uint64_t f) override;
};

/// An address, as an argument of a call.
inline std::uint64_t Argument(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

/// Bytes of a page.
std::size_t PageSize();

}  // namespace tacit::protect
