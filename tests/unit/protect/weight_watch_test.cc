#include "edge_agent/protect/weight_watch.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace tacit::protect {
namespace {

using State = WeightWatch::State;
constexpr WeightWatchOptions kOptions{.interval = Millis(1000), .slice = 128};

Bytes SomeWeights() {
  Bytes weights(1000);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<std::uint8_t>(i * 7);
  return weights;
}

// Ticks to the end of a pass that is due.
State Pass(WeightWatch& watch) {
  while (watch.Due()) watch.Tick();
  return watch.state();
}

TEST(WeightWatch, HashesNothingBeforeItsTime) {
  ::tacit::testing::FakeClock clock;
  const Bytes weights = SomeWeights();
  WeightWatch watch(weights, kOptions, clock);
  EXPECT_EQ(watch.digest(), crypto::Sha256(weights));
  EXPECT_FALSE(watch.Due());
  EXPECT_EQ(watch.UntilDue(), Millis(1000));
  EXPECT_EQ(watch.Tick(), State::kIntact);
  EXPECT_EQ(watch.passes(), 0U);
}

TEST(WeightWatch, TakesOneSliceATick) {
  ::tacit::testing::FakeClock clock;
  const Bytes weights = SomeWeights();
  WeightWatch watch(weights, kOptions, clock);
  clock.Advance(Millis(1000));
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(watch.Tick(), State::kIntact);
    EXPECT_EQ(watch.passes(), 0U);
    EXPECT_EQ(watch.UntilDue(), Millis(0));
  }
  watch.Tick();  // the eighth has the last 104 bytes
  EXPECT_EQ(watch.passes(), 1U);
  EXPECT_FALSE(watch.Due());
}

TEST(WeightWatch, FindsOneBitAnywhere) {
  for (const std::size_t place : {std::size_t{0}, std::size_t{127}, std::size_t{128}, std::size_t{999}}) {
    ::tacit::testing::FakeClock clock;
    Bytes weights = SomeWeights();
    WeightWatch watch(weights, kOptions, clock);
    weights[place] ^= 1U;
    clock.Advance(Millis(1000));
    EXPECT_EQ(Pass(watch), State::kTampered) << place;
  }
}

TEST(WeightWatch, NeverTakesTamperedWeightsBack) {
  ::tacit::testing::FakeClock clock;
  Bytes weights = SomeWeights();
  WeightWatch watch(weights, kOptions, clock);
  weights[3] ^= 1U;
  clock.Advance(Millis(1000));
  ASSERT_EQ(Pass(watch), State::kTampered);
  weights[3] ^= 1U;
  clock.Advance(Millis(1000));
  EXPECT_FALSE(watch.Due());
  EXPECT_EQ(watch.Tick(), State::kTampered);
}

}  // namespace
}  // namespace tacit::protect
