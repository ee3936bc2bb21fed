#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "dp/filter.h"
#include "dp/local_noise.h"
#include "proto/codec/agent.h"

namespace tacit::upload {

/// The most that noised updates may cost this device, over all tasks and for ever.
struct LocalCap {
  dp::Epsilon epsilon;
  dp::Delta delta;
  bool operator==(const LocalCap&) const = default;
};

/// What this device sent to one task, under the terms of the first lease: a task whose terms change is refused.
struct LocalSpend {
  TaskId task;
  dp::LocalNoise noise;
  std::uint64_t max_releases = 0;
  std::uint64_t releases = 0;  ///< Noised updates that were made to be sent, whether or not they were counted.
  bool operator==(const LocalSpend&) const = default;
};

/// What local_privacy.json holds.
struct LocalRecord {
  std::optional<LocalCap> cap;
  std::vector<LocalSpend> tasks;
  bool operator==(const LocalRecord&) const = default;
};

std::string FormatLocalRecord(const LocalRecord& record);
/// Errors: kMalformed, kInvalidArgument, to be read behind the file's name.
Result<LocalRecord> ParseLocalRecord(std::string_view text);

/// The noise of the device that a lease asks for.
struct LocalTerms {
  dp::LocalNoise noise;
  std::uint64_t max_releases = 0;
};
/// Nothing where it asks for none. Errors: kInvalidArgument for numbers that no noise can have.
Result<std::optional<LocalTerms>> LocalTermsOf(const codec::Lease& lease);

/// What local noise has cost this device, on its own disk. The server is not believed: it may ask for too little noise,
/// too often, or for no noise at all, and change its mind in the middle.
///
/// Guarantee: with a cap, all updates that ever left are together (epsilon, delta)-DP under "replace one", whatever the
///   server chose them to be, and none left without noise. An update is charged, durably, before it can be sent; a
///   crash in between counts it although it was not sent. Whoever deletes or edits the file changes the promise: that
///   is the device owner's to do.
/// Source: dp::RenyiFilter.
/// Threads: one at a time, one process a directory.
class LocalLedger {
 public:
  /// `cap`, when given, is kept durably. It replaces one that is kept already only where neither epsilon nor delta is
  /// larger: an epsilon at another delta is another statement, and which of two is the looser cannot be told.
  /// Errors: kDataLoss for a file that cannot be read as one; kConflict for a cap that would loosen the kept one;
  ///   kInvalidArgument for a cap that is too fine; those of the disk.
  static Result<LocalLedger> Open(const std::filesystem::path& state_directory, const std::optional<LocalCap>& cap);

  /// Whether this device may make one more update under this lease.
  /// Errors: kPermissionDenied where it must not without noise, or was asked as often as it may; kConflict for terms
  ///   other than the first; kBudgetExhausted, naming the cap. None of them passes with time.
  [[nodiscard]] Result<void> CheckRoom(const codec::Lease& lease) const;

  /// Counts one update under this lease; nothing where it asks for no noise. Errors: as CheckRoom, and those of the
  /// disk: then nothing may be sent.
  Result<void> Charge(const codec::Lease& lease);

  /// Whether an update that was kept from an earlier run may still be sent: with a cap only one for a task that this
  /// device noises its updates for. What was made before there was a cap has no noise.
  [[nodiscard]] bool MaySendKept(const TaskId& task) const;

  [[nodiscard]] const LocalRecord& record() const { return record_; }
  /// The cap that Open replaced by a stricter one.
  [[nodiscard]] const std::optional<LocalCap>& replaced_cap() const { return replaced_cap_; }
  /// What all tasks together come to at the cap's delta, by the filter; absent without a cap.
  [[nodiscard]] std::optional<double> EpsilonSpent() const;

 private:
  LocalLedger(std::filesystem::path file, LocalRecord record) : file_(std::move(file)), record_(std::move(record)) {}
  Result<void> UseCap(const std::optional<LocalCap>& cap);
  [[nodiscard]] Result<void> Write(const LocalRecord& record) const;
  [[nodiscard]] std::uint64_t Releases() const;
  [[nodiscard]] double SpentBy(const dp::RenyiFilter& filter) const;
  std::filesystem::path file_;
  LocalRecord record_;
  std::optional<LocalCap> replaced_cap_;
  struct Limit {
    LocalCap cap;
    dp::RenyiFilter filter;
  };
  std::optional<Limit> limit_;  // when the record has a cap
};

}  // namespace tacit::upload
