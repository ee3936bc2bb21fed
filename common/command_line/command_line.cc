#include "common/command_line/command_line.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "common/base/text.h"

namespace tacit::command_line {
namespace {

// The whole text as a number, or nothing: no sign in front of a whole number, no other base, nothing behind it.
template <typename Number>
bool Read(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool LooksLikeAnOption(std::string_view word) {
  return word.size() > 1 && word.front() == '-';
}

// Without the value that may stick to it.
std::string NameIn(const std::string& option) {
  return option.substr(0, option.find('='));
}

void AddOptions(const CLI::App& app, std::vector<std::string>& names) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  // A group of options is a subcommand without a name.
  for (const CLI::App* group : app.get_subcommands([](const CLI::App* sub) { return sub->get_name().empty(); }))
    AddOptions(*group, names);
}

// Those of the commands around it are taken as well.
std::vector<std::string> OptionsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* level = &app; level != nullptr; level = level->get_parent()) AddOptions(*level, names);
  return names;
}

std::vector<std::string> CommandsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App* each) { return !each->get_name().empty(); }))
    names.push_back(sub->get_name());
  return names;
}

std::string Enumerate(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
    text += Excerpt(words[i]);
  }
  return text;
}

// What stands behind an unknown option may be its value: only without one are other words looked at.
std::string DescribeUnknown(const std::vector<std::string>& unknown, const CLI::App& named) {
  for (const std::string& word : unknown) {
    if (!LooksLikeAnOption(word)) continue;
    const std::string name = NameIn(word);
    return "unknown option " + Excerpt(name) + DidYouMean(name, OptionsOf(named));
  }
  if (named.get_require_subcommand_min() > 0)
    return Excerpt(unknown.front()) + " is not a command of '" + WordsOf(named) + "'" +
           DidYouMean(unknown.front(), CommandsOf(named));
  return Enumerate(unknown) + (unknown.size() > 1 ? " are" : " is") + " not expected here";
}

}  // namespace

CLI::Validator Whole(WholeRange range) {
  const std::string bounds = std::to_string(range.least) + " to " + std::to_string(range.most);
  return {[range, bounds](std::string& text) -> std::string {
            std::uint64_t number = 0;
            if (!Read(text, number) || number < range.least || number > range.most)
              return Excerpt(text) + " is not a whole number from " + bounds;
            text = std::to_string(number);
            return {};
          },
          ""};
}

CLI::Validator Real(std::function<Result<void>(double)> check) {
  return {[check = std::move(check)](std::string& text) -> std::string {
            double number = 0;
            if (!Read(text, number)) return Excerpt(text) + " is not a number";
            const auto checked = check(number);
            return checked ? std::string() : checked.error().message;
          },
          ""};
}

CLI::Validator OneOf(std::vector<NumberedWord> words) {
  return {[words = std::move(words)](std::string& text) -> std::string {
            const auto found = std::ranges::find(words, text, &NumberedWord::first);
            if (found != words.end()) {
              text = std::to_string(found->second);
              return {};
            }
            std::string list;
            for (const auto& [word, number] : words) list += (list.empty() ? "" : ", ") + word;
            return Excerpt(text) + " is none of " + list;
          },
          ""};
}

bool AsksForJson(int argc, const char* const* argv) {
  return std::any_of(argv, argv + argc, [](const char* text) { return std::string_view(text) == "--json"; });
}

const CLI::App& DeepestNamed(const CLI::App& app) {
  const std::vector<CLI::App*> named = app.get_subcommands();
  return named.empty() ? app : DeepestNamed(*named.front());
}

std::string WordsOf(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent == nullptr ? app.get_name() : WordsOf(*parent) + " " + app.get_name();
}

std::string Describe(const CLI::Error& error, const CLI::App& app) {
  const std::vector<std::string> unknown = app.remaining(true);
  if (unknown.empty()) return error.what();
  const std::string extra = DescribeUnknown(unknown, DeepestNamed(app));
  // Once the unexpected word is said, that it was one says nothing new; that something is missing does.
  const auto* missing = dynamic_cast<const CLI::RequiredError*>(&error);
  const bool by_name = missing != nullptr && std::string_view(missing->what()).starts_with("-");
  return by_name ? extra + "; " + missing->what() : extra;
}

}  // namespace tacit::command_line
