#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <utility>

#include "common/base/bytes.h"
#include "common/crypto/secret.h"

namespace tacit::keys {

/// Bytes that are overwritten when they end, and cannot be copied.
class SecretBytes {
 public:
  explicit SecretBytes(Bytes bytes) : bytes_(std::move(bytes)) {}
  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { crypto::Zeroise(bytes_); }

  [[nodiscard]] ByteSpan bytes() const { return bytes_; }
  [[nodiscard]] Bytes& mutable_bytes() { return bytes_; }

 private:
  Bytes bytes_;
};

/// Whether a file of this status can hold a secret of the user `us`: a regular file, of `us` or of root, that nobody
/// else can read or write. Root's may be readable by a group: so systemd hands a credential to a service.
/// Errors: kPermissionDenied, kInvalidArgument, each to be read behind the file's name.
Result<void> CheckSecretStatus(const struct stat& status, uid_t us);

/// Reads a file that CheckSecretStatus takes, of at most `size_limit` bytes. The name's last part may not be a symbolic
/// link, and what is checked is what is read.
/// Errors: as CheckSecretStatus; kNotFound; kTooLarge; kUnavailable for what the disk says. Each names the path.
Result<SecretBytes> ReadSecretFile(const std::filesystem::path& path, std::size_t size_limit);

/// The same file as one line of text, without the newline that editors and `echo` end it with.
Result<SecretBytes> ReadSecretLine(const std::filesystem::path& path, std::size_t size_limit);

}  // namespace tacit::keys
