#include <string>
#include <string_view>

#include <gmock/gmock.h>

#include "server/simulate/run.h"
#include "tests/support/matchers.h"
#include "tests/support/task_text.h"

namespace tacit::simulate {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kNone = "[privacy]\nmechanism = \"none\"\nclip_norm = 1.0\n";
constexpr std::string_view kCoin = R"([privacy]
mechanism = "gaussian"
clip_norm = 1.0
noise_multiplier = 4.0
delta = 1e-3
epsilon_budget = 12
population = 400
sampling = "checkin_coin"
sampling_probability = 0.1
)";

task::TaskSpec Task(const std::string& tables, std::string_view privacy = kNone) {
  auto spec = task::ParseTask(testing::SmallTask("t", tables + std::string(privacy)), "t.toml");
  EXPECT_THAT(spec, IsOk());
  return *std::move(spec);
}

TEST(CheckFleet, WantsEnoughDevicesForARound) {
  const auto spec = Task("[rounds]\ncount = 10\n[cohort]\nsize = 100\nmin = 80\n");
  EXPECT_THAT(CheckFleet(spec, {.devices = 80}), IsOk());
  EXPECT_THAT(CheckFleet(spec, {.devices = 79}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "give --devices 80 or more, or lower [cohort] size and min"));
}

TEST(CheckFleet, WantsEnoughDevicesForLimitedParticipation) {
  const auto counted = Task("[rounds]\ncount = 10\nmax_participations = 3\n[cohort]\nsize = 100\n");
  EXPECT_THAT(CheckFleet(counted, {.devices = 334}), IsOk());
  EXPECT_THAT(CheckFleet(counted, {.devices = 333}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "'rounds.max_participations' = 3"));
  const auto apart = Task("[rounds]\ncount = 10\nmin_separation = 4\n[cohort]\nsize = 100\n");
  EXPECT_THAT(CheckFleet(apart, {.devices = 400}), IsOk());
  EXPECT_THAT(CheckFleet(apart, {.devices = 399}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "need 400 devices: give --devices 400 or more"));
}

TEST(CheckFleet, WantsMorePlacesThanUpdatesWhereDevicesDropOut) {
  const auto exact = Task("[rounds]\ncount = 10\n[cohort]\nsize = 100\n");
  EXPECT_THAT(CheckFleet(exact, {.devices = 1'000, .dropout = 0.2}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "set [cohort] over_selection to 1.32"));
  const auto roomy = Task("[rounds]\ncount = 10\n[cohort]\nsize = 100\nover_selection = 1.32\n");
  EXPECT_THAT(CheckFleet(roomy, {.devices = 1'000, .dropout = 0.2}), IsOk());
}

TEST(CheckFleet, HoldsCoinsToTheirPopulation) {
  const auto spec = Task("[rounds]\ncount = 10\n[cohort]\nsize = 40\nover_selection = 3.0\n", kCoin);
  EXPECT_THAT(CheckFleet(spec, {.devices = 400}), IsOk());
  EXPECT_THAT(CheckFleet(spec, {.devices = 401}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "give --devices 400 or fewer"));
  EXPECT_THAT(CheckFleet(spec, {.devices = 1'000}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "must be below 1 / 1000"));
  EXPECT_THAT(NotesOn(spec, {.devices = 400}), IsEmpty());
  EXPECT_THAT(NotesOn(spec, {.devices = 200}), ElementsAre(HasSubstr("let in about 20 of 200 devices")));
}

TEST(CheckFleet, DoesNotPretendToKnowHowFastDevicesAre) {
  const auto spec =
      Task("[rounds]\ncount = 10\n[cohort]\nsize = 4\n[asynchronous]\nmax_staleness = 3\nconcurrency = 8\n");
  EXPECT_THAT(CheckFleet(spec, {.devices = 400}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "[asynchronous] is not simulated"));
}

}  // namespace
}  // namespace tacit::simulate
