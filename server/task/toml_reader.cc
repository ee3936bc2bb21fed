#include "server/task/toml_reader.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/base/toml.h"

namespace tacit::task {

namespace {

/// A hostile file can have a problem in every line; nobody reads more than this.
constexpr std::size_t kMaxProblemsShown = 100;

struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
  auto operator<=>(const Position&) const = default;
};

Position PositionOf(const toml::source_region& region) {
  // A node the parser made for a dotted key may have no region of its own.
  if (region.begin.line == 0) return {};
  return {region.begin.line, region.begin.column};
}

struct Problem {
  Position at;
  std::string what;
  auto operator<=>(const Problem&) const = default;
};

/// Text of the file as it may be shown on a terminal: what an attacker put there cannot move the cursor or break the
/// line.
std::string Shown(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string shown;
  for (const char c : text.substr(0, kLongest)) shown.push_back(c >= ' ' && c <= '~' ? c : '?');
  if (text.size() > kLongest) shown += "...";
  return shown;
}

std::string Quoted(std::string_view text) {
  return "'" + Shown(text) + "'";
}

std::string ShownNumber(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

std::string_view TypeName(toml::node_type type) {
  switch (type) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

std::string RangeText(IntegerRange range) {
  if (range.max == std::numeric_limits<std::int64_t>::max()) return "at least " + std::to_string(range.min);
  return std::to_string(range.min) + " to " + std::to_string(range.max);
}

bool Contains(RealRange range, double value) {
  const bool above =
      range.ends == Ends::kWithoutMin || range.ends == Ends::kOpen ? value > range.min : value >= range.min;
  const bool below =
      range.ends == Ends::kWithoutMax || range.ends == Ends::kOpen ? value < range.max : value <= range.max;
  return std::isfinite(value) && above && below;
}

std::string RangeText(RealRange range) {
  if (range.min == kAnyFinite.min && range.max == kAnyFinite.max) return "a finite number";
  const std::string low = range.ends == Ends::kWithoutMin || range.ends == Ends::kOpen ? "above " : "at least ";
  const std::string high = range.ends == Ends::kWithoutMax || range.ends == Ends::kOpen ? "below " : "at most ";
  return low + ShownNumber(range.min) + " and " + high + ShownNumber(range.max);
}

/// A number with a unit: "64MiB" is {64, "MiB"}.
struct Quantity {
  std::uint64_t count = 0;
  std::string_view unit;
};

std::optional<Quantity> SplitQuantity(std::string_view text) {
  // Twelve digits are enough for every quantity and cannot overflow.
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0 || digits > 12) return std::nullopt;
  Quantity quantity{0, text.substr(digits)};
  for (const char c : text.substr(0, digits))
    quantity.count = quantity.count * 10 + static_cast<std::uint64_t>(c - '0');
  return quantity;
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr Unit kDurationUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
constexpr Unit kSizeUnits[] = {{"B", 1}, {"KiB", 1ULL << 10U}, {"MiB", 1ULL << 20U}, {"GiB", 1ULL << 30U}};

/// The quantity in the smallest unit, or nothing when the text has another form or the product does not fit.
std::optional<std::uint64_t> InSmallestUnit(std::string_view text, std::span<const Unit> units) {
  const std::optional<Quantity> quantity = SplitQuantity(text);
  if (!quantity) return std::nullopt;
  for (const Unit& unit : units) {
    if (unit.name != quantity->unit) continue;
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (quantity->count > kMost / unit.factor) return std::nullopt;
    return quantity->count * unit.factor;
  }
  return std::nullopt;
}

/// In the largest unit that divides it.
std::string WithUnit(std::uint64_t amount, std::span<const Unit> units) {
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (amount != 0 && amount % unit.factor == 0) best = &unit;
  }
  return std::to_string(amount / best->factor) + std::string(best->name);
}

}  // namespace

struct TomlFile::State {
  std::string name;
  toml::table root;
  std::vector<Problem> problems;
  std::map<std::string, TomlTable::View> views;  // by path; a map keeps addresses

