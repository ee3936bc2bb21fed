#include "edge_agent/data/array_rows.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

namespace tacit::data {
namespace {

template <typename T, bool kSwap>
double Decode(const std::uint8_t* bytes) {
  std::array<std::uint8_t, sizeof(T)> raw;
  for (std::size_t i = 0; i < sizeof(T); ++i) raw[kSwap ? sizeof(T) - 1 - i : i] = bytes[i];
  return static_cast<double>(std::bit_cast<T>(raw));
}

class ArrayReader final : public RowReader {
 public:
  ArrayReader(DataStream stream, ElementType element, std::uint64_t rows, std::size_t columns)
      : stream_(std::move(stream)),
        element_(element),
        rows_left_(rows),
        columns_(columns),
        row_(columns * element.size) {}

  [[nodiscard]] std::size_t columns() const override { return columns_; }
  [[nodiscard]] const std::vector<std::string>& names() const override { return names_; }

  Result<bool> Next() override {
    if (rows_left_ == 0) {
      TACIT_TRY(const bool at_end, stream_.AtEnd());
      if (!at_end)
        return stream_.Malformed("the end of the file after the last row of the header's shape", "more bytes");
      return false;
    }
    row_offset_ = stream_.offset();
    TACIT_TRY_VOID(stream_.ReadExactly(row_, "array data"));
    --rows_left_;
    return true;
  }

  [[nodiscard]] Result<std::optional<double>> Number(std::size_t column) const override {
    const double value = At(column);
    if (std::isfinite(value)) return value;
    return Fail(ErrorCode::kMalformed, Where(column) + ": expected a finite number, found " + Text(column));
  }

  [[nodiscard]] std::string Text(std::size_t column) const override {
    std::array<char, 32> text{};
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), At(column)).ptr};
  }

  [[nodiscard]] std::string Where(std::size_t column) const override {
    return stream_.name() + ":byte " + std::to_string(row_offset_ + column * element_.size);
  }

 private:
  [[nodiscard]] double At(std::size_t column) const { return element_.decode(row_.data() + column * element_.size); }

  DataStream stream_;
  ElementType element_;
  std::uint64_t rows_left_;
  std::size_t columns_;
  std::vector<std::string> names_;
  std::uint64_t row_offset_ = 0;
  Bytes row_;
};

}  // namespace

template <typename T>
ElementType LittleEndian() {
  return {.size = sizeof(T), .decode = &Decode<T, false>};
}
template <typename T>
ElementType BigEndian() {
  return {.size = sizeof(T), .decode = &Decode<T, true>};
}

template ElementType LittleEndian<std::int8_t>();
template ElementType LittleEndian<std::uint8_t>();
template ElementType LittleEndian<std::int16_t>();
template ElementType LittleEndian<std::uint16_t>();
template ElementType LittleEndian<std::int32_t>();
template ElementType LittleEndian<std::uint32_t>();
template ElementType LittleEndian<std::int64_t>();
template ElementType LittleEndian<float>();
template ElementType LittleEndian<double>();
template ElementType BigEndian<std::int8_t>();
template ElementType BigEndian<std::uint8_t>();
template ElementType BigEndian<std::int16_t>();
template ElementType BigEndian<std::int32_t>();
template ElementType BigEndian<float>();
template ElementType BigEndian<double>();

Result<std::unique_ptr<RowReader>> ArrayRows(DataStream stream, ElementType element,
                                             std::span<const std::uint64_t> extents) {
  if (extents.empty()) return stream.Malformed("an array of at least one dimension", "a single number");
  std::uint64_t columns = 1;
  for (const std::uint64_t extent : extents.subspan(1)) {
    // Both factors are at most 2^21, so the product cannot overflow.
    if (extent == 0 || extent > RowReader::kMaxColumns || columns * extent > RowReader::kMaxColumns) {
      return stream.Malformed("rows of 1 to " + std::to_string(RowReader::kMaxColumns) + " numbers", "another shape");
    }
    columns *= extent;
  }
  return std::make_unique<ArrayReader>(std::move(stream), element, extents[0], static_cast<std::size_t>(columns));
}

}  // namespace tacit::data
