#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "edge_agent/data/dataset.h"
#include "edge_agent/data/row_reader.h"

namespace tacit::data {

/// Decides, row by row in file order, which rows belong to this device.
class RowFilter {
 public:
  virtual ~RowFilter() = default;
  /// Asked once for each row; `features` stands at that row.
  virtual Result<bool> Wants(std::uint64_t row, const RowReader& features) = 0;
  /// After the last row: fails when the filter speaks of rows that were not there.
  virtual Result<void> Finish(std::uint64_t rows) = 0;
};

/// The key of the description of the data that names the column which selects rows.
inline constexpr std::string_view kSelectingKey = "[data.rows] column";

/// Who asks for a column, for the complaint when it is not there.
struct ColumnUse {
  std::filesystem::path file;  ///< The table's.
  std::string_view key;        ///< Of the description of the data.
};
/// The place of a column given by name or by number counted from 1. Errors: kInvalidArgument, naming the columns there
/// are.
Result<std::size_t> FindColumn(const RowReader& table, const std::string& column, const ColumnUse& use);

Result<std::unique_ptr<RowFilter>> MakeRowFilter(const DataSource& source, const RowReader& features);

}  // namespace tacit::data
