#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <gmock/gmock.h>

#include "common/base/random.h"
#include "edge_agent/inference/perturb.h"
#include "edge_agent/training/network.h"
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

// Bright stripes, down for one class and across for the other, somewhere in an image of 8 x 8: no pixel tells them
// apart.
data::Dataset Stripes(std::size_t rows) {
  SplitMix64 random(7);
  data::Dataset dataset{.rows = rows, .features = 64, .classes = 2, .x = {}, .y = {}};
  for (std::size_t row = 0; row < rows; ++row) {
    const auto label = static_cast<std::uint32_t>(row % 2);
    const std::uint64_t place = random.Below(8);
    for (std::size_t i = 0; i < 64; ++i) {
      const bool lit = (label == 0 ? i % 8 : i / 8) == place;
      dataset.x.push_back(static_cast<float>(0.2 * random.Uniform() + (lit ? 0.8 : 0.0)));
    }
    dataset.y.push_back(label);
  }
  return dataset;
}

model::ModelSpec Layers(std::string_view text) {
  return *model::ModelSpec::Parse("tacit-layers/1:" + std::string(text));
}

std::vector<float> Moved(std::vector<float> start, std::span<const float> delta) {
  for (std::size_t i = 0; i < start.size(); ++i) start[i] += delta[i];
  return start;
}

// Against differences of the loss over twice a small step, which know nothing of derivatives. In float32 a loss of
// about 1 is known to 1e-7, a difference over 2e-3 to 1e-4; a kink of a maximum or a ReLU between the two points may
// cost more in a few places, so these are counted.
TEST(Train, ClimbsNoOtherWayThanTheLossOfLayersOfEveryKindSays) {
  for (const std::string_view text :
       {"1x8x8;conv 4 3x3 pad 1;relu;max-pool 2;conv 6 3x3 stride 2 pad 1 groups 2;tanh;average-pool 2;flatten;dense 2",
        "2x32;conv 4 5 pad 2;sigmoid;max-pool 2;conv 4 3 groups 4;relu6;global-average-pool;flatten;dense 8;relu;"
        "dense 2"}) {
    const model::ModelSpec spec = Layers(text);
    const data::Dataset dataset = Stripes(6);
    std::vector<float> at = spec.InitialParameters(3);
    constexpr double kRate = 1e-3;
    const auto step = Train(spec, at, dataset, {.batch_size = 6, .learning_rate = kRate});
    ASSERT_THAT(step, IsOk());
    std::size_t wrong = 0;
    constexpr float kSide = 1e-3F;
    for (std::size_t i = 0; i < at.size(); ++i) {
      const float middle = std::exchange(at[i], at[i] + kSide);
      const double above = Evaluate(spec, at, dataset)->loss;
      at[i] = middle - kSide;
      const double slope = (above - Evaluate(spec, at, dataset)->loss) / (2 * static_cast<double>(kSide));
      at[i] = middle;
      if (std::abs(-static_cast<double>(step->delta[i]) / kRate - slope) > 2e-3) ++wrong;
    }
    EXPECT_LE(wrong, at.size() / 50) << text;
  }
}

TEST(Train, OfAConvolutionTellsApartWhatNoPixelDoes) {
  const model::ModelSpec spec = Layers("1x8x8;conv 6 3x3 pad 1;relu;max-pool 2;flatten;dense 12;relu;dense 2");
  const std::vector<float> start = spec.InitialParameters(1);
  const auto update =
      Train(spec, start, Stripes(160), {.epochs = 20, .batch_size = 16, .learning_rate = 0.05, .momentum = 0.9});
  ASSERT_THAT(update, IsOk());
  EXPECT_GE(Evaluate(spec, Moved(start, update->delta), Stripes(200))->accuracy, 0.95);
}

constexpr Adversarial kHard = {.epsilon = 0.3, .steps = 5, .step_size = 0.15, .share = 1, .input_min = -1};

// What an attacker makes of rows: the accuracy that is left.
double AccuracyUnderAttack(const model::ModelSpec& spec, std::span<const float> parameters, data::Dataset dataset) {
  auto network = MakeNetwork(spec, 64);
  EXPECT_THAT(network, IsOk());
  network->differentiator.Use(parameters);
  auto attack = inference::PgdAttack::Create(
      {.radius = 0.3F, .step = 0.1F, .steps = 10, .range = {.least = -1, .most = 1}, .seed = std::nullopt});
  std::vector<float> moved(dataset.x.size());
  EXPECT_THAT(attack->Run(network->differentiator, {.x = dataset.x, .y = dataset.y}, moved), IsOk());
  dataset.x = std::move(moved);
  return Evaluate(spec, parameters, dataset)->accuracy;
}

