#include <algorithm>
#include <cmath>
#include <numeric>
#include <stop_token>

#include <gmock/gmock.h>

#include "common/base/random.h"
#include "edge_agent/training/trainer.h"
#include "tests/support/matchers.h"

namespace tacit::training {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

model::ModelSpec Spec(model::ModelShape shape) {
  return *model::ModelSpec::Create(std::move(shape));
}

// Two clouds per class that a linear model can tell apart.
data::Dataset Clouds(std::size_t rows, std::uint32_t features, std::uint32_t classes) {
  SplitMix64 random(42);
  data::Dataset dataset{.rows = rows, .features = features, .classes = classes, .x = {}, .y = {}};
  for (std::size_t row = 0; row < rows; ++row) {
    const auto label = static_cast<std::uint32_t>(row % classes);
    dataset.y.push_back(label);
    for (std::uint32_t i = 0; i < features; ++i) {
      dataset.x.push_back(static_cast<float>(random.Uniform() - 0.5 + (i % classes == label ? 1.0 : 0.0)));
    }
  }
  return dataset;
}

TEST(Evaluate, SaysOfAnUntrainedModelThatItGuesses) {
  const model::ModelSpec spec = Spec({.inputs = 3, .hidden = {}, .classes = 4});
  const data::Dataset dataset = Clouds(8, 3, 4);
  const auto score = Evaluate(spec, spec.InitialParameters(0), dataset);
  ASSERT_THAT(score, IsOk());
  EXPECT_NEAR(score->loss, std::log(4.0), 1e-6);
  EXPECT_DOUBLE_EQ(score->accuracy, 0.25);
}

TEST(Evaluate, SurvivesLogitsThatExpWouldOverflow) {
  const model::ModelSpec spec = Spec({.inputs = 1, .hidden = {}, .classes = 2});
  const std::vector<float> parameters = {1000, -1000, 0, 0};
  const data::Dataset dataset{.rows = 2, .features = 1, .classes = 2, .x = {1, 1}, .y = {0, 1}};
  const auto score = Evaluate(spec, parameters, dataset);
  ASSERT_THAT(score, IsOk());
  EXPECT_NEAR(score->loss, 1000.0, 1e-3);
}

TEST(Train, GivesTheSameBitsForASeedAndOthersForAnother) {
  const model::ModelSpec spec = Spec({.inputs = 6, .hidden = {5}, .classes = 3});
  const data::Dataset dataset = Clouds(50, 6, 3);
  const std::vector<float> start = spec.InitialParameters(1);
  const TrainingOptions options{.epochs = 2, .batch_size = 8, .learning_rate = 0.1, .momentum = 0.5, .seed = 9};
  const auto first = Train(spec, start, dataset, options);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->delta, Train(spec, start, dataset, options)->delta);
  TrainingOptions other = options;
  other.seed = 10;
  EXPECT_NE(first->delta, Train(spec, start, dataset, other)->delta);
}

TEST(Train, LearnsWithEveryOptimiserSetting) {
  const data::Dataset dataset = Clouds(120, 6, 3);
  for (const auto& hidden : {std::vector<std::uint32_t>{}, std::vector<std::uint32_t>{16, 8}}) {
    const model::ModelSpec spec = Spec({.inputs = 6, .hidden = hidden, .classes = 3});
    const std::vector<float> start = spec.InitialParameters(3);
    for (const double momentum : {0.0, 0.9}) {
      const auto update =
          Train(spec, start, dataset, {.epochs = 20, .batch_size = 16, .learning_rate = 0.05, .momentum = momentum});
      ASSERT_THAT(update, IsOk());
      std::vector<float> trained = start;
      for (std::size_t i = 0; i < trained.size(); ++i) trained[i] += update->delta[i];
      EXPECT_GE(Evaluate(spec, trained, dataset)->accuracy, 0.95) << spec.CanonicalText() << " momentum " << momentum;
      EXPECT_LT(update->mean_loss, std::log(3.0) / 2);
    }
  }
}

