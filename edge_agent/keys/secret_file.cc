#include "edge_agent/keys/secret_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace tacit::keys {
namespace {

ErrorCode CodeOfOpen(int system_error) {
  if (system_error == ENOENT || system_error == ENOTDIR) return ErrorCode::kNotFound;
  if (system_error == EACCES || system_error == EPERM) return ErrorCode::kPermissionDenied;
  if (system_error == ELOOP) return ErrorCode::kInvalidArgument;
  return ErrorCode::kUnavailable;
}

std::unexpected<Error> OpenFailure(const std::filesystem::path& path, int system_error) {
  if (system_error == ELOOP) {
    return Fail(
        ErrorCode::kInvalidArgument,
        path.string() + " is a symbolic link: give the file itself, so that nobody else can point it elsewhere");
  }
  return Fail(CodeOfOpen(system_error),
              "cannot open " + path.string() + ": " + std::system_category().message(system_error));
}

// One byte more than announced is asked for, so that a file that grew meanwhile is noticed, and not read in part.
Result<SecretBytes> ReadWhole(int fd, std::size_t announced) {
  SecretBytes secret(Bytes(announced + 1));
  std::size_t filled = 0;
  while (filled <= announced) {
    const ssize_t got = ::read(fd, secret.mutable_bytes().data() + filled, announced + 1 - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrorCode::kUnavailable, "cannot be read: " + std::system_category().message(errno));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  if (filled != announced) return Fail(ErrorCode::kUnavailable, "changed while it was read");
  secret.mutable_bytes().resize(announced);  // never longer, so nothing is moved and left behind
  return secret;
}

Result<SecretBytes> ReadChecked(int fd, std::size_t size_limit) {
  struct stat status{};
  if (::fstat(fd, &status) != 0)
    return Fail(ErrorCode::kUnavailable, "cannot be looked at: " + std::system_category().message(errno));
  TACIT_TRY_VOID(CheckSecretStatus(status, ::geteuid()));
  const auto announced = static_cast<std::size_t>(status.st_size);
  if (announced > size_limit)
    return Fail(ErrorCode::kTooLarge, "is over its limit of " + std::to_string(size_limit) + " bytes");
  return ReadWhole(fd, announced);
}

}  // namespace

Result<void> CheckSecretStatus(const struct stat& status, uid_t us) {
  if (!S_ISREG(status.st_mode)) return Fail(ErrorCode::kInvalidArgument, "is not a regular file");
  if (status.st_uid != us && status.st_uid != 0) {
    return Fail(ErrorCode::kPermissionDenied, "belongs to user " + std::to_string(status.st_uid) + ", who could put " +
                                                  "another in its place: 'chown' it to user " + std::to_string(us));
  }
  const bool others = (status.st_mode & 0007U) != 0;
  const bool group = (status.st_mode & (status.st_uid == 0 ? 0030U : 0070U)) != 0;
  if (!others && !group) return {};
  return Fail(ErrorCode::kPermissionDenied,
              "is open to other users: run 'chmod 600' on it, and replace the secret if someone may have copied it");
}

Result<SecretBytes> ReadSecretFile(const std::filesystem::path& path, std::size_t size_limit) {
  // O_NONBLOCK: opening a pipe without a writer must not hang before fstat can refuse it.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (fd < 0) return OpenFailure(path, errno);
  auto secret = ReadChecked(fd, size_limit);
  ::close(fd);
  if (!secret) return Fail(secret.error().code, path.string() + " " + secret.error().message);
  return secret;
}

Result<SecretBytes> ReadSecretLine(const std::filesystem::path& path, std::size_t size_limit) {
  TACIT_TRY(SecretBytes line, ReadSecretFile(path, size_limit));
  Bytes& bytes = line.mutable_bytes();
  if (!bytes.empty() && bytes.back() == '\n') bytes.pop_back();
  if (bytes.empty()) return Fail(ErrorCode::kInvalidArgument, path.string() + " is empty");
  return line;
}

}  // namespace tacit::keys
