#include <utility>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/context.h"
#include "cli/known_contexts.h"
#include "cli/text.h"

namespace tacit::cli {
namespace {

constexpr const char* kList = "tacit context list";

Outcome<void> RequireFile(const ConnectionArguments& connection) {
  if (!connection.known.empty()) return {};
  return UsageFailure("neither $XDG_CONFIG_HOME nor $HOME says where contexts could be kept",
                      "set XDG_CONFIG_HOME to a directory of yours, with its whole path");
}

std::unexpected<Failure> Unknown(const std::string& name) {
  return std::unexpected(
      Failure{ExitCode::kRefused, {ErrorCode::kNotFound, "there is no context '" + name + "'"}, kList});
}

// What it means must not depend on where it is used.
void MakeAbsolute(std::filesystem::path& path) {
  if (!path.empty()) path = std::filesystem::absolute(path).lexically_normal();
}

Json PathOrNull(const std::filesystem::path& path) {
  return path.empty() ? Json() : Json(path.string());
}

Json Describe(const std::string& name, const ConnectionArguments& context, const std::string& current) {
  const auto server = ServerOf(context);
  return {{"name", name},
          {"current", name == current},
          {"server", server ? Json(*server) : Json()},
          {"directory", PathOrNull(context.context)},
          {"ca", PathOrNull(context.ca)},
          {"certificate", PathOrNull(context.certificate)},
          {"key", PathOrNull(context.key)},
          {"token_file", PathOrNull(context.token_file)}};
}

// By what the server is to know who asks.
std::string WhoIn(const ConnectionArguments& context) {
  if (!context.token_file.empty()) return "token " + context.token_file.string();
  if (!context.certificate.empty()) return "certificate " + context.certificate.string();
  return "as in " + context.context.string();
}

Report Changed(const std::string& name, const KnownContexts& contexts, const std::string& text) {
  const Json current = contexts.current.empty() ? Json() : Json(contexts.current);
  return {Json{{"name", name}, {"current", current}}, text + "\n", {}};
}

}  // namespace

Outcome<Report> Run(const ContextAddArguments& arguments, const ConnectionArguments& connection, WallTime now) {
  TACIT_CLI_TRY_VOID(RequireFile(connection));
  if (connection.context.empty() && connection.server.empty()) {
    return UsageFailure("what is '" + arguments.name + "' to stand for? Neither --context nor --server is given",
                        "tacit context add " + arguments.name + " --context DIR");
  }
  TACIT_CLI_TRY(KnownContexts contexts, ReadKnownContexts(connection.known));
  if (contexts.named.contains(arguments.name)) {
    return std::unexpected(Failure{ExitCode::kRefused,
                                   {ErrorCode::kConflict, "there is a context '" + arguments.name + "' already"},
                                   "tacit context remove " + arguments.name});
  }
  TACIT_CLI_TRY(ConnectionArguments context, ResolveContext(connection));
  TACIT_CLI_TRY_VOID(LoadContext(context, now));
  for (auto* path : {&context.context, &context.ca, &context.certificate, &context.key, &context.token_file})
    MakeAbsolute(*path);
  contexts.named.emplace(arguments.name, std::move(context));
  const bool first = contexts.current.empty();
  if (first) contexts.current = arguments.name;
  TACIT_CLI_TRY_VOID(WriteKnownContexts(connection.known, contexts));
  return Changed(
      arguments.name, contexts,
      "added " + arguments.name + (first ? ", the current context" : "; next: tacit context use " + arguments.name));
}

Outcome<Report> Run(const ContextListArguments& /*arguments*/, const ConnectionArguments& connection) {
  TACIT_CLI_TRY(const KnownContexts contexts, ReadKnownContexts(connection.known));
  Json items = Json::array();
  std::vector<std::vector<std::string>> rows = {{"CURRENT", "NAME", "SERVER", "WHO"}};
  for (const auto& [name, context] : contexts.named) {
    const auto server = ServerOf(context);
    items.push_back(Describe(name, context, contexts.current));
    rows.push_back({name == contexts.current ? "*" : "", name, server ? *server : "-", WhoIn(context)});
  }
  Report report{Json{{"file", PathOrNull(connection.known)}, {"items", std::move(items)}}, FormatTable(rows), {}};
  if (contexts.named.empty()) report.notes = {"none yet; next: tacit context add NAME --context DIR"};
  return report;
}

Outcome<Report> Run(const ContextUseArguments& arguments, const ConnectionArguments& connection) {
  TACIT_CLI_TRY(KnownContexts contexts, ReadKnownContexts(connection.known));
  if (!contexts.named.contains(arguments.name)) return Unknown(arguments.name);
  contexts.current = arguments.name;
  TACIT_CLI_TRY_VOID(WriteKnownContexts(connection.known, contexts));
  Report report = Changed(arguments.name, contexts, "the current context is " + arguments.name);
  if (!connection.context.empty())
    report.notes = {"but " + connection.context.string() + " goes first, as --context or $TACIT_CONTEXT says"};
  return report;
}

Outcome<Report> Run(const ContextRemoveArguments& arguments, const ConnectionArguments& connection) {
  TACIT_CLI_TRY(KnownContexts contexts, ReadKnownContexts(connection.known));
  if (contexts.named.erase(arguments.name) == 0) return Unknown(arguments.name);
  const bool was_current = contexts.current == arguments.name;
  if (was_current) contexts.current.clear();
  TACIT_CLI_TRY_VOID(WriteKnownContexts(connection.known, contexts));
  return Changed(arguments.name, contexts,
                 "forgot " + arguments.name + (was_current ? "; there is no current context now" : ""));
}

Outcome<Report> Run(const CompletionArguments& arguments) {
  const std::string script(CompletionScript(arguments.shell));
  return Report{Json{{"shell", arguments.shell}, {"script", script}}, script, {}};
}

}  // namespace tacit::cli
