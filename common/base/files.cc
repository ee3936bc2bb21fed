#include "common/base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

namespace tacit {
namespace {

constexpr std::size_t kFirstRead = 64UL * 1024;

// Closes on every way out; Close() is for writers, because only close can tell of some write errors.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  [[nodiscard]] int Close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

ErrorCode CodeOf(int system_error) {
  switch (system_error) {
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kPermissionDenied;
    case EEXIST:
      return ErrorCode::kConflict;
    case ENAMETOOLONG:
    case EISDIR:
    case ELOOP:
      return ErrorCode::kInvalidArgument;
    default:
      return ErrorCode::kUnavailable;
  }
}

std::unexpected<Error> SystemFailure(std::string_view doing, const std::filesystem::path& path) {
  const int system_error = errno;
  return Fail(CodeOf(system_error),
              std::string(doing) + " " + path.string() + ": " + std::system_category().message(system_error));
}

// A bare file name lives in the current directory.
std::filesystem::path DirectoryOf(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

Result<void> WriteAll(int fd, ByteSpan bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemFailure("cannot write", path);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> WriteModeAndSync(FileDescriptor& file, ByteSpan bytes, mode_t mode, const std::filesystem::path& path) {
  if (::fchmod(file.get(), mode) != 0) return SystemFailure("cannot set the mode of", path);
  TACIT_TRY_VOID(WriteAll(file.get(), bytes, path));
  if (::fsync(file.get()) != 0) return SystemFailure("cannot make durable", path);
  if (file.Close() != 0) return SystemFailure("cannot close", path);
  return {};
}

Result<void> WriteNewFile(const std::filesystem::path& path, ByteSpan bytes, mode_t mode) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly));
  if (file.get() < 0) return SystemFailure("cannot create", path);
  if (auto written = WriteModeAndSync(file, bytes, mode, path); !written) {
    ::unlink(path.c_str());
    return written;
  }
  return SyncDirectory(DirectoryOf(path));
}

Result<FileDescriptor> OpenRegular(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe without a writer must not hang before fstat can refuse it.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return SystemFailure("cannot open", path);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return SystemFailure("cannot look at", path);
  if (!S_ISREG(status.st_mode)) return Fail(ErrorCode::kInvalidArgument, path.string() + " is not a regular file");
  return file;
}

Result<std::size_t> SizeOf(const FileDescriptor& file, const std::filesystem::path& path) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return SystemFailure("cannot look at", path);
  return static_cast<std::size_t>(status.st_size);
}

Result<void> CheckSize(const FileDescriptor& file, const std::filesystem::path& path, std::size_t size) {
  TACIT_TRY(const std::size_t announced, SizeOf(file, path));
  if (announced == size) return {};
  return Fail(ErrorCode::kDataLoss, path.string() + " has " + std::to_string(announced) + " bytes, not of the " +
                                        std::to_string(size) + " bytes that were written");
}

}  // namespace

Result<void> CheckClosedToOthers(const std::filesystem::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    const int failure = errno;
    return Fail(CodeOf(failure), path.string() + ": " + std::system_category().message(failure));
  }
  if ((status.st_mode & S_IRWXO) == 0) return {};
  return Fail(ErrorCode::kPermissionDenied, path.string() + " is open to every user of this machine: run 'chmod 600 " +
                                                path.string() + "', and replace it if someone may have copied it");
}

Result<int> OpenToRead(const std::filesystem::path& path) {
  TACIT_TRY(FileDescriptor file, OpenRegular(path));
  return file.Release();
}

Result<Bytes> ReadFile(const std::filesystem::path& path, std::size_t size_limit) {
  TACIT_TRY(const FileDescriptor file, OpenRegular(path));
  TACIT_TRY(const std::size_t announced, SizeOf(file, path));
  const auto too_large = [&] {
    return Fail(ErrorCode::kTooLarge, path.string() + " is over its limit of " + std::to_string(size_limit) + " bytes");
  };
  if (announced > size_limit) return too_large();

  // One byte more than announced, so that a file that grew meanwhile, or that announces 0 as /proc does, is read to its
  // end.
  Bytes bytes(announced + 1);
  std::size_t filled = 0;
  while (true) {
    const ssize_t got = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemFailure("cannot read", path);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
    if (filled > size_limit) return too_large();
    if (filled == bytes.size()) bytes.resize(std::max(filled + filled / 2, kFirstRead));
  }
  bytes.resize(filled);
  return bytes;
}

Result<void> ReadFileInto(const std::filesystem::path& path, std::span<std::uint8_t> into) {
  TACIT_TRY(const FileDescriptor file, OpenRegular(path));
  TACIT_TRY_VOID(CheckSize(file, path, into.size()));
  while (!into.empty()) {
    const ssize_t got = ::read(file.get(), into.data(), into.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemFailure("cannot read", path);
    if (got == 0) return Fail(ErrorCode::kDataLoss, path.string() + " was cut while it was read");
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<SharedBytes> MapFile(const std::filesystem::path& path, std::size_t size) {
  TACIT_TRY(const FileDescriptor file, OpenRegular(path));
  TACIT_TRY_VOID(CheckSize(file, path, size));
  if (size == 0) return SharedBytes::Of({});
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) return SystemFailure("cannot map", path);
  std::shared_ptr<const void> owner(address, [size](const void* mapped) { ::munmap(const_cast<void*>(mapped), size); });
  return SharedBytes{std::move(owner), {static_cast<const std::uint8_t*>(address), size}};
}

Result<void> WriteFileAtomic(const std::filesystem::path& path, ByteSpan bytes, mode_t mode) {
  std::string temporary = path.string() + ".XXXXXX";
  FileDescriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.get() < 0) return SystemFailure("cannot create a file beside", path);
  auto written = WriteModeAndSync(file, bytes, mode, temporary);
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) written = SystemFailure("cannot replace", path);
  if (!written) {
    ::unlink(temporary.c_str());
    return written;
  }
  return SyncDirectory(DirectoryOf(path));
}

Result<void> WriteNewSecretFile(const std::filesystem::path& path, ByteSpan bytes) {
  return WriteNewFile(path, bytes, kOwnerOnly);
}

Result<void> WriteNewPublicFile(const std::filesystem::path& path, ByteSpan bytes) {
  return WriteNewFile(path, bytes, kReadableByAll);
}

Result<void> SyncDirectory(const std::filesystem::path& directory) {
  const FileDescriptor file(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.get() < 0) return SystemFailure("cannot open the directory", directory);
  if (::fsync(file.get()) != 0) return SystemFailure("cannot make durable the directory", directory);
  return {};
}

}  // namespace tacit
