#include "server/task/task_spec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = tacit::AsText({data, size});
  const auto spec = tacit::task::ParseTask(text, "task.toml");
  if (!spec) {
    TACIT_CHECK(!spec.error().message.empty(), "a refusal says why");
    return 0;
  }
  TACIT_CHECK(spec->model.ParameterCount() <= (std::uint64_t{1} << 28U), "memory of a task is bounded");
  TACIT_CHECK(spec->cohort.min >= 1 && spec->cohort.min <= spec->cohort.size, "a cohort can be reached");
  const bool is_private = spec->privacy.mechanism != tacit::dp::Mechanism::kNone;
  TACIT_CHECK(is_private == spec->privacy.epsilon_budget.has_value(), "a mechanism has a budget, and only it");
  TACIT_CHECK(is_private == spec->privacy.noise_multiplier.has_value(), "a mechanism has noise, and only it");
  TACIT_CHECK(!is_private || spec->aggregation.weighting == tacit::task::Weighting::kUniform, "one device weighs one");
  if (spec->asynchronous) {
    TACIT_CHECK(!spec->privacy.coin && !spec->privacy.tracking, "a buffer is neither sampled nor on two grids");
    TACIT_CHECK(spec->asynchronous->max_staleness <= tacit::dp::kMaxStaleness, "every staleness has a weight");
  }
  const auto again = tacit::task::RestoreTask(text, "task.toml", tacit::task::PlanOf(*spec));
  TACIT_CHECK(again.has_value(), "a task that was accepted can be read after a restart");
  return 0;
}
