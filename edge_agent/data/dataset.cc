#include "edge_agent/data/dataset.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"
#include "edge_agent/data/row_filter.h"

namespace tacit::data {
namespace {

constexpr std::uint32_t kMaxClasses = 1U << 20U;

Result<std::unique_ptr<RowReader>> OpenTable(const std::filesystem::path& path, CsvHeader header) {
  TACIT_TRY(DataStream stream, DataStream::OpenFile(path));
  return OpenRows(std::move(stream), header);
}

std::uint32_t CountClasses(const Labels& classes) {
  if (const auto* names = std::get_if<LabelNames>(&classes)) return static_cast<std::uint32_t>(names->size());
  return std::get<LabelRange>(classes).classes;
}

std::optional<std::int64_t> ParseWhole(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool number = error == std::errc() && end == text.data() + text.size();
  if (!number || std::floor(value) != value || std::abs(value) > 0x1p52) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

// Where the label of a row comes from, and which class it is.
class LabelColumn {
 public:
  static Result<LabelColumn> Create(const DataSource& source, const RowReader& features) {
    LabelColumn label(source.classes);
    if (source.labels) {
      TACIT_TRY(label.table_, OpenTable(*source.labels, source.header));
      label.name_ = source.labels->string();
      if (label.table_->columns() != 1) {
        return Fail(ErrorCode::kMalformed,
                    label.name_ + ": expected one column of labels, found " + std::to_string(label.table_->columns()));
      }
    } else {
      TACIT_TRY(label.column_, FindColumn(features, Present(source.label_column, "labels are a file or a column"),
                                          {.file = source.features, .key = "label_column"}));
    }
    return label;
  }

  /// Goes along with the features; nothing to do when the label is one of their columns.
  Result<void> Next(std::uint64_t row) {
    if (table_ == nullptr) return {};
    TACIT_TRY(const bool more, table_->Next());
    if (more) return {};
    return Fail(ErrorCode::kMalformed,
                name_ + ": expected a label for each row of the features, found " + std::to_string(row));
  }

  Result<void> Finish(std::uint64_t rows) {
    if (table_ == nullptr) return {};
    TACIT_TRY(const bool more, table_->Next());
    if (!more) return {};
    return Fail(ErrorCode::kMalformed,
                name_ + ": expected " + std::to_string(rows) + " labels, one a row of the features, found more");
  }

  [[nodiscard]] std::string TextOf(const RowReader& features) const {
    return (table_ == nullptr ? features : *table_).Text(column_);
  }

  /// nullopt for a label that is none of the classes.
  Result<std::optional<std::uint32_t>> ClassOf(const RowReader& features) const {
    const RowReader& table = table_ == nullptr ? features : *table_;
    const std::string text = TextOf(features);
    if (const auto* names = std::get_if<LabelNames>(classes_)) {
      const auto found = std::ranges::find(*names, text);
      if (found == names->end()) return std::nullopt;
      return static_cast<std::uint32_t>(found - names->begin());
    }
    const auto& range = std::get<LabelRange>(*classes_);
    const std::optional<std::int64_t> label = ParseWhole(text);
    if (!label)
      return Fail(ErrorCode::kMalformed,
                  table.Where(column_) + ": expected a whole number as label, found " + Excerpt(text));
    if (*label < range.first || *label - range.first >= std::int64_t{range.classes}) return std::nullopt;
    return static_cast<std::uint32_t>(*label - range.first);
  }

  /// The column of the features that holds the label, if one does.
  [[nodiscard]] std::optional<std::size_t> own_column() const {
    return table_ == nullptr ? std::optional(column_) : std::nullopt;
  }

 private:
  explicit LabelColumn(const Labels& classes) : classes_(&classes) {}

  const Labels* classes_;
  std::unique_ptr<RowReader> table_;
  std::string name_;
  std::size_t column_ = 0;
};

Result<void> CheckSource(const DataSource& source) {
  if (source.labels.has_value() == source.label_column.has_value()) {
    return Fail(ErrorCode::kInvalidArgument, "data: give either a file of labels or the column that holds them");
  }
  const std::uint32_t classes = CountClasses(source.classes);
  if (classes < 1 || classes > kMaxClasses) {
    return Fail(ErrorCode::kInvalidArgument, "data: classes must be 1 to " + std::to_string(kMaxClasses));
  }
  if (const auto* range = std::get_if<LabelRange>(&source.classes);
      range != nullptr && std::abs(range->first) > (1LL << 52)) {
    return Fail(ErrorCode::kInvalidArgument, "data: the first label must be within 2^52 of zero");
  }
  if (!std::isfinite(source.scale) || !std::isfinite(source.missing.value_or(0))) {
    return Fail(ErrorCode::kInvalidArgument, "data: scale and the value for missing fields must be finite");
  }
  return {};
}

// Columns that are features: all but the label, the selecting column and the ignored ones.
Result<std::vector<std::size_t>> FeatureColumns(const DataSource& source, const RowReader& table,
                                                std::optional<std::size_t> label_column) {
  std::vector<bool> used(table.columns(), true);
  if (label_column) used[*label_column] = false;
  for (const std::string& name : source.ignored_columns) {
    TACIT_TRY(const std::size_t column, FindColumn(table, name, {.file = source.features, .key = "ignore_columns"}));
    used[column] = false;
  }
  const auto* where = std::get_if<RowsWhere>(&source.rows);
  if (where != nullptr && !where->file) {
    TACIT_TRY(const std::size_t column,
              FindColumn(table, where->column, {.file = source.features, .key = kSelectingKey}));
    used[column] = false;
  }
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i]) columns.push_back(i);
  }
  if (!columns.empty()) return columns;
  return Fail(ErrorCode::kInvalidArgument, source.features.string() + ": no column is left to be a feature");
}

