#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/result.h"
#include "edge_agent/data/row_reader.h"

namespace tacit::data {

/// Labels first, first + 1, ..., first + classes - 1 become classes 0, 1, ...; rows of other labels are left out.
struct LabelRange {
  std::int64_t first = 0;
  std::uint32_t classes = 0;
};
/// Labels become classes by their place in this list, compared as text; rows of other labels are left out.
using LabelNames = std::vector<std::string>;
using Labels = std::variant<LabelRange, LabelNames>;
/// What class number `index` is called in the data.
std::string LabelOf(const Labels& labels, std::uint32_t index);

inline constexpr std::size_t kMaxLabelsLeftOut = 10;
inline constexpr std::size_t kMaxLabelBytes = 40;

/// Rows that belong to this device and have a label that is none of the classes. One class that is misspelt leaves all
/// its rows out.
struct LeftOut {
  std::uint64_t rows = 0;
  std::vector<std::string> labels;  ///< The first ones, each once and cut; at most kMaxLabelsLeftOut.
};

/// What a device trains on. It never leaves the device, nor does a number computed from it other than the clipped
/// update. Shape: `x` is rows x features, row-major and finite; `y` has one class in [0, classes) for each row.
struct Dataset {
  std::size_t rows = 0;
  std::size_t features = 0;
  std::uint32_t classes = 0;
  std::vector<float> x;
  std::vector<std::uint32_t> y;
  Labels labels = {};  ///< What the classes are called.
  LeftOut left_out = {};
};

struct AllRows {};
/// Rows where a column is `value`: of a file beside the features when `file` is set, else of the features' own table.
struct RowsWhere {
  std::optional<std::filesystem::path> file = std::nullopt;
  std::string column = "1";  ///< A name, or a number counted from 1.
  std::string value;
};
/// Rows whose numbers, counted from 0, stand in a file: in its row `client`, or as its only column when `client` is not
/// set.
struct RowsListed {
  std::filesystem::path file;
  std::optional<std::uint64_t> client = std::nullopt;
};

/// Where a device's data is and which part of it belongs to this device. Files are NPY, IDX or CSV, plain or gzip.
struct DataSource {
  std::filesystem::path features;
  /// Exactly one of these two says where the labels are.
  std::optional<std::filesystem::path> labels = std::nullopt;
  std::optional<std::string> label_column =
      std::nullopt;  ///< Of the features' table: a name, or a number counted from 1.
  Labels classes;
  std::vector<std::string> ignored_columns = {};  ///< Of the features' table, besides the label and a selecting column.
  double scale = 1;                               ///< Every feature is multiplied by it.
  std::optional<double> missing =
      std::nullopt;  ///< Stands for an empty field (before scaling); without it that is an error.
  CsvHeader header = CsvHeader::kAuto;
  std::variant<AllRows, RowsWhere, RowsListed> rows = AllRows{};
  std::uint64_t max_values = std::uint64_t{1} << 28U;  ///< The most features kept: 1 GiB.
};

/// Reads the rows that `source` selects, in file order. Memory: the rows selected, and one row of each file.
/// Errors: kMalformed with file, place, what was expected and found; kNotFound for a missing file; kTooLarge over
/// `max_values`; kInvalidArgument for a source that contradicts itself or selects nothing, with labels that were found.
Result<Dataset> LoadDataset(const DataSource& source);

enum class Split : std::uint8_t { kTrain, kTest };

/// A directory with `train_x`, `train_y`, `train_subject` and the same for `test`, as NPY, perhaps gzip, features in
/// int8 steps of 1/127 and activities 1 to 6: the layout of the human activity recordings that the quickstart takes
/// with `--data`.
struct PeopleLayout {
  std::filesystem::path directory;
  Split split = Split::kTrain;
  std::optional<std::uint32_t> subject = std::nullopt;  ///< Everyone when not set.
};
DataSource SourceOf(const PeopleLayout& layout);

}  // namespace tacit::data
