#include "server/detectors/calibrations.h"

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/base/owned_fd.h"
#include "edge_agent/detect/extraction.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/detectors/rows.h"

namespace tacit::detectors {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

constexpr std::string_view kTask = R"(
name = "vib"
[model]
kind = "mlp"
inputs = 4
hidden = [8]
classes = 3
[training]
epochs = 1
batch_size = 8
learning_rate = 0.1
[rounds]
count = 5
[cohort]
size = 2
min = 1
deadline = "60s"
[privacy]
mechanism = "none"
clip_norm = 10.0
[deployment]
[detectors]
clean_rows = "rows.csv"
mode = "reject"
scores = "unconfidence,gradient,energy,input"
budget = 40
window = "1h"
drift_window = 50
)";

class CalibrationsTest : public ::testing::Test {
 protected:
  Result<Calibrations::Held> FindOrMake(ModelVersion number) {
    return calibrations_.FindOrMake(task_, number,
                                    {.model = task_.model, .parameters = AsBytes(std::span<const float>(parameters_))});
  }
  void WriteRows(std::size_t count, bool with_labels = true) {
    testing::WriteRows(directory_ / "rows.csv", count, with_labels);
  }

  const task::TaskSpec task_ = *task::ParseTask(kTask, "task.toml");
  const std::vector<float> parameters_ = task_.model.InitialParameters(3);
  ::tacit::testing::TempDirectory directory_;
  ::tacit::testing::FakeClock clock_;
  const OwnedFd nowhere_{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Logger log_{nowhere_.get(), clock_, LogLevel::kError};
  Calibrations calibrations_{directory_.path(), clock_, log_};
};

TEST_F(CalibrationsTest, AreOfTheFunctionAndMadeOnce) {
  WriteRows(1'200);
  const auto made = FindOrMake(1);
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ((*made)->shape, (detect::ModelShape{.inputs = 4, .classes = 3, .features = 0}));
  EXPECT_EQ((*made)->model, Digest256{}) << "which copy it is of is written into it later";
  EXPECT_EQ((*made)->target, 0.05);
  EXPECT_EQ((*made)->drift.window, 50U);
  std::filesystem::remove(directory_ / "rows.csv");
  const auto again = FindOrMake(1);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, *made);
  EXPECT_THAT(FindOrMake(2), IsError(ErrorCode::kNotFound)) << "another version is another function";
}

TEST_F(CalibrationsTest, AreTheSameForTheSameRows) {
  WriteRows(1'200, false);
  Calibrations others(directory_.path(), clock_, log_);
  const auto one = FindOrMake(1);
  const auto other =
      others.FindOrMake(task_, 1, {.model = task_.model, .parameters = AsBytes(std::span<const float>(parameters_))});
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(other, IsOk());
  EXPECT_EQ(**one, **other);
}

TEST_F(CalibrationsTest, KeepAFailureForAWhile) {
  WriteRows(100);
  EXPECT_THAT(FindOrMake(1), IsErrorSaying(ErrorCode::kInvalidArgument, "and there are 100"));
  WriteRows(1'200);
  EXPECT_THAT(FindOrMake(1), IsErrorSaying(ErrorCode::kInvalidArgument, "and there are 100"));
  clock_.Advance(Calibrations::kTryAgainAfter);
  EXPECT_THAT(FindOrMake(1), IsOk());
}

TEST_F(CalibrationsTest, LetADevicesGuardFitIntoItsWorker) {
  WriteRows(1'200);
  const auto made = FindOrMake(1);
  ASSERT_THAT(made, IsOk());
  const auto guard = detect::ExtractionGuard::Create({}, detect::Mode::kFlag, **made);
  ASSERT_THAT(guard, IsOk());
  EXPECT_LT(guard->MemoryBound(), std::size_t{66} << 20U);
}

TEST(PolicyOf, SaysWhatTheTaskFileSays) {
  const task::TaskSpec task = *task::ParseTask(kTask, "task.toml");
  EXPECT_EQ(PolicyOf(*task.detectors),
            (detect::Policy{
                .mode = detect::Mode::kReject, .identity_budget = 40, .device_budget = 0, .window_seconds = 3600}));
}

}  // namespace
}  // namespace tacit::detectors
