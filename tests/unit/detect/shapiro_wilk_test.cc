#include "edge_agent/detect/shapiro_wilk.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace tacit::detect {
namespace {

// Shapiro, Wilk 1965, example 3: weights of eleven men; W = 0.79 there, 0.78881 by AS R94 as in R.
TEST(ShapiroWilk, HasThePublishedValueOfTheWeightsOfMen) {
  EXPECT_NEAR(ShapiroWilk({148, 154, 158, 160, 161, 162, 166, 170, 182, 195, 236}), 0.78881, 1e-4);
}

// Two samples that statistical packages check AS R94 with.
TEST(ShapiroWilk, AgreesWithStatisticalPackages) {
  EXPECT_NEAR(ShapiroWilk({0.11, 7.87, 4.61, 10.14, 7.95, 3.14, 0.46, 4.43, 0.21, 4.75,
                           0.71, 1.52, 3.24, 0.93,  0.42, 4.97, 9.53, 4.55, 0.47, 6.66}),
              0.90047299861907959, 1e-6);
  EXPECT_NEAR(ShapiroWilk({1.36, 1.14,  2.92, 2.55, 1.46, 1.06, 5.27, -1.11, 3.48, 1.10,
                           0.88, -0.51, 1.46, 0.52, 6.20, 1.69, 0.08, 3.67,  2.81, 3.49}),
              0.9590270, 1e-6);
}

TEST(ShapiroWilk, IsExactForThree) {
  // W = (x3 - x1)^2 / 2 / SS.
  EXPECT_NEAR(ShapiroWilk({0, 1, 5}), 12.5 / 14, 1e-12);
  EXPECT_NEAR(ShapiroWilk({0, 1, 2}), 1, 1e-12);
}

TEST(ShapiroWilk, DoesNotDependOnScalePlaceOrOrder) {
  const double w = ShapiroWilk({1, 2, 4, 8, 16, 32, 64});
  EXPECT_NEAR(ShapiroWilk({64, 1, 32, 2, 16, 4, 8}), w, 1e-12);
  EXPECT_NEAR(ShapiroWilk({-3, -5, -9, -17, -33, -65, -129}), w, 1e-12);
}

TEST(ShapiroWilk, IsZeroWhereAllAreTheSame) {
  EXPECT_EQ(ShapiroWilk(std::vector<double>(500, 2.5)), 0);
}

TEST(ShapiroWilk, IsLowForTwoHeaps) {
  std::vector<double> heaps;
  for (int i = 0; i < 100; ++i) heaps.push_back(i % 2 == 0 ? 0.001 * i : 10 + 0.001 * i);
  EXPECT_LT(ShapiroWilk(heaps), 0.75);
}

}  // namespace
}  // namespace tacit::detect
