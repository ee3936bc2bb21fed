#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "edge_agent/data/array_rows.h"
#include "edge_agent/data/row_reader.h"

namespace tacit::data {
namespace {

constexpr std::uint8_t kMaxIdxDimensions = 8;

std::optional<ElementType> ElementOf(std::uint8_t code) {
  switch (code) {
    case 0x08:
      return BigEndian<std::uint8_t>();
    case 0x09:
      return BigEndian<std::int8_t>();
    case 0x0b:
      return BigEndian<std::int16_t>();
    case 0x0c:
      return BigEndian<std::int32_t>();
    case 0x0d:
      return BigEndian<float>();
    case 0x0e:
      return BigEndian<double>();
    default:
      return std::nullopt;
  }
}

Result<std::vector<std::uint64_t>> ReadExtents(DataStream& stream, std::size_t dimensions) {
  std::vector<std::uint64_t> extents;
  for (std::size_t i = 0; i < dimensions; ++i) {
    std::array<std::uint8_t, 4> raw{};
    TACIT_TRY_VOID(stream.ReadExactly(raw, "the IDX dimensions"));
    extents.push_back((std::uint64_t{raw[0]} << 24U) | (std::uint64_t{raw[1]} << 16U) | (std::uint64_t{raw[2]} << 8U) |
                      raw[3]);
  }
  return extents;
}

}  // namespace

Result<std::unique_ptr<RowReader>> OpenIdx(DataStream stream) {
  std::array<std::uint8_t, 4> magic{};
  TACIT_TRY_VOID(stream.ReadExactly(magic, "the IDX magic number"));
  const std::optional<ElementType> element = ElementOf(magic[2]);
  if (magic[0] != 0 || magic[1] != 0 || !element) {
    return stream.Malformed("an IDX magic number 00 00 with type 08, 09, 0b, 0c, 0d or 0e", ToHex(magic));
  }
  if (magic[3] < 1 || magic[3] > kMaxIdxDimensions) {
    return stream.Malformed("1 to 8 dimensions", std::to_string(magic[3]));
  }
  TACIT_TRY(const std::vector<std::uint64_t> extents, ReadExtents(stream, magic[3]));
  return ArrayRows(std::move(stream), *element, extents);
}

Result<std::unique_ptr<RowReader>> OpenRows(DataStream stream, CsvHeader header) {
  TACIT_TRY(const ByteSpan head, stream.Peek(6));
  if (AsText(head) == "\x93NUMPY") return OpenNpy(std::move(stream));
  // No CSV starts with a zero byte.
  if (head.size() >= 2 && head[0] == 0 && head[1] == 0) return OpenIdx(std::move(stream));
  return OpenCsv(std::move(stream), header);
}

}  // namespace tacit::data
