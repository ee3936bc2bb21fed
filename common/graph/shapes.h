#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "common/graph/graph.h"

namespace tacit::graph {

/// No number in an attribute (a kernel, a stride, a pad, a count of groups) is above this, so that sums and products of
/// a few of them and of the places of a value fit 64 bits.
inline constexpr std::uint32_t kMaxAttribute = 1U << 16U;
/// Dimensions of a value, the rows counted.
inline constexpr std::size_t kMaxRank = 6;
/// Numbers of a value, of one row where it is computed by rows.
inline constexpr std::int64_t kMaxElements = std::int64_t{1} << 28;

/// `[rows, 3, 32, 32]`, for messages.
[[nodiscard]] std::string TextOf(const Shape& shape);

/// Whether every row has numbers of its own: the first dimension is kRows.
[[nodiscard]] bool HasRows(const Shape& shape);

/// Numbers of a value, of one row where it has rows. Errors: kInvalidArgument for a shape over kMaxRank or
/// kMaxElements, with a dimension below 1, or with kRows elsewhere than in front.
Result<std::int64_t> ElementsOf(const Shape& shape);

/// A window that moves along one dimension of space.
struct Window {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  std::int64_t pad_before = 0;
  std::int64_t pad_behind = 0;

  /// From its first place to behind its last.
  [[nodiscard]] std::int64_t Extent() const { return (kernel - 1) * dilation + 1; }
  /// At how many places it stands over `length` places; 0 where it does not fit.
  [[nodiscard]] std::int64_t PlacesOver(std::int64_t length) const;
};

/// Of an attribute's pair: dimension 0 is the height, 1 the width, and the only one of values with one dimension of
/// space. Shape: `dimension` is 0 or 1.
[[nodiscard]] Window WindowOf(const Attributes& attributes, std::size_t dimension);

/// What a node computes, as far as its inputs and attributes say; a reshape's shape is the one that is recorded.
struct Inferred {
  Element element = Element::kFloat32;
  Shape shape;
};

/// The element and shape of the output of `node`, which need not be what is recorded, and all that an engine relies on
/// in its inputs and attributes but the order of nodes: counts, ranks, elements, what is a constant, windows that fit.
/// Shape: the ids of `node` are of values of `graph`, and each of these is within the limits (ElementsOf). Errors:
/// kInvalidArgument, without the node's name.
Result<Inferred> InferOutput(const Graph& graph, const Node& node);

/// Multiplications and additions in pairs, or elements where it does neither, that one row costs. Shape: a node that
/// InferOutput takes, with the output that it says.
[[nodiscard]] std::uint64_t WorkOf(const Graph& graph, const Node& node);

}  // namespace tacit::graph
