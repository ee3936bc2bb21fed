#include "edge_agent/inference/perturb.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>

#include "edge_agent/inference/descend.h"
#include "tests/support/matchers.h"
#include "tests/unit/inference/small_models.h"

namespace tacit::inference {
namespace {

using graph::Operator;
using ::tacit::inference::testing::SmallModel;
using ::tacit::inference::testing::TestMemory;
using ::tacit::inference::testing::Uniform;
using ::tacit::inference::testing::ViewOf;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

// Two numbers, of which the first decides between two classes at 0.5: logits 0 and 4 x0 - 2.
class LinearModel {
 public:
  LinearModel() : model_(Make()), network_(*Differentiator::Create(ViewOf(model_), 3, memory_)) {}
  [[nodiscard]] Differentiator& network() { return network_; }

 private:
  static graph::OwnedGraph Make() {
    SmallModel small({2});
    const std::vector<float> weight = {0, 0, 4, 0};
    const std::vector<float> bias = {0, -2};
    const auto floats = [&](graph::Shape shape, const std::vector<float>& values) {
      return small.Constant(std::move(shape), graph::Element::kFloat32, AsBytes(std::span<const float>(values)));
    };
    const graph::ValueId weights = floats({2, 2}, weight);
    return small.Then(Operator::kGemm, {weights, floats({2}, bias)}).Finish();
  }

