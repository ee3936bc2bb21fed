#include "edge_agent/inference/plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tacit::inference {
namespace {

constexpr std::size_t kAlignment = 64;

std::size_t Aligned(std::size_t size) {
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

BufferId Plan::AddBuffer(std::size_t size) {
  buffers_.push_back({.size = Aligned(size)});
  return static_cast<BufferId>(buffers_.size() - 1);
}

std::size_t Plan::AddPacked(std::size_t size, std::function<void(std::uint8_t*)> fill) {
  const std::size_t offset = packed_size_;
  packed_.push_back({.offset = offset, .fill = std::move(fill)});
  packed_size_ += Aligned(size);
  return offset;
}

void Plan::AddStep(std::unique_ptr<Step> step, std::span<const BufferId> buffers) {
  for (const BufferId id : buffers) {
    buffers_[id].first = std::min(buffers_[id].first, steps_.size());
    buffers_[id].last = std::max(buffers_[id].last, steps_.size());
  }
  steps_.push_back(std::move(step));
}

// The largest first, each at the lowest place that none of those whose time overlaps its own has.
void Plan::Arrange() {
  std::vector<BufferId> order(buffers_.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, [&](BufferId a, BufferId b) {
    return buffers_[a].size != buffers_[b].size ? buffers_[a].size > buffers_[b].size : a < b;
  });
  offsets_.assign(buffers_.size(), 0);
  std::vector<BufferId> placed;  // by offset
  for (const BufferId id : order) {
    const Buffer& buffer = buffers_[id];
    std::size_t at = 0;
    for (const BufferId other : placed) {
      const Buffer& taken = buffers_[other];
      if (taken.last < buffer.first || buffer.last < taken.first) continue;
      if (at + buffer.size <= offsets_[other]) break;
      at = std::max(at, offsets_[other] + taken.size);
    }
    offsets_[id] = at;
    row_size_ = std::max(row_size_, at + buffer.size);
    placed.insert(std::ranges::upper_bound(placed, at, {}, [&](BufferId other) { return offsets_[other]; }), id);
  }
}

void Plan::Fill(std::uint8_t* packed) {
  for (const Packed& each : packed_) each.fill(packed + each.offset);
  packed_.clear();
}

void Plan::Run(const Frame& frame) const {
  for (const auto& step : steps_) step->Run(frame);
}

}  // namespace tacit::inference
