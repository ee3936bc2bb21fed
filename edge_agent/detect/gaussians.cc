#include "edge_agent/detect/gaussians.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace tacit::detect {
namespace {

constexpr std::size_t TriangleSize(std::size_t dimension) {
  return dimension * (dimension + 1) / 2;
}

// Solves L y = x in place, L being a lower triangle by rows. Source: Golub, Van Loan 2013, algorithm 3.1.1.
void SolveLower(std::span<const float> factor, std::span<double> x) {
  const float* row = factor.data();
  for (std::size_t i = 0; i < x.size(); ++i, row += i) {
    double sum = x[i];
    for (std::size_t j = 0; j < i; ++j) sum -= static_cast<double>(row[j]) * x[j];
    x[i] = sum / static_cast<double>(row[i]);
  }
}

// The lower factor of a positive definite lower triangle, in place. Source: Golub, Van Loan 2013, algorithm 4.2.1.
void Factorise(std::vector<double>& triangle, std::size_t dimension) {
  const auto at = [&](std::size_t i, std::size_t j) -> double& { return triangle[TriangleSize(i) + j]; };
  for (std::size_t i = 0; i < dimension; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = at(i, j);
      for (std::size_t k = 0; k < j; ++k) sum -= at(i, k) * at(j, k);
      at(i, j) = i == j ? std::sqrt(std::max(sum, 1e-12)) : sum / at(j, j);
    }
  }
}

// Means of the classes that have rows, one after the other, and which of them each row belongs to.
struct Groups {
  std::vector<double> means;
  std::vector<std::size_t> of_row;
};

Groups GroupsOf(std::span<const float> rows, std::size_t dimension, std::span<const std::uint32_t> labels,
                std::size_t classes) {
  std::vector<double> sums(classes * dimension);
  std::vector<std::size_t> counts(classes);
  for (std::size_t row = 0; row < labels.size(); ++row) {
    ++counts[labels[row]];
    for (std::size_t i = 0; i < dimension; ++i)
      sums[labels[row] * dimension + i] += static_cast<double>(rows[row * dimension + i]);
  }
  Groups groups;
  std::vector<std::size_t> place(classes);
  for (std::size_t c = 0; c < classes; ++c) {
    if (counts[c] == 0) continue;
    place[c] = groups.means.size() / dimension;
    for (std::size_t i = 0; i < dimension; ++i) {
      groups.means.push_back(sums[c * dimension + i] / static_cast<double>(counts[c]));
    }
  }
  for (const std::uint32_t label : labels) groups.of_row.push_back(place[label]);
  return groups;
}

// The lower triangle of the shrunk covariance within the groups.
std::vector<double> Covariance(std::span<const float> rows, std::size_t dimension, const Groups& groups) {
  std::vector<double> triangle(TriangleSize(dimension));
  std::vector<double> centred(dimension);
  for (std::size_t row = 0; row < groups.of_row.size(); ++row) {
    for (std::size_t i = 0; i < dimension; ++i) {
      centred[i] = static_cast<double>(rows[row * dimension + i]) - groups.means[groups.of_row[row] * dimension + i];
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < dimension; ++i) {
      for (std::size_t j = 0; j <= i; ++j) triangle[at++] += centred[i] * centred[j];
    }
  }
  double trace = 0;
  for (std::size_t i = 0; i < dimension; ++i) trace += triangle[TriangleSize(i) + i];
  const double count = static_cast<double>(groups.of_row.size());
  for (double& value : triangle) value *= (1 - ClassGaussians::kShrinkage) / count;
  const double floor = ClassGaussians::kShrinkage * trace / (count * static_cast<double>(dimension)) + 1e-9;
  for (std::size_t i = 0; i < dimension; ++i) triangle[TriangleSize(i) + i] += floor;
  return triangle;
}

}  // namespace

FeatureHash ClassGaussians::HashOf(const Options& options) {
  return FeatureHash({.inputs = options.features, .dimension = kMaxDimension, .seed = options.seed});
}

Result<ClassGaussians> ClassGaussians::Fit(const Options& options, std::span<const float> hashed,
                                           std::span<const std::uint32_t> labels) {
  FeatureHash hash = HashOf(options);
  const std::size_t dimension = hash.dimension();
  if (labels.size() < 2 * dimension) {
    return Fail(ErrorCode::kInvalidArgument, "a covariance of " + std::to_string(dimension) + " features needs " +
                                                 std::to_string(2 * dimension) + " rows, and there are " +
                                                 std::to_string(labels.size()));
  }
  if (!std::ranges::all_of(hashed, [](float value) { return std::isfinite(value); })) {
    return Fail(ErrorCode::kInvalidArgument, "a feature of a clean row is not finite");
  }
  const Groups groups = GroupsOf(hashed, dimension, labels, options.classes);
  std::vector<double> triangle = Covariance(hashed, dimension, groups);
  Factorise(triangle, dimension);
  Parts parts{.options = options, .factor = {}, .means = {}};
  parts.factor.assign(triangle.begin(), triangle.end());
  std::vector<double> means = groups.means;
  for (std::size_t at = 0; at < means.size(); at += dimension) {
    SolveLower(parts.factor, std::span(means).subspan(at, dimension));
  }
  parts.means.assign(means.begin(), means.end());
  return ClassGaussians(std::move(parts), std::move(hash));
}

Result<ClassGaussians> ClassGaussians::FromParts(Parts parts) {
  FeatureHash hash = HashOf(parts.options);
  const std::size_t dimension = hash.dimension();
  if (dimension == 0 || parts.factor.size() != TriangleSize(dimension) || parts.means.empty() ||
      parts.means.size() % dimension != 0 || parts.means.size() / dimension > parts.options.classes) {
    return Fail(ErrorCode::kMalformed, "the means and the covariance of the classes do not belong together");
  }
  for (std::size_t i = 0; i < dimension; ++i) {
    if (!(parts.factor[TriangleSize(i) + i] > 0)) {
      return Fail(ErrorCode::kMalformed, "the covariance of the classes is not positive");
    }
  }
  return ClassGaussians(std::move(parts), std::move(hash));
}

double ClassGaussians::Distance(std::span<const float> features) const {
  std::vector<float> hashed(dimension());
  hash_.Apply(features, hashed);
  std::vector<double> white(hashed.begin(), hashed.end());
  SolveLower(parts_.factor, std::span(white));
  double nearest = std::numeric_limits<double>::infinity();
  for (std::size_t at = 0; at < parts_.means.size(); at += white.size()) {
    double sum = 0;
    for (std::size_t i = 0; i < white.size(); ++i) {
      const double step = white[i] - static_cast<double>(parts_.means[at + i]);
      sum += step * step;
    }
    nearest = std::min(nearest, sum);
  }
  return nearest;
}

}  // namespace tacit::detect