  TestMemory memory_;
  graph::OwnedGraph model_;
  Differentiator network_;
};

const std::vector<float> kRows = {0.25F, 0.5F, 0.875F, 0.5F, 0.0F, 1.0F, 0.75F, 0.25F, 0.625F, 0.5F};
const std::vector<std::uint32_t> kClasses = {0, 1, 0, 1, 1};

TEST(FastGradientSign, GoesUpTheLossInOneStepAndStaysInRange) {
  LinearModel model;
  auto attack = PgdAttack::Create(FastGradientSign(0.25F, {}));
  ASSERT_THAT(attack, IsOk());
  std::vector<float> moved(kRows.size());
  ASSERT_THAT(attack->Run(model.network(), {.x = kRows, .y = kClasses}, moved), IsOk());
  // The second number has no slope, and stays; the first goes away from the row's class.
  EXPECT_EQ(moved, (std::vector<float>{0.5F, 0.5F, 0.625F, 0.5F, 0.25F, 1.0F, 0.5F, 0.25F, 0.375F, 0.5F}));
  ASSERT_THAT(attack->Run(model.network(), {.x = std::vector<float>{0.875F, 1}, .y = std::vector<std::uint32_t>{0}},
                          std::span(moved).first(2)),
              IsOk());
  EXPECT_EQ(moved[0], 1.0F);
}

TEST(PgdAttack, StaysWithinRadiusAndRangeFromAnyStart) {
  LinearModel model;
  auto attack = PgdAttack::Create({.radius = 0.125F, .step = 0.1F, .steps = 4, .range = {}, .seed = 7});
  ASSERT_THAT(attack, IsOk());
  std::vector<float> moved(kRows.size());
  std::vector<float> again(kRows.size());
  ASSERT_THAT(attack->Run(model.network(), {.x = kRows, .y = kClasses}, moved), IsOk());
  for (std::size_t i = 0; i < moved.size(); ++i) {
    EXPECT_LE(std::abs(moved[i] - kRows[i]), 0.125F);
    EXPECT_GE(moved[i], 0);
    EXPECT_LE(moved[i], 1);
  }
  EXPECT_EQ(moved[0], 0.375F);  // the edge of the radius
  EXPECT_NE(moved[1], 0.5F);    // where the slope is 0, the start at random is still there
  ASSERT_THAT(attack->Run(model.network(), {.x = kRows, .y = kClasses}, again), IsOk());
  EXPECT_NE(moved, again);  // each run has starts of its own
  auto same = PgdAttack::Create({.radius = 0.125F, .step = 0.1F, .steps = 4, .range = {}, .seed = 7});
  ASSERT_THAT(same->Run(model.network(), {.x = kRows, .y = kClasses}, again), IsOk());
  EXPECT_EQ(moved, again);
}

TEST(PgdAttack, MovesARowOutsideTheRangeByItsRadiusAtMost) {
  LinearModel model;
  auto attack = PgdAttack::Create({.radius = 0.125F, .step = 0.125F, .steps = 1, .range = {}});
  ASSERT_THAT(attack, IsOk());
  std::vector<float> moved(2);
  ASSERT_THAT(attack->Run(model.network(), {.x = std::vector<float>{-2.5F, 3}, .y = std::vector<std::uint32_t>{0}},
                          std::span(moved)),
              IsOk());
  EXPECT_NEAR(moved[0], -2.5F, 0.125F);
  EXPECT_NEAR(moved[1], 3, 0.125F);
}

TEST(PgdAttack, FollowsAnObjectiveOfOnesOwn) {
  LinearModel model;
  auto attack = PgdAttack::Create({.radius = 0.25F, .step = 0.125F, .steps = 3});
  ASSERT_THAT(attack, IsOk());
  std::vector<float> moved(kRows.size());
  // Whatever the class: a larger second logit.
  ASSERT_THAT(attack->Run(
                  model.network(), {.x = kRows, .y = kClasses},
                  [](std::span<const float> logits, std::span<const std::uint32_t> classes, std::span<float> slope) {
                    ASSERT_EQ(logits.size(), classes.size() * 2);
                    for (std::size_t i = 0; i < slope.size(); ++i) slope[i] = i % 2 == 1 ? 1.0F : 0.0F;
                  },
                  moved),
              IsOk());
  EXPECT_EQ(moved, (std::vector<float>{0.5F, 0.5F, 1, 0.5F, 0.25F, 1.0F, 1, 0.25F, 0.875F, 0.5F}));
}

TEST(PgdAttack, RefusesOptionsOutsideTheirRange) {
  const auto refuses = [](const PgdOptions& options, const char* what) {
    EXPECT_THAT(PgdAttack::Create(options), IsErrorSaying(ErrorCode::kInvalidArgument, what));
  };
  refuses({.radius = 0, .step = 1}, "radius");
  refuses({.radius = 1, .step = std::nanf("")}, "step");
  refuses({.radius = 1, .step = 1, .steps = 0}, "steps");
  refuses({.radius = 1, .step = 1, .steps = 1, .range = {.least = 1, .most = 1}}, "range");
  LinearModel model;
  std::vector<float> moved(2);
  auto attack = PgdAttack::Create(FastGradientSign(0.25F, {}));
  EXPECT_THAT(attack->Run(model.network(), {.x = std::span(kRows).first(2), .y = std::span(kClasses).first(2)}, moved),
              IsErrorSaying(ErrorCode::kInvalidArgument, "rows"));
}

// The nearest row of another class is on the border: 0.5 along the first number, and as far as it was along the second.
TEST(CarliniWagnerL2, FindsTheNearestRowOfAnotherClass) {
  LinearModel model;
  std::vector<float> moved(kRows.size());
  const auto found = CarliniWagnerL2(model.network(), {.x = kRows, .y = kClasses},
                                     {.constants = {0.1F, 1}, .steps = 300, .learning_rate = 0.02F}, moved);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(*found, 5U);
  for (std::size_t row = 0; row < kClasses.size(); ++row) {
    EXPECT_NEAR(moved[2 * row], 0.5F, 0.02F) << row;
    EXPECT_NEAR(moved[2 * row + 1], kRows[2 * row + 1], 0.02F) << row;
    const bool is_second = moved[2 * row] > 0.5F;
    EXPECT_NE(is_second, kClasses[row] == 1) << row;
  }
}

TEST(CarliniWagnerL2, LeavesARowThatTheModelHasWrongWhereItIs) {
  LinearModel model;
  std::vector<float> moved(2);
  const std::vector<float> x = {0.25F, 0.5F};
  const auto found = CarliniWagnerL2(model.network(), {.x = x, .y = std::vector<std::uint32_t>{1}}, {}, moved);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(*found, 1U);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(moved[i], x[i], 1e-5F);
}

TEST(CarliniWagnerL2, GoesAsFarAsConfidenceAsksAndLeavesAloneWhatItCannotReach) {
  LinearModel model;
  std::vector<float> moved(2);
  const std::vector<float> x = {0.25F, 0.5F};
  const std::vector<std::uint32_t> y = {0};
  CarliniWagnerOptions options = {.constants = {1}, .steps = 300, .learning_rate = 0.02F, .confidence = 1};
  auto found = CarliniWagnerL2(model.network(), {.x = x, .y = y}, options, moved);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(*found, 1U);
  EXPECT_NEAR(moved[0], 0.75F, 0.02F);  // 4 x0 - 2 = 1
  options.confidence = 3;               // no row within the range has it
  found = CarliniWagnerL2(model.network(), {.x = x, .y = y}, options, moved);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(*found, 0U);
  EXPECT_EQ(moved, x);
  options.constants = {};
  EXPECT_THAT(CarliniWagnerL2(model.network(), {.x = x, .y = y}, options, moved),
              IsErrorSaying(ErrorCode::kInvalidArgument, "constants"));
}

// A network that learns from attacked rows stands up to them better than one that does not.
TEST(PgdAttack, MakesRowsThatHardenAModel) {
  // One strong number, and many weak ones, which an attack can turn around.
  const std::size_t rows = 200;
  std::vector<float> x = Uniform(rows * 12, 4, 0.3, 0.7);
  std::vector<std::uint32_t> y(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    y[row] = static_cast<std::uint32_t>(row % 2);
    const float sign = row % 2 == 0 ? 1.0F : -1.0F;
    x[row * 12] = 0.5F + sign * 0.35F * (row % 10 == 0 ? -1.0F : 1.0F);
    for (std::size_t i = 1; i < 12; ++i) x[row * 12 + i] += 0.1F * sign;
  }
  const Batch batch = {.x = x, .y = y};
  const graph::OwnedGraph model = SmallModel({12}).Dense(16).Then(Operator::kRelu).Dense(2).Finish();
  const PgdOptions options = {.radius = 0.15F, .step = 0.05F, .steps = 5, .range = {}, .seed = 3};
  std::vector<std::size_t> right_under_attack;
  for (const bool hardens : {false, true}) {
    TestMemory memory;
    auto network = Differentiator::Create(ViewOf(model), 64, memory);
    ASSERT_THAT(network, IsOk());
    auto descent = Descent::Create(*network, memory);
    ASSERT_THAT(descent, IsOk());
    auto attack = PgdAttack::Create(options);
    ASSERT_THAT(attack, IsOk());
    std::vector<float> moved = x;
    for (int step = 0; step < 150; ++step) {
      if (hardens) ASSERT_THAT(attack->Run(*network, batch, moved), IsOk());
      ASSERT_THAT(descent->Step({.input = moved, .classes = y, .learning_rate = 0.1, .momentum = 0.9}), IsOk());
    }
    ASSERT_THAT(attack->Run(*network, batch, moved), IsOk());
    const auto score = network->Score(descent->parameters(), {.x = moved, .y = y});
    ASSERT_THAT(score, IsOk());
    right_under_attack.push_back(score->correct);
  }
  EXPECT_GE(right_under_attack[1], 170U);
  EXPECT_GE(right_under_attack[1], right_under_attack[0] + 10);
}

}  // namespace
}  // namespace tacit::inference
