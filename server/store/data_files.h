#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/crypto/secret.h"

namespace tacit::store {

/// What is stored in a file named by its SHA-256.
enum class BlobKind : std::uint8_t { kModel, kOptimizerState };

/// What a row must know of a partial sum's file to name and check it.
struct PartialFile {
  std::uint64_t sequence = 0;
  Digest128 digest{};
  std::uint64_t bytes = 0;

  static PartialFile Of(std::uint64_t sequence, ByteSpan sealed);
};

/// Where a data directory has its database.
inline std::filesystem::path DatabaseIn(const std::filesystem::path& data_dir) {
  return data_dir / "tacit.db";
}

/// The files of a data directory, and the lock on it. A file is durable before its writer returns; which files count is
/// said by the rows of the database, so a file without a row is an unfinished step and may be swept. Errors:
/// kUnavailable when the disk is full, read-only or fails; kDataLoss for a file that is missing or not what was
/// written.
class DataFiles {
 public:
  /// Makes the directories and takes the lock. Errors: kConflict when another process holds it.
  static Result<DataFiles> Open(const std::filesystem::path& data_dir);
  DataFiles(DataFiles&& other) noexcept;
  DataFiles& operator=(DataFiles&& other) noexcept;
  ~DataFiles();

  [[nodiscard]] std::filesystem::path database() const { return DatabaseIn(data_dir_); }
  /// Whether no directory holds a file: then, and only then, may the database be missing.
  [[nodiscard]] Result<bool> Empty() const;

  /// `digest` is the SHA-256 of `bytes`. Writing the same bytes again is fine.
  [[nodiscard]] Result<void> WriteBlob(BlobKind kind, const Digest256& digest, ByteSpan bytes);
  /// Mapped, and checked against the digest.
  [[nodiscard]] Result<SharedBytes> MapBlob(BlobKind kind, const Digest256& digest, std::uint64_t bytes) const;
  /// Best effort: a file that stays is swept at the next start.
  void RemoveBlob(BlobKind kind, const Digest256& digest);

  [[nodiscard]] Result<void> WritePartial(const RoundKey& key, const PartialFile& file, ByteSpan sealed);
  /// Into `room`, which is made larger when it is too small.
  [[nodiscard]] Result<ByteSpan> ReadPartial(const RoundKey& key, const PartialFile& file, AlignedBuffer& room) const;
  /// Best effort, as RemoveBlob.
  void RemovePartial(const RoundKey& key, const PartialFile& file);
  /// Succeeds when there are none.
  [[nodiscard]] Result<void> RemovePartials(const RoundKey& key);

  /// Errors: kConflict when there is one.
  [[nodiscard]] Result<void> WriteKey(const RoundKey& key, const crypto::SecretKey& secret);
  /// Errors: kNotFound.
  [[nodiscard]] Result<crypto::SecretKey> ReadKey(const RoundKey& key) const;
  /// `after_overwrite` is called between the two durable halves.
  [[nodiscard]] Result<void> DestroyKey(const RoundKey& key, const std::function<void()>& after_overwrite);

  /// Errors: kNotFound.
  [[nodiscard]] Result<crypto::SecretKey> ReadOwnerKey() const;
  /// Errors: kConflict when there is one.
  [[nodiscard]] Result<void> WriteOwnerKey(const crypto::SecretKey& secret);

  /// Which files are wanted; everything else with a name of ours is removed.
  struct Wanted {
    std::function<Result<bool>(BlobKind kind, const Digest256& digest)> blob;
    std::function<Result<std::vector<PartialFile>>(const RoundKey& key)> partials;
    std::function<Result<bool>(const RoundKey& key)> key;
  };
  [[nodiscard]] Result<void> Sweep(const Wanted& wanted);

 private:
  explicit DataFiles(std::filesystem::path data_dir) : data_dir_(std::move(data_dir)) {}
  /// Those that are not there yet; the names of all of them are durable on return.
  [[nodiscard]] Result<void> MakeDirectories(const std::filesystem::path& parent,
                                             std::initializer_list<std::filesystem::path> names);
  [[nodiscard]] std::filesystem::path BlobDirectory(BlobKind kind) const;
  [[nodiscard]] std::filesystem::path PartialDirectory(const RoundKey& key) const;
  [[nodiscard]] std::filesystem::path KeyPath(const RoundKey& key) const;
  [[nodiscard]] std::filesystem::path OwnerKeyPath() const { return data_dir_ / "owner.key"; }
  [[nodiscard]] Result<void> SweepBlobs(BlobKind kind, const Wanted& wanted);
  [[nodiscard]] Result<void> SweepPartials(const Wanted& wanted);
  [[nodiscard]] Result<void> SweepPartialsOf(const RoundKey& key, const Wanted& wanted);
  [[nodiscard]] Result<void> SweepKeys(const Wanted& wanted);

  std::filesystem::path data_dir_;
  int lock_ = -1;
  std::set<std::filesystem::path> durable_directories_;  ///< Whose names are on the disk for certain.
};

}  // namespace tacit::store
