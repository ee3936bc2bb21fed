#include "server/task/task_spec.h"

#include <cmath>
#include <limits>
#include <string>

#include <gmock/gmock.h>

#include "dp/accounting.h"
#include "dp/noise.h"
#include "tests/support/matchers.h"

namespace tacit::task {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::DoubleEq;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kPrivate = R"(name = "har"
[model]
kind = "mlp"
inputs = 561
hidden = [128, 64]
classes = 6
seed = 7
[training]
epochs = 2
batch_size = 16
learning_rate = 0.05
momentum = 0.9
proximal_mu = 0.01
[rounds]
count = 20
max_participations = 5
[cohort]
size = 16
min = 8
over_selection = 1.25
deadline = "90s"
[privacy]
mechanism = "gaussian"
clip_norm = 1.5
noise_multiplier = 1.1
delta = 1e-3
epsilon_budget = 8
population = 21
[aggregation]
optimizer = "fedadam"
learning_rate = 0.02
beta1 = 0.8
beta2 = 0.95
tau = 0.01
)";

constexpr std::string_view kOpen = R"(name = "plain"
[model]
kind = "softmax"
inputs = 10
classes = 3
[training]
learning_rate = 0.1
[rounds]
count = 3
[cohort]
size = 4
[privacy]
mechanism = "none"
clip_norm = 10
[aggregation]
weighting = "examples"
max_examples = 1000
)";

/// The text with `from`, which must be there, replaced by `to`.
std::string With(std::string_view text, std::string_view from, std::string_view to) {
  std::string changed(text);
  const std::size_t at = changed.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return changed.replace(at, from.size(), to);
}

Result<TaskSpec> Parse(std::string_view text) {
  return ParseTask(text, "t.toml");
}

/// The whole message of a file with one problem.
std::string ProblemOf(std::string_view text) {
  const auto parsed = Parse(text);
  return parsed ? "" : parsed.error().message;
}

TEST(ParseTask, ReadsEveryKey) {
  const auto spec = Parse(kPrivate);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->id.str(), "har");
  EXPECT_EQ(spec->model.CanonicalText(), "tacit-mlp/1:561,128,64,6");
  EXPECT_EQ(spec->model_seed, 7U);
  EXPECT_EQ(spec->training.epochs, 2U);
  EXPECT_EQ(spec->training.batch_size, 16U);
  EXPECT_EQ(spec->training.learning_rate, 0.05);
  EXPECT_EQ(spec->training.momentum, 0.9);
  EXPECT_EQ(spec->training.proximal_mu, 0.01);
  EXPECT_EQ(spec->rounds, 20U);
  EXPECT_EQ(spec->max_participations, 5U);
  EXPECT_EQ(spec->Compositions(), 5U);
  EXPECT_EQ(spec->cohort.size, 16U);
  EXPECT_EQ(spec->cohort.min, 8U);
  EXPECT_EQ(spec->cohort.MaxAdmitted(), 20U);
  EXPECT_EQ(spec->cohort.deadline, Millis(90'000));
  EXPECT_EQ(spec->privacy.mechanism, dp::Mechanism::kGaussian);
  EXPECT_EQ(spec->privacy.clip_norm.value(), 1.5);
  EXPECT_EQ(spec->privacy.noise_multiplier->value(), 1.1);
  EXPECT_EQ(spec->privacy.delta->value(), 1e-3);
  EXPECT_EQ(spec->privacy.epsilon_budget->value(), 8);
  EXPECT_EQ(spec->privacy.population, 21U);
  EXPECT_EQ(spec->privacy.grid_radius.value(), 1U << 20U);
  EXPECT_EQ(spec->aggregation.optimizer, Optimizer::kFedAdam);
  EXPECT_EQ(spec->aggregation.server_learning_rate, 0.02);
  EXPECT_EQ(spec->aggregation.beta1, 0.8);
  EXPECT_EQ(spec->aggregation.beta2, 0.95);
  EXPECT_EQ(spec->aggregation.tau, 0.01);
  EXPECT_EQ(spec->aggregation.weighting, Weighting::kUniform);
  EXPECT_EQ(spec->aggregation.max_examples, 1U);
}

TEST(ParseTask, FillsInWhatIsNotAboutPrivacy) {
  const auto spec = Parse(kOpen);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->model.CanonicalText(), "tacit-mlp/1:10,3");
  EXPECT_EQ(spec->model_seed, 0U);
  EXPECT_EQ(spec->training.epochs, 1U);
  EXPECT_EQ(spec->training.batch_size, 32U);
  EXPECT_EQ(spec->max_participations, 3U);
  EXPECT_EQ(spec->cohort.min, 4U);
  EXPECT_EQ(spec->cohort.MaxAdmitted(), 4U);
  EXPECT_EQ(spec->cohort.deadline, Millis(60'000));
  EXPECT_EQ(spec->privacy.mechanism, dp::Mechanism::kNone);
  EXPECT_FALSE(spec->privacy.noise_multiplier || spec->privacy.delta || spec->privacy.epsilon_budget);
  EXPECT_EQ(spec->privacy.population, 0U);
  EXPECT_EQ(spec->aggregation.optimizer, Optimizer::kFedAvg);
  EXPECT_EQ(spec->aggregation.server_learning_rate, 1);
  EXPECT_EQ(spec->aggregation.weighting, Weighting::kExamples);
  EXPECT_EQ(spec->aggregation.max_examples, 1000U);
}

TEST(ParseTask, GivesTheMomentumOptimizerItsUsualMomentum) {
  const auto spec = Parse(With(kOpen, "[aggregation]", "[aggregation]\noptimizer = 'fedavgm'"));
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->aggregation.momentum, 0.9);
}

TEST(ParseTask, TakesAnAbsentAggregationTable) {
  const std::string text(kPrivate.substr(0, kPrivate.find("[aggregation]")));
  const auto spec = Parse(text);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->aggregation.optimizer, Optimizer::kFedAvg);
}

TEST(Cohort, RoundsTheAdmittedUpButNotForFloatingPointNoise) {
  Cohort cohort;
  cohort.size = 10;
  cohort.over_selection = 1.1;  // 10 * 1.1 is 11.000000000000002
  EXPECT_EQ(cohort.MaxAdmitted(), 11U);
  cohort.over_selection = 1.11;
  EXPECT_EQ(cohort.MaxAdmitted(), 12U);
}

