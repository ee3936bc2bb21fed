#include "server/aggregation/optimizer.h"

#include <cmath>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::aggregation {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::FloatNear;

task::Aggregation Options(task::Optimizer optimizer) {
  task::Aggregation options;
  options.optimizer = optimizer;
  options.server_learning_rate = 0.5;
  options.momentum = 0.9;
  options.beta1 = 0.9;
  options.beta2 = 0.99;
  options.tau = 0.1;
  return options;
}

TEST(FedAvg, AddsTheScaledAverage) {
  const auto optimizer = *CreateOptimizer(Options(task::Optimizer::kFedAvg), 2, {});
  std::vector<float> model = {1.0F, -1.0F};
  optimizer->Step(std::vector<float>{2.0F, 4.0F}, model);
  EXPECT_THAT(model, ElementsAre(2.0F, 1.0F));
  EXPECT_TRUE(optimizer->State().empty());
}

TEST(FedAvgM, CarriesItsVelocityFromRoundToRound) {
  const auto optimizer = *CreateOptimizer(Options(task::Optimizer::kFedAvgM), 1, {});
  std::vector<float> model = {0.0F};
  optimizer->Step(std::vector<float>{1.0F}, model);
  EXPECT_THAT(model, ElementsAre(0.5F));
  optimizer->Step(std::vector<float>{1.0F}, model);  // velocity 0.9 + 1
  EXPECT_THAT(model, ElementsAre(FloatNear(0.5F + 0.95F, 1e-6F)));
}

TEST(FedAdam, TakesTheStepOfReddiEtAl) {
  const auto optimizer = *CreateOptimizer(Options(task::Optimizer::kFedAdam), 1, {});
  std::vector<float> model = {0.0F};
  optimizer->Step(std::vector<float>{2.0F}, model);
  const double first = 0.1 * 2.0;
  const double second = 0.99 * 0.01 + 0.01 * 4.0;
  EXPECT_NEAR(model[0], 0.5 * first / (std::sqrt(second) + 0.1), 1e-6);
}

TEST(ServerOptimizer, GoesOnFromItsStoredStateWithTheSameBits) {
  for (const task::Optimizer kind : {task::Optimizer::kFedAvg, task::Optimizer::kFedAvgM, task::Optimizer::kFedAdam}) {
    const std::vector<float> average = {0.3F, -0.7F, 0.1F};
    std::vector<float> straight = {1.0F, 2.0F, 3.0F};
    std::vector<float> restarted = straight;
    const auto whole = *CreateOptimizer(Options(kind), 3, {});
    whole->Step(average, straight);
    whole->Step(average, straight);
    const auto before = *CreateOptimizer(Options(kind), 3, {});
    before->Step(average, restarted);
    const auto after = *CreateOptimizer(Options(kind), 3, before->State());
    after->Step(average, restarted);
    EXPECT_EQ(straight, restarted);
  }
}

TEST(ServerOptimizer, RefusesAStateOfAnotherSize) {
  EXPECT_THAT(CreateOptimizer(Options(task::Optimizer::kFedAvgM), 3, Bytes(8)), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(CreateOptimizer(Options(task::Optimizer::kFedAdam), 1, Bytes(4)), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(CreateOptimizer(Options(task::Optimizer::kFedAdam), 1, Bytes(8)), IsOk());
}

}  // namespace
}  // namespace tacit::aggregation
