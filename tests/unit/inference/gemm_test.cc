#include "edge_agent/inference/gemm.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/inference/reference_model.h"

namespace tacit::inference {
namespace {

struct Case {
  std::size_t m;
  std::size_t n;
  std::size_t k;
};

std::vector<float> Random(std::size_t size, std::mt19937& bits) {
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<float> values(size);
  for (float& value : values) value = draw(bits);
  return values;
}

void ExpectIsProduct(const Case& size, Orientation a, Orientation b, GemmOutput output, KernelPath path) {
  std::mt19937 bits(7);
  constexpr std::size_t kGap = 3;  // rows are further apart than they are long
  const std::size_t a_stride = (a == Orientation::kAsIs ? size.k : size.m) + kGap;
  const std::size_t b_stride = (b == Orientation::kAsIs ? size.n : size.k) + kGap;
  const std::size_t c_stride = size.n + kGap;
  const auto left = Random(a_stride * std::max(size.m, size.k), bits);
  const auto right = Random(b_stride * std::max(size.n, size.k), bits);
  const auto before = Random(c_stride * size.m, bits);
  auto c = before;
  std::vector<float> scratch(kGemmScratch, NAN);
  Multiply({.m = size.m,
            .n = size.n,
            .k = size.k,
            .a = {left.data(), a_stride, a},
            .b = {right.data(), b_stride, b},
            .c = c.data(),
            .c_stride = c_stride,
            .output = output},
           scratch, KernelsOf(path));
  for (std::size_t i = 0; i < size.m; ++i) {
    for (std::size_t j = 0; j < size.n; ++j) {
      double sum = output == GemmOutput::kAdd ? static_cast<double>(before[i * c_stride + j]) : 0;
      for (std::size_t k = 0; k < size.k; ++k) {
        const float x = a == Orientation::kAsIs ? left[i * a_stride + k] : left[k * a_stride + i];
        const float y = b == Orientation::kAsIs ? right[k * b_stride + j] : right[j * b_stride + k];
        sum += static_cast<double>(x) * static_cast<double>(y);
      }
      ASSERT_NEAR(c[i * c_stride + j], sum, 1e-6 * (10 + static_cast<double>(size.k))) << i << ' ' << j;
    }
    for (std::size_t j = size.n; j < c_stride; ++j) ASSERT_EQ(c[i * c_stride + j], before[i * c_stride + j]);
  }
}

TEST(Multiply, IsTheProductInEveryOrientationSizeAndPath) {
  for (const KernelPath path : kPaths) {
    if (!Has(path)) continue;
    for (const Case& size : {Case{1, 1, 1}, Case{1, 37, 19}, Case{5, 16, 8}, Case{13, 33, 7}, Case{7, 259, 258}}) {
      for (const Orientation a : {Orientation::kAsIs, Orientation::kTransposed}) {
        for (const Orientation b : {Orientation::kAsIs, Orientation::kTransposed}) {
          ExpectIsProduct(size, a, b, GemmOutput::kReplace, path);
          ExpectIsProduct(size, a, b, GemmOutput::kAdd, path);
        }
      }
    }
  }
}

TEST(Multiply, GivesZerosForASumOfNothing) {
  std::vector<float> scratch(kGemmScratch);
  float c[2] = {1, 2};
  Gemm gemm{.m = 1, .n = 2, .k = 0, .a = {}, .b = {}, .c = c, .c_stride = 2, .output = GemmOutput::kAdd};
  Multiply(gemm, scratch);
  EXPECT_EQ(c[1], 2);
  gemm.output = GemmOutput::kReplace;
  Multiply(gemm, scratch);
  EXPECT_EQ(c[0], 0);
  EXPECT_EQ(c[1], 0);
}

}  // namespace
}  // namespace tacit::inference
