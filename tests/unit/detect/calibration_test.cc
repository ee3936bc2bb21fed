#include "edge_agent/detect/calibration.h"

#include <limits>

#include "tests/support/matchers.h"
#include "tests/unit/detect/clusters.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::ClusterCalibration;
using testing::Clusters;
using testing::FewRows;

TEST(Calibrate, RefusesTooFewRowsAndSaysHowMany) {
  Clusters model;
  const auto needed = RowsNeeded(model.shape(), FewRows());
  ASSERT_THAT(needed, IsOk());
  const Clusters::Rows few = Clusters::Draw(*needed - 1, 1);
  EXPECT_THAT(
      Calibrate(model, {.x = few.x, .labels = few.y}, FewRows()),
      IsErrorSaying(ErrorCode::kInvalidArgument,
                    "needs " + std::to_string(*needed) + " clean rows, and there are " + std::to_string(*needed - 1)));
  const Clusters::Rows enough = Clusters::Draw(*needed, 1);
  EXPECT_THAT(Calibrate(model, {.x = enough.x, .labels = enough.y}, FewRows()), IsOk());
}

TEST(Calibrate, NeedsMoreRowsForANarrowerTolerance) {
  CalibrationOptions narrow = FewRows();
  narrow.tolerance.within = 0.005;
  EXPECT_GT(RowsNeeded(Clusters().shape(), narrow).value_or(0), RowsNeeded(Clusters().shape(), FewRows()).value_or(0));
}

TEST(Calibrate, GivesTheSameForTheSameRows) {
  Clusters model;
  const Clusters::Rows rows = Clusters::Draw(1'500, 1);
  const auto again = Calibrate(model, {.x = rows.x, .labels = rows.y}, FewRows());
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(IdOf(*again), IdOf(ClusterCalibration()));
}

TEST(Calibrate, TakesWhatTheModelSaysWhereThereAreNoLabels) {
  Clusters model;
  const Clusters::Rows rows = Clusters::Draw(1'500, 1);
  EXPECT_THAT(Calibrate(model, {.x = rows.x, .labels = {}}, FewRows()), IsOk());
}

TEST(Calibrate, ServesAGradientWhereTheModelHasOne) {
  Clusters model;
  const Clusters::Rows rows = Clusters::Draw(1'500, 1);
  CalibrationOptions options = FewRows();
  options.scores = {Score::kGradient};
  const auto calibration = Calibrate(model, {.x = rows.x, .labels = rows.y}, options);
  ASSERT_THAT(calibration, IsOk());
  EXPECT_FALSE(calibration->scoring.features.has_value());
  EXPECT_FALSE(calibration->combination.concerns[1].has_value());
}

TEST(Calibrate, RefusesScoresThatTheModelCannotServe) {
  Clusters model;
  const Clusters::Rows rows = Clusters::Draw(1'500, 1);
  CalibrationOptions options = FewRows();
  options.scores = {Score::kSqueezing};  // six numbers are no picture
  EXPECT_THAT(Calibrate(model, {.x = rows.x, .labels = rows.y}, options), IsError(ErrorCode::kInvalidArgument));
  options.scores = {Score::kEnergy, Score::kUnconfidence};
  EXPECT_THAT(Calibrate(model, {.x = rows.x, .labels = rows.y}, options), IsError(ErrorCode::kInvalidArgument));
  options.scores = {};
  EXPECT_THAT(Calibrate(model, {.x = rows.x, .labels = rows.y}, options), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(RowsNeeded({.inputs = 6, .classes = 3, .features = 0}, FewRows()), IsError(ErrorCode::kInvalidArgument));
}

TEST(Calibrate, RefusesRowsThatDoNotFitTheModel) {
  Clusters model;
  Clusters::Rows rows = Clusters::Draw(1'500, 1);
  EXPECT_THAT(Calibrate(model, {.x = std::span(rows.x).first(8'999), .labels = rows.y}, FewRows()),
              IsError(ErrorCode::kInvalidArgument));
  rows.y[7] = 3;
  EXPECT_THAT(Calibrate(model, {.x = rows.x, .labels = rows.y}, FewRows()), IsError(ErrorCode::kInvalidArgument));
  rows.y[7] = 0;
  rows.x[5] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(Calibrate(model, {.x = rows.x, .labels = rows.y}, FewRows()), IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::detect
