#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>

#include "common/base/owned_fd.h"
#include "common/base/result.h"

// Unix domain sockets of a server. Private to common/net.
namespace tacit::net {

/// A listening socket at a path, which is removed with it: not before, and not what another process has put there
/// since.
class UnixListener {
 public:
  /// The mode holds from the first moment. A socket that nobody listens at is replaced, and nothing else is.
  /// Errors: kInvalidArgument for a path that is too long for an address; kConflict where another process listens;
  /// kUnavailable with what the system says.
  static Result<UnixListener> Listen(const std::filesystem::path& path, mode_t mode);
  UnixListener(UnixListener&&) noexcept = default;
  UnixListener& operator=(UnixListener&&) noexcept = default;

  /// The socket, once.
  OwnedFd TakeSocket() { return std::move(socket_); }
  /// Removes the path. May be called twice.
  void Remove();

 private:
  UnixListener(OwnedFd socket, std::filesystem::path path, dev_t device, ino_t inode)
      : socket_(std::move(socket)), path_(std::move(path)), device_(device), inode_(inode) {}
  OwnedFd socket_;
  std::filesystem::path path_;
  dev_t device_;
  ino_t inode_;
};

/// The effective user of whoever connected, at that moment. Source: unix(7), SO_PEERCRED.
std::optional<std::uint32_t> PeerUser(int socket);

}  // namespace tacit::net
