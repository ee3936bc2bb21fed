#pragma once

#include <cstddef>
#include <vector>

#include "common/graph/graph.h"

namespace tacit::ownership {

/// Channels that must be put in one order everywhere, as those that an addition ties.
struct ChannelGroup {
  std::size_t channels = 0;
  /// Whether each can be multiplied by a positive factor too: all that is computed of them is a maximum, a mean or a
  /// ReLU, which such factors pass through.
  bool scales = true;
};

inline constexpr std::size_t kFixed = static_cast<std::size_t>(-1);

/// A part of a value's second dimension: `channels` times `block` numbers, whose order is a group's or fixed.
struct Segment {
  std::size_t group = kFixed;
  std::size_t channels = 0;
  std::size_t block = 1;  ///< Above 1 behind a Flatten: one channel's places.

  [[nodiscard]] std::size_t size() const { return channels * block; }
  bool operator==(const Segment&) const = default;
};

/// A Gemm or a Conv, and what its weights' first two dimensions are.
struct LinearNode {
  std::size_t node = 0;
  std::vector<Segment> out;
  std::vector<Segment> in;  ///< Of a depthwise Conv empty: it has one weight for each channel of `out`.
};

/// What can be changed in a model without a change of what it computes: the order and scale of channels that nobody
/// outside sees.
struct Channels {
  std::vector<ChannelGroup> groups;
  std::vector<LinearNode> nodes;  ///< All Gemm and Conv that have float32 weights, in the order of the graph.
};

/// Shape: a graph that graph::Check takes. What is not understood is fixed, so the answer never allows too much.
Channels FindChannels(const graph::Graph& graph);

}  // namespace tacit::ownership
