#include <cstdint>
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>

#include "tests/simulation/world.h"

// Coordinator, round machine, ledger and store through crashes, power cuts and failing disks. A seed that fails fails
// again: TACIT_SIMULATION_SEED=N tells its story alone, TACIT_SIMULATION_LOG=1 with the server's log.
namespace tacit::simulation {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t kShards = 10;
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
constexpr std::uint64_t kSeedsPerShard = 10;  // of the same stories, for what only a sanitizer sees
#else
constexpr std::uint64_t kSeedsPerShard = 100;
#endif

std::string Lines(const Outcome& outcome) {
  std::string text;
  for (const std::string& violation : outcome.violations) text += "\n  " + violation;
  return text;
}

class Simulation : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(Simulation, LosesNothingAndCountsNothingTwice) {
  std::uint64_t acknowledged = 0;
  std::uint64_t published = 0;
  std::uint64_t crashes = 0;
  std::uint64_t merges = 0;
  std::uint64_t stale = 0;
  for (std::uint64_t i = 0; i < kSeedsPerShard; ++i) {
    const std::uint64_t seed = GetParam() * kSeedsPerShard + i;
    const Outcome outcome = World({.seed = seed}).Run();
    EXPECT_THAT(outcome.violations, IsEmpty()) << "seed " << seed;
    acknowledged += outcome.acknowledged;
    published += outcome.published;
    crashes += outcome.crashes;
    merges += outcome.merges;
    stale += outcome.stale;
  }
  // Not a quiet world in which nothing could go wrong.
  EXPECT_GE(acknowledged, kSeedsPerShard * 15);
  EXPECT_GE(published, kSeedsPerShard * 5);
  EXPECT_GE(crashes, kSeedsPerShard * 2);
  EXPECT_GE(merges, kSeedsPerShard * 2);
  EXPECT_GE(stale, kSeedsPerShard);
  RecordProperty("acknowledged", std::to_string(acknowledged));
  RecordProperty("published", std::to_string(published));
  RecordProperty("crashes", std::to_string(crashes));
  RecordProperty("merges", std::to_string(merges));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Simulation, ::testing::Range(std::uint64_t{0}, kShards));

TEST(Control, ADiskThatLiesIsFoundOut) {
  int found = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    found += World({.seed = seed, .disk_lies = true}).Run().violations.empty() ? 0 : 1;
  EXPECT_GE(found, 12) << "of 20 worlds in which an acknowledgement means nothing";
}

TEST(Control, TheSameSeedIsTheSameStory) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const Outcome first = World({.seed = seed}).Run();
    const Outcome second = World({.seed = seed}).Run();
    EXPECT_EQ(first.acknowledged, second.acknowledged);
    EXPECT_EQ(first.fingerprint, second.fingerprint);
  }
}

TEST(Story, OfOneSeed) {
  const char* const seed = std::getenv("TACIT_SIMULATION_SEED");
  if (seed == nullptr) return;
  const Outcome outcome = World({.seed = std::strtoull(seed, nullptr, 10)}).Run();
  EXPECT_THAT(outcome.violations, IsEmpty()) << Lines(outcome);
}

}  // namespace
}  // namespace tacit::simulation
