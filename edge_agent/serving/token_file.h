#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"

// Which programs of this device may ask over a port: a file of names, each with the SHA-256 of its token.
namespace tacit::serving {

struct ClientNameTag {
  static constexpr std::string_view kWhat = "the name of a token";
};
using ClientName = Name<ClientNameTag>;

inline constexpr std::size_t kMostTokens = 256;

/// What is kept of a token: not the token.
struct KeptToken {
  ClientName name;
  Digest256 hash{};
  WallTime expires;
};

/// 256 bits from the operating system's generator, as `tst_` and 64 hexadecimal digits.
std::string MakeToken();
Digest256 HashOfToken(std::string_view token);

/// Reads the text of a token file: a line for each token, `NAME SHA256 MILLISECONDS`, the last being when it ends,
/// since 1970; lines that begin with '#' and empty ones say nothing. Errors: kMalformed, with the line's number;
/// kTooLarge for more than kMostTokens.
Result<std::vector<KeptToken>> ParseTokens(std::string_view text);
std::string FormatTokens(const std::vector<KeptToken>& tokens);

/// Errors: those of ParseTokens and ReadFile; kPermissionDenied where others than the file's owner and group may read
/// or write it: who can write it gives tokens.
Result<std::vector<KeptToken>> ReadTokenFile(const std::filesystem::path& path);

/// Changes a token file while nobody else does, in one durable step. Threads: any process.
class TokenFileChange {
 public:
  /// Waits for others that change a file of the same directory, who are quick. What is not there yet is empty.
  /// Errors: as ReadTokenFile; kNotFound without the directory.
  static Result<TokenFileChange> Begin(std::filesystem::path path);
  TokenFileChange(TokenFileChange&& other) noexcept;
  TokenFileChange& operator=(TokenFileChange&&) = delete;
  TokenFileChange(const TokenFileChange&) = delete;
  TokenFileChange& operator=(const TokenFileChange&) = delete;
  ~TokenFileChange();

  /// Errors: kConflict for a name that has a token which has not ended; kTooLarge for one too many.
  Result<void> Add(KeptToken token, WallTime now);
  /// Errors: kNotFound.
  Result<void> Remove(const ClientName& name);
  /// Errors: as WriteFileAtomic.
  Result<void> Commit() const;

 private:
  TokenFileChange(std::filesystem::path path, int lock, std::vector<KeptToken> tokens);

  std::filesystem::path path_;
  int lock_;
  std::vector<KeptToken> tokens_;
};

}  // namespace tacit::serving
