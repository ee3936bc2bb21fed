#include <algorithm>
#include <limits>

#include "edge_agent/inference/backward.h"

namespace tacit::inference::backward {
namespace {

using graph::Operator;

// Calls `visit(input, column, run)` for what each tap connects with one line of one channel's output: places of the
// input from `input` on, a stride apart, with columns of the line from `column` on.
template <typename Visit>
void ForEachLine(const Window& window, std::size_t line, Visit visit) {
  for (std::size_t ky = 0; ky < window.y.kernel; ++ky) {
    const Reach y = window.y.ReachOf(ky);
    if (line < y.first || line >= y.end) continue;
    const std::size_t from = (y.start + (line - y.first) * window.y.stride) * window.x.input;
    for (std::size_t kx = 0; kx < window.x.kernel; ++kx) {
      const Reach x = window.x.ReachOf(kx);
      visit(from + x.start, x.first, x.end - x.first);
    }
  }
}

// How many taps of a kernel meet the input at one place of the output.
std::size_t TapsAt(const Walk& walk, std::size_t place) {
  std::size_t taps = 0;
  for (std::size_t tap = 0; tap < walk.kernel; ++tap) {
    const Reach reach = walk.ReachOf(tap);
    if (place >= reach.first && place < reach.end) ++taps;
  }
  return taps;
}

// One channel. A NaN is larger than every number, and stays.
void MaxForward(const Window& window, const float* x, float* output) {
  std::fill_n(output, window.outputs(), -std::numeric_limits<float>::infinity());
  for (std::size_t line = 0; line < window.y.output; ++line) {
    float* to = output + line * window.x.output;
    ForEachLine(window, line, [&](std::size_t input, std::size_t first, std::size_t run) {
      for (std::size_t i = 0; i < run; ++i) {
        const float value = x[input + i * window.x.stride];
        const float best = to[first + i];
        to[first + i] = ((value > best) | (value != value)) ? value : best;
      }
    });
  }
}

// The first of the largest has the slope. `taken` remembers for one line who has been found; without a branch, since
// which of them is the largest nobody can predict.
void MaxBackward(const Window& window, const float* x, const Slope& of, float* slope, std::span<float> taken) {
  std::fill_n(slope, window.inputs(), 0.0F);
  const std::size_t stride = window.x.stride;
  for (std::size_t line = 0; line < window.y.output; ++line) {
    const float* output = of.output + line * window.x.output;
    const float* output_slope = of.output_slope + line * window.x.output;
    std::ranges::copy_n(output_slope, static_cast<std::ptrdiff_t>(window.x.output), taken.begin());
    ForEachLine(window, line, [&](std::size_t input, std::size_t first, std::size_t run) {
      for (std::size_t i = 0; i < run; ++i) {
        const float value = x[input + i * stride];
        const bool is_largest = (value == output[first + i]) | (value != value);
        slope[input + i * stride] += is_largest ? taken[first + i] : 0.0F;
        taken[first + i] = is_largest ? 0.0F : taken[first + i];
      }
    });
  }
}

// What each place of the output is divided by.
float Share(const Layer& layer, const Window& window, std::size_t line, std::size_t column) {
  if (layer.attributes.count_padding) return 1.0F / static_cast<float>(window.y.kernel * window.x.kernel);
  return 1.0F / static_cast<float>(std::max<std::size_t>(1, TapsAt(window.y, line) * TapsAt(window.x, column)));
}

void AverageForward(const Layer& layer, const Window& window, const float* x, float* output) {
  std::fill_n(output, window.outputs(), 0.0F);
  for (std::size_t line = 0; line < window.y.output; ++line) {
    float* to = output + line * window.x.output;
    ForEachLine(window, line, [&](std::size_t input, std::size_t first, std::size_t run) {
      for (std::size_t i = 0; i < run; ++i) to[first + i] += x[input + i * window.x.stride];
    });
    for (std::size_t i = 0; i < window.x.output; ++i) to[i] *= Share(layer, window, line, i);
  }
}

// `shares` is for one line of slopes that are divided already.
void AverageBackward(const Layer& layer, const Window& window, const float* output_slope, float* slope,
                     std::span<float> shares) {
  std::fill_n(slope, window.inputs(), 0.0F);
  for (std::size_t line = 0; line < window.y.output; ++line) {
    const float* from = output_slope + line * window.x.output;
    for (std::size_t i = 0; i < window.x.output; ++i) shares[i] = from[i] * Share(layer, window, line, i);
    ForEachLine(window, line, [&](std::size_t input, std::size_t first, std::size_t run) {
      for (std::size_t i = 0; i < run; ++i) slope[input + i * window.x.stride] += shares[first + i];
    });
  }
}

struct Mean {
  std::size_t channels = 0;  // Of all rows.
  std::size_t places = 0;    // Of a channel.
};

Mean MeanOf(const Layer& layer, std::size_t rows) {
  const graph::Shape& shape = layer.inputs.front();
  const auto channels = static_cast<std::size_t>(shape[1]);
  return {.channels = rows * channels, .places = CountOf(shape) / channels};
}

}  // namespace

void PoolForward(const Layer& layer, const Operands& operands, float* output) {
  const float* x = operands.inputs.front();
  if (layer.op == Operator::kGlobalAveragePool) {
    const Mean mean = MeanOf(layer, operands.rows);
    for (std::size_t i = 0; i < mean.channels; ++i) {
      output[i] = Sum({x + i * mean.places, mean.places}) / static_cast<float>(mean.places);
    }
    return;
  }
  const Window window = WindowOf(layer);
  for (std::size_t i = 0; i < operands.rows * window.channels; ++i) {
    const float* from = x + i * window.inputs();
    float* to = output + i * window.outputs();
    if (layer.op == Operator::kMaxPool) {
      MaxForward(window, from, to);
    } else {
      AverageForward(layer, window, from, to);
    }
  }
}

void PoolBackward(const Layer& layer, const Operands& operands, const Slope& slope) {
  if (layer.op == Operator::kGlobalAveragePool) {
    const Mean mean = MeanOf(layer, operands.rows);
    for (std::size_t i = 0; i < mean.channels; ++i) {
      std::fill_n(slope.slope + i * mean.places, mean.places, slope.output_slope[i] / static_cast<float>(mean.places));
    }
    return;
  }
  const Window window = WindowOf(layer);
  for (std::size_t i = 0; i < operands.rows * window.channels; ++i) {
    const Slope of = {.output = slope.output + i * window.outputs(),
                      .output_slope = slope.output_slope + i * window.outputs(),
                      .which = 0,
                      .slope = slope.slope + i * window.inputs()};
    if (layer.op == Operator::kMaxPool) {
      MaxBackward(window, operands.inputs.front() + i * window.inputs(), of, of.slope, operands.scratch);
    } else {
      AverageBackward(layer, window, of.output_slope, of.slope, operands.scratch);
    }
  }
}

}  // namespace tacit::inference::backward
