#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/graph/graph.h"

// The numbers of a tensor as JSON: the long part of a request, read without a tree of it in memory.
namespace tacit::serving {

/// A JSON text without the contents of its tensors: in its place stands the number of the array in `arrays`.
struct SplitText {
  std::string skeleton;
  std::vector<std::string_view> arrays;  ///< From bracket to bracket, in the text that was split.
};

inline constexpr std::size_t kLongestSkeleton = std::size_t{32} * 1024;
inline constexpr std::size_t kMostNesting = 16;

/// Takes the arrays of keys "data" out of the objects of an array of the outermost object. What is left is for a parser
/// to judge: it is short, and not deep. Errors: kMalformed for brackets that do not match, kMostNesting of them, a key
/// with an escape, or a "data" that is no array; kTooLarge for a skeleton over kLongestSkeleton.
Result<SplitText> SplitTensors(std::string_view json);

/// Reads numbers in JSON's grammar, flat or nested as `shape` says, into the little-endian elements that `into` is made
/// of. Shape: `into` holds as many as `shape` says. Errors: kMalformed for what is no number; kInvalidArgument for
/// another count or nesting, and for a number that the element cannot hold.
Result<void> ReadNumbers(std::string_view array, graph::Element element, std::span<const std::int64_t> shape,
                         std::span<std::uint8_t> into);

/// Writes elements as a flat JSON array. Errors: kDataLoss for a number that JSON has no text for.
Result<void> AppendNumbers(ByteSpan elements, graph::Element element, std::string& json);

}  // namespace tacit::serving
