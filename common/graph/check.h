#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/graph/graph.h"
#include "common/graph/shapes.h"

namespace tacit::graph {

inline constexpr std::size_t kMaxNodes = 4096;
inline constexpr std::size_t kMaxValues = 16384;
inline constexpr std::size_t kMaxPorts = 64;        ///< Inputs of a model, and outputs.
inline constexpr std::size_t kMaxNodeInputs = 256;  ///< Concat takes the most.
inline constexpr std::size_t kMaxName = 255;        ///< Characters of a name.
inline constexpr std::size_t kMaxWeightBytes = std::size_t{1} << 31U;
/// Multiplications and additions in pairs for one row: a hundred times what a large vision model needs.
inline constexpr std::uint64_t kMaxRowWork = std::uint64_t{1} << 36U;
/// Constants begin at multiples of this, and so do the weights.
inline constexpr std::size_t kAlignment = 64;

/// Everything that an engine relies on in a graph with `weights_size` bytes of constants:
/// - counts are within the limits above, names are printable ASCII, those of inputs and outputs are there and differ;
/// - every id is of a value; each value is exactly one of an input, a constant, or the output of one node, and nodes
///   stand in an order in which each has its inputs; outputs are computed by a node, once each, and have rows;
/// - elements, ranks and shapes are what InferOutput says, also where a value is a constant; attributes that an
/// operator
///   does not use have their initial value;
/// - every constant is inside the weights, at a multiple of kAlignment, as long as its shape says, and none overlaps
///   another;
/// - what one row costs is at most kMaxRowWork.
/// Errors: kInvalidArgument, naming node and operator or value. Cost: linear, but for sorting constants.
Result<void> Check(const Graph& graph, std::size_t weights_size);

/// What an engine relies on in the bytes of constants: scales are finite and above 0, zero points of int32 values are
/// 0. Shape: a graph that Check takes, and its weights. Errors: kInvalidArgument, naming the node.
Result<void> CheckScales(const Graph& graph, ByteSpan weights);

}  // namespace tacit::graph
