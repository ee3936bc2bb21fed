#include "edge_agent/protect/protected_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

#include "common/base/check.h"
#include "common/crypto/secret.h"

namespace tacit::protect {
namespace {

constexpr std::size_t kAlignment = 64;
// What is smaller shares a mapping.
constexpr std::size_t kLeastPiece = std::size_t{64} * 1024;
// Sealed pages are cleared through a window of this size, which counts against the limit of locked pages once more.
constexpr std::size_t kWindow = std::size_t{64} * 1024;

constexpr std::uint64_t kReadWrite = PROT_READ | PROT_WRITE;

std::size_t RoundUp(std::size_t size, std::size_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

std::uint8_t* ToMemory(long address) {
  return reinterpret_cast<std::uint8_t*>(address);  // NOLINT(performance-no-int-to-ptr)
}

std::unexpected<Error> Unavailable(const char* what, long answer) {
  return Fail(ErrorCode::kUnavailable, std::string("protected memory: ") + what + ": " +
                                           std::generic_category().message(static_cast<int>(-answer)));
}

}  // namespace

ProtectedMemory::ProtectedMemory(std::size_t limit, Kernel& kernel)
    : limit_(RoundUp(limit, PageSize())), kernel_(kernel) {}

ProtectedMemory::~ProtectedMemory() {
  Wipe();
}

Result<std::span<std::uint8_t>> ProtectedMemory::Take(std::size_t size) {
  TACIT_CHECK(!read_only_, "sealed memory gives out nothing that could be written");
  if (size > limit_) {
    return Fail(ErrorCode::kUnavailable,
                "protected memory: " + std::to_string(size) + " bytes are over the limit of " + std::to_string(limit_));
  }
  const std::size_t wanted = RoundUp(std::max<std::size_t>(size, 1), kAlignment);
  if (pieces_.empty() || pieces_.back().size - pieces_.back().taken < wanted) {
    TACIT_TRY(const Piece piece, Map(wanted));
    pieces_.push_back(piece);
  }
  Piece& piece = pieces_.back();
  const std::span<std::uint8_t> given(piece.memory + piece.taken, size);
  piece.taken += wanted;
  return given;
}

Result<ProtectedMemory::Piece> ProtectedMemory::Map(std::size_t size) {
  const std::size_t used = secret_.used + plain_.used;
  const std::size_t least = RoundUp(size, PageSize());
  if (least > limit_ - used) {
    return Fail(ErrorCode::kUnavailable, "protected memory: " + std::to_string(used) + " of " + std::to_string(limit_) +
                                             " bytes are in use, and " + std::to_string(size) + " more do not fit");
  }
  const std::size_t whole = std::min(std::max(least, RoundUp(kLeastPiece, PageSize())), limit_ - used);
  if (!secret_.refused) {
    auto piece = MapFrom(Kind::kSecret, whole);
    if (piece) return piece;
    // Later pieces would be refused too: what is over the limit of locked pages stays so.
    secret_.refused = true;
  }
  return MapFrom(Kind::kPlain, whole);
}

Result<void> ProtectedMemory::OpenFile(Kind kind) {
  File& into = file(kind);
  if (into.fd) return {};
  long fd = -EINVAL;
  if (kind == Kind::kSecret) {
    fd = kernel_.Call(SYS_memfd_secret, O_CLOEXEC);
  } else {
    const char* const name = "tacit";
    fd = kernel_.Call(SYS_memfd_create, Argument(name), MFD_CLOEXEC | kMemfdNoexecSeal);
    if (fd == -EINVAL) fd = kernel_.Call(SYS_memfd_create, Argument(name), MFD_CLOEXEC);  // before Linux 6.3
  }
  // Only what is used takes pages.
  const long sized = fd < 0 ? fd : kernel_.Call(SYS_ftruncate, static_cast<std::uint64_t>(fd), limit_);
  if (kind == Kind::kSecret) protections_.RecordCall(Measure::kSecretPages, sized);
  if (fd >= 0) into.fd = OwnedFd(static_cast<int>(fd));
  if (sized < 0) return Unavailable("no file in memory", sized);
  return {};
}

Result<ProtectedMemory::Piece> ProtectedMemory::MapFrom(Kind kind, std::size_t size) {
  TACIT_TRY_VOID(OpenFile(kind));
  File& from = file(kind);
  const std::size_t page = PageSize();
  const long place = kernel_.Call(SYS_mmap, 0, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, ~0UL, 0);
  if (place < 0) return Unavailable("no room in the address space", place);
  Piece piece{
      .memory = ToMemory(place) + page, .size = size, .taken = 0, .offset = from.used, .kind = kind, .sealed = false};
  const auto fd = static_cast<std::uint64_t>(from.fd.get());
  const long mapped =
      kernel_.Call(SYS_mmap, Argument(piece.memory), size, kReadWrite, MAP_SHARED | MAP_FIXED, fd, from.used);
  if (kind == Kind::kSecret) protections_.RecordCall(Measure::kSecretPages, mapped);
  if (mapped < 0) {
    kernel_.Call(SYS_munmap, static_cast<std::uint64_t>(place), size + 2 * page);
    return Unavailable("pages cannot be mapped", mapped);
  }
  from.used += size;
  Shield(piece);
  return piece;
}

void ProtectedMemory::Shield(const Piece& piece) {
  const auto advise = [&](int advice) {
    return kernel_.Call(SYS_madvise, Argument(piece.memory), piece.size, static_cast<std::uint64_t>(advice));
  };
  protections_.RecordCall(Measure::kPagesNotDumped, advise(MADV_DONTDUMP));
  protections_.RecordCall(Measure::kPagesNotForked, advise(MADV_DONTFORK));
  // Secret pages are never swapped.
  const bool secret = piece.kind == Kind::kSecret;
  protections_.RecordCall(Measure::kLockedPages,
                          secret ? 0 : kernel_.Call(SYS_mlock, Argument(piece.memory), piece.size));
}

Result<void> ProtectedMemory::Seal() {
  read_only_ = true;
  const std::size_t page = PageSize();
  for (Piece& piece : pieces_) {
    const long protected_now = kernel_.Call(SYS_mprotect, Argument(piece.memory), piece.size, PROT_READ);
    if (protected_now < 0) return Unavailable("pages cannot be made read-only", protected_now);
    const long sealed = kernel_.Call(kCallMseal, Argument(piece.memory - page), piece.size + 2 * page, 0);
    protections_.RecordCall(Measure::kSealedPages, sealed);
    piece.sealed = sealed >= 0;
  }
  return {};
}

void ProtectedMemory::Wipe() {
  for (const Piece& piece : pieces_) {
    if (piece.sealed) {
      ClearSealed(piece);
    } else {
      Clear(piece);
    }
  }
  pieces_.clear();
  secret_.used = 0;
  plain_.used = 0;
  read_only_ = false;
}

void ProtectedMemory::Clear(const Piece& piece) {
  if (read_only_) {
    const long writable = kernel_.Call(SYS_mprotect, Argument(piece.memory), piece.size, kReadWrite);
    TACIT_CHECK(writable >= 0, "pages that are not sealed become writable again");
  }
  crypto::Zeroise({piece.memory, piece.size});
  const std::size_t page = PageSize();
  kernel_.Call(SYS_munmap, Argument(piece.memory - page), piece.size + 2 * page);
}

void ProtectedMemory::ClearSealed(const Piece& piece) {
  const auto fd = static_cast<std::uint64_t>(file(piece.kind).fd.get());
  for (std::size_t done = 0; done < piece.size; done += kWindow) {
    const std::size_t size = std::min(kWindow, piece.size - done);
    const long window = kernel_.Call(SYS_mmap, 0, size, kReadWrite, MAP_SHARED, fd, piece.offset + done);
    TACIT_CHECK(window >= 0, "sealed pages are cleared, or go with the process");
    crypto::Zeroise({ToMemory(window), size});
    kernel_.Call(SYS_munmap, static_cast<std::uint64_t>(window), size);
  }
}

}  // namespace tacit::protect
