#include <cstdlib>
#include <filesystem>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "edge_agent/data/dataset.h"
#include "edge_agent/training/trainer.h"
#include "tests/support/matchers.h"

namespace tacit::training {
namespace {

using ::tacit::testing::IsOk;

constexpr std::uint32_t kPeople[] = {1, 3, 5, 6, 7, 8, 11, 14, 15, 16, 17, 19, 21, 22, 23, 25, 26, 27, 28, 29, 30};

struct Fleet {
  std::vector<data::Dataset> devices;
  data::Dataset held_out;
};

void Load(const std::filesystem::path& directory, Fleet& fleet) {
  for (const std::uint32_t person : kPeople) {
    auto device = data::LoadDataset(data::SourceOf({.directory = directory, .subject = person}));
    ASSERT_THAT(device, IsOk());
    fleet.devices.push_back(*std::move(device));
  }
  auto held_out = data::LoadDataset(data::SourceOf({.directory = directory, .split = data::Split::kTest}));
  ASSERT_THAT(held_out, IsOk());
  fleet.held_out = *std::move(held_out);
}

// One round of plain federated averaging, weighted by example count.
void RunRound(const model::ModelSpec& spec, const Fleet& fleet, TrainingOptions options,
              std::vector<float>& parameters) {
  std::vector<double> sum(parameters.size());
  double examples = 0;
  SplitMix64 seeds(options.seed);
  for (const data::Dataset& device : fleet.devices) {
    options.seed = seeds();
    const auto update = Train(spec, parameters, device, options);
    ASSERT_THAT(update, IsOk());
    const auto weight = static_cast<double>(device.rows);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += weight * static_cast<double>(update->delta[i]);
    examples += weight;
  }
  for (std::size_t i = 0; i < sum.size(); ++i) parameters[i] += static_cast<float>(sum[i] / examples);
}

// The mean accuracy of rounds 18 to 20 on the people held out.
double AccuracyAfterTwentyRounds(const Fleet& fleet, TrainingOptions options, std::uint64_t seed) {
  const model::ModelSpec spec = *model::ModelSpec::Create({.inputs = 561, .hidden = {}, .classes = 6});
  std::vector<float> parameters = spec.InitialParameters(0);
  double last_three = 0;
  for (std::uint64_t round = 1; round <= 20; ++round) {
    options.seed = 1000 * seed + round;
    RunRound(spec, fleet, options, parameters);
    if (round > 17) last_three += Evaluate(spec, parameters, fleet.held_out)->accuracy / 3;
  }
  return last_three;
}

class PeopleFleet : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* shared = std::getenv("TACIT_SHARED_DIR");
    if (shared == nullptr) {
      ASSERT_EQ(std::getenv("CI"), nullptr) << "TACIT_SHARED_DIR must be set in CI: this test is not skipped there";
      GTEST_SKIP() << "TACIT_SHARED_DIR is not set, so the recordings of people are not there";
    }
    ASSERT_NO_FATAL_FAILURE(Load(std::filesystem::path(shared) / "data" / "har", fleet_));
  }

  Fleet fleet_;
};

TEST_F(PeopleFleet, HasTheRowsThatTheRecordingsAreDocumentedToHave) {
  std::size_t rows = 0;
  for (const data::Dataset& device : fleet_.devices) rows += device.rows;
  EXPECT_EQ(fleet_.devices.size(), 21U);
  EXPECT_EQ(rows, 7'415U);
  EXPECT_EQ(fleet_.held_out.rows, 2'996U);
}

// 24 seeds gave 89.0 % on average with a standard deviation of 0.7; an independent numpy implementation of the same
// rounds gave 88.6 (16 seeds, 0.8). The floor is three deviations under one seed, and six under the mean of four.
TEST_F(PeopleFleet, LearnsALinearModelInTwentyRoundsOfOneEpoch) {
  double mean = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    mean += AccuracyAfterTwentyRounds(fleet_, {.batch_size = 32, .learning_rate = 0.1}, seed) / 4;
  }
  EXPECT_GE(mean, 0.87);
}

// Eight seeds gave 90.5 to 91.1 %.
TEST_F(PeopleFleet, LearnsALinearModelBetterWithTwoEpochsARound) {
  EXPECT_GE(AccuracyAfterTwentyRounds(fleet_, {.epochs = 2, .batch_size = 32, .learning_rate = 0.1}, 1), 0.895);
}

}  // namespace
}  // namespace tacit::training
