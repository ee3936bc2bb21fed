#include "edge_agent/protect/start_pages.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tacit::protect {
namespace {

// One program or library. Source: dl_iterate_phdr(3).
int LetGoOfCode(dl_phdr_info* object, std::size_t /*size*/, void* /*nothing*/) {
  // The kernel's own is in no file.
  if (std::string_view(object->dlpi_name).starts_with("linux-")) return 0;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & (PF_X | PF_W)) != PF_X) continue;
    const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) / page * page;
    const std::uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    void* const code = reinterpret_cast<void*>(begin);  // NOLINT(performance-no-int-to-ptr)
    // Pages that are locked stay.
    static_cast<void>(::madvise(code, end - begin, MADV_DONTNEED));
  }
  return 0;
}

}  // namespace

void LetGoOfStartPages() {
  ::dl_iterate_phdr(LetGoOfCode, nullptr);
}

}  // namespace tacit::protect