  void Note(Position at, std::string what) { problems.push_back({at, std::move(what)}); }
};

struct TomlTable::View {
  TomlFile::State* file = nullptr;
  const toml::table* table = nullptr;  // null when the file does not have it
  std::string prefix;                  // "cohort." for keys of [cohort]
  Position at;
  std::set<std::string, std::less<>> known;
  std::set<std::string, std::less<>> bad;

  [[nodiscard]] const toml::node* Find(std::string_view key) const {
    return table == nullptr ? nullptr : table->get(key);
  }

  /// The value at `key`, noting that the key is known, and that it is missing when it is required.
  const toml::node* Ask(std::string_view key, bool required) {
    known.emplace(key);
    const toml::node* node = Find(key);
    if (node == nullptr && required) {
      bad.emplace(key);
      file->Note(at, "missing key '" + prefix + std::string(key) + "'");
    }
    return node;
  }

  void Spoil(std::string_view key, const toml::node& node, std::string what) {
    bad.emplace(key);
    // A table's author may have chosen the key.
    file->Note(PositionOf(node.source()), "'" + prefix + Shown(key) + "' " + std::move(what));
  }

  void SpoilType(std::string_view key, const toml::node& node, std::string_view wanted) {
    Spoil(key, node, "must be " + std::string(wanted) + ", got " + std::string(TypeName(node.type())));
  }

  /// The text at `key`, or nothing after noting why.
  std::optional<std::string> AskText(std::string_view key, bool required, std::string_view wanted) {
    const toml::node* node = Ask(key, required);
    if (node == nullptr) return std::nullopt;
    if (const auto* text = node->as_string()) return text->get();
    SpoilType(key, *node, wanted);
    return std::nullopt;
  }

  /// A quantity with unit, in the smallest one; nothing after noting why.
  std::optional<std::uint64_t> AskQuantity(std::string_view key, bool required, std::string_view wanted,
                                           std::span<const Unit> units, SizeRange range) {
    const std::optional<std::string> text = AskText(key, required, wanted);
    if (!text) return std::nullopt;
    const std::optional<std::uint64_t> amount = InSmallestUnit(*text, units);
    if (!amount) {
      Spoil(key, *Find(key), "must be " + std::string(wanted) + ", got " + Quoted(*text));
    } else if (*amount < range.min || *amount > range.max) {
      Spoil(key, *Find(key),
            "must be " + WithUnit(range.min, units) + " to " + WithUnit(range.max, units) + ", got " + Quoted(*text));
    } else {
      return amount;
    }
    return std::nullopt;
  }

  /// The optional array at `key`, with as many entries as there may be; null when absent, or after noting why.
  const toml::array* AskArray(std::string_view key, std::string_view wanted, IntegerRange count) {
    const toml::node* node = Ask(key, false);
    if (node == nullptr) return nullptr;
    const auto* array = node->as_array();
    if (array == nullptr) {
      SpoilType(key, *node, wanted);
      return nullptr;
    }
    const auto size = static_cast<std::int64_t>(array->size());
    if (size >= count.min && size <= count.max) return array;
    const std::string wanted_count = count.min == count.max ? std::to_string(count.min) : RangeText(count);
    Spoil(key, *node, "must have " + wanted_count + " entries, got " + std::to_string(size));
    return nullptr;
  }

