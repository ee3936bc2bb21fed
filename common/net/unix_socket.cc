#include "common/net/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace tacit::net {
namespace {

constexpr int kUnixBacklog = 1024;

std::unexpected<Error> CannotListen(const std::filesystem::path& path, int error) {
  return Fail(ErrorCode::kUnavailable,
              "cannot listen at " + path.string() + ": " + std::generic_category().message(error));
}

Result<sockaddr_un> AddressOf(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.empty() || text.size() >= sizeof address.sun_path) {
    return Fail(ErrorCode::kInvalidArgument, "the path of a socket must have 1 to " +
                                                 std::to_string(sizeof address.sun_path - 1) + " bytes, not " +
                                                 std::to_string(text.size()) + ": " + text);
  }
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

// Takes away what a process left that has ended.
Result<void> ClearPath(const std::filesystem::path& path, const sockaddr_un& address) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode))
    return Fail(ErrorCode::kConflict, path.string() + " exists and is no socket: name another path, or remove it");
  const OwnedFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const bool listens =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED;
  if (listens) return Fail(ErrorCode::kConflict, path.string() + ": another process listens there");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return CannotListen(path, errno);
  return {};
}

}  // namespace

Result<UnixListener> UnixListener::Listen(const std::filesystem::path& path, mode_t mode) {
  TACIT_TRY(const sockaddr_un address, AddressOf(path));
  TACIT_TRY_VOID(ClearPath(path, address));
  OwnedFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // What bind(2) makes has at most the mode of the socket; the umask may take away more, which chmod gives back.
  const bool bound = socket && ::fchmod(socket.get(), mode) == 0 &&
                     ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  if (!bound) return CannotListen(path, errno);
  struct stat status{};
  if (::chmod(path.c_str(), mode) != 0 || ::lstat(path.c_str(), &status) != 0 ||
      ::listen(socket.get(), kUnixBacklog) != 0) {
    return CannotListen(path, errno);
  }
  return UnixListener(std::move(socket), path, status.st_dev, status.st_ino);
}

void UnixListener::Remove() {
  struct stat status{};
  if (::lstat(path_.c_str(), &status) != 0 || status.st_dev != device_ || status.st_ino != inode_) return;
  ::unlink(path_.c_str());
}

std::optional<std::uint32_t> PeerUser(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
  return credentials.uid;
}

}  // namespace tacit::net
