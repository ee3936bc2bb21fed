// What a TaskRunner's rounds run under.

#include <algorithm>

#include "server/coordinator/task_runner_parts.h"

namespace tacit::coordinator {
namespace {

// A commit seals and writes as much for one update as for many. So it waits for more: for as long as an update takes
// several times over, and for no more of them than make its cost per update small beside the update's own.
constexpr std::uint64_t kBatchBytes = 32ULL << 20U;
constexpr std::uint64_t kLeastFullBatch = 16;
constexpr std::uint64_t kMostFullBatch = 256;
constexpr std::uint64_t kBytesPerMilliOfWait = 50'000;
constexpr Millis kLeastBatchWait{10};
constexpr Millis kMostBatchWait{2'000};

}  // namespace

round::Rules TaskRunner::RulesOfTask() const {
  const task::Cohort& cohort = spec().cohort;
  round::Rules rules{
      .min_cohort = cohort.min,
      .target_cohort = cohort.size,
      .max_leases = static_cast<std::uint32_t>(std::min<std::uint64_t>(cohort.MaxAdmitted(), UINT32_MAX)),
      .deadline = cohort.deadline,
      .interest_lifetime = services_.long_poll + Millis(15'000),
      .full_batch = FullBatch(),
      .cohort_is_secret = CohortIsSecret(),
      .settling = Millis(1'000 + spec().model.ParameterCount() * sizeof(std::int32_t) / kBytesPerMilliOfWait)};
  if (spec().asynchronous) MakeBufferRules(rules);
  return rules;
}

std::uint32_t TaskRunner::FullBatch() const {
  const std::uint64_t bytes = spec().model.ParameterCount() * sizeof(std::int32_t);
  const std::uint64_t full = std::clamp(kBatchBytes / bytes, kLeastFullBatch, kMostFullBatch);
  // A batch must not hold the memory that the next updates wait for.
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(services_.upload_memory / 2 / bytes, 1, full));
}

Millis TaskRunner::BatchWait() const {
  const std::uint64_t bytes = spec().model.ParameterCount() * sizeof(std::int32_t);
  return std::clamp(Millis(static_cast<std::int64_t>(bytes / kBytesPerMilliOfWait)), kLeastBatchWait, kMostBatchWait);
}

}  // namespace tacit::coordinator
