#include "edge_agent/delivery/part_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "common/base/files.h"

namespace tacit::delivery {
namespace {

std::unexpected<Error> NotWritten(const std::filesystem::path& path, int error) {
  return Fail(ErrorCode::kUnavailable,
              path.string() + ": cannot be written: " + std::generic_category().message(error));
}

int WriteAll(int file, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) return errno;
    if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

// Closes it, too: a disk that is full may say so only then.
Result<void> Closed(int file, int error, const std::filesystem::path& path) {
  if (::close(file) != 0 && error == 0) error = errno;
  if (error != 0) return NotWritten(path, error);
  return {};
}

}  // namespace

std::uint64_t PartFile::Size() const {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path_, error);
  return error ? 0 : size;
}

Result<void> PartFile::Append(ByteSpan bytes) const {
  const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly);
  if (file < 0) return NotWritten(path_, errno);
  const int error = WriteAll(file, bytes);
  return Closed(file, error, path_);
}

Result<void> PartFile::FinishAs(const std::filesystem::path& whole) const {
  const int file = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return NotWritten(path_, errno);
  const int error = ::fsync(file) == 0 ? 0 : errno;
  TACIT_TRY_VOID(Closed(file, error, path_));
  std::error_code failed;
  std::filesystem::rename(path_, whole, failed);
  if (failed) return NotWritten(whole, failed.value());
  return SyncDirectory(whole.parent_path());
}

}  // namespace tacit::delivery
