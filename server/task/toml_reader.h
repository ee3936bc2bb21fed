#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

/// Strict reading of TOML: every problem of a file is found in one pass and told with its position. Used for task files
/// and for the server's configuration.
namespace tacit::task {

struct IntegerRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
};

enum class Ends : std::uint8_t { kClosed, kWithoutMin, kWithoutMax, kOpen };
struct RealRange {
  double min = 0;
  double max = 0;
  Ends ends = Ends::kClosed;
};

inline constexpr RealRange kAnyFinite{-std::numeric_limits<double>::max(), std::numeric_limits<double>::max()};

struct DurationRange {
  Millis min{};
  Millis max{};
};

struct SizeRange {
  std::uint64_t min = 0;
  std::uint64_t max = 0;
};

/// One table of a file. Each reader notes that its key is known, and checks presence, type and range; a problem is
/// noted in the file and some value in range returned, so that reading goes on to the next problem. A key without
/// `fallback` is required.
class TomlTable {
 public:
  /// The table `key` in this one; one that is absent reads as empty, so each key it requires is reported.
  TomlTable Table(std::string_view key);

  std::int64_t Integer(std::string_view key, IntegerRange range, std::optional<std::int64_t> fallback = {});
  /// Integers are taken too. NaN is never in range.
  double Real(std::string_view key, RealRange range, std::optional<double> fallback = {});
  /// An array of `count` integers; empty when absent or bad. The key is optional.
  std::vector<std::int64_t> Integers(std::string_view key, IntegerRange each, IntegerRange count);
  std::string Text(std::string_view key, std::optional<std::string_view> fallback = {});
  /// An array of `count` texts; empty when absent or bad. The key is optional.
  std::vector<std::string> Texts(std::string_view key, IntegerRange count);
  /// Index of the text among `choices`.
  std::size_t Choice(std::string_view key, std::initializer_list<std::string_view> choices,
                     std::optional<std::size_t> fallback = {});
  /// Text such as "250ms", "30s", "5m", "1h", "7d".
  Millis Duration(std::string_view key, DurationRange range, std::optional<Millis> fallback = {});
  /// Units: bytes. Text such as "512B", "64KiB", "64MiB", "1GiB".
  std::uint64_t Size(std::string_view key, SizeRange range, std::optional<std::uint64_t> fallback = {});

  [[nodiscard]] bool Has(std::string_view key) const;
  /// Of a table whose keys are names of its author's own; in the order of the alphabet.
  [[nodiscard]] std::vector<std::string> Keys() const;
  /// Present, read, and without a problem.
  [[nodiscard]] bool HasGood(std::string_view key) const { return Has(key) && Good({key}); }
  /// Whether no problem was noted at any of `keys`: what a rule between them may rely on.
  [[nodiscard]] bool Good(std::initializer_list<std::string_view> keys) const;
  /// Notes a problem at `key`, or at the table when the key is absent.
  void Complain(std::string_view key, std::string what);
  /// The same at an entry of the array that is there. Shape: `index` of an entry.
  void ComplainAt(std::string_view key, std::size_t index, std::string what);
  /// Notes that `key` is known but has no place here, with the reason, when it is given.
  void Refuse(std::string_view key, std::string_view reason);

 private:
  friend class TomlFile;
  struct View;
  explicit TomlTable(View& view) : view_(&view) {}
  View* view_;
};

/// A parsed file. Its tables must not outlive it.
class TomlFile {
 public:
  /// Errors: kTooLarge over `max_bytes`; kInvalidArgument, `file:line:column: what`, for text that is not TOML.
  static Result<TomlFile> Parse(std::string_view text, std::string_view file_name, std::size_t max_bytes);
  TomlFile(TomlFile&&) noexcept;
  TomlFile& operator=(TomlFile&&) noexcept;
  ~TomlFile();

  TomlTable Root();
  /// Call after reading. When it passes, rules between values may add problems, and it is called again. Errors:
  /// kInvalidArgument with all problems in the order of the file, one a line; keys that no reader asked for are
  /// problems, with the known key that is spelt most like it.
  [[nodiscard]] Result<void> Finish();

 private:
  friend class TomlTable;
  struct State;
  explicit TomlFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tacit::task
