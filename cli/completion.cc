#include "cli/completion.h"

#include <algorithm>
#include <set>
#include <utility>

#include <CLI/CLI.hpp>

namespace tacit::cli {
namespace {

using Options = std::vector<const CLI::Option*>;
using Words = std::vector<std::string>;

// bash gives `--server=host:1` as five words, and zsh and fish as one: made one here.
Words Joined(std::span<const std::string> words) {
  Words joined;
  bool open = false;
  for (const std::string& word : words) {
    const bool separator = !word.empty() && word.find_first_not_of("=:") == word.npos;
    if (!joined.empty() && (separator || open)) {
      joined.back() += word;
    } else {
      joined.push_back(word);
    }
    open = separator;
  }
  return joined;
}

void AddOptions(const CLI::App& app, Options& options) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->nonpositional() && !option->get_group().empty()) options.push_back(option);
  }
}

// Its own, and those of the commands around it, which it takes as well.
Options OptionsOf(const CLI::App& app) {
  Options options;
  for (const CLI::App* level = &app; level != nullptr; level = level->get_parent()) AddOptions(*level, options);
  return options;
}

Options PositionalsOf(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

std::vector<const CLI::App*> CommandsOf(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* sub) { return !sub->get_name().empty() && !sub->get_group().empty(); });
}

bool TakesValue(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

// The line up to the word that is being typed.
class Line {
 public:
  explicit Line(const CLI::App& app) : app_(&app) {}

  void Take(const std::string& word) {
    if (pending_ != nullptr) {
      pending_ = nullptr;
    } else if (word.starts_with("-") && word.size() > 1 && !only_positionals_) {
      TakeOption(word);
    } else {
      TakePlain(word);
    }
  }

  [[nodiscard]] const CLI::App& app() const { return *app_; }
  /// The option whose value comes next, or nothing.
  [[nodiscard]] const CLI::Option* pending() const { return pending_; }
  /// Whether a word of the table can come: none does behind one that is not of it.
  [[nodiscard]] bool MayNameCommand() const { return positionals_ == 0 && !only_positionals_; }
  [[nodiscard]] bool only_positionals() const { return only_positionals_; }
  /// The positional that comes next, or nothing.
  [[nodiscard]] const CLI::Option* positional() const {
    const Options all = PositionalsOf(*app_);
    return positionals_ < all.size() ? all[positionals_] : nullptr;
  }
  [[nodiscard]] bool MayStillTake(const CLI::Option& option) const {
    return !used_.contains(&option) || option.get_expected_max() > 1;
  }
  [[nodiscard]] const CLI::Option* Find(const std::string& name) const {
    const Options options = OptionsOf(*app_);
    const auto found = std::ranges::find_if(options, [&](const auto* each) { return each->check_name(name); });
    return found == options.end() ? nullptr : *found;
  }

 private:
  void TakeOption(const std::string& word) {
    only_positionals_ = word == "--";
    const std::size_t end = word.find('=');
    const CLI::Option* const option = Find(word.substr(0, end));
    if (option == nullptr) return;
    used_.insert(option);
    if (end == word.npos && TakesValue(*option)) pending_ = option;
  }

  void TakePlain(const std::string& word) {
    for (const CLI::App* sub : CommandsOf(*app_)) {
      if (sub->get_name() != word || only_positionals_) continue;
      app_ = sub;
      positionals_ = 0;
      return;
    }
    ++positionals_;
  }

  const CLI::App* app_;
  const CLI::Option* pending_ = nullptr;
  std::set<const CLI::Option*> used_;
  std::size_t positionals_ = 0;
  bool only_positionals_ = false;
};

void Offer(const std::string& word, std::string what, std::string_view typed, Suggestions& suggestions) {
  if (word.starts_with(typed)) suggestions.words.push_back({word, std::move(what)});
}

// `NAME:{a,b}`, as help shows it of an option that takes one of a list.
Words ChoicesIn(const std::string& type) {
  Words choices;
  const std::size_t start = type.find('{');
  const std::size_t end = type.find('}');
  if (start == type.npos || end == type.npos) return choices;
  std::string choice;
  for (const char c : type.substr(start + 1, end - start - 1) + ",") {
    if (c == ',')
      choices.push_back(std::exchange(choice, {}));
    else
      choice += c;
  }
  return choices;
}

Suggestions ValuesOf(const CLI::Option& option, std::string_view typed, std::span<const std::string> context_names) {
  // A positional is called what it is.
  const std::string type = (option.get_positional() ? option.get_name(true) : std::string()) + option.get_type_name();
  Suggestions suggestions;
  if (type.starts_with("FILE")) suggestions.also = Suggestions::Also::kFiles;
  if (type.starts_with("DIR") || type.starts_with(kContextType)) suggestions.also = Suggestions::Also::kDirectories;
  for (const std::string& choice : ChoicesIn(type)) Offer(choice, "", typed, suggestions);
  if (type.starts_with(kContextType) || type.starts_with(kContextNameMetavar)) {
    for (const std::string& name : context_names) Offer(name, "a context", typed, suggestions);
  }
  return suggestions;
}

Suggestions OptionsFor(const Line& line, std::string_view typed) {
  Suggestions suggestions;
  for (const CLI::Option* option : OptionsOf(line.app())) {
    if (!line.MayStillTake(*option)) continue;
    for (const std::string& name : option->get_lnames())
      Offer("--" + name, option->get_description(), typed, suggestions);
    for (const std::string& name : option->get_snames())
      Offer("-" + name, option->get_description(), typed, suggestions);
  }
  return suggestions;
}

Suggestions PlainFor(const Line& line, std::string_view typed, std::span<const std::string> context_names) {
  if (const CLI::Option* positional = line.positional(); positional != nullptr)
    return ValuesOf(*positional, typed, context_names);
  Suggestions suggestions;
  const auto commands = line.MayNameCommand() ? CommandsOf(line.app()) : std::vector<const CLI::App*>();
  for (const CLI::App* sub : commands) Offer(sub->get_name(), sub->get_description(), typed, suggestions);
  // Where no plain word can come, an empty one is an invitation to see the options.
  const bool invites = CommandsOf(line.app()).empty() && typed.empty() && !line.only_positionals();
  return invites ? OptionsFor(line, typed) : suggestions;
}

constexpr std::string_view kBash =
    R"(# bash completion for tacit: source it, or put it into ~/.local/share/bash-completion/completions/tacit
_tacit() {
  local program=${COMP_WORDS[0]/#\~/$HOME} typed=${COMP_WORDS[COMP_CWORD]} also='' line
  [[ $typed == [=:]* ]] && typed=${typed##*[=:]}  # which bash takes for words of their own
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ -z $also ]]; then also=$line; else COMPREPLY+=("${line%%$'\t'*}"); fi
  done < <("$program" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  case $also in
    :files) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$typed") ;;
    :directories) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$typed") ;;
    *) return ;;
  esac
  compopt -o filenames 2>/dev/null || true
}
complete -F _tacit tacit
)";

