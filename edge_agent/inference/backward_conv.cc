// Convolution over channels x height x width as matrix products: under each place of the output stands the column of
// what the kernel covers there. Source: Chellapilla, Puri, Simard 2006, section 3.1. Of kernels that see one channel
// only the columns would be larger than the work, so those go over the input tap by tap.

#include <algorithm>

#include "edge_agent/inference/backward.h"
#include "edge_agent/inference/gemm.h"

namespace tacit::inference::backward {
namespace {

enum ConvInput : std::uint8_t { kX = 0, kWeight = 1, kBias = 2 };

// One group: `in` channels become `out`.
struct Convolution {
  Window window;
  std::size_t groups = 1;
  std::size_t in = 0;
  std::size_t out = 0;

  [[nodiscard]] std::size_t taps() const { return window.y.kernel * window.x.kernel; }
  [[nodiscard]] std::size_t depth() const { return in * taps(); }
  [[nodiscard]] std::size_t inputs() const { return in * window.inputs(); }
  [[nodiscard]] std::size_t outputs() const { return out * window.outputs(); }
  [[nodiscard]] std::size_t weights() const { return out * depth(); }
  // Whether the columns are the input itself.
  [[nodiscard]] bool IsPointwise() const {
    return taps() == 1 && window.y.stride == 1 && window.x.stride == 1 && window.inputs() == window.outputs();
  }
  [[nodiscard]] bool IsDepthwise() const { return in == 1 && groups > 1; }
};

Convolution ConvolutionOf(const Layer& layer) {
  const Window window = WindowOf(layer);
  const std::size_t groups = layer.attributes.groups;
  return {.window = window,
          .groups = groups,
          .in = window.channels / groups,
          .out = static_cast<std::size_t>(layer.output[1]) / groups};
}

// Calls `visit(tap, y, x)` with what each tap of the kernel reaches.
template <typename Visit>
void ForEachTap(const Window& window, Visit visit) {
  for (std::size_t ky = 0; ky < window.y.kernel; ++ky) {
    const Reach y = window.y.reaches[ky];
    for (std::size_t kx = 0; kx < window.x.kernel; ++kx) {
      visit(ky * window.x.kernel + kx, y, window.x.reaches[kx]);
    }
  }
}

void CopyStrided(const float* from, std::size_t stride, float* to, std::size_t count) {
  if (stride == 1) {
    std::copy_n(from, count, to);
  } else {
    for (std::size_t i = 0; i < count; ++i) to[i] = from[i * stride];
  }
}

// One column's row: what `tap` meets of one channel at every place of the output.
void FillRow(const Window& window, const float* channel, Reach y, Reach x, float* row) {
  const std::size_t width = window.x.output;
  std::fill_n(row, y.first * width, 0.0F);
  for (std::size_t i = y.first; i < y.end; ++i) {
    float* line = row + i * width;
    const float* from = channel + (y.start + (i - y.first) * window.y.stride) * window.x.input + x.start;
    std::fill_n(line, x.first, 0.0F);
    CopyStrided(from, window.x.stride, line + x.first, x.end - x.first);
    std::fill_n(line + x.end, width - x.end, 0.0F);
  }
  std::fill_n(row + y.end * width, (window.y.output - y.end) * width, 0.0F);
}

// Shape: depth x outputs of one channel.
const float* ColumnsOf(const Convolution& conv, const float* x, std::span<float> scratch) {
  if (conv.IsPointwise()) return x;
  const Window& window = conv.window;
  for (std::size_t channel = 0; channel < conv.in; ++channel) {
    ForEachTap(window, [&](std::size_t tap, Reach reach_y, Reach reach_x) {
      float* row = scratch.data() + (channel * conv.taps() + tap) * window.outputs();
      FillRow(window, x + channel * window.inputs(), reach_y, reach_x, row);
    });
  }
  return scratch.data();
}

// `visit(place in the input, place in the output)` for each pair that a tap connects, in runs along the width:
// `visit(input, output, run)`; the input's step from one to the next is the stride.
template <typename Visit>
void ForEachRun(const Window& window, Reach y, Reach x, Visit visit) {
  for (std::size_t i = y.first; i < y.end; ++i) {
    const std::size_t input = (y.start + (i - y.first) * window.y.stride) * window.x.input + x.start;
    visit(input, i * window.x.output + x.first, x.end - x.first);
  }
}

// The columns' slopes come together where the columns came from.
void AddColumns(const Convolution& conv, const float* columns, float* slope) {
  const Window& window = conv.window;
  const std::size_t stride = window.x.stride;
  for (std::size_t channel = 0; channel < conv.in; ++channel) {
    float* to = slope + channel * window.inputs();
    ForEachTap(window, [&](std::size_t tap, Reach y, Reach x) {
      const float* from = columns + (channel * conv.taps() + tap) * window.outputs();
      ForEachRun(window, y, x, [&](std::size_t input, std::size_t output, std::size_t run) {
        for (std::size_t i = 0; i < run; ++i) to[input + i * stride] += from[output + i];
      });
    });
  }
}

// `visit(row and group's input, output, weights)`: offsets of each.
template <typename Visit>
void ForEachGroup(const Convolution& conv, std::size_t rows, Visit visit) {
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t group = 0; group < conv.groups; ++group) {
      const std::size_t at = row * conv.groups + group;
      visit(at * conv.inputs(), at * conv.outputs(), group * conv.weights());
    }
  }
}

