#include "dp/noise_table.h"

#include <vector>

#include <boost/multiprecision/cpp_bin_float.hpp>

namespace tacit::dp {
namespace {

// 256 binary digits: what is lost in four thousand products stays 100 digits below the thresholds.
using Real =
    boost::multiprecision::number<boost::multiprecision::cpp_bin_float<256, boost::multiprecision::digit_base_2>,
                                  boost::multiprecision::et_off>;

constexpr std::size_t kPlaces = AliasTable::kPlaces;
constexpr Wide kFull = Wide{1} << AliasTable::kThresholdBits;  // the mass of one place

Real Decay(std::uint64_t numerator, std::uint64_t denominator) {
  return exp(-Real(numerator) / Real(denominator));
}

Wide ToInteger(const Real& value) {
  const auto high = static_cast<std::uint64_t>(ldexp(value, -64));
  const auto low = static_cast<std::uint64_t>(value - ldexp(Real(high), 64));
  return (Wide{high} << 64U) | low;
}

}  // namespace

/// Turns weights into a table. Not part of the class, so that its header stays free of big numbers.
class AliasTableBuilder {
 public:
  static std::unique_ptr<const AliasTable> Build(const std::vector<Real>& weights) {
    auto table = std::make_unique<AliasTable>();
    std::vector<Wide> mass = Scaled(weights);
    std::vector<std::size_t> small;
    std::vector<std::size_t> large;
    for (std::size_t place = 0; place < kPlaces; ++place) (mass[place] < kFull ? small : large).push_back(place);
    while (!small.empty()) {
      const std::size_t place = small.back();
      small.pop_back();
      const std::size_t giver = large.back();
      Set(*table, place, mass[place], giver);
      mass[giver] -= kFull - mass[place];
      if (mass[giver] < kFull) {
        large.pop_back();
        small.push_back(giver);
      }
    }
    // What is left is exactly full: it gives itself whatever the threshold.
    for (const std::size_t place : large) Set(*table, place, 0, place);
    return table;
  }

 private:
  /// Integers proportional to the weights whose sum is exactly kPlaces * kFull; the largest takes what rounding left.
  static std::vector<Wide> Scaled(const std::vector<Real>& weights) {
    Real total = 0;
    for (const Real& weight : weights) total += weight;
    const Real unit = ldexp(Real(1), static_cast<int>(AliasTable::kThresholdBits + AliasTable::kPlaceBits)) / total;
    std::vector<Wide> mass(kPlaces, 0);
    Wide left = kFull * kPlaces;
    std::size_t largest = 0;
    for (std::size_t place = 0; place < kPlaces; ++place) {
      mass[place] = ToInteger(floor(weights[place] * unit));
      left -= mass[place];
      if (weights[place] > weights[largest]) largest = place;
    }
    mass[largest] += left;
    return mass;
  }

  static void Set(AliasTable& table, std::size_t place, Wide threshold, std::size_t alias) {
    table.thresholds_[place] = threshold;
    const auto first = static_cast<std::uint32_t>(threshold >> (AliasTable::kThresholdBits - AliasTable::kFastBits));
    table.fast_[place] = (first << AliasTable::kPlaceBits) | static_cast<std::uint32_t>(alias);
  }
};

std::unique_ptr<const AliasTable> AliasTable::Gaussian(std::uint64_t squares, std::uint64_t sigma) {
  // w_{x+1} = w_x r_x, r_{x+1} = r_x q: a weight is a product, and no rounding is taken to a large power.
  const Real half = exp(-Real(squares) / (2 * Real(sigma) * Real(sigma)));
  const Real whole = half * half;
  std::vector<Real> weights(kPlaces, Real(0));
  Real weight = 1;
  Real ratio = half;
  weights[kPlaces / 2] = weight;
  for (std::size_t x = 1; x < kPlaces / 2; ++x) {
    weight *= ratio;
    ratio *= whole;
    weights[kPlaces / 2 + x] = weight;
    weights[kPlaces / 2 - x] = weight;
  }
  return AliasTableBuilder::Build(weights);
}

std::unique_ptr<const AliasTable> AliasTable::Geometric(std::uint64_t step, std::uint64_t scale) {
  const Real ratio = Decay(step, scale);
  std::vector<Real> weights(kPlaces, Real(0));
  Real weight = 1;
  for (Real& each : weights) {
    each = weight;
    weight *= ratio;
  }
  return AliasTableBuilder::Build(weights);
}

std::unique_ptr<const AliasTable> AliasTable::Sign(std::uint64_t scale) {
  std::vector<Real> weights(kPlaces, Real(0));
  weights[0] = 1;
  weights[1] = Decay(1, scale);
  return AliasTableBuilder::Build(weights);
}

}  // namespace tacit::dp
