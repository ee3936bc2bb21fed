#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "common/graph/graph.h"
#include "edge_agent/inference/step.h"

namespace tacit::inference {

/// A nest of loops over numbers of up to three arrays, each with its own distance from one number to the next.
struct StridedLoop {
  static constexpr std::size_t kArrays = 3;
  struct Dimension {
    std::size_t count = 1;
    std::array<std::size_t, kArrays> strides = {};
  };
  std::vector<Dimension> dimensions;  ///< The innermost last; at least one after Merge.

  /// Makes one dimension of two wherever that visits the same numbers in the same order.
  void Merge();

  /// Calls visit(offsets) for each place of all dimensions but the innermost.
  template <typename Visit>
  void ForEach(Visit visit) const {
    std::array<std::size_t, kArrays> offsets = {};
    std::array<std::size_t, 8> at = {};
    const std::size_t outer = dimensions.size() - 1;
    while (true) {
      visit(offsets);
      std::size_t d = outer;
      for (; d > 0; --d) {
        const Dimension& dimension = dimensions[d - 1];
        const bool more = ++at[d - 1] < dimension.count;
        if (!more) at[d - 1] = 0;
        for (std::size_t i = 0; i < kArrays; ++i) {
          offsets[i] += more ? dimension.strides[i] : 0;
          offsets[i] -= more ? 0 : (dimension.count - 1) * dimension.strides[i];
        }
        if (more) break;
      }
      if (d == 0) return;
    }
  }
};

/// Distances in one row of a value, for each dimension of `shape` behind the rows.
std::vector<std::size_t> StridesOf(const graph::Shape& shape, Layout layout);

/// Dimensions of `shape` behind the rows, in the order in which they lie in memory.
std::vector<std::size_t> MemoryOrder(const graph::Shape& shape, Layout layout);

}  // namespace tacit::inference
