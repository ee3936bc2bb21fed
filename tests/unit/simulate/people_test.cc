#include <cstdlib>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>

#include "server/simulate/run.h"
#include "tests/support/matchers.h"

namespace tacit::simulate {
namespace {

using ::tacit::testing::IsOk;
using ::testing::SizeIs;

constexpr std::string_view kTask = R"(name = "har"
[model]
kind = "softmax"
inputs = 561
classes = 6
[training]
learning_rate = 0.1
[rounds]
count = 20
[cohort]
size = 210
[aggregation]
optimizer = "fedavgm"
[privacy]
clip_norm = 0.3
)";

/// With the data that are not part of the repository.
class SharedExamples : public ::testing::Test {
 protected:
  static std::filesystem::path Shared(const std::string& name) {
    const char* const shared = std::getenv("TACIT_SHARED_DIR");
    return shared == nullptr ? std::filesystem::path() : std::filesystem::path(shared) / "data" / name;
  }
  void SetUp() override {
    if (!Shared("").empty()) return;
    ASSERT_EQ(std::getenv("CI"), nullptr) << "TACIT_SHARED_DIR must be set in CI: this test is not skipped there";
    GTEST_SKIP() << "TACIT_SHARED_DIR is not set, so neither recordings of people nor images are there";
  }
  static RunOutcome Outcome(const std::string& toml, const FleetExamples& examples, std::uint64_t devices,
                            std::uint64_t seed = 1) {
    const auto spec = task::ParseTask(toml, "task.toml");
    EXPECT_THAT(spec, IsOk());
    auto outcome =
        RunTask(*spec, toml, {.examples = examples, .fleet = {.devices = devices}, .threads = 2, .seed = seed});
    EXPECT_THAT(outcome, IsOk());
    EXPECT_THAT(outcome->rounds, SizeIs(spec->rounds)) << outcome->ended;
    return *std::move(outcome);
  }
};

/// The recordings of people, dealt to 210 devices, which a larger fleet has again.
class People : public SharedExamples {
 protected:
  static void SetUpTestSuite() {
    if (Shared("har").empty()) return;
    auto loaded = LoadExamples({.data = Shared("har"), .held_out = {}, .partition = {}, .devices = 210, .threads = 2});
    ASSERT_THAT(loaded, IsOk());
    examples_ = new FleetExamples(*std::move(loaded));
  }
  static void TearDownTestSuite() {
    delete examples_;
    examples_ = nullptr;
  }
  struct Mean {
    double accuracy = 0;
    double epsilon = 0;
  };
  /// Of three seeds, after the last round.
  static Mean After(const std::string& privacy) {
    const std::string toml = std::string(kTask) + privacy;
    Mean mean;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      const RoundPoint last = Outcome(toml, *examples_, 210, seed).rounds.back();
      mean.accuracy += last.accuracy / 3;
      mean.epsilon += last.epsilon.value_or(0) / 3;
    }
    return mean;
  }

  static FleetExamples* examples_;
};
FleetExamples* People::examples_ = nullptr;

TEST_F(People, AreAllThere) {
  std::size_t rows = 0;
  for (const auto& share : examples_->shares) rows += share.size();
  EXPECT_THAT(examples_->shares, SizeIs(210));
  EXPECT_EQ(rows, 7'415U);
}

// Eight seeds: 85.4 % on average without noise, 85.5 at epsilon 8 and 61.8 at epsilon 0.5, with standard deviations of
// 3.3, 1.8 and 5.1.
TEST_F(People, TeachALinearModelInTwentyRounds) {
  EXPECT_GT(After("mechanism = \"none\"\n").accuracy, 0.80);
}

// A mechanism that adds less noise than it charges for fails the second, one that adds more the first.
TEST_F(People, TeachWhatTheNoiseLeaves) {
  constexpr const char* kPrivate = "mechanism = \"gaussian\"\ndelta = 1e-5\nepsilon_budget = 8\npopulation = 210\n";
  const Mean much = After(std::string(kPrivate) + "target_epsilon = 8\n");
  EXPECT_NEAR(much.epsilon, 8, 0.02);
  EXPECT_GT(much.accuracy, 0.80);
  const Mean little = After(std::string(kPrivate) + "target_epsilon = 0.5\n");
  EXPECT_NEAR(little.epsilon, 0.5, 0.002);
  EXPECT_LT(little.accuracy, 0.75);
}

// 2,100 devices of which coins draw 210 a round, 50 rounds, epsilon 1: eight seeds gave 89.8 % with a standard
// deviation of 0.8, and 91.6 without noise. An independent implementation in numpy, with the noise of a looser
// accountant: 89.4 and 92.5.
TEST_F(People, KeepWhatTheyLearnedAtEpsilonOneWhereTheyAreTwoThousand) {
  std::string toml =
      std::string(kTask) +
      "mechanism = \"gaussian\"\ntarget_epsilon = 1\ndelta = 1e-5\nepsilon_budget = 1\npopulation = 2100\n"
      "sampling = \"checkin_coin\"\nsampling_probability = 0.1\n";
  toml.replace(toml.find("count = 20"), 10, "count = 50");
  toml.replace(toml.find("size = 210"), 10, "size = 210\nover_selection = 1.5");
  const RoundPoint last = Outcome(toml, *examples_, 2'100).rounds.back();
  EXPECT_GT(last.accuracy, 0.86);
  EXPECT_LE(last.epsilon.value_or(2), 1);
}

class Fashion : public SharedExamples {};

// 100 rounds reach 84.5 %, of which 40 have 81.2: goals of another implementation are 80.4 after 40, 83.0 after 60.
TEST_F(Fashion, TeachesANetworkByAPartition) {
  const std::filesystem::path directory = Shared("fashion-mnist");
  const auto examples = LoadExamples({.data = directory,
                                      .held_out = {},
                                      .partition = directory / "partitions" / "dirichlet0.5_1000x60.u16.npy",
                                      .devices = 1'000,
                                      .classes = 10,
                                      .threads = 2});
  ASSERT_THAT(examples, IsOk());
  EXPECT_THAT(examples->shares, SizeIs(1'000));
  const RunOutcome outcome = Outcome(R"(name = "fashion"
[model]
kind = "mlp"
inputs = 784
hidden = [128]
classes = 10
[training]
learning_rate = 0.1
batch_size = 30
[rounds]
count = 40
[cohort]
size = 50
[aggregation]
optimizer = "fedavgm"
[privacy]
mechanism = "none"
clip_norm = 0.3
)",
                                     *examples, 1'000);
  EXPECT_GT(outcome.rounds.back().accuracy, 0.78);
}

}  // namespace
}  // namespace tacit::simulate
