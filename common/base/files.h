#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "common/base/bytes.h"

namespace tacit {

inline constexpr mode_t kOwnerOnly = 0600;
inline constexpr mode_t kReadableByAll = 0644;

/// The whole of a file of at most `size_limit` bytes.
/// Errors: kNotFound, kPermissionDenied, kTooLarge (nothing beyond the limit is read), kInvalidArgument for what is not
/// a regular file (a pipe could block for ever), kUnavailable for what the disk says; each names the path.
Result<Bytes> ReadFile(const std::filesystem::path& path, std::size_t size_limit);

/// Fills `into` with a file of exactly that size: memory that was used before takes no fresh pages, which cost more
/// than the read does. Errors: as ReadFile; kDataLoss for another size.
Result<void> ReadFileInto(const std::filesystem::path& path, std::span<std::uint8_t> into);

/// Whether a file, of a key, gives nothing to users who are neither its owner nor of its group: a service may read by
/// its group what only root may change. Errors: kPermissionDenied, with what to do; kNotFound.
Result<void> CheckClosedToOthers(const std::filesystem::path& path);

/// Opens a regular file for reading; the caller closes it. Errors: as ReadFile.
Result<int> OpenToRead(const std::filesystem::path& path);

/// A file of exactly `size` bytes, mapped: its pages are the file's, so that however many hold it and for however long,
/// it takes no memory that the system could not take back. It stays what it is when the file is replaced or removed.
/// Nobody may shorten it: reading what is no longer there ends the process.
/// Errors: as ReadFile; kDataLoss for another size.
Result<SharedBytes> MapFile(const std::filesystem::path& path, std::size_t size);

/// Replaces the file at `path` in one step that is durable on return: after a crash the old bytes or the new are there,
/// whole. `mode` holds from the first byte, whatever the umask is. A crash can leave `path` + ".XXXXXX" beside it.
Result<void> WriteFileAtomic(const std::filesystem::path& path, ByteSpan bytes, mode_t mode);

/// Makes a file that only its owner may read, durable on return, and never writes over anything.
/// Errors: kConflict when something is at `path` already; on every other failure nothing is left there.
Result<void> WriteNewSecretFile(const std::filesystem::path& path, ByteSpan bytes);

/// Like WriteNewSecretFile, for what others may read (0644).
Result<void> WriteNewPublicFile(const std::filesystem::path& path, ByteSpan bytes);

/// Makes the names in `directory` (created, renamed, removed files) durable.
Result<void> SyncDirectory(const std::filesystem::path& directory);

}  // namespace tacit
