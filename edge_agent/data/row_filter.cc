#include "edge_agent/data/row_filter.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "common/base/text.h"

namespace tacit::data {
namespace {

// More rows than any device keeps; bounds the memory of an index file.
constexpr std::size_t kMaxListed = std::size_t{1} << 24U;
constexpr double kLargestRowNumber = 0x1p52;

class EveryRow final : public RowFilter {
 public:
  Result<bool> Wants(std::uint64_t /*row*/, const RowReader& /*features*/) override { return true; }
  Result<void> Finish(std::uint64_t /*rows*/) override { return {}; }
};

class WhereOwnColumn final : public RowFilter {
 public:
  WhereOwnColumn(std::size_t column, std::string value) : column_(column), value_(std::move(value)) {}
  Result<bool> Wants(std::uint64_t /*row*/, const RowReader& features) override {
    return features.Text(column_) == value_;
  }
  Result<void> Finish(std::uint64_t /*rows*/) override { return {}; }

 private:
  std::size_t column_;
  std::string value_;
};

class WhereColumnBeside final : public RowFilter {
 public:
  WhereColumnBeside(std::unique_ptr<RowReader> table, std::string name, std::size_t column, std::string value)
      : table_(std::move(table)), name_(std::move(name)), column_(column), value_(std::move(value)) {}

  Result<bool> Wants(std::uint64_t row, const RowReader& /*features*/) override {
    TACIT_TRY(const bool more, table_->Next());
    if (!more) {
      return Fail(ErrorCode::kMalformed,
                  name_ + ": expected a row for each row of the features, found " + std::to_string(row));
    }
    return table_->Text(column_) == value_;
  }

  Result<void> Finish(std::uint64_t rows) override {
    TACIT_TRY(const bool more, table_->Next());
    if (!more) return {};
    return Fail(ErrorCode::kMalformed,
                name_ + ": expected " + std::to_string(rows) + " rows as in the features, found more");
  }

 private:
  std::unique_ptr<RowReader> table_;
  std::string name_;
  std::size_t column_;
  std::string value_;
};

class ListedRows final : public RowFilter {
 public:
  ListedRows(std::vector<std::uint64_t> sorted, std::string name)
      : sorted_(std::move(sorted)), name_(std::move(name)) {}

  Result<bool> Wants(std::uint64_t row, const RowReader& /*features*/) override {
    if (next_ == sorted_.size() || sorted_[next_] != row) return false;
    ++next_;
    return true;
  }

  Result<void> Finish(std::uint64_t rows) override {
    if (next_ == sorted_.size()) return {};
    return Fail(ErrorCode::kMalformed, name_ + ": expected row numbers below " + std::to_string(rows) + ", found " +
                                           std::to_string(sorted_[next_]));
  }

