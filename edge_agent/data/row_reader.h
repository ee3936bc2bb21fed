#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "edge_agent/data/data_stream.h"

namespace tacit::data {

/// A table of numbers, one row after another, whatever the file format. Holds one row in memory.
/// Errors of all reads: kMalformed, with the place in the file, what was expected and what was found.
class RowReader {
 public:
  /// More columns than a model may have inputs cannot be trained on; it also bounds the memory of one row.
  static constexpr std::size_t kMaxColumns = (1U << 20U) + 64;

  virtual ~RowReader() = default;
  [[nodiscard]] virtual std::size_t columns() const = 0;
  /// The names of the columns, or empty.
  [[nodiscard]] virtual const std::vector<std::string>& names() const = 0;
  /// Goes to the next row; false after the last one. Nothing may follow the last row.
  virtual Result<bool> Next() = 0;
  /// The finite number in a column of the current row; nullopt for an empty field.
  [[nodiscard]] virtual Result<std::optional<double>> Number(std::size_t column) const = 0;
  /// The same as text: a field without its quotes, or the shortest decimal form of a number.
  [[nodiscard]] virtual std::string Text(std::size_t column) const = 0;
  /// Where a column of the current row is, for error messages.
  [[nodiscard]] virtual std::string Where(std::size_t column) const = 0;
};

enum class CsvHeader : std::uint8_t {
  kAuto,  ///< The first line names the columns when none of its fields is a number.
  kPresent,
  kAbsent,
};

/// NPY 1.0 and 2.0 of i1 u1 i2 u2 i4 u4 i8 f4 f8, little-endian, C order; the first dimension counts the rows.
/// Source: NumPy documentation, numpy.lib.format.
Result<std::unique_ptr<RowReader>> OpenNpy(DataStream stream);
/// IDX of u8 i8 i16 i32 f32 f64, big-endian; the first dimension counts the rows. Source: the MNIST page of LeCun et
/// al.
Result<std::unique_ptr<RowReader>> OpenIdx(DataStream stream);
/// Comma-separated text, a row a line, fields quoted or not, no line break inside quotes. Source: RFC 4180.
Result<std::unique_ptr<RowReader>> OpenCsv(DataStream stream, CsvHeader header);
/// Whichever of the three the first bytes say.
Result<std::unique_ptr<RowReader>> OpenRows(DataStream stream, CsvHeader header);

}  // namespace tacit::data
