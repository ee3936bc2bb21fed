#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "common/base/bytes.h"
#include "common/crypto/secret.h"

// What `device_versions` in the state directory holds.
namespace tacit::keys {

/// The highest version of each model, and the value of the counter that it belongs to.
struct VersionRecord {
  std::uint64_t counter = 0;  ///< Even; 0 where there is no counter.
  std::map<std::string, std::uint64_t, std::less<>> versions;
  bool operator==(const VersionRecord&) const = default;
};

inline constexpr std::size_t kMostModels = 1024;
inline constexpr std::size_t kLongestModelName = 128;
inline constexpr std::size_t kLargestVersionRecord = 64 + kMostModels * (kLongestModelName + 16);

/// The record, and then its HMAC-SHA-256 under `mac_key`. Shape: within the three limits above.
Bytes FormatVersionRecord(const VersionRecord& record, const crypto::SecretKey& mac_key);
/// Errors: kDataLoss, to be read behind the file's name, for anything but what FormatVersionRecord makes under this
/// key.
Result<VersionRecord> ParseVersionRecord(ByteSpan file, const crypto::SecretKey& mac_key);

/// The same without the HMAC, which is what a parser makes of bytes before anything vouches for them.
Result<VersionRecord> ParseVersionFields(ByteSpan fields);

}  // namespace tacit::keys