void DepthwiseForward(const Convolution& conv, const float* x, const float* weight, float* output) {
  const Window& window = conv.window;
  const std::size_t stride = window.x.stride;
  for (std::size_t out = 0; out < conv.out; ++out) {
    float* to = output + out * window.outputs();
    ForEachTap(window, [&](std::size_t tap, Reach reach_y, Reach reach_x) {
      const float by = weight[out * conv.taps() + tap];
      ForEachRun(window, reach_y, reach_x, [&](std::size_t input, std::size_t place, std::size_t run) {
        for (std::size_t i = 0; i < run; ++i) to[place + i] += by * x[input + i * stride];
      });
    });
  }
}

void DepthwiseInput(const Convolution& conv, const float* weight, const float* output_slope, float* slope) {
  const Window& window = conv.window;
  const std::size_t stride = window.x.stride;
  for (std::size_t out = 0; out < conv.out; ++out) {
    const float* from = output_slope + out * window.outputs();
    ForEachTap(window, [&](std::size_t tap, Reach y, Reach x) {
      const float by = weight[out * conv.taps() + tap];
      ForEachRun(window, y, x, [&](std::size_t input, std::size_t place, std::size_t run) {
        for (std::size_t i = 0; i < run; ++i) slope[input + i * stride] += by * from[place + i];
      });
    });
  }
}

void DepthwiseWeight(const Convolution& conv, const float* x, const float* output_slope, float* slope) {
  const Window& window = conv.window;
  const std::size_t stride = window.x.stride;
  for (std::size_t out = 0; out < conv.out; ++out) {
    const float* from = output_slope + out * window.outputs();
    ForEachTap(window, [&](std::size_t tap, Reach reach_y, Reach reach_x) {
      float sum = 0;
      ForEachRun(window, reach_y, reach_x, [&](std::size_t input, std::size_t place, std::size_t run) {
        for (std::size_t i = 0; i < run; ++i) sum += from[place + i] * x[input + i * stride];
      });
      slope[out * conv.taps() + tap] += sum;
    });
  }
}

void FillBias(const Convolution& conv, const Operands& operands, float* output) {
  const std::size_t channels = conv.groups * conv.out;
  const bool has_bias = operands.inputs.size() > kBias;
  for (std::size_t i = 0; i < operands.rows * channels; ++i) {
    const float value = has_bias ? operands.inputs[kBias][i % channels] : 0.0F;
    std::fill_n(output + i * conv.window.outputs(), conv.window.outputs(), value);
  }
}