TEST(ParseTask, CalibratesTheNoiseForTheRoundsOneDeviceCanTake) {
  const auto spec = Parse(With(kPrivate, "noise_multiplier = 1.1", "target_epsilon = 4.0"));
  ASSERT_THAT(spec, IsOk());
  ASSERT_TRUE(spec->privacy.noise_multiplier);
  const auto at = [&](double multiplier, std::uint64_t compositions) {
    return dp::Account({.mechanism = dp::Mechanism::kGaussian,
                        .noise_multiplier = *dp::NoiseMultiplier::Create(multiplier),
                        .compositions = compositions,
                        .delta = *spec->privacy.delta})
        .epsilon;
  };
  const double noise = spec->privacy.noise_multiplier->value();
  EXPECT_LE(at(noise, 5), 4.0);
  EXPECT_GT(at(noise * 0.99, 5), 4.0);
  EXPECT_GT(at(noise, 6), 4.0) << "max_participations, not the number of rounds, is what is composed";
}

TEST(ParseTask, PlansAFinerGridWhenTheNoiseOfTheAverageIsSmall) {
  std::string text = With(kPrivate, "\nsize = 16", "\nsize = 1000000");
  text = With(text, "over_selection = 1.25", "over_selection = 1.0");
  text = With(text, "population = 21", "population = 2000000");
  text = With(text, "delta = 1e-3", "delta = 1e-9");
  const auto spec = Parse(text);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->privacy.grid_radius.value(), 1U << 26U) << "64 * cohort / noise_multiplier, as a power of two";
}

TEST(ParseTask, TakesTheGridRadiusThatIsGiven) {
  const auto spec = Parse(With(kPrivate, "population = 21", "population = 21\ngrid_radius = 65536"));
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->privacy.grid_radius.value(), 65536U);
}

TEST(RestoreTask, KeepsWhatWasPlannedAndDoesNotPlanAgain) {
  const std::string text = With(kPrivate, "noise_multiplier = 1.1", "target_epsilon = 4.0");
  const PlannedPrivacy planned{*dp::NoiseMultiplier::Create(123.5), *dp::GridRadius::Create(1U << 14U)};
  const auto spec = RestoreTask(text, "t.toml", planned);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->privacy.noise_multiplier->value(), 123.5);
  EXPECT_EQ(spec->privacy.grid_radius.value(), 1U << 14U);
  const PlannedPrivacy again = PlanOf(*spec);
  EXPECT_EQ(again.noise_multiplier, planned.noise_multiplier);
  EXPECT_EQ(again.grid_radius, planned.grid_radius);
}

// ---- Refusals: each a file with one change, and the whole message or its telling part ----

TEST(ParseTask, RefusesEveryBadPrivacyParameterWithTheReason) {
  const struct {
    std::string_view from;
    std::string_view to;
    std::string_view says;
  } cases[] = {
      {"mechanism = \"gaussian\"", "mechanism = 'gausian'",
       "must be one of 'none', 'gaussian', 'laplace', got 'gausian'"},
      {"mechanism = \"gaussian\"\n", "", "missing key 'privacy.mechanism'"},
      {"clip_norm = 1.5", "clip_norm = 0", "the clip norm is 0"},
      {"clip_norm = 1.5", "clip_norm = -1", "the clip norm is -1"},
      {"clip_norm = 1.5", "clip_norm = nan", "'privacy.clip_norm' must be a finite number"},
      {"clip_norm = 1.5\n", "", "missing key 'privacy.clip_norm'"},
      {"noise_multiplier = 1.1", "noise_multiplier = 0", "the noise multiplier is 0"},
      {"noise_multiplier = 1.1", "noise_multiplier = -2.5", "the noise multiplier is -2.5"},
      {"noise_multiplier = 1.1", "noise_multiplier = inf", "'privacy.noise_multiplier' must be a finite number"},
      {"noise_multiplier = 1.1\n", "", "'privacy.noise_multiplier' or 'privacy.target_epsilon'"},
      {"noise_multiplier = 1.1", "noise_multiplier = 1.1\ntarget_epsilon = 2", "exclude each other"},
      {"noise_multiplier = 1.1", "target_epsilon = 0", "epsilon is 0 and must be a finite number above 0"},
      {"noise_multiplier = 1.1", "target_epsilon = -3", "epsilon is -3"},
      {"noise_multiplier = 1.1", "target_epsilon = 9", "is above 'privacy.epsilon_budget'"},
      {"noise_multiplier = 1.1\ndelta = 1e-3", "target_epsilon = 1e-7\ndelta = 1e-12", "'privacy.target_epsilon': "},
      {"epsilon_budget = 8", "epsilon_budget = 0", "epsilon is 0"},
      {"epsilon_budget = 8", "epsilon_budget = -1", "epsilon is -1"},
      {"epsilon_budget = 8\n", "", "missing key 'privacy.epsilon_budget'"},
      {"delta = 1e-3", "delta = 0.0", "delta is 0"},
      {"delta = 1e-3", "delta = 1", "delta is 1"},
      {"delta = 1e-3", "delta = 0.05", "must be below 1 / population = 0.047619, got 0.05"},
      {"delta = 1e-3\n", "", "missing key 'privacy.delta'"},
      {"population = 21\n", "", "missing key 'privacy.population'"},
      {"population = 21", "population = 15", "'privacy.population' is 15, less than the cohort of 16"},
      {"population = 21", "population = 0", "'privacy.population' must be at least 1"},
      {"population = 21", "population = 21\ngrid_radius = 1000000", "the grid radius is 1000000"},
      {"population = 21", "population = 21\ngrid_radius = 1", "'privacy.grid_radius' must be 1024 to 1073741824"},
      // Noise below four grid steps, and above what the sampler's integers hold.
      {"noise_multiplier = 1.1", "noise_multiplier = 1e-9", "'privacy.noise_multiplier': "},
      {"noise_multiplier = 1.1", "noise_multiplier = 131072\ngrid_radius = 1048576", "'privacy.grid_radius': "},
  };
  for (const auto& test : cases) {
    const auto parsed = Parse(With(kPrivate, test.from, test.to));
    EXPECT_THAT(parsed, IsErrorSaying(ErrorCode::kInvalidArgument, std::string(test.says))) << test.to;
    if (!parsed) {
      EXPECT_THAT(parsed.error().message, Not(HasSubstr("\n"))) << "one change, one problem";
    }
  }
}

