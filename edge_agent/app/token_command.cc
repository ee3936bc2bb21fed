#include <chrono>
#include <utility>

#include "common/base/files.h"
#include "common/crypto/secret.h"
#include "edge_agent/app/commands.h"
#include "edge_agent/serving/token_file.h"

namespace tacit::agent {

Result<Report> Execute(const TokenCreateArguments& arguments, const Clock& clock) {
  TACIT_TRY(serving::ClientName name, serving::ClientName::Parse(arguments.name));
  TACIT_TRY(auto change, serving::TokenFileChange::Begin(arguments.tokens));
  const WallTime now = clock.Now();
  const WallTime expires = now + std::chrono::days(arguments.days);
  std::string token = serving::MakeToken();
  TACIT_TRY_VOID(change.Add({.name = std::move(name), .hash = serving::HashOfToken(token), .expires = expires}, now));
  // First where it can be used: a token that opens something and that nobody has would stay for its time.
  if (!arguments.output.empty()) TACIT_TRY_VOID(WriteNewSecretFile(arguments.output, AsBytes(token + "\n")));
  TACIT_TRY_VOID(change.Commit());
  Report report{.data = {{"name", arguments.name}, {"expires", FormatRfc3339(expires)}},
                .text = "a token of '" + arguments.name + "', until " + FormatRfc3339(expires)};
  if (arguments.output.empty()) {
    report.data["token"] = token;
    report.text += "; it is not shown again:\n" + token + "\n";
  } else {
    report.data["output"] = arguments.output.string();
    report.text += ", in " + arguments.output.string() + "\n";
  }
  crypto::Zeroise(token);
  return report;
}

Result<Report> Execute(const TokenListArguments& arguments, const Clock& clock) {
  TACIT_TRY(const auto tokens, serving::ReadTokenFile(arguments.tokens));
  Report report{.data = {{"items", nlohmann::ordered_json::array()}}, .text = {}};
  for (const serving::KeptToken& token : tokens) {
    const std::string expires = FormatRfc3339(token.expires);
    const bool ended = token.expires <= clock.Now();
    report.data["items"].push_back({{"name", token.name.str()}, {"expires", expires}, {"ended", ended}});
    report.text += token.name.str() + (ended ? ": ended " : ": until ") + expires + "\n";
  }
  if (tokens.empty()) report.text = "no tokens\n";
  return report;
}

Result<Report> Execute(const TokenRevokeArguments& arguments) {
  TACIT_TRY(const serving::ClientName name, serving::ClientName::Parse(arguments.name));
  TACIT_TRY(auto change, serving::TokenFileChange::Begin(arguments.tokens));
  TACIT_TRY_VOID(change.Remove(name));
  TACIT_TRY_VOID(change.Commit());
  return Report{.data = {{"name", arguments.name}}, .text = "revoked '" + arguments.name + "'\n"};
}

}  // namespace tacit::agent
