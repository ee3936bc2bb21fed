#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace CLI {
class App;
}  // namespace CLI

namespace tacit::agent {

struct TokenCreateArguments {
  std::filesystem::path tokens;  ///< The file that `serve --tokens` reads.
  std::string name;
  std::uint64_t days = 90;
  std::filesystem::path output;  ///< Empty: the token is a part of the answer.
};

struct TokenListArguments {
  std::filesystem::path tokens;
};

struct TokenRevokeArguments {
  std::filesystem::path tokens;
  std::string name;
};

struct TokenArguments {
  TokenCreateArguments create;
  TokenListArguments list;
  TokenRevokeArguments revoke;
};

/// Adds `token create`, `token list` and `token revoke` to `app`; the one that is parsed is filled.
void AddToken(CLI::App& app, TokenArguments& token);

}  // namespace tacit::agent