TEST(ParseTask, RefusesADeltaOfOneOverThePopulationExactly) {
  std::string text = With(kPrivate, "population = 21", "population = 1000");
  EXPECT_THAT(Parse(text), IsErrorSaying(ErrorCode::kInvalidArgument, "must be below 1 / population"));
  text = With(text, "delta = 1e-3", "delta = 0.00099");
  EXPECT_THAT(Parse(text), IsOk());
}

TEST(ParseTask, RefusesAWeightThatADeviceClaimsWhenPrivacyIsPromised) {
  for (const std::string_view mechanism : {"gaussian", "laplace"}) {
    std::string text = With(kPrivate, "\"gaussian\"", "\"" + std::string(mechanism) + "\"");
    text = With(text, "tau = 0.01", "tau = 0.01\nweighting = 'examples'\nmax_examples = 1000000000");
    EXPECT_THAT(Parse(text), IsErrorSaying(ErrorCode::kInvalidArgument,
                                           "'aggregation.weighting' must be \"uniform\" with mechanism \"" +
                                               std::string(mechanism) + "\""));
  }
}

constexpr std::string_view kLocal = R"(name = "own"
[model]
kind = "softmax"
inputs = 10
classes = 3
[training]
learning_rate = 0.1
[rounds]
count = 30
max_participations = 10
[cohort]
size = 1000
[privacy]
mechanism = "none"
clip_norm = 1
population = 5000
[privacy.local]
mechanism = "gaussian"
noise_multiplier = 8
delta = 1e-6
)";

TEST(ParseTask, ReadsTheNoiseThatDevicesAdd) {
  const auto spec = Parse(kLocal);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->privacy.mechanism, dp::Mechanism::kNone);
  EXPECT_EQ(spec->privacy.noise_multiplier, std::nullopt);
  ASSERT_TRUE(spec->privacy.local);
  EXPECT_EQ(spec->privacy.local->mechanism, dp::Mechanism::kGaussian);
  EXPECT_EQ(spec->privacy.local->noise_multiplier.value(), 8);
  EXPECT_EQ(spec->privacy.local->delta.value(), 1e-6);
  EXPECT_EQ(spec->privacy.entry_bound(), spec->privacy.grid_radius.value() * (1 + 16 * 8));
  EXPECT_EQ(Parse(kOpen)->privacy.entry_bound(), 0U);
}

TEST(ParseTask, PlansLocalNoiseForTheUpdatesThatOneDeviceMaySend) {
  const auto spec = Parse(With(kLocal, "noise_multiplier = 8", "target_epsilon = 6"));
  ASSERT_THAT(spec, IsOk());
  EXPECT_LE(dp::LocalCost(*spec->privacy.local, 10).epsilon, 6);
  EXPECT_GT(dp::LocalCost(*spec->privacy.local, 11).epsilon, 6);
  // What was planned then stays, whatever a later release would plan.
  PlannedPrivacy planned = PlanOf(*spec);
  planned.noise_multiplier = *dp::NoiseMultiplier::Create(77);
  const auto restored = RestoreTask(With(kLocal, "noise_multiplier = 8", "target_epsilon = 6"), "t.toml", planned);
  ASSERT_THAT(restored, IsOk());
  EXPECT_EQ(restored->privacy.local->noise_multiplier.value(), 77);
}

TEST(ParseTask, RefusesLocalNoiseBesideWhatItIsNotSoundWith) {
  EXPECT_THAT(Parse(With(kLocal, "mechanism = \"none\"",
                         "mechanism = \"gaussian\"\nnoise_multiplier = 1\ndelta = 1e-6\nepsilon_budget = 8")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "'privacy.local' is for mechanism \"none\""));
  EXPECT_THAT(Parse(With(kLocal, "[cohort]", "[aggregation]\nweighting = 'examples'\nmax_examples = 9\n[cohort]")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "how many examples a device has is part of its data"));
  EXPECT_THAT(Parse(With(kLocal, "clip_norm = 1", "clip_norm = 1\nclip_quantile = 0.5")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "'privacy.clip_quantile' has no meaning"));
  EXPECT_THAT(Parse(With(kLocal, "delta = 1e-6", "delta = 1e-3")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "'privacy.local.delta' must be below 1 / population"));
  EXPECT_THAT(Parse(With(kLocal, "delta = 1e-6", "")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "missing key 'privacy.local.delta'"));
  EXPECT_THAT(Parse(With(kLocal, "noise_multiplier = 8", "")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "missing key 'privacy.local.noise_multiplier' or"));
  EXPECT_THAT(Parse(With(kLocal, "noise_multiplier = 8", "noise_multiplier = 8\ntarget_epsilon = 2")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "exclude each other"));
  EXPECT_THAT(Parse(With(kLocal, "\"gaussian\"", "\"none\"")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "must be one of 'gaussian', 'laplace'"));
  EXPECT_THAT(Parse(With(kLocal, "clip_norm = 1", "clip_norm = 1\ngrid_radius = 67108864")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "grid"));
}

TEST(ParseTask, RefusesPromisesWithoutAMechanism) {
  for (const std::string_view key :
       {"noise_multiplier", "target_epsilon", "delta", "epsilon_budget", "sampling_probability"}) {
    const std::string text = With(kOpen, "clip_norm = 10", "clip_norm = 10\n" + std::string(key) + " = 0.5");
    EXPECT_EQ(ProblemOf(text),
              "t.toml:15:" + std::to_string(key.size() + 4) + ": 'privacy." + std::string(key) +
                  "' has no meaning with mechanism \"none\", which promises nothing; remove it, or name "
                  "a mechanism");
  }
}

TEST(ParseTask, DoesNotAskAKindThatItDoesNotKnowForHiddenLayers) {
  std::string text(kPrivate);
  text.replace(text.find("kind = \"mlp\""), 12, "kind = 'cnn'");
  text.erase(text.find("hidden = [128, 64]\n"), 19);
  const auto parsed = ParseTask(text, "task.toml");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_THAT(parsed.error().message, Not(HasSubstr("hidden")));
}

