#include "edge_agent/serving/token_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <system_error>
#include <utility>

#include "common/base/files.h"
#include "common/base/text.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"

namespace tacit::serving {
namespace {

constexpr std::string_view kPrefix = "tst_";
constexpr std::size_t kTokenBytes = 32;
constexpr std::size_t kLargestTokenFile = std::size_t{128} * 1024;
constexpr std::string_view kComment =
    "# Which programs of this device may ask over a port; see 'tacit-agent token --help'.\n";

std::string_view NextWord(std::string_view& rest) {
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

Result<KeptToken> ParseLine(std::string_view line) {
  TACIT_TRY(ClientName name, ClientName::Parse(NextWord(line)));
  TACIT_TRY(const Bytes hash, ParseHex(NextWord(line)));
  const auto ends = ParseWhole(NextWord(line));
  KeptToken token{.name = std::move(name), .hash = {}, .expires = {}};
  if (hash.size() != token.hash.size()) return Fail(ErrorCode::kMalformed, "the SHA-256 of a token has 64 digits");
  if (!ends || *ends > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return Fail(ErrorCode::kMalformed, "the end of a token is in milliseconds since 1970");
  if (!line.empty()) return Fail(ErrorCode::kMalformed, "there is more than a name, a SHA-256 and an end");
  std::ranges::copy(hash, token.hash.begin());
  token.expires = WallTime(Millis(static_cast<std::int64_t>(*ends)));
  return token;
}

bool Holds(const std::vector<KeptToken>& tokens, const ClientName& name) {
  return std::ranges::find(tokens, name, &KeptToken::name) != tokens.end();
}

}  // namespace

std::string MakeToken() {
  crypto::OsRandom random;
  std::array<std::uint8_t, kTokenBytes> bytes{};
  random.Fill(bytes);
  return std::string(kPrefix) + ToHex(bytes);
}

Digest256 HashOfToken(std::string_view token) {
  return crypto::Sha256(AsBytes(token));
}

Result<std::vector<KeptToken>> ParseTokens(std::string_view text) {
  std::vector<KeptToken> tokens;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    auto token = ParseLine(line);
    if (!token)
      return Fail(ErrorCode::kMalformed, "line " + std::to_string(number) + ": " + std::move(token).error().message);
    if (Holds(tokens, token->name))
      return Fail(ErrorCode::kMalformed, "line " + std::to_string(number) + ": this name has a token already");
    if (tokens.size() == kMostTokens)
      return Fail(ErrorCode::kTooLarge, "holds more than " + std::to_string(kMostTokens) + " tokens");
    tokens.push_back(*std::move(token));
  }
  return tokens;
}

std::string FormatTokens(const std::vector<KeptToken>& tokens) {
  std::string text(kComment);
  for (const KeptToken& token : tokens) {
    text += token.name.str() + " " + ToHex(token.hash) + " " +
            std::to_string(token.expires.time_since_epoch().count()) + "\n";
  }
  return text;
}

Result<std::vector<KeptToken>> ReadTokenFile(const std::filesystem::path& path) {
  TACIT_TRY(const Bytes bytes, ReadFile(path, kLargestTokenFile));
  TACIT_TRY_VOID(CheckClosedToOthers(path));
  auto tokens = ParseTokens(AsText(bytes));
  if (!tokens) return Annotate(tokens.error(), path.string());
  return tokens;
}

Result<TokenFileChange> TokenFileChange::Begin(std::filesystem::path path) {
  // The file itself is another one after each change.
  const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : ".";
  const int lock = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0 || ::flock(lock, LOCK_EX) != 0) {
    const std::string why = std::generic_category().message(errno);
    if (lock >= 0) ::close(lock);
    return Fail(ErrorCode::kNotFound, directory.string() + ": " + why);
  }
  TokenFileChange change(std::move(path), lock, {});
  auto tokens = ReadTokenFile(change.path_);
  if (tokens)
    change.tokens_ = *std::move(tokens);
  else if (tokens.error().code != ErrorCode::kNotFound)
    return std::unexpected(tokens.error());
  return change;
}

TokenFileChange::TokenFileChange(std::filesystem::path path, int lock, std::vector<KeptToken> tokens)
    : path_(std::move(path)), lock_(lock), tokens_(std::move(tokens)) {}

TokenFileChange::TokenFileChange(TokenFileChange&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)), tokens_(std::move(other.tokens_)) {}

TokenFileChange::~TokenFileChange() {
  if (lock_ >= 0) ::close(lock_);
}

Result<void> TokenFileChange::Add(KeptToken token, WallTime now) {
  std::erase_if(tokens_, [&](const KeptToken& each) { return each.name == token.name && each.expires <= now; });
  if (Holds(tokens_, token.name)) {
    return Fail(ErrorCode::kConflict,
                "'" + token.name.str() + "' has a token already: revoke it first, or choose " + "another name");
  }
  if (tokens_.size() >= kMostTokens) {
    return Fail(ErrorCode::kTooLarge, path_.string() + " holds " + std::to_string(kMostTokens) +
                                          " tokens, as many as it may: revoke one first");
  }
  tokens_.push_back(std::move(token));
  return {};
}

Result<void> TokenFileChange::Remove(const ClientName& name) {
  if (std::erase_if(tokens_, [&](const KeptToken& each) { return each.name == name; }) > 0) return {};
  return Fail(ErrorCode::kNotFound, path_.string() + " holds no token of '" + name.str() + "'");
}

Result<void> TokenFileChange::Commit() const {
  return WriteFileAtomic(path_, AsBytes(FormatTokens(tokens_)), kOwnerOnly);
}

}  // namespace tacit::serving