// One number tells the classes apart from afar, fifteen others only for who changes none by 0.3: whoever trains on rows
// as they are leans on all of them.
TEST(Train, HardenedLeavesAnAttackerLess) {
  SplitMix64 random(11);
  data::Dataset dataset{.rows = 200, .features = 16, .classes = 2, .x = {}, .y = {}};
  for (std::size_t row = 0; row < dataset.rows; ++row) {
    const auto label = static_cast<std::uint32_t>(row % 2);
    const double side = label == 0 ? -1 : 1;
    dataset.x.push_back(static_cast<float>(side * 0.6));
    for (int i = 1; i < 16; ++i) dataset.x.push_back(static_cast<float>(side * 0.15 + 0.05 * (random.Uniform() - 0.5)));
    dataset.y.push_back(label);
  }
  const model::ModelSpec spec = Spec({.inputs = 16, .hidden = {16}, .classes = 2});
  const std::vector<float> start = spec.InitialParameters(2);
  TrainingOptions options{.epochs = 30, .batch_size = 20, .learning_rate = 0.1};
  const auto plain = Train(spec, start, dataset, options);
  options.adversarial = kHard;
  const auto hardened = Train(spec, start, dataset, options);
  ASSERT_THAT(plain, IsOk());
  ASSERT_THAT(hardened, IsOk());
  EXPECT_EQ(Evaluate(spec, Moved(start, plain->delta), dataset)->accuracy, 1);
  EXPECT_EQ(Evaluate(spec, Moved(start, hardened->delta), dataset)->accuracy, 1);
  EXPECT_LT(AccuracyUnderAttack(spec, Moved(start, plain->delta), dataset), 0.6);
  EXPECT_GT(AccuracyUnderAttack(spec, Moved(start, hardened->delta), dataset), 0.9);
}

TEST(Train, HardenedGivesTheSameBitsForASeedAndItsShareDecidesHowManyRowsChange) {
  const model::ModelSpec spec = Spec({.inputs = 6, .hidden = {5}, .classes = 3});
  const data::Dataset dataset = Clouds(50, 6, 3);
  const std::vector<float> start = spec.InitialParameters(1);
  TrainingOptions options{.epochs = 2, .batch_size = 7, .learning_rate = 0.1, .seed = 9};
  const std::vector<float> plain = Train(spec, start, dataset, options)->delta;
  options.adversarial = kHard;
  const std::vector<float> all = Train(spec, start, dataset, options)->delta;
  EXPECT_EQ(all, Train(spec, start, dataset, options)->delta);
  EXPECT_NE(all, plain);
  options.adversarial->share = 0.5;
  const std::vector<float> half = Train(spec, start, dataset, options)->delta;
  EXPECT_NE(half, all);
  EXPECT_NE(half, plain);
  options.adversarial->share = 0.019;  // of 50 rows not one
  EXPECT_EQ(Train(spec, start, dataset, options)->delta, plain);
}

TEST(Train, RefusesHardeningThatIsNone) {
  const model::ModelSpec spec = Spec({.inputs = 6, .hidden = {}, .classes = 3});
  const auto train = [&](auto change) {
    Adversarial hard = kHard;
    change(hard);
    return Train(spec, spec.InitialParameters(0), Clouds(12, 6, 3), {.learning_rate = 1, .adversarial = hard});
  };
  EXPECT_THAT(train([](Adversarial& hard) { hard.epsilon = 0; }), IsErrorSaying(ErrorCode::kInvalidArgument, "radius"));
  EXPECT_THAT(train([](Adversarial& hard) { hard.step_size = std::nan(""); }),
              IsErrorSaying(ErrorCode::kInvalidArgument, "step"));
  EXPECT_THAT(train([](Adversarial& hard) { hard.steps = 0; }), IsErrorSaying(ErrorCode::kInvalidArgument, "steps"));
  EXPECT_THAT(train([](Adversarial& hard) { hard.share = 1.5; }), IsErrorSaying(ErrorCode::kInvalidArgument, "share"));
  EXPECT_THAT(train([](Adversarial& hard) { hard.input_min = 1; }),
              IsErrorSaying(ErrorCode::kInvalidArgument, "range"));
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
