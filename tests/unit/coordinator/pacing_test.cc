#include "server/coordinator/pacing.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>

namespace tacit::coordinator {
namespace {

constexpr SteadyTime kNow{Millis(123'456'789)};

// How many of so many devices, all told to wait in the same moment, come back in the busiest second.
std::uint64_t BusiestSecond(std::uint64_t devices, std::uint64_t per_second, Millis least) {
  const Millis spread = SpreadOf(devices, per_second);
  std::vector<std::uint64_t> come(static_cast<std::size_t>((least + spread).count() / 1000 + 2));
  for (std::uint64_t i = 0; i < devices; ++i) {
    const Millis after = least + PlaceInSpread(*DeviceId::Parse("device-" + std::to_string(i)), kNow, spread);
    ++come.at(static_cast<std::size_t>(after.count() / 1000));
  }
  return std::ranges::max(come);
}

// Null hypothesis: places are uniform. A second of them then holds more than seven standard deviations above its mean
// with a probability of about 10^-11, and one of two thousand with 2 x 10^-8. A core does 700 reconnections. A defect
// that it would catch: half of the fleet on one half of the spread.
TEST(Pacing, KeepsAMillionDevicesBelowTheRateThatAServerHas) {
  EXPECT_LT(BusiestSecond(1'000'000, kReconnectionsPerSecond, Millis(1'000)), kReconnectionsPerSecond + 7 * 23);
  EXPECT_LT(BusiestSecond(1'000'000, kCheckInsPerSecond, Millis(1'000)), kCheckInsPerSecond + 7 * 71);
}

TEST(Pacing, GrowsWithTheFleetUpToItsCap) {
  EXPECT_EQ(SpreadOf(0, kCheckInsPerSecond), Millis(0));
  EXPECT_EQ(SpreadOf(100, kCheckInsPerSecond), Millis(20));
  EXPECT_EQ(SpreadOf(10'000, kCheckInsPerSecond), Millis(2'000));
  EXPECT_EQ(SpreadOf(10'000, kReconnectionsPerSecond), Millis(20'000));
  EXPECT_EQ(SpreadOf(1'000'000, kReconnectionsPerSecond), Millis(2'000'000));
  EXPECT_EQ(SpreadOf(UINT64_MAX, kReconnectionsPerSecond), kLongestSpread);
}

TEST(Pacing, GivesADeviceAnotherPlaceEachTime) {
  const DeviceId device = *DeviceId::Parse("pump-3");
  const Millis spread{1'000'000};
  std::vector<Millis> places;
  for (int i = 0; i < 100; ++i) places.push_back(PlaceInSpread(device, kNow + Millis(i), spread));
  EXPECT_EQ(places.front(), PlaceInSpread(device, kNow, spread));
  std::ranges::sort(places);
  EXPECT_EQ(std::ranges::adjacent_find(places), places.end());
  EXPECT_LT(places.front(), spread / 4);
  EXPECT_GT(places.back(), spread * 3 / 4);
}

// Everybody is told at once to come back, polls as long as a server lets them, and is told again: without a place of
// its own each time, a fleet that fell into step would stay in step.
TEST(Pacing, KeepsAFleetOutOfStepPollAfterPoll) {
  constexpr std::uint64_t kDevices = 100'000;
  constexpr Millis kPoll{30'000};
  const Millis spread = SpreadOf(kDevices, kCheckInsPerSecond);
  std::vector<std::uint64_t> ends(400);
  for (std::uint64_t i = 0; i < kDevices; ++i) {
    const DeviceId device = *DeviceId::Parse("device-" + std::to_string(i));
    SteadyTime now = kNow;
    for (int poll = 0; poll < 5; ++poll) {
      now += Millis(1'000) + PlaceInSpread(device, now, spread) + kPoll;
      ++ends.at(static_cast<std::size_t>((now - kNow).count() / 1000));
    }
  }
  EXPECT_LT(std::ranges::max(ends), kCheckInsPerSecond + 7 * 71);
}

}  // namespace
}  // namespace tacit::coordinator
