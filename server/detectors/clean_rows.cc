#include "server/detectors/clean_rows.h"

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "edge_agent/data/data_stream.h"
#include "edge_agent/data/row_reader.h"
#include "server/task/detectors.h"

namespace tacit::detectors {
namespace {

Result<double> NumberAt(const data::RowReader& reader, std::size_t column) {
  TACIT_TRY(const std::optional<double> number, reader.Number(column));
  if (number && std::abs(*number) <= static_cast<double>(std::numeric_limits<float>::max())) return *number;
  return Fail(ErrorCode::kMalformed, reader.Where(column) + ": a clean row needs a number there");
}

Result<void> AddRow(const data::RowReader& reader, const model::ModelSpec& model, LoadedRows& rows) {
  for (std::size_t column = 0; column < model.inputs(); ++column) {
    TACIT_TRY(const double number, NumberAt(reader, column));
    rows.x.push_back(static_cast<float>(number));
  }
  if (reader.columns() == model.inputs()) return {};
  TACIT_TRY(const double label, NumberAt(reader, model.inputs()));
  if (label < 0 || label >= model.classes() || label != std::floor(label)) {
    return Fail(ErrorCode::kMalformed, reader.Where(model.inputs()) + ": a class is a whole number from 0 to " +
                                           std::to_string(model.classes() - 1));
  }
  rows.labels.push_back(static_cast<std::uint32_t>(label));
  return {};
}

}  // namespace

Result<LoadedRows> LoadCleanRows(const std::filesystem::path& file, const model::ModelSpec& model) {
  TACIT_TRY(data::DataStream stream, data::DataStream::OpenFile(file));
  TACIT_TRY(const std::unique_ptr<data::RowReader> reader, data::OpenRows(std::move(stream), data::CsvHeader::kAuto));
  if (reader->columns() != model.inputs() && reader->columns() != model.inputs() + std::size_t{1}) {
    return Fail(ErrorCode::kInvalidArgument,
                file.filename().string() + ": clean rows have " + std::to_string(model.inputs()) +
                    " columns, the model's inputs, and perhaps one more, the class; these have " +
                    std::to_string(reader->columns()));
  }
  LoadedRows rows;
  for (;;) {
    TACIT_TRY(const bool is_row, reader->Next());
    if (!is_row) return rows;
    if (rows.x.size() + model.inputs() > task::kMostCleanNumbers) {
      return Fail(ErrorCode::kTooLarge, file.filename().string() + ": clean rows have more than " +
                                            std::to_string(task::kMostCleanNumbers) + " numbers; leave some rows out");
    }
    TACIT_TRY_VOID(AddRow(*reader, model, rows));
  }
}

}  // namespace tacit::detectors
