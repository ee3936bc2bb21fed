// Any two neighbouring sets of updates, in any order and on any number of threads: their sums differ by at most the
// radius, and the same set has the same sum. Seeds are fixed; what is random is which case is tried. Catches a clip, a
// check or a merge that depends on order, on a partition or on the other devices; `FindsASumThatDependsOnItsOrder`
// shows that it does.

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "dp/clip.h"
#include "dp/sum.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsOk;
using testing::ContentsOf;
using testing::kRadius;
using testing::NormIsAtMost;
using testing::RadiusOf;

constexpr std::size_t kParameters = 2048;
using Grid = std::vector<std::int32_t>;

std::size_t Below(SplitMix64& random, std::size_t bound) {
  return static_cast<std::size_t>(random.Uniform() * static_cast<double>(bound));
}

/// An update of the set's length, made of one that was made to slip past a clip, somewhere in it.
std::vector<float> SomeUpdate(SplitMix64& random) {
  static const std::vector<testing::NamedVector> kVectors = testing::AdversarialVectors();
  const std::vector<float>& chosen = kVectors[Below(random, kVectors.size())].values;
  std::vector<float> update(kParameters);
  const std::size_t shift = Below(random, kParameters);
  for (std::size_t i = 0; i < std::min(chosen.size(), kParameters); ++i) update[(i + shift) % kParameters] = chosen[i];
  return update;
}

Grid OnGrid(const std::vector<float>& update, Mechanism mechanism) {
  Grid grid(update.size());
  EXPECT_THAT(ClipToGrid(update, testing::ClipOf(1), RadiusOf(kRadius), NormOf(mechanism), grid), IsOk());
  return grid;
}

UnnoisedSum Empty(Mechanism mechanism) {
  return *UnnoisedSum::Create({.round = {.task = testing::TaskOf("t"), .round = 1},
                               .mechanism = mechanism,
                               .grid_radius = RadiusOf(kRadius),
                               .parameters = kParameters});
}

void Shuffle(SplitMix64& random, std::vector<std::size_t>& order) {
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[Below(random, i)]);
}

/// Each thread clips and sums a part of the set, and the parts are added up, all in random order.
std::vector<std::int64_t> SumOfSet(SplitMix64& random, const std::vector<std::vector<float>>& set,
                                   Mechanism mechanism) {
  std::vector<std::size_t> order(set.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Shuffle(random, order);
  const std::size_t threads = 1 + Below(random, 4);
  std::vector<UnnoisedSum> parts;
  for (std::size_t part = 0; part < threads; ++part) parts.push_back(Empty(mechanism));
  {
    std::vector<std::jthread> workers;
    for (std::size_t part = 0; part < threads; ++part) {
      workers.emplace_back([&, part] {
        for (std::size_t i = part; i < order.size(); i += threads)
          EXPECT_THAT(parts[part].Add(OnGrid(set[order[i]], mechanism)), IsOk());
      });
    }
  }
  UnnoisedSum total = Empty(mechanism);
  std::vector<std::size_t> merges(threads);
  std::iota(merges.begin(), merges.end(), std::size_t{0});
  Shuffle(random, merges);
  for (const std::size_t part : merges)
    EXPECT_THAT(total.AddSealed(testing::GlassSealer(), testing::SealedOf(parts[part], testing::GlassSealer(), {}), {}),
                IsOk());
  EXPECT_EQ(total.contributions(), set.size());
  return ContentsOf(total);
}

std::vector<std::vector<float>> SomeSet(SplitMix64& random) {
  std::vector<std::vector<float>> set(1 + Below(random, 12));
  std::ranges::generate(set, [&] { return SomeUpdate(random); });
  return set;
}

TEST(NeighbourProperty, SumsDifferByAtMostTheRadiusInAnyOrderOnAnyThreads) {
  for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    SplitMix64 random(2024);
    for (int trial = 0; trial < 150; ++trial) {
      const std::vector<std::vector<float>> set = SomeSet(random);
      std::vector<std::vector<float>> neighbour = set;
      neighbour[Below(random, set.size())].assign(kParameters, 0.0F);
      std::vector<std::int64_t> difference = SumOfSet(random, set, mechanism);
      EXPECT_EQ(SumOfSet(random, set, mechanism), difference) << trial;
      const std::vector<std::int64_t> without = SumOfSet(random, neighbour, mechanism);
      std::ranges::transform(difference, without, difference.begin(), std::minus());
      ASSERT_TRUE(NormIsAtMost<std::int64_t>(difference, kRadius, NormOf(mechanism))) << trial;
    }
  }
}

/// A sum in floating point, which is how it is often done.
std::vector<float> FloatSumOfSet(SplitMix64& random, const std::vector<std::vector<float>>& set) {
  std::vector<std::size_t> order(set.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Shuffle(random, order);
  std::vector<float> sum(kParameters);
  for (const std::size_t i : order) {
    const Grid grid = OnGrid(set[i], Mechanism::kGaussian);
    for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += static_cast<float>(grid[j]) / 3.0F;
  }
  return sum;
}

TEST(NeighbourProperty, FindsASumThatDependsOnItsOrder) {
  SplitMix64 random(2024);
  int different = 0;
  for (int trial = 0; trial < 150; ++trial) {
    const std::vector<std::vector<float>> set = SomeSet(random);
    different += FloatSumOfSet(random, set) == FloatSumOfSet(random, set) ? 0 : 1;
  }
  EXPECT_GT(different, 0);
}

}  // namespace
}  // namespace tacit::dp
