#include <algorithm>
#include <array>

#include "common/base/check.h"
#include "common/graph/shapes.h"
#include "edge_agent/inference/backward.h"

namespace tacit::inference::backward {
namespace {

// The dimensions of an output, and how far each operand moves with a step along each: 0 where it is repeated.
// Neighbours along which both move as along one are one.
class Grid {
 public:
  Grid(const Layer& layer, std::size_t rows) {
    std::array<std::size_t, 2> steps = {1, 1};
    for (std::size_t i = layer.output.size(); i-- > 0;) {
      const std::size_t size = layer.output[i] == graph::kRows ? rows : static_cast<std::size_t>(layer.output[i]);
      std::array<std::size_t, 2> strides = {};
      for (std::size_t which = 0; which < 2; ++which) {
        const std::size_t own = SizeOf(layer.inputs[which], layer.output.size() - i, rows);
        strides[which] = own == 1 ? 0 : steps[which];
        steps[which] *= own;
      }
      Prepend(size, strides);
    }
    if (rank_ == 0) Prepend(1, {1, 1});
  }

  struct Run {
    std::size_t output = 0;
    std::array<std::size_t, 2> inputs = {};
    std::array<std::size_t, 2> strides = {};  // 0 or 1
    std::size_t length = 0;
  };

  // Goes through the output in order.
  template <typename Visit>
  void ForEachRun(Visit visit) const {
    std::array<std::size_t, kMaxRank> at = {};
    Run run{.strides = dimensions_[0].strides, .length = dimensions_[0].size};
    for (;;) {
      visit(run);
      run.output += run.length;
      std::size_t i = 1;
      for (; i < rank_; ++i) {
        if (++at[i] < dimensions_[i].size) break;
        at[i] = 0;
        for (std::size_t k = 0; k < 2; ++k) run.inputs[k] -= (dimensions_[i].size - 1) * dimensions_[i].strides[k];
      }
      if (i >= rank_) return;
      for (std::size_t k = 0; k < 2; ++k) run.inputs[k] += dimensions_[i].strides[k];
    }
  }

 private:
  static constexpr std::size_t kMaxRank = 8;
  struct Dimension {
    std::size_t size = 1;
    std::array<std::size_t, 2> strides = {};
  };

  // Of the dimension that is `from_behind` from the end; 1 where the shape is shorter.
  static std::size_t SizeOf(const graph::Shape& shape, std::size_t from_behind, std::size_t rows) {
    if (from_behind > shape.size()) return 1;
    const std::int64_t size = shape[shape.size() - from_behind];
    return size == graph::kRows ? rows : static_cast<std::size_t>(size);
  }

  void Prepend(std::size_t size, const std::array<std::size_t, 2>& strides) {
    if (size == 1) return;
    if (rank_ > 0) {
      Dimension& last = dimensions_[rank_ - 1];
      if (strides[0] == last.strides[0] * last.size && strides[1] == last.strides[1] * last.size) {
        last.size *= size;
        return;
      }
    }
    TACIT_CHECK(rank_ < kMaxRank, "a graph's values have fewer dimensions");
    dimensions_[rank_++] = {.size = size, .strides = strides};
  }

  std::array<Dimension, kMaxRank> dimensions_ = {};  // from the last on
  std::size_t rank_ = 0;
};

// Neither operand can be anything but one number or a row of them along a run.
template <typename Function>
void Combine(const Grid::Run& run, const float* a, const float* b, float* output, Function function) {
  a += run.inputs[0];
  b += run.inputs[1];
  output += run.output;
  if (run.strides[0] == 0) {
    for (std::size_t i = 0; i < run.length; ++i) output[i] = function(*a, b[i * run.strides[1]]);
  } else if (run.strides[1] == 0) {
    for (std::size_t i = 0; i < run.length; ++i) output[i] = function(a[i], *b);
  } else {
    for (std::size_t i = 0; i < run.length; ++i) output[i] = function(a[i], b[i]);
  }
}

// Adds what each number of the output passes on to the operand: its slope times `factors`, which is nowhere for 1.
void AddSlopes(const Grid::Run& run, const float* output_slope, const float* factors, const Slope& slope) {
  const std::size_t which = slope.which;
  const std::size_t factor_stride = run.strides[1 - which];
  float* to = slope.slope + run.inputs[which];
  output_slope += run.output;
  if (factors != nullptr) factors += run.inputs[1 - which];
  float sum = 0;
  for (std::size_t i = 0; i < run.length; ++i) {
    const float part = factors == nullptr ? output_slope[i] : output_slope[i] * factors[i * factor_stride];
    if (run.strides[which] == 0) {
      sum += part;
    } else {
      to[i] += part;
    }
  }
  if (run.strides[which] == 0) *to += sum;
}

}  // namespace

void BroadcastForward(const Layer& layer, const Operands& operands, float* output) {
  const float* a = operands.inputs[0];
  const float* b = operands.inputs[1];
  Grid(layer, operands.rows).ForEachRun([&](const Grid::Run& run) {
    if (layer.op == graph::Operator::kAdd) {
      Combine(run, a, b, output, [](float x, float y) { return x + y; });
    } else {
      Combine(run, a, b, output, [](float x, float y) { return x * y; });
    }
  });
}

void BroadcastBackward(const Layer& layer, const Operands& operands, const Slope& slope) {
  const graph::Shape& shape = layer.inputs[slope.which];
  if (graph::HasRows(shape)) std::fill_n(slope.slope, CountOf(shape, operands.rows), 0.0F);
  const float* factors = layer.op == graph::Operator::kMul ? operands.inputs[1 - slope.which] : nullptr;
  Grid(layer, operands.rows).ForEachRun([&](const Grid::Run& run) {
    AddSlopes(run, slope.output_slope, factors, slope);
  });
}

}  // namespace tacit::inference::backward
