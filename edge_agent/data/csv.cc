#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "edge_agent/data/row_reader.h"

namespace tacit::data {
namespace {

// A row of the widest table with 24 characters a number.
constexpr std::size_t kLongestLine = std::size_t{32} << 20U;

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<double> ParseNumber(std::string_view text) {
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

class CsvReader final : public RowReader {
 public:
  explicit CsvReader(DataStream stream) : stream_(std::move(stream)) {}

  // Reads the first line to learn how many columns there are and whether it names them.
  Result<void> Start(CsvHeader header) {
    TACIT_TRY(const ByteSpan head, stream_.Peek(3));
    if (AsText(head) == "\xef\xbb\xbf") {
      std::array<std::uint8_t, 3> mark{};
      TACIT_TRY_VOID(stream_.ReadExactly(mark, "the byte order mark"));
    }
    TACIT_TRY(const bool any, ReadFields());
    if (!any) return Fail(ErrorCode::kMalformed, stream_.name() + ":1:1: expected a row, found the end of the file");
    columns_ = fields_.size();
    const bool names = header == CsvHeader::kPresent || (header == CsvHeader::kAuto && !HasNumber());
    if (names) names_ = std::exchange(fields_, {});
    row_is_read_ = !names;
    return {};
  }

  [[nodiscard]] std::size_t columns() const override { return columns_; }
  [[nodiscard]] const std::vector<std::string>& names() const override { return names_; }

  Result<bool> Next() override {
    if (std::exchange(row_is_read_, false)) return true;
    TACIT_TRY(const bool more, ReadFields());
    if (!more) return false;
    if (fields_.size() == columns_) return true;
    return Fail(ErrorCode::kMalformed, Where(std::min(fields_.size(), columns_)) + ": expected " +
                                           std::to_string(columns_) + " fields as in the first line, found " +
                                           std::to_string(fields_.size()));
  }

  [[nodiscard]] Result<std::optional<double>> Number(std::size_t column) const override {
    const std::string& field = fields_[column];
    if (field.empty()) return std::nullopt;
    if (const std::optional<double> value = ParseNumber(field)) return value;
    return Fail(ErrorCode::kMalformed, Where(column) + ": expected a finite number, found " + Excerpt(field));
  }

  [[nodiscard]] std::string Text(std::size_t column) const override { return fields_[column]; }

  [[nodiscard]] std::string Where(std::size_t column) const override {
    return stream_.name() + ":" + std::to_string(line_number_) + ":" + std::to_string(column + 1);
  }

 private:
  // Blank lines are passed over, so that a file may end in some.
  Result<bool> ReadFields() {
    do {
      TACIT_TRY(const bool more, stream_.ReadLine(line_, kLongestLine));
      if (!more) return false;
      ++line_number_;
    } while (Trimmed(line_).empty());
    TACIT_TRY_VOID(SplitLine());
    return true;
  }

  Result<void> SplitLine() {
    fields_.clear();
    std::string_view rest = line_;
    while (true) {
      if (fields_.size() == kMaxColumns) {
        return Fail(ErrorCode::kMalformed, Where(fields_.size()) + ": expected at most " + std::to_string(kMaxColumns) +
                                               " fields, found more");
      }
      TACIT_TRY(const bool last, TakeField(rest));
      if (last) return {};
    }
  }

  // Moves one field, and the comma behind it, from `rest` to the fields; true when it was the last.
  Result<bool> TakeField(std::string_view& rest) {
    const std::size_t start = rest.find_first_not_of(" \t");
    if (start != std::string_view::npos && rest[start] == '"') {
      rest.remove_prefix(start + 1);
      TACIT_TRY_VOID(TakeQuoted(rest));
    } else {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      fields_.emplace_back(Trimmed(rest.substr(0, comma)));
      rest.remove_prefix(comma);
    }
    if (rest.empty()) return true;
    rest.remove_prefix(1);
    return false;
  }

  // `rest` starts behind the opening quote, and is left at the comma behind the closing one.
  Result<void> TakeQuoted(std::string_view& rest) {
    std::string field;
    while (true) {
      const std::size_t quote = rest.find('"');
      if (quote == std::string_view::npos) {
        return Fail(ErrorCode::kMalformed,
                    Where(fields_.size()) + ": expected a closing quote on the same line, found none");
      }
      field += rest.substr(0, quote);
      rest.remove_prefix(quote + 1);
      if (!rest.starts_with('"')) break;
      field += '"';
      rest.remove_prefix(1);
    }
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (!rest.empty() && rest.front() != ',') {
      return Fail(ErrorCode::kMalformed,
                  Where(fields_.size()) + ": expected a comma behind the closing quote, found " + Excerpt(rest));
    }
    fields_.push_back(std::move(field));
    return {};
  }

  [[nodiscard]] bool HasNumber() const {
    return std::ranges::any_of(fields_, [](const std::string& field) { return ParseNumber(field).has_value(); });
  }

  DataStream stream_;
  std::string line_;
  std::uint64_t line_number_ = 0;
  std::size_t columns_ = 0;
  std::vector<std::string> names_;
  std::vector<std::string> fields_;
  bool row_is_read_ = false;
};

}  // namespace

Result<std::unique_ptr<RowReader>> OpenCsv(DataStream stream, CsvHeader header) {
  auto reader = std::make_unique<CsvReader>(std::move(stream));
  TACIT_TRY_VOID(reader->Start(header));
  return reader;
}

}  // namespace tacit::data