  /// Notes every key that no reader asked for.
  void NoteUnknownKeys() const {
    if (table == nullptr) return;
    for (const auto& [key, node] : *table) {
      if (known.contains(key.str())) continue;
      file->Note(PositionOf(key.source()), "unknown key '" + prefix + Shown(key.str()) + "'" +
                                               DidYouMean(key.str(), std::vector(known.begin(), known.end())));
    }
  }
};

TomlTable TomlTable::Table(std::string_view key) {
  const std::string path = view_->prefix + std::string(key);
  const auto [entry, made] = view_->file->views.try_emplace(path);
  View& view = entry->second;
  if (!made) return TomlTable(view);
  view.file = view_->file;
  view.prefix = path + ".";
  view.at = view_->at;
  const toml::node* node = view_->Ask(key, false);
  if (node == nullptr) return TomlTable(view);
  view.at = PositionOf(node->source());
  view.table = node->as_table();
  if (view.table == nullptr) view_->SpoilType(key, *node, "a table");
  return TomlTable(view);
}

std::int64_t TomlTable::Integer(std::string_view key, IntegerRange range, std::optional<std::int64_t> fallback) {
  const std::int64_t otherwise = fallback.value_or(range.min);
  const toml::node* node = view_->Ask(key, !fallback);
  if (node == nullptr) return otherwise;
  const auto* value = node->as_integer();
  if (value == nullptr) {
    view_->SpoilType(key, *node, "an integer");
  } else if (value->get() < range.min || value->get() > range.max) {
    view_->Spoil(key, *node, "must be " + RangeText(range) + ", got " + std::to_string(value->get()));
  } else {
    return value->get();
  }
  return otherwise;
}

double TomlTable::Real(std::string_view key, RealRange range, std::optional<double> fallback) {
  const double otherwise = fallback.value_or(range.min);
  const toml::node* node = view_->Ask(key, !fallback);
  if (node == nullptr) return otherwise;
  if (!node->is_number()) {
    view_->SpoilType(key, *node, "a number");
    return otherwise;
  }
  const double value =
      node->is_integer() ? static_cast<double>(node->as_integer()->get()) : node->as_floating_point()->get();
  if (Contains(range, value)) return value;
  view_->Spoil(key, *node, "must be " + RangeText(range) + ", got " + ShownNumber(value));
  return otherwise;
}

std::vector<std::int64_t> TomlTable::Integers(std::string_view key, IntegerRange each, IntegerRange count) {
  const toml::array* array = view_->AskArray(key, "an array of integers", count);
  if (array == nullptr) return {};
  std::vector<std::int64_t> values;
  for (const toml::node& entry : *array) {
    const auto* value = entry.as_integer();
    if (value == nullptr || value->get() < each.min || value->get() > each.max) {
      view_->Spoil(key, entry, "must hold integers of " + RangeText(each));
    } else {
      values.push_back(value->get());
    }
  }
  return values;
}

std::vector<std::string> TomlTable::Texts(std::string_view key, IntegerRange count) {
  const toml::array* array = view_->AskArray(key, "an array of strings", count);
  if (array == nullptr) return {};
  std::vector<std::string> values;
  for (const toml::node& entry : *array) {
    if (const auto* text = entry.as_string()) {
      values.push_back(text->get());
    } else {
      view_->Spoil(key, entry, "must hold strings, got " + std::string(TypeName(entry.type())));
    }
  }
  return values;
}

std::string TomlTable::Text(std::string_view key, std::optional<std::string_view> fallback) {
  return view_->AskText(key, !fallback, "a string").value_or(std::string(fallback.value_or("")));
}

std::size_t TomlTable::Choice(std::string_view key, std::initializer_list<std::string_view> choices,
                              std::optional<std::size_t> fallback) {
  std::string wanted;
  for (const std::string_view choice : choices) {
    wanted += (wanted.empty() ? "" : ", ") + ("'" + std::string(choice) + "'");
  }
  wanted = (choices.size() > 1 ? "one of " : "") + wanted;
  const std::size_t otherwise = fallback.value_or(0);
  const std::optional<std::string> text = view_->AskText(key, !fallback, wanted);
  if (!text) return otherwise;
  const auto* found = std::find(choices.begin(), choices.end(), *text);
  if (found != choices.end()) return static_cast<std::size_t>(found - choices.begin());
  view_->Spoil(key, *view_->Find(key), "must be " + wanted + ", got " + Quoted(*text));
  return otherwise;
}

Millis TomlTable::Duration(std::string_view key, DurationRange range, std::optional<Millis> fallback) {
  const SizeRange amounts{static_cast<std::uint64_t>(range.min.count()), static_cast<std::uint64_t>(range.max.count())};
  const auto amount =
      view_->AskQuantity(key, !fallback, "a duration such as \"30s\" (ms, s, m, h, d)", kDurationUnits, amounts);
  return amount ? Millis(*amount) : fallback.value_or(range.min);
}

std::uint64_t TomlTable::Size(std::string_view key, SizeRange range, std::optional<std::uint64_t> fallback) {
  return view_->AskQuantity(key, !fallback, "a size such as \"64MiB\" (B, KiB, MiB, GiB)", kSizeUnits, range)
      .value_or(fallback.value_or(range.min));
}

bool TomlTable::Has(std::string_view key) const {
  return view_->Find(key) != nullptr;
}

std::vector<std::string> TomlTable::Keys() const {
  std::vector<std::string> keys;
  if (view_->table == nullptr) return keys;
  for (const auto& [key, node] : *view_->table) keys.emplace_back(key.str());
  return keys;
}

bool TomlTable::Good(std::initializer_list<std::string_view> keys) const {
  return std::none_of(keys.begin(), keys.end(), [&](std::string_view key) { return view_->bad.contains(key); });
}

void TomlTable::Complain(std::string_view key, std::string what) {
  view_->bad.emplace(key);
  const toml::node* node = view_->Find(key);
  view_->file->Note(node == nullptr ? view_->at : PositionOf(node->source()), std::move(what));
}

void TomlTable::ComplainAt(std::string_view key, std::size_t index, std::string what) {
  const toml::node* node = view_->Find(key);
  const toml::array* array = node == nullptr ? nullptr : node->as_array();
  TACIT_CHECK(array != nullptr && index < array->size(), "only an entry that was read has a problem of its own");
  view_->bad.emplace(key);
  view_->file->Note(PositionOf((*array)[index].source()), std::move(what));
}

void TomlTable::Refuse(std::string_view key, std::string_view reason) {
  view_->known.emplace(key);
  if (Has(key)) Complain(key, "'" + view_->prefix + std::string(key) + "' " + std::string(reason));
}

TomlFile::TomlFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
TomlFile::TomlFile(TomlFile&&) noexcept = default;
TomlFile& TomlFile::operator=(TomlFile&&) noexcept = default;
TomlFile::~TomlFile() = default;

Result<TomlFile> TomlFile::Parse(std::string_view text, std::string_view file_name, std::size_t max_bytes) {
  TACIT_TRY(toml::table root, ParseToml(text, file_name, max_bytes));
  auto state = std::make_unique<State>();
  state->name = file_name;
  state->root = std::move(root);
  return TomlFile(std::move(state));
}

TomlTable TomlFile::Root() {
  const auto [entry, made] = state_->views.try_emplace("");
  if (made) {
    entry->second.file = state_.get();
    entry->second.table = &state_->root;
  }
  return TomlTable(entry->second);
}

Result<void> TomlFile::Finish() {
  for (const auto& [path, view] : state_->views) view.NoteUnknownKeys();
  std::vector<Problem>& problems = state_->problems;
  if (problems.empty()) return {};
  std::sort(problems.begin(), problems.end());
  std::string all;
  for (std::size_t i = 0; i < std::min(problems.size(), kMaxProblemsShown); ++i) {
    const Problem& problem = problems[i];
    all += (i == 0 ? "" : "\n") + state_->name + ":" + std::to_string(problem.at.line) + ":" +
           std::to_string(problem.at.column) + ": " + problem.what;
  }
  if (problems.size() > kMaxProblemsShown) {
    all += "\n" + state_->name + ": and " + std::to_string(problems.size() - kMaxProblemsShown) + " more problems";
  }
  return Fail(ErrorCode::kInvalidArgument, std::move(all));
}

}  // namespace tacit::task
