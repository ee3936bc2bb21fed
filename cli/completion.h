#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace tacit::cli {

/// How help calls what `--context` takes, by which completion knows it.
inline constexpr const char* kContextType = "NAME|DIR";
/// And a name that is known already.
inline constexpr const char* kContextNameMetavar = "CONTEXT";

struct Suggestion {
  std::string word;
  std::string what;  ///< One line for people.
};

struct Suggestions {
  /// What a shell may offer of its own.
  enum class Also : std::uint8_t { kNothing, kFiles, kDirectories };
  Also also = Also::kNothing;
  std::vector<Suggestion> words;
};

/// What may stand in the place of the last of `words`, which stand behind the program's name: read from the very table
/// that parses them, so that there is no second list of commands. Of `--option=value` only the value is suggested.
Suggestions Suggest(const CLI::App& app, std::span<const std::string> words,
                    std::span<const std::string> context_names);

/// For the scripts: first what else may be offered (`:nothing`, `:files` or `:directories`), then a word a line, with
/// what it means behind a tab.
std::string FormatSuggestions(const Suggestions& suggestions);

/// What `shell` (bash, zsh or fish) has to run to complete this command: it asks the command itself for each word.
std::string_view CompletionScript(std::string_view shell);

}  // namespace tacit::cli
