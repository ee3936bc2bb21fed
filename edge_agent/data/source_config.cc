#include "edge_agent/data/source_config.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/files.h"
#include "common/base/text.h"
#include "common/base/toml.h"

namespace tacit::data {

namespace {

constexpr std::size_t kMaxFileBytes = 64 * 1024;

// All errors of one file, collected so that they can be mended in one go, in the order of its lines.
class Complaints {
 public:
  explicit Complaints(std::string_view file_name) : file_name_(file_name) {}

  void Add(const toml::source_region& where, std::string what) {
    found_.emplace(std::pair(where.begin.line, where.begin.column), std::move(what));
  }
  [[nodiscard]] bool any() const { return !found_.empty(); }
  [[nodiscard]] std::unexpected<Error> ToError() const {
    std::string text;
    for (const auto& [at, what] : found_) {
      text += (text.empty() ? "" : "\n") + file_name_ + ":" + std::to_string(at.first) + ":" +
              std::to_string(at.second) + ": " + what;
    }
    return Fail(ErrorCode::kInvalidArgument, std::move(text));
  }

 private:
  std::string file_name_;
  std::multimap<std::pair<toml::source_index, toml::source_index>, std::string> found_;  // by line and column
};

// Text, or a whole number as it is written in a table: a column's number, a label, a value.
std::optional<std::string> TextOrNumber(const toml::node& node) {
  if (const auto number = node.value_exact<std::int64_t>()) return std::to_string(*number);
  return node.value_exact<std::string>();
}

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

  std::optional<std::string> TakeTextOrNumber(std::string_view key) {
    const toml::node* node = Find(key);
    if (node == nullptr) return std::nullopt;
    std::optional<std::string> text = TextOrNumber(*node);
    if (!text) Complain(*node, std::string(key) + " must be a string or a whole number");
    return text;
  }

  bool Has(std::string_view key) { return Find(key) != nullptr; }

  std::optional<std::vector<std::string>> TakeTexts(std::string_view key) {
    const toml::node* node = Find(key);
    if (node == nullptr) return std::nullopt;
    std::vector<std::string> texts;
    if (const toml::array* array = node->as_array()) {
      for (const toml::node& element : *array) {
        if (auto text = TextOrNumber(element)) texts.push_back(*std::move(text));
      }
      if (texts.size() == array->size()) return texts;
    }
    Complain(*node, std::string(key) + " must be a list of strings or whole numbers");
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

void CheckClassNames(Section& section, const toml::node& node, LabelNames names) {
  if (names.size() < 2) section.Complain(node, "classes must list at least 2 labels");
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end()) section.Complain(node, "classes lists " + Excerpt(*twice) + " twice");
}

void ReadClasses(Section& section, DataSource& source) {
  const toml::node* node = section.Find("classes");
  const std::optional<std::int64_t> first = section.Take<std::int64_t>("first_label", "a whole number");
  if (node == nullptr) return section.Complain("classes is needed: a number of classes, or a list of labels");
  if (node->is_array()) {
    if (first) section.Complain("first_label does not go with a list of labels");
    auto names = section.TakeTexts("classes");
    if (!names) return;
    CheckClassNames(section, *node, *names);
    source.classes = *std::move(names);
    return;
  }
  // One class alone is nothing to learn, and no task is for it.
  const std::optional<std::int64_t> count = node->value_exact<std::int64_t>();
  if (!count || *count < 2 || *count > (1 << 20)) {
    return section.Complain(*node, "classes must be a number from 2 to 1048576 or a list of labels");
  }
  source.classes = LabelRange{.first = first.value_or(0), .classes = static_cast<std::uint32_t>(*count)};
}

void ReadRows(Section& section, const std::filesystem::path& base, DataSource& source) {
  const std::optional<std::string> file = section.TakeText("file");
  const std::optional<std::string> column = section.TakeTextOrNumber("column");
  const std::optional<std::string> value = section.TakeTextOrNumber("value");
  const std::optional<std::string> list = section.TakeText("list");
  const std::optional<std::int64_t> client = section.Take<std::int64_t>("client", "a whole number");
  // By what is given: that it is of a wrong type is said already.
  const bool by_value = section.Has("value") && (section.Has("file") || section.Has("column")) &&
                        !section.Has("list") && !section.Has("client");
  const bool by_list = section.Has("list") && !section.Has("file") && !section.Has("column") && !section.Has("value");
  if (!by_value && !by_list)
    return section.Complain("give either value with column or file or both, or list with or without client");
  if (by_list && list) {
    if (client && *client < 0) section.Complain("client must be 0 or greater");
    source.rows = RowsListed{.file = base / *list,
                             .client = client ? std::optional(static_cast<std::uint64_t>(*client)) : std::nullopt};
  } else if (by_value && value) {
    RowsWhere where{.column = column.value_or("1"), .value = *value};
    if (file) where.file = base / *file;
    source.rows = std::move(where);
  }
}

// Features are float32: a factor that rounds to 0 there leaves nothing of them, and nobody would see it in a loss.
void ReadScale(Section& section, DataSource& source) {
  source.scale = section.Take<double>("scale", "a number").value_or(1);
  constexpr auto kLeast = static_cast<double>(std::numeric_limits<float>::min());
  constexpr auto kMost = static_cast<double>(std::numeric_limits<float>::max());
  if (std::abs(source.scale) >= kLeast && std::abs(source.scale) <= kMost) return;
  section.Complain(*section.Find("scale"),
                   "scale must be a factor that float32 holds, and not 0: every feature is multiplied by it");
}

void ReadData(const toml::table& table, const std::filesystem::path& base, Complaints& complaints, DataSource& source) {
  Section section(table, "data", complaints);
  if (const auto features = section.TakeText("features")) {
    source.features = base / *features;
  } else if (!section.Has("features")) {
    section.Complain("features is needed: the file that holds them");
  }
  if (const auto labels = section.TakeText("labels")) source.labels = base / *labels;
  source.label_column = section.TakeTextOrNumber("label_column");
  if (section.Has("labels") == section.Has("label_column")) {
    section.Complain("give either labels, a file, or label_column");
  }
  ReadClasses(section, source);
  source.ignored_columns = section.TakeTexts("ignore_columns").value_or(std::vector<std::string>{});
  ReadScale(section, source);
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

}  // namespace tacit::data