constexpr std::string_view kZsh = R"(#compdef tacit
# zsh completion for tacit: put it as _tacit into a directory of $fpath, or source it behind compinit
_tacit() {
  local program=${words[1]/#\~/$HOME} also='' line
  local -a described
  while IFS= read -r line; do
    if [[ -z $also ]]; then
      also=$line
    else
      described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    fi
  done < <("$program" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  [[ ${words[CURRENT]} == --*=* ]] && compset -P '*='
  (( ${#described} )) && _describe 'tacit' described
  case $also in
    :files) _files ;;
    :directories) _files -/ ;;
  esac
}
if [[ ${funcstack[1]} == _tacit ]]; then
  _tacit "$@"
elif (( ${+functions[compdef]} )); then
  compdef _tacit tacit
fi
)";

constexpr std::string_view kFish = R"(# fish completion for tacit: put it into ~/.config/fish/completions/tacit.fish
function __tacit_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l program $words[1]
    command -q -- "$program"; or set program tacit
    set -l lines ($program __complete $words[2..-1] "$typed" 2>/dev/null)
    set -l before (string match -r -- '^--[^=]*=' "$typed")
    set -l rest (string sub -s (math 1 + (string length -- "$before")) -- "$typed")
    set -l offered $lines[2..-1]
    switch "$lines[1]"
        case :files
            set -a offered (__fish_complete_path "$rest")
        case :directories
            set -a offered (__fish_complete_directories "$rest")
    end
    for one in $offered
        printf '%s\n' "$before$one"
    end
end
complete -c tacit -f -a '(__tacit_complete)'
)";

}  // namespace

Suggestions Suggest(const CLI::App& app, std::span<const std::string> words,
                    std::span<const std::string> context_names) {
  Words joined = Joined(words);
  if (joined.empty()) joined.emplace_back();
  const std::string typed = std::move(joined.back());
  joined.pop_back();
  Line line(app);
  for (const std::string& word : joined) line.Take(word);
  if (line.pending() != nullptr) return ValuesOf(*line.pending(), typed, context_names);
  if (!typed.starts_with("-") || line.only_positionals()) return PlainFor(line, typed, context_names);
  const std::size_t end = typed.find('=');
  if (end == typed.npos) return OptionsFor(line, typed);
  const CLI::Option* const option = line.Find(typed.substr(0, end));
  if (option == nullptr || !TakesValue(*option)) return {};
  return ValuesOf(*option, std::string_view(typed).substr(end + 1), context_names);
}

std::string FormatSuggestions(const Suggestions& suggestions) {
  std::string text = ":nothing\n";
  if (suggestions.also == Suggestions::Also::kFiles) text = ":files\n";
  if (suggestions.also == Suggestions::Also::kDirectories) text = ":directories\n";
  for (const auto& [word, what] : suggestions.words) text += word + "\t" + what + "\n";
  return text;
}

std::string_view CompletionScript(std::string_view shell) {
  if (shell == "bash") return kBash;
  return shell == "zsh" ? kZsh : kFish;
}

}  // namespace tacit::cli
