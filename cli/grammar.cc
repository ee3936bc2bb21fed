#include "cli/grammar.h"

#include "cli/completion.h"
#include "cli/known_contexts.h"
#include "common/base/text.h"

namespace tacit::cli {
namespace {

Outcome<std::string> ParseContextName(const std::string& text) {
  if (IsContextName(text)) return text;
  return UsageFailure("NAME: " + Excerpt(text) + " is not a name of up to 64 of a-z, 0-9, '.', '_' and '-'",
                      "tacit context list");
}

template <typename Arguments>
Outcome<Command> MakeForContext(const RawArguments& raw) {
  TACIT_CLI_TRY(std::string name, ParseContextName(raw.context_name));
  return Arguments{std::move(name)};
}

Outcome<Command> MakeDoctor(const RawArguments& raw) {
  return DoctorArguments{raw.config};
}

Outcome<Command> MakeCompletion(const RawArguments& raw) {
  return CompletionArguments{raw.shell};
}

void AddContextName(RawArguments& raw, CLI::App& leaf) {
  leaf.add_option(kContextNameMetavar, raw.context_name, "Name of the context")->required()->type_name("");
}

void DescribeContexts(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& context = AddGroup(app, "context", "Servers that this user asks, and as whom, by names");
  CLI::App& add = AddLeaf(grammar, context, "add",
                          "Remember under a name what --context, --server, --ca, --cert, --key and --token-file say",
                          MakeForContext<ContextAddArguments>);
  add.add_option("NAME", raw.context_name, "Name to give it")->required()->type_name("");
  AddLeaf(grammar, context, "list", "All contexts", MakePlain<ContextListArguments>);
  AddContextName(raw, AddLeaf(grammar, context, "use", "Ask this one when nothing else is said",
                              MakeForContext<ContextUseArguments>));
  AddContextName(raw, AddLeaf(grammar, context, "remove", "Forget a name; no other file is touched",
                              MakeForContext<ContextRemoveArguments>));
}

}  // namespace

CLI::App& AddGroup(CLI::App& app, const char* name, const char* what) {
  CLI::App* const group = app.add_subcommand(name, what);
  group->require_subcommand(1);
  return *group;
}

CLI::App& AddLeaf(Grammar& grammar, CLI::App& group, const char* name, const char* what, MakeCommand make) {
  CLI::App* const leaf = group.add_subcommand(name, what);
  grammar.leaves.emplace_back(leaf, std::move(make));
  return *leaf;
}

void DescribeOwn(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  DescribeContexts(grammar, app);
  AddLeaf(grammar, app, "doctor",
          "Look for what is wrong: clock, ports, certificates, and on a server store, disk and limits", MakeDoctor)
      .add_option("--config", raw.config, "On the server's machine: its tacitd.toml")
      ->type_name("FILE");
  AddLeaf(grammar, app, "completion", "Script that lets a shell complete this command", MakeCompletion)
      .add_option("SHELL", raw.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("");
  AddLeaf(grammar, app, "version", "Versions of this command and of the server", MakePlain<VersionArguments>);
}

}  // namespace tacit::cli