 private:
  std::vector<std::uint64_t> sorted_;
  std::string name_;
  std::size_t next_ = 0;
};

Result<std::uint64_t> RowNumberAt(const RowReader& table, std::size_t column) {
  TACIT_TRY(const std::optional<double> value, table.Number(column));
  if (value && *value >= 0 && *value <= kLargestRowNumber && std::floor(*value) == *value) {
    return static_cast<std::uint64_t>(*value);
  }
  return Fail(ErrorCode::kMalformed,
              table.Where(column) + ": expected a row number counted from 0, found " + Excerpt(table.Text(column)));
}

Result<void> AppendRowNumbers(const RowReader& table, std::vector<std::uint64_t>& numbers) {
  if (numbers.size() + table.columns() > kMaxListed) {
    return Fail(ErrorCode::kTooLarge, table.Where(0) + ": lists more than " + std::to_string(kMaxListed) + " rows");
  }
  for (std::size_t column = 0; column < table.columns(); ++column) {
    TACIT_TRY(numbers.emplace_back(), RowNumberAt(table, column));
  }
  return {};
}

Result<std::vector<std::uint64_t>> ReadListed(const RowsListed& listed) {
  TACIT_TRY(DataStream stream, DataStream::OpenFile(listed.file));
  TACIT_TRY(const std::unique_ptr<RowReader> table, OpenRows(std::move(stream), CsvHeader::kAuto));
  if (!listed.client && table->columns() != 1) {
    return Fail(ErrorCode::kInvalidArgument,
                listed.file.string() + ": has " + std::to_string(table->columns()) +
                    " columns, one row of numbers a client; say which client this device is");
  }
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t row = 0;; ++row) {
    TACIT_TRY(const bool more, table->Next());
    if (!more && listed.client && row <= *listed.client) {
      return Fail(ErrorCode::kInvalidArgument, listed.file.string() + ": lists clients 0 to " + std::to_string(row) +
                                                   " (not included), there is no client " +
                                                   std::to_string(*listed.client));
    }
    if (!more) break;
    if (!listed.client || row == *listed.client) TACIT_TRY_VOID(AppendRowNumbers(*table, numbers));
  }
  std::ranges::sort(numbers);
  const auto twice = std::ranges::adjacent_find(numbers);
  if (twice == numbers.end()) return numbers;
  return Fail(ErrorCode::kMalformed,
              listed.file.string() + ": expected each row once, found row " + std::to_string(*twice) + " twice");
}

Result<std::unique_ptr<RowFilter>> MakeWhere(const RowsWhere& where, const DataSource& source,
                                             const RowReader& features) {
  if (!where.file) {
    TACIT_TRY(const std::size_t column,
              FindColumn(features, where.column, {.file = source.features, .key = kSelectingKey}));
    return std::make_unique<WhereOwnColumn>(column, where.value);
  }
  TACIT_TRY(DataStream stream, DataStream::OpenFile(*where.file));
  TACIT_TRY(std::unique_ptr<RowReader> table, OpenRows(std::move(stream), source.header));
  TACIT_TRY(const std::size_t column, FindColumn(*table, where.column, {.file = *where.file, .key = kSelectingKey}));
  return std::make_unique<WhereColumnBeside>(std::move(table), where.file->string(), column, where.value);
}

// A table may have more columns than anybody reads.
std::string NamesOf(const RowReader& table) {
  constexpr std::size_t kMostNames = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(kMostNames, table.names().size()); ++i) text += Excerpt(table.names()[i]) + ", ";
  if (table.names().size() > kMostNames)
    text += std::to_string(table.names().size() - kMostNames) + " more names of its first line, ";
  return text.empty() ? text : text + "or ";
}

}  // namespace

Result<std::size_t> FindColumn(const RowReader& table, const std::string& column, const ColumnUse& use) {
  const auto named = std::ranges::find(table.names(), column);
  if (named != table.names().end()) return static_cast<std::size_t>(named - table.names().begin());
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(column.data(), column.data() + column.size(), number);
  const bool whole = error == std::errc() && end == column.data() + column.size();
  if (whole && number >= 1 && number <= table.columns()) return number - 1;
  return Fail(ErrorCode::kInvalidArgument, use.file.string() + ": has no column " + Excerpt(column) + ", which " +
                                               std::string(use.key) + " names" + DidYouMean(column, table.names()) +
                                               ": expected " + NamesOf(table) + "a number from 1 to " +
                                               std::to_string(table.columns()));
}

Result<std::unique_ptr<RowFilter>> MakeRowFilter(const DataSource& source, const RowReader& features) {
  if (const auto* where = std::get_if<RowsWhere>(&source.rows)) return MakeWhere(*where, source, features);
  if (const auto* listed = std::get_if<RowsListed>(&source.rows)) {
    TACIT_TRY(std::vector<std::uint64_t> numbers, ReadListed(*listed));
    return std::make_unique<ListedRows>(std::move(numbers), listed->file.string());
  }
  return std::make_unique<EveryRow>();
}

}  // namespace tacit::data