constexpr std::string_view kLayers = R"(name = "digits"
[model]
image = [1, 28, 28]
layers = ["conv 16 3x3", "relu", "max-pool 2",
          "flatten", "dense 64", "relu", "dense 10"]
seed = 3
[training]
learning_rate = 0.1
adversarial = { epsilon = 0.2, steps = 4, step_size = 0.1, share = 0.25, input_min = -0.5, input_max = 2 }
[rounds]
count = 3
[cohort]
size = 4
[privacy]
mechanism = "none"
clip_norm = 10
)";

TEST(ParseTask, ReadsLayersOverAnImageAndOverASignal) {
  const auto image = Parse(kLayers);
  ASSERT_THAT(image, IsOk());
  EXPECT_EQ(image->model.CanonicalText(),
            "tacit-layers/1:1x28x28;conv 16 3x3;relu;max-pool 2;flatten;dense 64;relu;dense 10");
  EXPECT_EQ(image->model.classes(), 10U);
  EXPECT_EQ(image->model_seed, 3U);
  const auto signal =
      Parse(With(With(kLayers, "image = [1, 28, 28]", "signal = [6, 128]"), "conv 16 3x3", "conv 16 5"));
  ASSERT_THAT(signal, IsOk());
  EXPECT_EQ(signal->model.CanonicalText(),
            "tacit-layers/1:6x128;conv 16 5;relu;max-pool 2;flatten;dense 64;relu;dense 10");
  EXPECT_THAT(RestoreTask(kLayers, "t.toml", PlanOf(*image)), IsOk());
}

TEST(ParseTask, ReadsHardenedTrainingAndItsDefaults) {
  const auto spec = Parse(kLayers);
  ASSERT_THAT(spec, IsOk());
  ASSERT_TRUE(spec->training.adversarial.has_value());
  EXPECT_EQ(spec->training.adversarial->epsilon, 0.2);
  EXPECT_EQ(spec->training.adversarial->steps, 4U);
  EXPECT_EQ(spec->training.adversarial->step_size, 0.1);
  EXPECT_EQ(spec->training.adversarial->share, 0.25);
  EXPECT_EQ(spec->training.adversarial->input_min, -0.5);
  EXPECT_EQ(spec->training.adversarial->input_max, 2);
  const auto usual =
      Parse(With(kLayers, ", steps = 4, step_size = 0.1, share = 0.25, input_min = -0.5, input_max = 2", ""));
  ASSERT_THAT(usual, IsOk());
  EXPECT_EQ(usual->training.adversarial->steps, 5U);
  EXPECT_DOUBLE_EQ(usual->training.adversarial->step_size, 0.1);  // 2.5 * 0.2 / 5
  EXPECT_EQ(usual->training.adversarial->share, 0.5);
  EXPECT_EQ(usual->training.adversarial->input_max, 1);
  EXPECT_FALSE(Parse(kPrivate)->training.adversarial.has_value());
}

TEST(ParseTask, SaysWhereALayerIsWrong) {
  EXPECT_EQ(ProblemOf(With(kLayers, "\"flatten\", ", "")),
            "t.toml:5:11: 'model.layers': layer 4 \"dense 64\": takes a flat row, what comes is 16x13x13; put "
            "\"flatten\" before it");
  EXPECT_EQ(ProblemOf(With(kLayers, "max-pool 2", "maxpool 2")),
            "t.toml:4:34: 'model.layers': layer 3: 'maxpool' is no layer (did you mean 'max-pool'?); known: dense, "
            "conv, max-pool, average-pool, global-average-pool, relu, relu6, tanh, sigmoid, flatten");
  EXPECT_EQ(ProblemOf(With(kLayers, ", \"dense 10\"", "")),
            "t.toml:5:34: 'model.layers': model: the last layer must be \"dense N\", with N classes");
  EXPECT_EQ(ProblemOf(With(kLayers, "dense 10", "dense 1")),
            "t.toml:5:42: 'model.layers': the last must have two classes or more");
  EXPECT_EQ(ProblemOf(With(kLayers, "\"relu\", \"max", "5, \"max")),
            "t.toml:4:26: 'model.layers' must hold strings, got an integer");
}

