#pragma once

#include <filesystem>
#include <string>

#include "cli/arguments.h"
#include "cli/failure.h"
#include "common/base/clock.h"
#include "common/net/https_client.h"

namespace tacit::cli {

/// The file of a context directory that says where the server is and which files identify the operator.
inline constexpr const char* kContextFile = "cli.json";

/// Which server to ask, and as whom.
struct Context {
  net::ClientOptions client;
  std::filesystem::path directory;  ///< Empty when only flags were given.
  std::string token;                ///< An access token, sent with each request; empty: none.
};

/// `host:port`, with an IPv6 address in brackets. Errors: kInvalidArgument.
Result<net::Endpoint> ParseEndpoint(std::string_view text);
std::string FormatEndpoint(const net::Endpoint& endpoint);

/// What cli.json says: paths are relative to its directory.
std::string FormatContextFile(const net::Endpoint& api);

/// The server's address that a resolved context says; empty when it says none. Errors: kUsage.
Outcome<std::string> ServerOf(const ConnectionArguments& arguments);

/// Resolves which context is meant, reads its directory, then what flags replace of it, and the files named.
/// Errors: kUsage when something is missing or unreadable; kConnect when the operator's certificate has expired, since
/// the handshake would fail with a less helpful reason.
Outcome<Context> LoadContext(const ConnectionArguments& arguments, WallTime now);

}  // namespace tacit::cli
