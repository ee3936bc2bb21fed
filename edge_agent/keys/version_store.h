#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/rollback_guard.h"
#include "common/crypto/secret.h"
#include "edge_agent/keys/counter.h"
#include "edge_agent/keys/version_record.h"

namespace tacit::keys {

/// The highest version of each model in one file, which nobody without the device's key can write, and which a counter
/// ties to its moment, where there is one.
///
/// Guarantee: with a counter, whatever files that this device ever wrote are put back, and wherever it was stopped
///   before: Highest is never below what a Record that returned has recorded since (or it fails), and no stop makes it
///   fail. Without one, files that are put back together with the key are believed.
/// How: an even count is at rest, and a file of that count is believed. A Record makes the count odd, writes the file
/// of
///   the next even count, and makes the count even. Where it is odd, the files of both neighbours are believed: nothing
///   was promised between them. The next Record brings one of them to rest, as it is, before its own step. So two files
///   of one count are there only after a stop, and neither holds a promise: that is given by a Record alone that made
///   all of its step, and one that finds its version in a file of another run makes a step of its own.
///   One increment, before or after a file is written, would not do: whoever cuts the power then makes two files of one
///   count, of which one holds a promise, or shuts the device out.
/// Threads: one at a time, one process a directory. Cost: a Record of something new, and the first of a run, is two
///   increments; each call reads the counter.
class VersionStore {
 public:
  /// Writes the file of a new key, without any version, over what is there. Brings the counter to rest.
  static Result<void> Initialise(const std::filesystem::path& file, const crypto::SecretKey& mac_key,
                                 MonotonicCounter* counter);

  /// `counter`, which may be null, outlives the store.
  VersionStore(std::filesystem::path file, crypto::SecretKey mac_key, MonotonicCounter* counter)
      : file_(std::move(file)), mac_key_(std::move(mac_key)), counter_(counter) {}

  /// Whether what is there can be believed. Errors: as Highest.
  Result<void> Check();
  /// 0 where none was recorded. Errors: kDataLoss where the file is missing, changed or an old one; those of the
  /// counter and of the disk.
  Result<std::uint64_t> Highest(std::string_view model);
  /// Errors: as Highest; kConflict for a version below the highest; kInvalidArgument for a name that is empty or over
  /// kLongestModelName bytes, and for version 0; kTooLarge beyond kMostModels.
  Result<void> Record(std::string_view model, std::uint64_t version);

  /// The same for one model. The store outlives it.
  std::unique_ptr<RollbackGuard> GuardFor(std::string model);

 private:
  struct Current {
    VersionRecord record;
    std::uint64_t count;
  };
  Result<Current> Read();
  Result<void> Settle(Current& current);
  Result<void> Step(VersionRecord record);
  Result<void> Write(const VersionRecord& record) const;

  std::filesystem::path file_;
  crypto::SecretKey mac_key_;
  MonotonicCounter* counter_;
  std::optional<std::uint64_t> promised_;  // the count that this run brought to rest with a step of its own
};

}  // namespace tacit::keys
