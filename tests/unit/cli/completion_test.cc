#include "cli/completion.h"

#include <initializer_list>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/arguments.h"

namespace tacit::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;

// The words alone, behind what else may be offered.
std::vector<std::string> After(std::initializer_list<const char*> words) {
  const std::vector<std::string> typed(words.begin(), words.end());
  const std::vector<std::string> contexts = {"prod", "test"};
  const std::string text = CompletionLines(typed, contexts);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    lines.push_back(text.substr(at, text.find_first_of("\t\n", at) - at));
  return lines;
}

TEST(Completion, OffersTheCommandsOfTheTable) {
  EXPECT_THAT(After({""}),
              IsSupersetOf({"init", "task", "device", "privacy", "access", "context", "doctor", "version"}));
  EXPECT_THAT(After({"ta"}), ElementsAre(":nothing", "task"));
  EXPECT_THAT(After({"task", ""}), IsSupersetOf({"create", "list", "show", "rounds", "stop", "adjust", "watch"}));
  EXPECT_THAT(After({"device", "token", ""}), ElementsAre(":nothing", "create", "list", "revoke"));
  EXPECT_THAT(After({"nonsense", ""}), Not(Contains("task")));
}

TEST(Completion, SaysWhatAWordMeans) {
  const std::vector<std::string> typed = {"doc"};
  EXPECT_THAT(CompletionLines(typed, {}), AllOf(StartsWith(":nothing\ndoctor\t"), HasSubstr("Look for what is wrong")));
}

TEST(Completion, OffersOptionsOfACommandAndOfThoseAroundIt) {
  EXPECT_THAT(After({"task", "create", "-"}), IsSupersetOf({"--file", "-f", "--dry-run", "--json", "--context"}));
  EXPECT_THAT(After({"task", "create", "--dry-run", "--"}), AllOf(Contains("--file"), Not(Contains("--dry-run"))));
  EXPECT_THAT(After({"init", "--host", "a", "--ho"}), ElementsAre(":nothing", "--host"));
  EXPECT_THAT(After({"--json", "task", "li"}), ElementsAre(":nothing", "list"));
  EXPECT_THAT(After({"device", "list", ""}), Contains("--json"));
}

TEST(Completion, OffersTheValuesThatAnOptionTakes) {
  EXPECT_THAT(After({"access", "token", "create", "--role", ""}),
              ElementsAre(":nothing", "viewer", "scientist", "operator", "auditor", "admin"));
  EXPECT_THAT(After({"access", "token", "create", "--role=a"}), ElementsAre(":nothing", "auditor", "admin"));
  EXPECT_THAT(After({"completion", ""}), ElementsAre(":nothing", "bash", "zsh", "fish"));
  EXPECT_THAT(After({"completion", "bash", ""}), Not(Contains("zsh")));
}

TEST(Completion, LeavesFilesAndDirectoriesToTheShell) {
  EXPECT_THAT(After({"task", "create", "-f", ""}), ElementsAre(":files"));
  EXPECT_THAT(After({"--ca=x"}), ElementsAre(":files"));
  EXPECT_THAT(After({"privacy", "verify", ""}), ElementsAre(":files"));
  EXPECT_THAT(After({"init", "--dir", ""}), ElementsAre(":directories"));
  EXPECT_THAT(After({"task", "show", "h"}), ElementsAre(":nothing"));
}

TEST(Completion, KnowsTheContexts) {
  EXPECT_THAT(After({"--context", ""}), ElementsAre(":directories", "prod", "test"));
  EXPECT_THAT(After({"context", "use", "p"}), ElementsAre(":nothing", "prod"));
  EXPECT_THAT(After({"context", "add", ""}), Not(Contains("prod")));
}

TEST(Completion, TakesAnOptionApartAsBashDoes) {
  EXPECT_THAT(After({"access", "token", "create", "--role", "=", "ad"}), ElementsAre(":nothing", "admin"));
  EXPECT_THAT(After({"access", "token", "create", "--role", "="}), Contains("viewer"));
  EXPECT_THAT(After({"--server", "host", ":", "8444", "ta"}), ElementsAre(":nothing", "task"));
}

TEST(Completion, OffersNoOptionBehindTwoDashes) {
  EXPECT_THAT(After({"task", "show", "--", "-"}), ElementsAre(":nothing"));
  EXPECT_THAT(After({"--no-such-option="}), ElementsAre(":nothing"));
}

TEST(Completion, HasAScriptForEachShell) {
  EXPECT_THAT(CompletionScript("bash"), HasSubstr("complete -F _tacit tacit"));
  EXPECT_THAT(CompletionScript("zsh"), StartsWith("#compdef tacit\n"));
  EXPECT_THAT(CompletionScript("fish"), HasSubstr("complete -c tacit"));
}

}  // namespace
}  // namespace tacit::cli
