#include "cli/context.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "cli/fields.h"
#include "cli/known_contexts.h"
#include "cli/text.h"
#include "common/base/files.h"
#include "common/crypto/certificate.h"
#include "common/crypto/secret.h"

namespace tacit::cli {
namespace {

constexpr std::size_t kLargestFile = 256UL * 1024;
constexpr const char* kHowToConnect =
    "tacit --context DIR ... with a directory that 'tacit init --dir DIR' made, or give --server --ca --cert --key; "
    "'tacit context add NAME' remembers either";

constexpr const char* kHowToRead = "run this as the user whose files these are";

// Where everything is, before it is read.
struct Sources {
  std::string server;
  std::filesystem::path ca;
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::filesystem::path token;
};

Outcome<std::string> ReadText(const std::filesystem::path& path) {
  auto bytes = ReadFile(path, kLargestFile);
  if (!bytes) {
    const bool denied = bytes.error().code == ErrorCode::kPermissionDenied;
    return UsageFailure(bytes.error(), denied ? kHowToRead : kHowToConnect);
  }
  std::string text(AsText(*bytes));
  crypto::Zeroise(*bytes);  // it may be the key
  return text;
}

Outcome<Sources> ReadContextFile(const std::filesystem::path& directory) {
  TACIT_CLI_TRY(const std::string text, ReadText(directory / kContextFile));
  const Json document = Json::parse(text, nullptr, false);
  const auto member = [&](const char* key) { return TextAt(document, key); };
  const bool whole = CountAt(document, "schema") == 1 && MemberAt(document, "server").is_string() &&
                     MemberAt(document, "ca").is_string() && MemberAt(document, "certificate").is_string() &&
                     MemberAt(document, "key").is_string();
  if (!whole) {
    return UsageFailure(
        (directory / kContextFile).string() + " is not a context of schema 1 with server, ca, certificate, key",
        kHowToConnect);
  }
  return Sources{
      member("server"), directory / member("ca"), directory / member("certificate"), directory / member("key"), {}};
}

Outcome<Sources> FindSources(const ConnectionArguments& arguments) {
  Sources sources;
  if (!arguments.context.empty()) {
    TACIT_CLI_TRY(sources, ReadContextFile(arguments.context));
  }
  if (!arguments.server.empty()) sources.server = arguments.server;
  if (!arguments.ca.empty()) sources.ca = arguments.ca;
  if (!arguments.certificate.empty()) sources.certificate = arguments.certificate;
  if (!arguments.key.empty()) sources.key = arguments.key;
  sources.token = arguments.token_file;
  // Who shows a token shows it alone, so that what is refused to it is not granted to a certificate.
  if (!sources.token.empty()) {
    sources.certificate.clear();
    sources.key.clear();
  }
  if (sources.server.empty())
    return UsageFailure(
        "which server? No context is current, and neither --context, $TACIT_CONTEXT nor --server is given",
        kHowToConnect);
  const bool who = !sources.token.empty() || (!sources.certificate.empty() && !sources.key.empty());
  if (sources.ca.empty() || !who)
    return UsageFailure("without a context, --server needs --ca, and --cert and --key or --token-file", kHowToConnect);
  return sources;
}

Outcome<std::string> ReadToken(const std::filesystem::path& path) {
  if (std::error_code ignored; !std::filesystem::exists(path, ignored)) {
    return UsageFailure(path.string() + " is not there",
                        "--token-file with the file that 'tacit access token create -o FILE' wrote");
  }
  if (const auto closed = CheckClosedToOthers(path); !closed)
    return UsageFailure(closed.error(), "chmod 600 " + ShellQuote(path.string()));
  TACIT_CLI_TRY(std::string token, ReadText(path));
  while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
  const bool good = !token.empty() && std::ranges::all_of(token, [](char c) { return c > ' ' && c < '\x7f'; });
  if (good) return token;
  return UsageFailure(path.string() + " does not hold one access token and nothing else",
                      "tacit access token create --name NAME --role ROLE --output FILE");
}

Outcome<void> CheckCertificate(const std::string& pem, const std::filesystem::path& path, WallTime now) {
  const auto certificate = crypto::Certificate::FromPem(pem);
  if (!certificate) return UsageFailure(path.string() + ": " + certificate.error().message, kHowToConnect);
  if (now < certificate->NotAfter()) return {};
  const std::string when = FormatRfc3339(certificate->NotAfter());
  return std::unexpected(
      Failure{ExitCode::kConnect,
              {ErrorCode::kUnauthenticated, "the operator's certificate " + path.string() + " expired at " + when},
              "give a fresh one with --cert and --key"});
}

}  // namespace

Result<net::Endpoint> ParseEndpoint(std::string_view text) {
  const auto refuse = [&] {
    return Fail(ErrorCode::kInvalidArgument,
                "'" + std::string(text) + "' is not HOST:PORT (an IPv6 address in brackets)");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return refuse();
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.contains(':')) {
    return refuse();
  }
  std::uint16_t port = 0;
  const auto [stop, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || failure != std::errc() || stop != digits.data() + digits.size() || port == 0) return refuse();
  return net::Endpoint{std::string(host), port};
}

std::string FormatEndpoint(const net::Endpoint& endpoint) {
  const bool brackets = endpoint.host.contains(':');
  return (brackets ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
}

std::string FormatContextFile(const net::Endpoint& api) {
  const Json document = {{"schema", 1},
                         {"server", FormatEndpoint(api)},
                         {"ca", "pki/ca.crt"},
                         {"certificate", "operators/admin.crt"},
                         {"key", "operators/admin.key"}};
  return document.dump(2) + "\n";
}

Outcome<std::string> ServerOf(const ConnectionArguments& arguments) {
  if (!arguments.server.empty() || arguments.context.empty()) return arguments.server;
  TACIT_CLI_TRY(Sources sources, ReadContextFile(arguments.context));
  return std::move(sources.server);
}

Outcome<Context> LoadContext(const ConnectionArguments& flags, WallTime now) {
  TACIT_CLI_TRY(const ConnectionArguments arguments, ResolveContext(flags));
  TACIT_CLI_TRY(const Sources sources, FindSources(arguments));
  auto endpoint = ParseEndpoint(sources.server);
  if (!endpoint) return UsageFailure(endpoint.error(), kHowToConnect);
  Context context;
  context.directory = arguments.context;
  context.client.server = *std::move(endpoint);
  TACIT_CLI_TRY(context.client.ca_pem, ReadText(sources.ca));
  if (!sources.token.empty()) {
    TACIT_CLI_TRY(context.token, ReadToken(sources.token));
    return context;
  }
  TACIT_CLI_TRY(context.client.client_certificate_pem, ReadText(sources.certificate));
  TACIT_CLI_TRY(context.client.client_key_pem, ReadText(sources.key));
  if (const auto closed = CheckClosedToOthers(sources.key); !closed)
    return UsageFailure(closed.error(), "chmod 600 " + ShellQuote(sources.key.string()));
  if (auto good = CheckCertificate(context.client.client_certificate_pem, sources.certificate, now); !good) {
    return std::unexpected(std::move(good).error());
  }
  return context;
}

}  // namespace tacit::cli
