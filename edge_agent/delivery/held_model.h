#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace tacit::delivery {

/// One version of a model on this device's disk, and the lease that opens it.
struct HeldModel {
  Digest256 manifest{};
  std::uint64_t version = 0;
  std::uint64_t minimum_version = 0;  ///< The highest that any manifest asked for that was believed so far.
  std::uint64_t key_epoch = 0;        ///< Of the device's key that the lease is for.
  std::uint64_t bundle_bytes = 0;
  WallTime expires;      ///< From then on the lease opens nothing.
  WallTime renew_after;  ///< From then on the next one should be asked for.
  std::string lease;     ///< Its text.
  bool operator==(const HeldModel&) const = default;
};

/// What a record is on disk: `TACITHM1`, the fields in their order, XXH3-128 of all of it. It is a note and no proof:
/// whoever believes it opens bundle and lease, which are signed.
Bytes FormatHeldModel(const HeldModel& model);
/// Errors: kDataLoss for what is not exactly that.
Result<HeldModel> ParseHeldModel(ByteSpan file);

/// The files of one task: `current` and `previous`, each a record, and `<manifest>.tacit`, each a bundle.
struct HeldFiles {
  explicit HeldFiles(std::filesystem::path directory_of_task)
      : directory(std::move(directory_of_task)), current(directory / "current"), previous(directory / "previous") {}
  [[nodiscard]] std::filesystem::path Bundle(const Digest256& manifest) const;
  [[nodiscard]] std::filesystem::path Part(const Digest256& manifest) const;

  std::filesystem::path directory;
  std::filesystem::path current;
  std::filesystem::path previous;
};

/// Nothing where there is none. Errors: kDataLoss for a damaged one; those of the disk.
Result<std::optional<HeldModel>> ReadHeldModel(const std::filesystem::path& record);

}  // namespace tacit::delivery
