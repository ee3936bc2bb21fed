#include "edge_agent/inference/strided.h"

#include <algorithm>
#include <numeric>

namespace tacit::inference {

void StridedLoop::Merge() {
  std::erase_if(dimensions, [](const Dimension& dimension) { return dimension.count == 1; });
  if (dimensions.empty()) dimensions.push_back({});
  std::vector<Dimension> merged = {dimensions.back()};
  for (std::size_t i = dimensions.size() - 1; i-- > 0;) {
    Dimension& inner = merged.back();
    const Dimension& outer = dimensions[i];
    bool joins = true;
    for (std::size_t a = 0; a < kArrays; ++a) joins = joins && outer.strides[a] == inner.strides[a] * inner.count;
    if (joins) {
      inner.count *= outer.count;
    } else {
      merged.push_back(outer);
    }
  }
  std::ranges::reverse(merged);
  dimensions = std::move(merged);
}

std::vector<std::size_t> MemoryOrder(const graph::Shape& shape, Layout layout) {
  std::vector<std::size_t> order(shape.size() - 1);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (layout == Layout::kChannelsLast) std::ranges::rotate(order, order.begin() + 1);
  return order;
}

std::vector<std::size_t> StridesOf(const graph::Shape& shape, Layout layout) {
  std::vector<std::size_t> strides(shape.size() - 1);
  const std::vector<std::size_t> order = MemoryOrder(shape, layout);
  std::size_t stride = 1;
  for (std::size_t i = order.size(); i-- > 0;) {
    strides[order[i]] = stride;
    stride *= static_cast<std::size_t>(shape[order[i] + 1]);
  }
  return strides;
}

}  // namespace tacit::inference