void InputSlope(const Convolution& conv, const Operands& operands, const Slope& slope) {
  if (!conv.IsPointwise()) std::fill_n(slope.slope, operands.rows * conv.groups * conv.inputs(), 0.0F);
  const std::size_t places = conv.window.outputs();
  ForEachGroup(conv, operands.rows, [&](std::size_t input, std::size_t output, std::size_t weights) {
    const float* weight = operands.inputs[kWeight] + weights;
    const float* output_slope = slope.output_slope + output;
    if (conv.IsDepthwise()) return DepthwiseInput(conv, weight, output_slope, slope.slope + input);
    float* columns = conv.IsPointwise() ? slope.slope + input : operands.scratch.data();
    Multiply({.m = conv.depth(),
              .n = places,
              .k = conv.out,
              .a = {.data = weight, .stride = conv.depth(), .orientation = Orientation::kTransposed},
              .b = {.data = output_slope, .stride = places, .orientation = Orientation::kAsIs},
              .c = columns,
              .c_stride = places,
              .output = GemmOutput::kReplace},
             operands.gemm_scratch);
    if (!conv.IsPointwise()) AddColumns(conv, columns, slope.slope + input);
  });
}

void WeightSlope(const Convolution& conv, const Operands& operands, const Slope& slope) {
  const std::size_t places = conv.window.outputs();
  ForEachGroup(conv, operands.rows, [&](std::size_t input, std::size_t output, std::size_t weights) {
    const float* x = operands.inputs[kX] + input;
    const float* output_slope = slope.output_slope + output;
    if (conv.IsDepthwise()) return DepthwiseWeight(conv, x, output_slope, slope.slope + weights);
    const float* columns = ColumnsOf(conv, x, operands.scratch);
    Multiply({.m = conv.out,
              .n = conv.depth(),
              .k = places,
              .a = {.data = output_slope, .stride = places, .orientation = Orientation::kAsIs},
              .b = {.data = columns, .stride = places, .orientation = Orientation::kTransposed},
              .c = slope.slope + weights,
              .c_stride = conv.depth(),
              .output = GemmOutput::kAdd},
             operands.gemm_scratch);
  });
}

void BiasSlope(const Convolution& conv, std::size_t rows, const Slope& slope) {
  const std::size_t channels = conv.groups * conv.out;
  const std::size_t places = conv.window.outputs();
  for (std::size_t i = 0; i < rows * channels; ++i) {
    slope.slope[i % channels] += Sum(slope.output_slope + i * places, places);
  }
}

}  // namespace

std::size_t ConvScratch(const Layer& layer) {
  const Convolution conv = ConvolutionOf(layer);
  return conv.IsPointwise() || conv.IsDepthwise() ? 0 : conv.depth() * conv.window.outputs();
}

void ConvForward(const Layer& layer, const Operands& operands, float* output) {
  const Convolution conv = ConvolutionOf(layer);
  const std::size_t places = conv.window.outputs();
  FillBias(conv, operands, output);
  ForEachGroup(conv, operands.rows, [&](std::size_t input, std::size_t offset, std::size_t weights) {
    const float* x = operands.inputs[kX] + input;
    const float* weight = operands.inputs[kWeight] + weights;
    if (conv.IsDepthwise()) return DepthwiseForward(conv, x, weight, output + offset);
    const float* columns = ColumnsOf(conv, x, operands.scratch);
    Multiply({.m = conv.out,
              .n = places,
              .k = conv.depth(),
              .a = {.data = weight, .stride = conv.depth(), .orientation = Orientation::kAsIs},
              .b = {.data = columns, .stride = places, .orientation = Orientation::kAsIs},
              .c = output + offset,
              .c_stride = places,
              .output = GemmOutput::kAdd},
             operands.gemm_scratch);
  });
}

void ConvBackward(const Layer& layer, const Operands& operands, const Slope& slope) {
  const Convolution conv = ConvolutionOf(layer);
  if (slope.which == kX) return InputSlope(conv, operands, slope);
  if (slope.which == kWeight) return WeightSlope(conv, operands, slope);
  BiasSlope(conv, operands.rows, slope);
}

}  // namespace tacit::inference::backward
