#include "edge_agent/protect/kernel.h"

#include <unistd.h>

#include <cerrno>

namespace tacit::protect {

long SystemKernel::Call(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d,
                        std::uint64_t e, std::uint64_t f) {
  const long result = ::syscall(number, a, b, c, d, e, f);
  return result < 0 ? -errno : result;
}

std::size_t PageSize() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace tacit::protect
