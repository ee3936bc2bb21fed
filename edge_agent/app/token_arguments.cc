#include "edge_agent/app/token_arguments.h"

#include <CLI/CLI.hpp>

#include "common/command_line/command_line.h"

namespace tacit::agent {
namespace {

constexpr std::uint64_t kMostDays = 3650;

void AddTokenFile(CLI::App& command, std::filesystem::path& tokens) {
  command.add_option("--tokens", tokens, "File of tokens that 'serve --tokens' reads")->required();
}

}  // namespace

void AddToken(CLI::App& app, TokenArguments& token) {
  CLI::App* group = app.add_subcommand("token", "Who may ask 'serve --listen'");
  group->require_subcommand(1);
  CLI::App* create = group->add_subcommand("create", "Make a token, which is shown once; the file keeps its SHA-256");
  AddTokenFile(*create, token.create.tokens);
  create->add_option("--name", token.create.name, "Of the program that will show it: quotas count by it")->required();
  create->add_option("--days", token.create.days, "How long it is good")
      ->transform(command_line::Whole({1, kMostDays}))
      ->capture_default_str();
  create->add_option("-o,--output", token.create.output,
                     "Write the token to this new file, which only its owner can read, instead of showing it");
  AddTokenFile(*group->add_subcommand("list", "Names of tokens, and when they end"), token.list.tokens);
  CLI::App* revoke = group->add_subcommand("revoke", "Take a token back; a running agent refuses it at once");
  AddTokenFile(*revoke, token.revoke.tokens);
  revoke->add_option("--name", token.revoke.name, "Of the token")->required();
}

}  // namespace tacit::agent
