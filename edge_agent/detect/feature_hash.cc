#include "edge_agent/detect/feature_hash.h"

#include <algorithm>

#include "common/base/random.h"

namespace tacit::detect {

FeatureHash::FeatureHash(const Options& options) : dimension_(std::min(options.inputs, options.dimension)) {
  if (dimension_ == options.inputs) return;
  SplitMix64 random(options.seed);
  places_.resize(options.inputs);
  for (std::uint32_t& place : places_) {
    place = static_cast<std::uint32_t>(random.Below(dimension_ * std::uint64_t{2}));
  }
}

void FeatureHash::Apply(std::span<const float> in, std::span<float> out) const {
  if (places_.empty()) {
    std::ranges::copy(in, out.begin());
    return;
  }
  std::ranges::fill(out, 0.0F);
  for (std::size_t i = 0; i < places_.size(); ++i) {
    out[places_[i] / 2] += places_[i] % 2 == 0 ? in[i] : -in[i];
  }
}

}  // namespace tacit::detect
