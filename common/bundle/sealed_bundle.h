#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "common/base/bytes.h"
#include "common/bundle/head.h"
#include "common/crypto/secret.h"

namespace tacit::bundle {

/// The file of a bundle, whose chunks are sealed when they are read: any part of it, any number of times, always the
/// same bytes. So a server keeps a model once, and answers a device that continues a broken download with what it would
/// have got. Threads: const members from any.
class SealedBundle {
 public:
  /// `envelope` is that of the manifest, with all its signatures (SignManifest, Cosign). Two plaintexts under one
  /// manifest and key would give both away, so the plaintext must be the one that the manifest names.
  /// Errors: as MakeHead; kInvalidArgument where the manifest names another plaintext or content key.
  /// Cost: one SHA-256 of the plaintext.
  static Result<SealedBundle> Create(std::string_view envelope, const crypto::SecretKey& content_key,
                                     SharedBytes plaintext);

  [[nodiscard]] const Manifest& manifest() const { return head_.manifest; }
  /// Of the whole file, in bytes.
  [[nodiscard]] std::uint64_t size() const { return head_.FileSize(); }
  /// Fills `into` with the bytes of the file from `offset` on, all of which there must be: no more than 64 KiB beside
  /// `into` are used. Cost: about 0.4 ns a byte; at most one chunk more than was asked for is sealed at either end.
  void Read(std::uint64_t offset, std::span<std::uint8_t> into) const;

 private:
  SealedBundle(MadeHead head, crypto::SecretKey payload_key, SharedBytes plaintext);

  BundleHead head_;
  Bytes head_bytes_;
  crypto::SecretKey payload_key_;
  SharedBytes plaintext_;
};

}  // namespace tacit::bundle