TEST(ParseTask, RefusesEveryOtherBadValueOfLayersAndHardening) {
  const struct {
    std::string_view from;
    std::string_view to;
    std::string_view says;
  } cases[] = {
      {"image = [1, 28, 28]", "image = [28, 28]", "'model.image' must have 3 entries, got 2"},
      {"image = [1, 28, 28]", "image = [0, 28, 28]", "'model.image' must hold integers of 1 to 1048576"},
      {"image = [1, 28, 28]", "image = [3, 1024, 1024]", "'model.image': all numbers of an input together"},
      {"image = [1, 28, 28]", "image = [1, 28, 28]\nsignal = [1, 784]", "'model.image' has no place beside"},
      {"image = [1, 28, 28]\n", "", "give 'model.image' = [channels, height, width] or 'model.signal'"},
      {"image = [1, 28, 28]", "imagee = [1, 28, 28]", "unknown key 'model.imagee' (did you mean 'image'?)"},
      {"seed = 3", "classes = 10", "'model.classes' has no place beside 'model.layers'"},
      {"seed = 3", "kind = 'mlp'", "'model.kind' has no place beside 'model.layers'"},
      {"seed = 3", "hidden = [4]", "'model.hidden' has no place beside 'model.layers'"},
      {"epsilon = 0.2, ", "", "missing key 'training.adversarial.epsilon'"},
      {"epsilon = 0.2", "epsilon = 0", "'training.adversarial.epsilon' must be at least 1e-06"},
      {"steps = 4", "steps = 101", "'training.adversarial.steps' must be 1 to 100"},
      {"step_size = 0.1", "step_size = -1", "'training.adversarial.step_size' must be"},
      {"share = 0.25", "share = 0", "'training.adversarial.share' must be above 0 and at most 1"},
      {"input_min = -0.5", "input_min = 2", "'training.adversarial.input_max' must be above"},
      {"share = 0.25", "shares = 0.25", "unknown key 'training.adversarial.shares' (did you mean 'share'?)"},
      {"adversarial = {", "adversarial = 3 #", "'training.adversarial' must be a table"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(Parse(With(kLayers, test.from, test.to)),
                IsErrorSaying(ErrorCode::kInvalidArgument, std::string(test.says)))
        << test.to;
  }
  const std::string only_image = With(kPrivate, "kind = \"mlp\"", "image = [1, 28, 28]");
  EXPECT_THAT(Parse(only_image), IsErrorSaying(ErrorCode::kInvalidArgument, "missing key 'model.layers'"));
  EXPECT_THAT(Parse(With(kPrivate, "hidden = [128, 64]", "layer = [128, 64]")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "unknown key 'model.layer' (did you mean 'layers'?)"));
}

TEST(ParseTask, RefusesEveryOtherBadValueWithTheReason) {
  const struct {
    std::string_view from;
    std::string_view to;
    std::string_view says;
  } cases[] = {
      {"name = \"har\"\n", "", "missing key 'name'"},
      {"name = \"har\"", "name = 'Har/..'", "a task name must be 1 to 63 of a-z"},
      {"kind = \"mlp\"", "kind = 'cnn'", "must be one of 'softmax', 'mlp'"},
      {"kind = \"mlp\"", "kind = 'softmax'", "'model.hidden' has no place in kind \"softmax\""},
      {"hidden = [128, 64]\n", "", "missing key 'model.hidden'"},
      {"hidden = [128, 64]", "hidden = []", "must have 1 to 8 entries"},
      {"hidden = [128, 64]", "hidden = [0]", "must hold integers of 1 to"},
      {"inputs = 561", "inputs = 0", "'model.inputs' must be 1 to 1048576"},
      {"classes = 6", "classes = 1", "'model.classes' must be 2 to"},
      {"hidden = [128, 64]", "hidden = [1048576, 1048576]", "parameters"},
      {"seed = 7", "seed = -1", "'model.seed' must be at least 0"},
      {"epochs = 2", "epochs = 0", "'training.epochs' must be 1 to 1000"},
      {"batch_size = 16", "batch_size = 0", "'training.batch_size' must be"},
      {"learning_rate = 0.05", "learning_rate = 0", "'training.learning_rate' must be above 0"},
      {"learning_rate = 0.05\n", "", "missing key 'training.learning_rate'"},
      {"momentum = 0.9", "momentum = 1.0", "'training.momentum' must be at least 0 and below 1"},
      {"proximal_mu = 0.01", "proximal_mu = -1", "'training.proximal_mu' must be"},
      {"count = 20\nmax_participations = 5", "count = 0", "'rounds.count' must be 1 to"},
      {"max_participations = 5", "max_participations = 21", "'rounds.max_participations' must be 1 to 20, got 21"},
      {"size = 16\nmin = 8", "size = 0", "'cohort.size' must be 1 to"},
      {"min = 8", "min = 17", "'cohort.min' must be 1 to 16, got 17"},
      {"over_selection = 1.25", "over_selection = 0.9", "'cohort.over_selection' must be at least 1"},
      {"deadline = \"90s\"", "deadline = 90", "'cohort.deadline' must be a duration such as \"30s\""},
      {"optimizer = \"fedadam\"", "optimizer = 'adam'", "must be one of 'fedavg', 'fedavgm', 'fedadam'"},
      {"learning_rate = 0.02\n", "", "missing key 'aggregation.learning_rate'"},
      {"beta1 = 0.8", "beta1 = 1.0", "'aggregation.beta1' must be"},
      {"tau = 0.01", "tau = 0", "'aggregation.tau' must be above 0"},
      {"tau = 0.01", "tau = 0.01\nmomentum = 0.5", "'aggregation.momentum' is for optimizer \"fedavgm\""},
      {"tau = 0.01", "tau = 0.01\nmax_examples = 5", "'aggregation.max_examples' is for weighting \"examples\""},
      {"epochs = 2", "epoch = 2", "unknown key 'training.epoch' (did you mean 'epochs'?)"},
      {"[cohort]", "[cohorts]", "unknown key 'cohorts' (did you mean 'cohort'?)"},
      {"[cohort]", "[privacy.locl]\n[cohort]", "unknown key 'privacy.locl' (did you mean 'local'?)"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(Parse(With(kPrivate, test.from, test.to)),
                IsErrorSaying(ErrorCode::kInvalidArgument, std::string(test.says)))
        << test.to;
  }
}

TEST(ParseTask, ReadsACoinAndAccountsForIt) {
  const std::string coin = "population = 2000\nsampling = \"checkin_coin\"\nsampling_probability = 0.01";
  const std::string text = With(With(With(kPrivate, "population = 21", coin), "max_participations = 5\n", ""),
                                "delta = 1e-3", "delta = 1e-4");
  // 20 devices on average, deviation 4.4: seven of them above is 51.2.
  const std::string wide = With(text, "over_selection = 1.25", "over_selection = 3.25");
  const auto spec = Parse(wide);
  ASSERT_THAT(spec, IsOk());
  ASSERT_TRUE(spec->privacy.coin.has_value());
  EXPECT_EQ(spec->privacy.coin->probability.value(), 0.01);
  EXPECT_EQ(spec->privacy.coin->population, 2000U);
  EXPECT_EQ(spec->privacy.coin->max_cohort, 52U);
  EXPECT_EQ(spec->Compositions(), 20U);
  EXPECT_EQ(spec->Policy(nullptr).coin, spec->privacy.coin);
  EXPECT_THAT(Parse(With(text, "over_selection = 1.25", "over_selection = 3.1")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "is 50 and must be at least 52, seven standard deviations"));
  const auto calibrated = Parse(With(wide, "noise_multiplier = 1.1", "target_epsilon = 1"));
  const auto plain = Parse(With(With(kPrivate, "noise_multiplier = 1.1", "target_epsilon = 1"),
                                "max_participations = 5", "max_participations = 20"));
  ASSERT_THAT(calibrated, IsOk());
  EXPECT_LT(calibrated->privacy.noise_multiplier->value(), 0.2 * plain->privacy.noise_multiplier->value());
}

TEST(ParseTask, RefusesWhatACoinIsNotSoundWith) {
  const std::string coin = With(
      With(kPrivate, "population = 21", "population = 21\nsampling = \"checkin_coin\"\nsampling_probability = 0.9"),
      "max_participations = 5\n", "");
  EXPECT_THAT(Parse(With(coin, "over_selection = 1.25", "over_selection = 2")), IsOk());
  EXPECT_THAT(Parse(With(kPrivate, "population = 21", "population = 21\nsampling_probability = 0.5")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "is for sampling \"checkin_coin\""));
  EXPECT_THAT(Parse(With(kPrivate, "population = 21", "population = 21\nsampling = \"poisson\"")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "must be one of 'none', 'checkin_coin'"));
  EXPECT_THAT(Parse(With(coin, "count = 20", "count = 20\nmax_participations = 5")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "'rounds.max_participations' has no place beside"));
  EXPECT_THAT(Parse(With(coin, "count = 20", "count = 20\nmin_separation = 2")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "'rounds.min_separation' has no place beside"));
  for (const std::string_view bad : {"0", "1", "-0.1", "nan"}) {
    EXPECT_THAT(Parse(With(coin, "sampling_probability = 0.9", "sampling_probability = " + std::string(bad))),
                IsError(ErrorCode::kInvalidArgument))
        << bad;
  }
  EXPECT_THAT(Parse(With(coin, "sampling_probability = 0.9", "")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "missing key 'privacy.sampling_probability'"));
}

TEST(ParseTask, ReadsAClipNormThatFollowsAQuantileAndPlansItsBit) {
  const std::string text = With(kPrivate, "clip_norm = 1.5", "clip_norm = 1.5\nclip_quantile = 0.6");
  const auto spec = Parse(text);
  ASSERT_THAT(spec, IsOk());
  ASSERT_TRUE(spec->privacy.tracking.has_value());
  EXPECT_EQ(spec->privacy.tracking->quantile, 0.6);
  EXPECT_EQ(spec->privacy.tracking->learning_rate, 0.2);
  EXPECT_EQ(spec->privacy.tracking->bit_steps, spec->privacy.grid_radius.value() / 2) << "16 devices are few";
  EXPECT_EQ(RestoreTask(text, "t.toml", PlanOf(*spec))->privacy.tracking, spec->privacy.tracking);
  EXPECT_THAT(Parse(With(kPrivate, "clip_norm = 1.5", "clip_norm = 1.5\nclip_learning_rate = 0.6")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "is for a clip norm that follows"));
  EXPECT_THAT(Parse(With(text, "\"gaussian\"", "\"laplace\"")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "is for mechanism \"gaussian\""));
  EXPECT_THAT(Parse(With(text, "clip_quantile = 0.6", "clip_quantile = 1")), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(Parse(With(kOpen, "clip_norm = 10", "clip_norm = 10\nclip_quantile = 0.5")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "has no meaning with mechanism \"none\""));
}

TEST(ParseTask, ReadsTheGapBetweenADevicesRounds) {
  EXPECT_EQ(Parse(kPrivate)->min_separation, 1U);
  EXPECT_EQ(Parse(With(kPrivate, "count = 20", "count = 20\nmin_separation = 4"))->min_separation, 4U);
  EXPECT_THAT(Parse(With(kPrivate, "count = 20", "count = 20\nmin_separation = 21")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "'rounds.min_separation' must be 1 to 20"));
}

TEST(ParseTask, RefusesASumThatCouldOverflow) {
  std::string text = With(kOpen, "max_examples = 1000", "max_examples = 1000000000");
  text = With(text, "clip_norm = 10", "clip_norm = 10\ngrid_radius = 1073741824");
  EXPECT_THAT(Parse(With(text, "size = 4", "size = 100")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "t.toml:15:15: the sum of a full cohort could overflow"));
  EXPECT_THAT(Parse(text), IsOk());
}

TEST(ParseTask, TellsAllProblemsOfAFileAtOnce) {
  std::string text = With(kPrivate, "epochs = 2", "epochs = 'two'");
  text = With(text, "delta = 1e-3", "delta = 0.5");
  text = With(text, "min = 8", "minimum = 8");
  const std::string problems = ProblemOf(text);
  EXPECT_THAT(problems, HasSubstr("t.toml:9:10: 'training.epochs' must be an integer, got a string\n"));
  EXPECT_THAT(problems, HasSubstr("t.toml:19:1: unknown key 'cohort.minimum'\n"));
  EXPECT_THAT(problems, HasSubstr("t.toml:26:9: 'privacy.delta' must be below"));
}

TEST(ParseTask, ReadsNoMoreThanItsLimit) {
  EXPECT_THAT(Parse(std::string(kMaxTaskBytes + 1, '#')), IsError(ErrorCode::kTooLarge));
}

TEST(ParseTask, RefusesAnEmptyFileByNamingWhatIsMissing) {
  EXPECT_THAT(Parse(""), IsErrorSaying(ErrorCode::kInvalidArgument, "t.toml:1:1: missing key 'privacy.mechanism'"));
}

/// kPrivate as a task whose devices work at their own pace.
std::string AsynchronousText(std::string_view keys = "max_staleness = 4\n") {
  const std::string text = With(kPrivate, "min = 8\nover_selection = 1.25\ndeadline = \"90s\"\n", "");
  return text + "[asynchronous]\n" + std::string(keys);
}

TEST(ParseTask, ReadsAnAsynchronousTask) {
  const auto spec =
      Parse(AsynchronousText("max_staleness = 4\ndiscount = \"inverse\"\nconcurrency = 40\nlease_lifetime = \"2m\"\n"));
  ASSERT_THAT(spec, IsOk());
  ASSERT_TRUE(spec->asynchronous.has_value());
  EXPECT_EQ(spec->asynchronous->max_staleness, 4U);
  EXPECT_EQ(spec->asynchronous->discount, dp::StalenessDiscount::kInverse);
  EXPECT_EQ(spec->asynchronous->concurrency, 40U);
  EXPECT_EQ(spec->asynchronous->lease_lifetime, Millis(120'000));
  EXPECT_EQ(spec->cohort.size, 16U);
  EXPECT_EQ(spec->cohort.min, 16U);
  EXPECT_EQ(spec->cohort.MaxAdmitted(), 16U);
  const auto planned = RestoreTask(AsynchronousText(), "t.toml", PlanOf(*spec));
  ASSERT_THAT(planned, IsOk());
  EXPECT_EQ(planned->asynchronous->discount, dp::StalenessDiscount::kInverseSqrt);
  EXPECT_EQ(planned->asynchronous->concurrency, 16U);
  EXPECT_EQ(planned->asynchronous->lease_lifetime, Millis(600'000));
  EXPECT_FALSE(Parse(kPrivate)->asynchronous.has_value());
}

TEST(ParseTask, TakesNoSparseUpdatesUnlessItSaysOfHowManyParameters) {
  EXPECT_EQ(Parse(kPrivate)->TopK(), 0U);
  EXPECT_EQ(Parse(std::string(kOpen) + "[updates]\n")->TopK(), 0U);
  const auto with = [](const std::string& share) { return std::string(kOpen) + "[updates]\ntop_k = " + share + "\n"; };
  ASSERT_EQ(Parse(kOpen)->model.ParameterCount(), 33U);
  EXPECT_EQ(Parse(with("0.1"))->TopK(), 3U);
  EXPECT_EQ(Parse(with("0.001"))->TopK(), 1U) << "one at least";
  EXPECT_EQ(Parse(with("0.99"))->TopK(), 32U);
  EXPECT_EQ(RestoreTask(with("0.1"), "t.toml", PlanOf(*Parse(kOpen)))->TopK(), 3U);
  for (const std::string bad : {"0", "1", "-0.5", "nan", "\"0.1\""})
    EXPECT_THAT(Parse(with(bad)), IsErrorSaying(ErrorCode::kInvalidArgument, "'updates.top_k' must be")) << bad;
  EXPECT_THAT(Parse(std::string(kOpen) + "[updates]\ntopk = 0.1\n"),
              IsErrorSaying(ErrorCode::kInvalidArgument, "unknown key 'updates.topk'"));
}

TEST(ParseTask, TakesCompressedUpdatesWhereItSaysSo) {
  EXPECT_FALSE(Parse(kOpen)->updates.takes_zstd);
  const auto with = [](std::string_view task, const std::string& word) {
    return std::string(task) + "[updates]\ncompression = \"" + word + "\"\n";
  };
  EXPECT_TRUE(Parse(with(kOpen, "zstd"))->updates.takes_zstd);
  EXPECT_TRUE(Parse(with(kLocal, "zstd"))->updates.takes_zstd);
  EXPECT_FALSE(Parse(with(kOpen, "none"))->updates.takes_zstd);
  EXPECT_THAT(Parse(with(kOpen, "gzip")), IsErrorSaying(ErrorCode::kInvalidArgument, "'updates.compression'"));
}

TEST(ParseTask, MarksItsModelsWhereItSaysHow) {
  EXPECT_FALSE(Parse(kOpen)->watermark.has_value());
  const auto with = [](const std::string& keys) { return std::string(kPrivate) + "[watermark]\n" + keys; };
  const auto spec = Parse(with("triggers = 100\n"));
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->watermark->triggers, 100U);
  EXPECT_EQ(spec->watermark->input_min, 0);
  EXPECT_EQ(spec->watermark->input_max, 1);
  EXPECT_EQ(spec->watermark->steps, 100U);
  EXPECT_EQ(spec->watermark->learning_rate, 1e-3);
  const auto refused = [&](const std::string& keys, const std::string& why) {
    EXPECT_THAT(Parse(with(keys)), IsErrorSaying(ErrorCode::kInvalidArgument, why)) << keys;
  };
  refused("", "missing key 'watermark.triggers'");
  refused("triggers = 59\n", "'watermark.triggers' must be");
  refused("triggers = 100\ninput_min = 1.0\n", "'watermark.input_max' must be above");
  refused("triggers = 100\nlearning_rate = 0\n", "'watermark.learning_rate' must be");
  refused("triggers = 100\nsteps = 0\n", "'watermark.steps' must be");
  refused("trigger = 100\n", "unknown key 'watermark.trigger'");
}

TEST(ParseTask, GivesDevicesItsModelsWhereItSaysForHowLong) {
  EXPECT_FALSE(Parse(kOpen)->deployment.has_value());
  const auto with = [](const std::string& keys) { return std::string(kPrivate) + "[deployment]\n" + keys; };
  const auto plain = Parse(with(""));
  ASSERT_THAT(plain, IsOk());
  EXPECT_EQ(plain->deployment->lease, std::chrono::days(7));
  EXPECT_FALSE(plain->deployment->obfuscate);
  const auto own = Parse(with("lease = \"10s\"\ncopies = \"own\"\n"));
  ASSERT_THAT(own, IsOk());
  EXPECT_EQ(own->deployment->lease, std::chrono::seconds(10));
  EXPECT_TRUE(own->deployment->obfuscate);
  for (const char* keys : {"lease = \"9s\"\n", "lease = \"366d\"\n", "copies = \"all\"\n", "leases = \"1d\"\n"})
    EXPECT_THAT(Parse(with(keys)), IsError(ErrorCode::kInvalidArgument)) << keys;
}

TEST(ParseTask, WatchesModelsThatDevicesUse) {
  EXPECT_FALSE(Parse(kOpen)->detectors.has_value());
  const auto with = [](const std::string& keys) {
    return std::string(kPrivate) + "[deployment]\n[detectors]\nclean_rows = \"rows.npy\"\n" + keys;
  };
  const auto plain = Parse(with(""));
  ASSERT_THAT(plain, IsOk());
  ASSERT_TRUE(plain->detectors.has_value());
  EXPECT_EQ(plain->detectors->clean_rows, "rows.npy");
  EXPECT_EQ(plain->detectors->mode, DetectorMode::kObserve);
  EXPECT_EQ(plain->detectors->scores, (std::vector<std::string>{"unconfidence", "energy", "input"}));
  EXPECT_EQ(plain->detectors->budget, 0U);
  const auto all =
      Parse(with("mode = \"reject\"\ntarget = 0.01\nscores = \"energy,gradient\"\nbudget = 100\n"
                 "device_budget = 200\nwindow = \"1h\"\ndrift_window = 50\n"));
  ASSERT_THAT(all, IsOk());
  EXPECT_EQ(all->detectors->mode, DetectorMode::kReject);
  EXPECT_EQ(all->detectors->scores, (std::vector<std::string>{"gradient", "energy"})) << "in a calibration's order";
  EXPECT_EQ(all->detectors->device_budget, 200U);
  EXPECT_EQ(all->detectors->window, std::chrono::hours(1));
}

TEST(ParseTask, RefusesDetectorsThatMakeNoSense) {
  const auto refused = [](const std::string& keys, const std::string& message) {
    const std::string text = std::string(kPrivate) + "[deployment]\n[detectors]\n" + keys;
    EXPECT_THAT(Parse(text), IsErrorSaying(ErrorCode::kInvalidArgument, message)) << keys;
  };
  const std::string rows = "clean_rows = \"rows.npy\"\n";
  refused("", "missing key 'detectors.clean_rows'");
  for (const char* name : {"", "../owner.key", "/etc/passwd", ".hidden", "a b"})
    refused("clean_rows = \"" + std::string(name) + "\"\n", "'detectors.clean_rows' must be the name of a file");
  for (const char* scores : {"", "energy,energy", "energy,", "mahalanobis", "energy, input"})
    refused(rows + "scores = \"" + scores + "\"\n", "'detectors.scores' must be some of");
  refused(rows + "budget = 10\ndevice_budget = 9\n", "'detectors.device_budget' must be at least");
  refused(rows + "target = 0.6\n", "'detectors.target' must be");
  refused(rows + "mode = \"block\"\n", "'detectors.mode' must be");
  EXPECT_THAT(Parse(std::string(kPrivate) + "[detectors]\n" + rows),
              IsErrorSaying(ErrorCode::kInvalidArgument, "needs a table [deployment]"));
}

TEST(ParseTask, RefusesTriggersThatWouldNotFitInMemory) {
  const std::string wide = With(kOpen, "inputs = 10", "inputs = 1000000");
  EXPECT_THAT(Parse(wide + "[watermark]\ntriggers = 60\n"),
              IsErrorSaying(ErrorCode::kInvalidArgument, "are too many numbers: at most 16777216"));
}

TEST(ParseTask, TakesSparseUpdatesBesideAllButLocalNoise) {
  const std::string updates = "[updates]\ntop_k = 0.05\n";
  EXPECT_THAT(Parse(std::string(kPrivate) + updates), IsOk());
  EXPECT_THAT(Parse(With(kPrivate, "clip_norm = 1.5", "clip_norm = 1.5\nclip_quantile = 0.5") + updates), IsOk());
  EXPECT_THAT(Parse(AsynchronousText() + updates), IsOk());
  EXPECT_THAT(Parse(std::string(kLocal) + updates),
              IsErrorSaying(ErrorCode::kInvalidArgument,
                            "'updates.top_k' has no place beside [privacy.local]: which parameters a device chose "
                            "would leave it without noise"));
}

TEST(ParseTask, AsksTheSameEpsilonOfAnAsynchronousTaskAsOfRounds) {
  const auto rounds = Parse(kPrivate);
  const auto buffers = Parse(AsynchronousText());
  ASSERT_THAT(buffers, IsOk());
  const auto cost = [](const TaskSpec& spec) { return dp::CostOf(spec.Policy(nullptr), 5).epsilon; };
  EXPECT_EQ(cost(*buffers), cost(*rounds)) << "nothing is amplified, and no weight is above one";
}

TEST(ParseTask, RefusesWhatAnAsynchronousTaskCannotKeep) {
  const std::string task = AsynchronousText();
  const auto refused = [](const std::string& text, const std::string& key, const std::string& why) {
    const std::string problem = ProblemOf(text);
    EXPECT_THAT(problem, HasSubstr(key));
    EXPECT_THAT(problem, HasSubstr(why));
  };
  refused(With(task, "[cohort]\nsize = 16\n", "[cohort]\nsize = 16\nmin = 8\n"), "cohort.min", "a buffer waits");
  refused(With(task, "[cohort]\nsize = 16\n", "[cohort]\nsize = 16\ndeadline = \"9s\"\n"), "cohort.deadline",
          "a buffer waits");
  refused(With(task, "[cohort]\nsize = 16\n", "[cohort]\nsize = 16\nover_selection = 1.5\n"), "cohort.over_selection",
          "concurrency");
  refused(With(task, "clip_norm = 1.5\n", "clip_norm = 1.5\nsampling = \"checkin_coin\"\nsampling_probability = 0.1\n"),
          "privacy.sampling", "no sample of any round");
  refused(With(task, "clip_norm = 1.5\n", "clip_norm = 1.5\nclip_quantile = 0.5\n"), "clip_quantile",
          "on the grid of the clip norm that it was leased with");
  refused(With(kOpen, "[privacy]", "[asynchronous]\nmax_staleness = 2\n[privacy]"), "aggregation.weighting",
          "by their staleness alone");
  refused(AsynchronousText(""), "max_staleness", "missing");
  refused(AsynchronousText("max_staleness = 0\n"), "max_staleness", "1");
  refused(AsynchronousText("max_staleness = 101\n"), "max_staleness", "100");
  refused(AsynchronousText("max_staleness = 4\ndiscount = \"cube\"\n"), "discount", "inverse_sqrt");
  refused(AsynchronousText("max_staleness = 4\nmax_staleness_ = 4\n"), "max_staleness_", "max_staleness");
}

TEST(ParseTask, BoundsHowManyUpdatesAreRemembered) {
  const std::string large =
      With(With(AsynchronousText("max_staleness = 31\n"), "[cohort]\nsize = 16", "[cohort]\nsize = 65536"),
           "population = 21", "population = 100000");
  EXPECT_THAT(Parse(With(large, "delta = 1e-3", "delta = 1e-6")), IsOk());
  EXPECT_THAT(ProblemOf(With(With(large, "max_staleness = 31", "max_staleness = 32"), "delta = 1e-3", "delta = 1e-6")),
              HasSubstr("2162688 and may be at most 2097152"));
}

}  // namespace
}  // namespace tacit::task
