#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "edge_agent/data/row_reader.h"

namespace tacit::data {

/// How one number lies in the bytes of a binary array.
struct ElementType {
  std::size_t size = 1;
  double (*decode)(const std::uint8_t* bytes) = nullptr;
};

/// The element of type T in the byte order of this host (little-endian) or of IDX (big-endian).
template <typename T>
ElementType LittleEndian();
template <typename T>
ElementType BigEndian();

/// Rows of the array whose elements follow in `stream`; `extents` is what its header claims.
/// Errors: kMalformed for no dimension, or for a claim over the limits of a row.
Result<std::unique_ptr<RowReader>> ArrayRows(DataStream stream, ElementType element,
                                             std::span<const std::uint64_t> extents);

}  // namespace tacit::data
