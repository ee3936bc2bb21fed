#include "edge_agent/app/source_config.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/files.h"
#include "common/base/toml.h"

namespace tacit::agent {

using data::CsvHeader;
using data::DataSource;
using data::LabelNames;
using data::LabelRange;
using data::RowsListed;
using data::RowsWhere;

namespace {

constexpr std::size_t kMaxFileBytes = 64 * 1024;

// All errors of one file, collected so that they can be mended in one go.
class Complaints {
 public:
  explicit Complaints(std::string_view file_name) : file_name_(file_name) {}

  void Add(const toml::source_region& where, const std::string& what) {
    if (!text_.empty()) text_ += '\n';
    text_ +=
        file_name_ + ":" + std::to_string(where.begin.line) + ":" + std::to_string(where.begin.column) + ": " + what;
  }
  [[nodiscard]] bool any() const { return !text_.empty(); }
  [[nodiscard]] std::unexpected<Error> ToError() const { return Fail(ErrorCode::kInvalidArgument, text_); }

 private:
  std::string file_name_;
  std::string text_;
};

// A table whose keys are taken one by one; what is left over is unknown.
class Section {
 public:
  Section(const toml::table& table, std::string name, Complaints& complaints)
      : table_(table), name_(std::move(name)), complaints_(complaints) {}

  // The value under `key`, or nullopt when it is absent or of another type (which is complained about).
  template <typename T>
  std::optional<T> Take(std::string_view key, std::string_view type_name) {
    const toml::node* node = Find(key);
    if (node == nullptr) return std::nullopt;
    std::optional<T> value = node->value<T>();
    if (!value) Complain(*node, std::string(key) + " must be " + std::string(type_name));
    return value;
  }

  std::optional<std::string> TakeText(std::string_view key) { return Take<std::string>(key, "a string"); }

  std::optional<std::vector<std::string>> TakeTexts(std::string_view key) {
    const toml::node* node = Find(key);
    if (node == nullptr) return std::nullopt;
    std::vector<std::string> texts;
    if (const toml::array* array = node->as_array()) {
      for (const toml::node& element : *array) {
        if (auto text = element.value_exact<std::string>()) texts.push_back(*std::move(text));
      }
      if (texts.size() == array->size()) return texts;
    }
    Complain(*node, std::string(key) + " must be a list of strings");
    return std::nullopt;
  }

  const toml::node* Find(std::string_view key) {
    if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
    return table_.get(key);
  }

  void Complain(const toml::node& node, const std::string& what) {
    complaints_.Add(node.source(), "[" + name_ + "] " + what);
  }
  void Complain(const std::string& what) { Complain(table_, what); }

  void ComplainAboutUnknownKeys() {
    std::string list;
    for (const std::string& key : known_) list += (list.empty() ? "" : ", ") + key;
    for (const auto& [key, node] : table_) {
      if (std::ranges::find(known_, key.str()) == known_.end()) {
        Complain(node, "unknown key '" + std::string(key.str()) + "'; known here: " + list);
      }
    }
  }

 private:
  const toml::table& table_;
  std::string name_;
  Complaints& complaints_;
  std::vector<std::string> known_;
};

void ReadClasses(Section& section, DataSource& source) {
  const toml::node* node = section.Find("classes");
  const std::optional<std::int64_t> first = section.Take<std::int64_t>("first_label", "a whole number");
  if (node == nullptr) return section.Complain("classes is needed: a number of classes, or a list of labels");
  if (node->is_array()) {
    source.classes = section.TakeTexts("classes").value_or(LabelNames{});
    if (first) section.Complain("first_label does not go with a list of labels");
    return;
  }
  const std::optional<std::int64_t> count = node->value_exact<std::int64_t>();
  if (!count || *count < 1 || *count > (1 << 20)) {
    return section.Complain(*node, "classes must be a number from 1 to 1048576 or a list of labels");
  }
  source.classes = LabelRange{.first = first.value_or(0), .classes = static_cast<std::uint32_t>(*count)};
}

void ReadRows(Section& section, const std::filesystem::path& base, DataSource& source) {
  const std::optional<std::string> file = section.TakeText("file");
  const std::optional<std::string> column = section.TakeText("column");
  const std::optional<std::string> value = section.TakeText("value");
  const std::optional<std::string> list = section.TakeText("list");
  const std::optional<std::int64_t> client = section.Take<std::int64_t>("client", "a whole number");
  if (list && !file && !column && !value) {
    if (client && *client < 0) section.Complain("client must be 0 or greater");
    source.rows = RowsListed{.file = base / *list,
                             .client = client ? std::optional(static_cast<std::uint64_t>(*client)) : std::nullopt};
  } else if (value && (file || column) && !list && !client) {
    RowsWhere where{.column = column.value_or("1"), .value = *value};
    if (file) where.file = base / *file;
    source.rows = std::move(where);
  } else {
    section.Complain("give either value with column or file or both, or list with or without client");
  }
}

void ReadData(const toml::table& table, const std::filesystem::path& base, Complaints& complaints, DataSource& source) {
  Section section(table, "data", complaints);
  if (const auto features = section.TakeText("features")) {
    source.features = base / *features;
  } else {
    section.Complain("features is needed: the file that holds them");
  }
  if (const auto labels = section.TakeText("labels")) source.labels = base / *labels;
  source.label_column = section.TakeText("label_column");
  if (source.labels.has_value() == source.label_column.has_value()) {
    section.Complain("give either labels, a file, or label_column");
  }
  ReadClasses(section, source);
  source.ignored_columns = section.TakeTexts("ignore_columns").value_or(std::vector<std::string>{});
  source.scale = section.Take<double>("scale", "a number").value_or(1);
  source.missing = section.Take<double>("missing", "a number");
  if (const auto header = section.Take<bool>("header", "true or false")) {
    source.header = *header ? CsvHeader::kPresent : CsvHeader::kAbsent;
  }
  if (const toml::node* rows = section.Find("rows")) {
    if (const toml::table* rows_table = rows->as_table()) {
      Section rows_section(*rows_table, "data.rows", complaints);
      ReadRows(rows_section, base, source);
      rows_section.ComplainAboutUnknownKeys();
    } else {
      section.Complain(*rows, "rows must be a table");
    }
  }
  section.ComplainAboutUnknownKeys();
}

}  // namespace

Result<DataSource> ParseDataSource(std::string_view toml, std::string_view file_name,
                                   const std::filesystem::path& base) {
  TACIT_TRY(const toml::table root, ParseToml(toml, file_name, kMaxFileBytes));
  Complaints complaints(file_name);
  DataSource source;
  for (const auto& [key, node] : root) {
    if (key.str() != "data")
      complaints.Add(node.source(), "unknown key '" + std::string(key.str()) + "'; known here: data");
  }
  if (const toml::table* data = root["data"].as_table()) {
    ReadData(*data, base, complaints, source);
  } else {
    complaints.Add(root.source(), "a table [data] is needed");
  }
  if (complaints.any()) return complaints.ToError();
  return source;
}

Result<DataSource> LoadDataSource(const std::filesystem::path& file) {
  TACIT_TRY(const Bytes text, ReadFile(file, kMaxFileBytes));
  return ParseDataSource(AsText(text), file.string(), file.parent_path());
}

}  // namespace tacit::agent