// One step on the whole data from zero: the step is known in closed form.
TEST(Train, TakesOneStepOfPlainDescentForOneBatch) {
  const model::ModelSpec spec = Spec({.inputs = 2, .hidden = {}, .classes = 2});
  const data::Dataset dataset{.rows = 2, .features = 2, .classes = 2, .x = {1, 2, 3, 4}, .y = {0, 1}};
  const std::vector<float> start(6, 0.0F);
  const auto update = Train(spec, start, dataset, {.batch_size = 2, .learning_rate = 0.5});
  ASSERT_THAT(update, IsOk());
  // p = 1/2 everywhere: gradient of w0 = mean((p - [y=0]) x) = ((-1/2)(1,2) + (1/2)(3,4)) / 2 = (1/2, 1/2).
  const std::vector<float> expected = {-0.25F, -0.25F, 0.25F, 0.25F, 0.0F, 0.0F};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(update->delta[i], expected[i], 1e-6F) << i;
  EXPECT_NEAR(update->mean_loss, std::log(2.0), 1e-6);
}

// Two epochs of one batch each with momentum m: delta = -rate (g1 (1 + m) + g2); without momentum -rate (g1 + g2).
TEST(Train, MomentumCarriesTheFirstStepIntoTheSecond) {
  const model::ModelSpec spec = Spec({.inputs = 6, .hidden = {}, .classes = 3});
  const data::Dataset dataset = Clouds(12, 6, 3);
  const std::vector<float> start(spec.ParameterCount(), 0.0F);
  const TrainingOptions plain{.batch_size = 12, .learning_rate = 1e-3};
  TrainingOptions two = plain;
  two.epochs = 2;
  TrainingOptions heavy = two;
  heavy.momentum = 0.5;
  const auto first = Train(spec, start, dataset, plain);
  const auto without = Train(spec, start, dataset, two);
  const auto with = Train(spec, start, dataset, heavy);
  for (std::size_t i = 0; i < start.size(); ++i) {
    EXPECT_NEAR(with->delta[i] - without->delta[i], 0.5F * first->delta[i], 1e-6F) << i;
  }
}

TEST(Train, ProximalTermKeepsTheModelNearItsStart) {
  const model::ModelSpec spec = Spec({.inputs = 6, .hidden = {}, .classes = 3});
  const data::Dataset dataset = Clouds(60, 6, 3);
  const std::vector<float> start(spec.ParameterCount(), 0.5F);
  const auto norm = [](const std::vector<float>& v) {
    return std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
  };
  TrainingOptions options{.epochs = 200, .batch_size = 60, .learning_rate = 0.1};
  const double free = norm(Train(spec, start, dataset, options)->delta);
  options.proximal_mu = 1;
  const double held = norm(Train(spec, start, dataset, options)->delta);
  EXPECT_LT(held, free / 2);
  EXPECT_GT(held, 0);
}

TEST(Train, SeesEveryRowOnceAnEpochInBatchesOfNearlyEqualSize) {
  // 9 rows in batches of at most 8: a last batch of one row would move the weights as far as the other eight together.
  const model::ModelSpec spec = Spec({.inputs = 9, .hidden = {}, .classes = 2});
  data::Dataset dataset{
      .rows = 9, .features = 9, .classes = 2, .x = std::vector<float>(81), .y = std::vector<std::uint32_t>(9)};
  for (std::size_t i = 0; i < 9; ++i) dataset.x[i * 9 + i] = 1;
  const auto update =
      Train(spec, std::vector<float>(spec.ParameterCount()), dataset, {.batch_size = 8, .learning_rate = 1e-3});
  ASSERT_THAT(update, IsOk());
  const auto [least, most] = std::ranges::minmax(std::span(update->delta).first(9));
  EXPECT_GT(least, 0.5e-3F / 5 * 0.99F);
  EXPECT_LT(most, 0.5e-3F / 4 * 1.01F);
}

TEST(Train, OfABatchLargerThanTheDataIsOneStep) {
  const model::ModelSpec spec = Spec({.inputs = 6, .hidden = {}, .classes = 3});
  const data::Dataset dataset = Clouds(10, 6, 3);
  const std::vector<float> start(spec.ParameterCount());
  const auto one = Train(spec, start, dataset, {.batch_size = 10, .learning_rate = 0.1});
  EXPECT_EQ(one->delta, Train(spec, start, dataset, {.batch_size = 1U << 24U, .learning_rate = 0.1})->delta);
}

TEST(Train, SaysThatItDivergedInsteadOfGivingAPoisonedUpdate) {
  const model::ModelSpec spec = Spec({.inputs = 6, .hidden = {8, 8}, .classes = 3});
  data::Dataset dataset = Clouds(60, 6, 3);
  for (float& value : dataset.x) value *= 1e18F;
  EXPECT_THAT(Train(spec, spec.InitialParameters(1), dataset, {.epochs = 5, .learning_rate = 1e6}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "diverged"));
}

