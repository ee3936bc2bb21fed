#include "edge_agent/detect/squeeze.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace tacit::detect {

void ReduceBitDepth(std::span<const float> in, ValueRange range, std::uint32_t bits, std::span<float> out) {
  const auto steps = static_cast<float>((1U << bits) - 1);
  const float width = range.high - range.low;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const float place = std::clamp((in[i] - range.low) / width, 0.0F, 1.0F);
    out[i] = range.low + width * std::round(place * steps) / steps;
  }
}

void MedianOfFour(std::span<const float> in, const Image& image, std::span<float> out) {
  const std::size_t width = image.width;
  for (std::size_t channel = 0; channel < image.channels; ++channel) {
    const std::size_t start = channel * image.height * width;
    for (std::size_t y = 0; y < image.height; ++y) {
      const std::size_t above = y == 0 ? std::min<std::size_t>(1, image.height - 1) : y - 1;
      for (std::size_t x = 0; x < width; ++x) {
        const std::size_t left = x == 0 ? std::min<std::size_t>(1, width - 1) : x - 1;
        std::array<float, 4> four = {in[start + y * width + x], in[start + y * width + left],
                                     in[start + above * width + x], in[start + above * width + left]};
        std::ranges::sort(four);
        out[start + y * width + x] = 0.5F * (four[1] + four[2]);
      }
    }
  }
}

}  // namespace tacit::detect
