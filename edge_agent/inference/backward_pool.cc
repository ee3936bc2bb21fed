#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <span>

#include "edge_agent/inference/backward.h"

namespace tacit::inference::backward {
namespace {

using graph::Operator;

// As many columns of a line as loops without a branch work on at once.
constexpr std::size_t kColumnsAtOnce = 64;
struct Columns {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// Calls `visit(input, column, run)` for what each tap, from the last to the first, connects with some columns of one
// line of one channel's output: places of the input from `input` on, a stride apart, with columns of the line from
// `column` on.
template <typename Visit>
void ForEachTap(const Window& window, std::size_t line, const Columns& columns, Visit visit) {
  for (std::size_t ky = window.y.kernel; ky-- > 0;) {
    const Reach& y = window.y.reaches[ky];
    if (line < y.first || line >= y.end) continue;
    const std::size_t from = (y.start + (line - y.first) * window.y.stride) * window.x.input;
    for (std::size_t kx = window.x.kernel; kx-- > 0;) {
      const Reach& x = window.x.reaches[kx];
      const std::size_t first = std::max(x.first, columns.begin);
      const std::size_t end = std::min(x.end, columns.end);
      if (first < end) visit(from + x.start + (first - x.first) * window.x.stride, first, end - first);
    }
  }
}

// Calls `visit(line, columns)` for all places of one channel's output.
template <typename Visit>
void ForEachLine(const Window& window, Visit visit) {
  for (std::size_t line = 0; line < window.y.output; ++line) {
    for (std::size_t begin = 0; begin < window.x.output; begin += kColumnsAtOnce) {
      visit(line, Columns{.begin = begin, .end = std::min(window.x.output, begin + kColumnsAtOnce)});
    }
  }
}

// How many taps of a kernel meet the input at one place of the output.
std::size_t TapsAt(const Walk& walk, std::size_t place) {
  const std::span<const Reach> reaches(walk.reaches, walk.kernel);
  return static_cast<std::size_t>(std::ranges::count_if(
      reaches, [place](const Reach& reach) { return place >= reach.first && place < reach.end; }));
}

// Numbers of some columns side by side, where the processor compares several at once; behind them is room for the rest
// of the last several.
constexpr std::size_t kSeveral = 8;
template <typename Number>
using Line = std::array<Number, kColumnsAtOnce + kSeveral>;

std::size_t Padded(std::size_t count) {
  return (count + kSeveral - 1) / kSeveral * kSeveral;
}

// What pads is `rest`.
void Gather(const float* from, std::size_t stride, std::size_t count, float rest, Line<float>& line) {
  float* to = line.data();
  for (std::size_t i = 0; i < count; ++i) to[i] = from[i * stride];
  std::fill_n(to + count, Padded(count) - count, rest);
}

// A NaN is larger than every number, and stays.
void TakeLarger(const float* values, float* best, std::size_t count) {
  for (std::size_t i = 0; i < Padded(count); ++i) {
    const float value = values[i];
    const float other = best[i];
    best[i] = ((value > other) | (value != value)) ? value : other;
  }
}

// One channel.
void MaxForward(const Window& window, const float* x, float* output) {
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  Line<float> values;
  Line<float> best;
  ForEachLine(window, [&](std::size_t line, const Columns& columns) {
    best.fill(kLeast);
    ForEachTap(window, line, columns, [&](std::size_t input, std::size_t column, std::size_t run) {
      Gather(x + input, window.x.stride, run, kLeast, values);
      TakeLarger(values.data(), best.data() + (column - columns.begin), run);
    });
    std::copy_n(best.data(), columns.end - columns.begin, output + line * window.x.output + columns.begin);
  });
}

// Where a tap meets what is the largest: at `first`, and the next a stride on.
struct Places {
  std::uint32_t first = 0;
  std::uint32_t stride = 1;
};
void NoteLargest(const float* values, const float* largest, const Places& of, std::uint32_t* places,
                 std::size_t count) {
  for (std::size_t i = 0; i < Padded(count); ++i) {
    const std::uint32_t other = places[i];
    places[i] = values[i] < largest[i] ? other : of.first + static_cast<std::uint32_t>(i) * of.stride;
  }
}

// The first of the largest has the slope: it is found last, without a branch, since which of them is the largest nobody
// can predict.
void MaxBackward(const Window& window, const float* x, const Slope& of) {
  constexpr float kMost = std::numeric_limits<float>::infinity();
  std::fill_n(of.slope, window.inputs(), 0.0F);
  Line<float> values;
  Line<float> largest;
  Line<std::uint32_t> places = {};
  const auto stride = static_cast<std::uint32_t>(window.x.stride);
  ForEachLine(window, [&](std::size_t line, const Columns& columns) {
    const std::size_t first = line * window.x.output;
    ForEachTap(window, line, columns, [&](std::size_t input, std::size_t column, std::size_t run) {
      Gather(x + input, window.x.stride, run, 0, values);
      Gather(of.output + first + column, 1, run, kMost, largest);
      NoteLargest(values.data(), largest.data(), {.first = static_cast<std::uint32_t>(input), .stride = stride},
                  places.data() + (column - columns.begin), run);
    });
    const float* output_slope = of.output_slope + first + columns.begin;
    const std::uint32_t* place = places.data();
    for (std::size_t i = 0; i < columns.end - columns.begin; ++i) of.slope[place[i]] += output_slope[i];
  });
}

// What each place of the output is divided by.
float Share(const Layer& layer, const Window& window, std::size_t line, std::size_t column) {
  if (layer.attributes.count_padding) return 1.0F / static_cast<float>(window.y.kernel * window.x.kernel);
  return 1.0F / static_cast<float>(std::max<std::size_t>(1, TapsAt(window.y, line) * TapsAt(window.x, column)));
}

void AverageForward(const Layer& layer, const Window& window, const float* x, float* output) {
  std::fill_n(output, window.outputs(), 0.0F);
  ForEachLine(window, [&](std::size_t line, const Columns& columns) {
    float* to = output + line * window.x.output;
    ForEachTap(window, line, columns, [&](std::size_t input, std::size_t column, std::size_t run) {
      for (std::size_t i = 0; i < run; ++i) to[column + i] += x[input + i * window.x.stride];
    });
    for (std::size_t i = columns.begin; i < columns.end; ++i) to[i] *= Share(layer, window, line, i);
  });
}

void AverageBackward(const Layer& layer, const Window& window, const Slope& of) {
  std::fill_n(of.slope, window.inputs(), 0.0F);
  Line<float> shares;
  ForEachLine(window, [&](std::size_t line, const Columns& columns) {
    const float* from = of.output_slope + line * window.x.output;
    for (std::size_t i = columns.begin; i < columns.end; ++i) {
      shares[i - columns.begin] = from[i] * Share(layer, window, line, i);
    }
    ForEachTap(window, line, columns, [&](std::size_t input, std::size_t column, std::size_t run) {
      const float* share = shares.data() + (column - columns.begin);
      for (std::size_t i = 0; i < run; ++i) of.slope[input + i * window.x.stride] += share[i];
    });
  });
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
      output[i] = Sum(x + i * mean.places, mean.places) / static_cast<float>(mean.places);
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
      MaxBackward(window, operands.inputs.front() + i * window.inputs(), of);
    } else {
      AverageBackward(layer, window, of);
    }
  }
}

}  // namespace tacit::inference::backward
