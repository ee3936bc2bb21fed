#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/base/result.h"

namespace tacit::upload {

/// What sparse updates have left unsent of a device's deltas, one residual a task, on disk until a later update of the
/// task takes it up: without it, entries that are never among the largest would never be learned from.
///
/// It follows acknowledged updates and no others: the update and what it leaves are kept as one (PendingUpdate), and
/// the latter becomes the residual when the acknowledgement is here. An update that is refused leaves the residual as
/// it was, and so does one whose acknowledgement never arrives before its round is over. Privacy: it is the device's
/// data in clear; the files are for their owner only. Threads: one at a time, one process a directory. Source: Seide et
/// al. 2014; Stich, Cordonnier, Jaggi 2018; Karimireddy et al. 2019 (error feedback).
class ResidualStore {
 public:
  explicit ResidualStore(const std::filesystem::path& state_directory);

  /// Empty where nothing is kept for this task and this model. What is damaged, or is no finite vector of so many
  /// parameters, is removed: it costs some training, and no promise.
  [[nodiscard]] std::vector<float> Load(const TaskId& task, const Digest128& schema, std::size_t parameters) const;
  /// Durable on return; the only one of its task from then on. Of the tasks that have one the latest few keep theirs.
  Result<void> Save(const TaskId& task, const Digest128& schema, std::span<const float> residual) const;
  void Drop(const TaskId& task) const;

 private:
  [[nodiscard]] std::filesystem::path FileOf(const TaskId& task, const Digest128& schema) const;
  [[nodiscard]] Result<void> MakeDirectory() const;
  void RemoveOthers(const TaskId& task, const std::filesystem::path& kept) const;
  void RemoveOldest() const;

  std::filesystem::path directory_;
};

/// What is in the file of a residual, and what may stand in one. Errors: kMalformed.
Bytes FormatResidual(std::span<const float> residual);
Result<std::vector<float>> ParseResidual(ByteSpan file);

}  // namespace tacit::upload
