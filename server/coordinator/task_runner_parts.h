#pragma once

#include <utility>
#include <vector>

#include "common/base/check.h"
#include "server/coordinator/task_runner.h"

// The inner parts of a TaskRunner, for its own source files only.
namespace tacit::coordinator {

/// What a partial sum is sealed for: it opens as no other round's, and as no other of the same round.
inline Bytes SealContext(const RoundKey& key, std::uint64_t sequence) {
  return ByteWriter().Text("tacit-partial/2").Text(key.task.str()).U64(key.round).U64(sequence).bytes();
}

/// Updates that become durable together.
struct TaskRunner::Batch {
  std::vector<dp::VerifiedUpdate> updates;  ///< Until they are in the sum.
  std::vector<std::uint32_t> staleness;     ///< Of each of them.
  std::vector<store::Contribution> contributions;
};

/// A sum and who is in it.
struct TaskRunner::PartialSum {
  explicit PartialSum(const dp::SumOptions& options) : sum(EmptySum(options)) {}
  /// The options were checked when the task was parsed, so making an empty sum cannot fail.
  static dp::UnnoisedSum EmptySum(const dp::SumOptions& options) {
    auto made = dp::UnnoisedSum::Create(options);
    TACIT_CHECK(made.has_value(), "a parsed task has a number of parameters within range");
    return *std::move(made);
  }

  /// Also when the sum was taken out of it.
  [[nodiscard]] std::uint64_t TotalWeight() const {
    std::uint64_t total = 0;
    for (const store::Contribution& each : contributions) total += each.weight;
    return total;
  }

  dp::UnnoisedSum sum;
  std::vector<store::Contribution> contributions;
};

}  // namespace tacit::coordinator