TEST(Train, StopsWhenAskedTo) {
  const model::ModelSpec spec = Spec({.inputs = 6, .hidden = {}, .classes = 3});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(Train(spec, spec.InitialParameters(1), Clouds(60, 6, 3), {.learning_rate = 0.1}, stop.get_token()),
              IsErrorSaying(ErrorCode::kUnavailable, "stopped"));
}

TEST(Trainer, GivesTheBitsOfTrainForEachDeviceInTurn) {
  const model::ModelSpec spec = Spec({.inputs = 3, .hidden = {5}, .classes = 2});
  const data::Dataset all = Clouds(40, 3, 2);
  const std::vector<float> start = spec.InitialParameters(1);
  const TrainingOptions options = {.epochs = 2, .batch_size = 8, .learning_rate = 0.1, .momentum = 0.5, .seed = 9};
  auto trainer = Trainer::Create(spec, all, options);
  ASSERT_THAT(trainer, IsOk());
  for (const std::vector<std::uint32_t>& rows : {std::vector<std::uint32_t>{3, 4, 5, 39, 7, 8, 1, 0, 22, 21, 20, 19},
                                                 std::vector<std::uint32_t>{11}, std::vector<std::uint32_t>{12, 2}}) {
    data::Dataset own{.rows = rows.size(), .features = 3, .classes = 2, .x = {}, .y = {}};
    for (const std::uint32_t row : rows) {
      own.x.insert(own.x.end(), all.x.begin() + 3 * row, all.x.begin() + 3 * (row + 1));
      own.y.push_back(all.y[row]);
    }
    const auto expected = Train(spec, start, own, options);
    ASSERT_THAT(expected, IsOk());
    const auto trained = trainer->Train(start, rows, options.seed);
    ASSERT_THAT(trained, IsOk());
    EXPECT_EQ(std::vector<float>(trained->delta.begin(), trained->delta.end()), expected->delta);
    EXPECT_EQ(trained->mean_loss, expected->mean_loss);
  }
}

TEST(Train, RefusesDataThatDoNotFitTheModel) {
  const data::Dataset dataset = Clouds(12, 6, 3);
  const auto train = [&](model::ModelShape shape, std::size_t parameters) {
    return Train(Spec(std::move(shape)), std::vector<float>(parameters), dataset, {.learning_rate = 0.1});
  };
  EXPECT_THAT(train({.inputs = 5, .classes = 3}, 18),
              IsErrorSaying(ErrorCode::kInvalidArgument, "takes 5 features, the data have 6"));
  EXPECT_THAT(train({.inputs = 6, .classes = 2}, 14),
              IsErrorSaying(ErrorCode::kInvalidArgument, "the data hold class 2"));
  EXPECT_THAT(train({.inputs = 6, .classes = 3}, 20),
              IsErrorSaying(ErrorCode::kInvalidArgument, "21 parameters, found 20"));
}

TEST(Train, RefusesOptionsOutsideTheirRange) {
  const model::ModelSpec spec = Spec({.inputs = 6, .hidden = {}, .classes = 3});
  const data::Dataset dataset = Clouds(12, 6, 3);
  const auto train = [&](TrainingOptions options) { return Train(spec, spec.InitialParameters(0), dataset, options); };
  EXPECT_THAT(train({.epochs = 0, .learning_rate = 1}), IsErrorSaying(ErrorCode::kInvalidArgument, "epochs"));
  EXPECT_THAT(train({.batch_size = 0, .learning_rate = 1}), IsErrorSaying(ErrorCode::kInvalidArgument, "batch_size"));
  EXPECT_THAT(train({.learning_rate = 0}), IsErrorSaying(ErrorCode::kInvalidArgument, "learning_rate"));
  EXPECT_THAT(train({.learning_rate = std::nan("")}), IsErrorSaying(ErrorCode::kInvalidArgument, "learning_rate"));
  EXPECT_THAT(train({.learning_rate = 1, .momentum = 1}), IsErrorSaying(ErrorCode::kInvalidArgument, "momentum"));
  EXPECT_THAT(train({.learning_rate = 1, .proximal_mu = -1}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "proximal_mu"));
}

}  // namespace
}  // namespace tacit::training