Result<float> FeatureAt(const DataSource& source, const RowReader& table, std::size_t column) {
  TACIT_TRY(const std::optional<double> number, table.Number(column));
  if (!number && !source.missing) {
    return Fail(ErrorCode::kMalformed, table.Where(column) + ": expected a number, found an empty field");
  }
  const auto value = static_cast<float>(number.value_or(source.missing.value_or(0)) * source.scale);
  if (std::isfinite(value)) return value;
  return Fail(ErrorCode::kMalformed,
              table.Where(column) + ": expected a number that fits float32 after scaling, found " + table.Text(column));
}

Result<void> AppendRow(const DataSource& source, const RowReader& table, const std::vector<std::size_t>& columns,
                       Dataset& into) {
  if (into.x.size() + columns.size() > source.max_values) {
    return Fail(ErrorCode::kTooLarge, source.features.string() + ": more than " + std::to_string(source.max_values) +
                                          " feature values are selected; choose fewer rows for this device");
  }
  for (const std::size_t column : columns) {
    TACIT_TRY(into.x.emplace_back(), FeatureAt(source, table, column));
  }
  ++into.rows;
  return {};
}

void Count(LeftOut& left_out, const std::string& label) {
  ++left_out.rows;
  if (left_out.labels.size() >= kMaxLabelsLeftOut) return;
  std::string shown = label.substr(0, kMaxLabelBytes);
  if (std::ranges::find(left_out.labels, shown) == left_out.labels.end()) left_out.labels.push_back(std::move(shown));
}

Result<void> CheckNotEmpty(const DataSource& source, const Dataset& dataset, std::uint64_t rows_read) {
  if (dataset.rows > 0) return {};
  std::string found;
  for (const std::string& label : dataset.left_out.labels) found += (found.empty() ? " " : ", ") + Excerpt(label);
  const std::string why =
      found.empty() ? "check the row selection"
                    : std::to_string(dataset.left_out.rows) + " have labels that are none of the classes:" + found;
  return Fail(ErrorCode::kInvalidArgument,
              source.features.string() + ": none of its " + std::to_string(rows_read) + " rows is selected; " + why);
}

std::filesystem::path PlainOrGzip(const std::filesystem::path& plain) {
  std::filesystem::path packed = plain;
  packed += ".gz";
  std::error_code ignored;
  return std::filesystem::exists(packed, ignored) ? packed : plain;
}

}  // namespace

std::string LabelOf(const Labels& labels, std::uint32_t index) {
  if (const auto* names = std::get_if<LabelNames>(&labels)) return names->at(index);
  return std::to_string(std::get<LabelRange>(labels).first + index);
}

Result<Dataset> LoadDataset(const DataSource& source) {
  TACIT_TRY_VOID(CheckSource(source));
  TACIT_TRY(const std::unique_ptr<RowReader> table, OpenTable(source.features, source.header));
  TACIT_TRY(LabelColumn label, LabelColumn::Create(source, *table));
  TACIT_TRY(const std::unique_ptr<RowFilter> filter, MakeRowFilter(source, *table));
  TACIT_TRY(const std::vector<std::size_t> columns, FeatureColumns(source, *table, label.own_column()));
  Dataset dataset{
      .features = columns.size(), .classes = CountClasses(source.classes), .x = {}, .y = {}, .labels = source.classes};
  std::uint64_t row = 0;
  for (;; ++row) {
    TACIT_TRY(const bool more, table->Next());
    if (!more) break;
    TACIT_TRY_VOID(label.Next(row));
    TACIT_TRY(const bool wanted, filter->Wants(row, *table));
    if (!wanted) continue;
    TACIT_TRY(const std::optional<std::uint32_t> row_class, label.ClassOf(*table));
    if (!row_class) {
      Count(dataset.left_out, label.TextOf(*table));
      continue;
    }
    TACIT_TRY_VOID(AppendRow(source, *table, columns, dataset));
    dataset.y.push_back(*row_class);
  }
  TACIT_TRY_VOID(label.Finish(row));
  TACIT_TRY_VOID(filter->Finish(row));
  TACIT_TRY_VOID(CheckNotEmpty(source, dataset, row));
  return dataset;
}

DataSource SourceOf(const PeopleLayout& layout) {
  const std::string prefix = layout.split == Split::kTrain ? "train" : "test";
  DataSource source{
      .features = PlainOrGzip(layout.directory / (prefix + "_x.i8.npy")),
      .labels = PlainOrGzip(layout.directory / (prefix + "_y.u8.npy")),
      .classes = LabelRange{.first = 1, .classes = 6},
      .scale = 1.0 / 127,
  };
  if (layout.subject) {
    source.rows = RowsWhere{.file = PlainOrGzip(layout.directory / (prefix + "_subject.u8.npy")),
                            .value = std::to_string(*layout.subject)};
  }
  return source;
}

}  // namespace tacit::data
