#include "common/bundle/byte_source.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/files.h"

namespace tacit::bundle {

Result<std::size_t> MemorySource::Read(std::span<std::uint8_t> into) {
  const std::size_t size = std::min(into.size(), left_.size());
  std::ranges::copy(left_.first(size), into.begin());
  left_ = left_.subspan(size);
  return size;
}

FileSource::FileSource(int file, std::filesystem::path path) : file_(file), path_(std::move(path)) {}

FileSource::FileSource(FileSource&& other) noexcept
    : file_(std::exchange(other.file_, -1)), path_(std::move(other.path_)) {}

FileSource::~FileSource() {
  if (file_ >= 0) ::close(file_);
}

Result<FileSource> FileSource::Open(const std::filesystem::path& path) {
  TACIT_TRY(const int file, OpenToRead(path));
  return FileSource(file, path);
}

Result<std::size_t> FileSource::Read(std::span<std::uint8_t> into) {
  std::size_t filled = 0;
  while (filled < into.size()) {
    const ssize_t got = ::read(file_, into.data() + filled, into.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrorCode::kUnavailable, "cannot read " + path_.string() + ": " + std::strerror(errno));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  return filled;
}

}  // namespace tacit::bundle
