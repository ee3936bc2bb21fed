#include "edge_agent/serving/token_gate.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "common/crypto/digest.h"

namespace tacit::serving {
namespace {

constexpr std::string_view kScheme = "Bearer ";
// Nobody guesses 256 bits; a program with an old token should not fill a log with them.
constexpr std::uint32_t kWrongPerMinute = 30;
constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

// The name of a scheme is compared without regard to case. Source: RFC 9110, section 11.1.
std::optional<std::string_view> TokenIn(std::string_view header) {
  if (header.size() <= kScheme.size() || !EqualInAnyCase(header.substr(0, kScheme.size()), kScheme)) return {};
  return header.substr(kScheme.size());
}

}  // namespace

TokenGate::TokenGate(std::filesystem::path file, Logger& log, const Clock& clock)
    : file_(std::move(file)),
      log_(log),
      clock_(clock),
      wrong_({.per_minute = kWrongPerMinute, .max_sources = 1}, clock) {}

std::optional<TokenGate::Stamp> TokenGate::Look() const {
  struct stat status{};
  if (::stat(file_.c_str(), &status) != 0) return std::nullopt;
  return Stamp{.device = status.st_dev,
               .inode = status.st_ino,
               .changed_ns = status.st_ctim.tv_sec * kNanosPerSecond + status.st_ctim.tv_nsec,
               .size = status.st_size};
}

void TokenGate::ReadIfChanged() {
  // Looked at before it is read: what changes in between is seen the next time.
  const std::optional<Stamp> stamp = Look();
  if (stamp && stamp == stamp_ && tokens_) return;
  stamp_ = stamp;
  auto tokens = ReadTokenFile(file_);
  if (tokens) {
    tokens_ = *std::move(tokens);
    told_ = false;
    return;
  }
  tokens_.reset();
  if (!std::exchange(told_, true)) log_.Error("serving_tokens_not_read", {{"reason", tokens.error().message}});
}

Result<std::string> TokenGate::Refuse(std::string_view reason, std::string_view what) {
  if (!wrong_.Allow("")) {
    return Fail(ErrorCode::kRateLimited, "too many wrong tokens were shown to this agent; wait a minute");
  }
  log_.Warn("serving_token_refused", {{"reason", reason}});
  return Fail(ErrorCode::kUnauthenticated, std::string(what));
}

Result<std::string> TokenGate::NameOf(std::optional<std::string_view> authorization) {
  if (!authorization)
    return Fail(ErrorCode::kUnauthenticated, "show a token in an Authorization header: 'Bearer <token>'");
  const auto shown = TokenIn(*authorization);
  if (!shown) return Refuse("malformed", "the Authorization header must be 'Bearer <token>'");
  const Digest256 hash = HashOfToken(*shown);
  const std::scoped_lock lock(mutex_);
  ReadIfChanged();
  if (!tokens_) return Fail(ErrorCode::kUnavailable, "the agent cannot read its tokens; its log says why");
  const auto found =
      std::ranges::find_if(*tokens_, [&](const KeptToken& each) { return crypto::ConstantTimeEqual(each.hash, hash); });
  if (found == tokens_->end()) return Refuse("unknown", "this token is unknown or revoked; ask for another");
  if (found->expires <= clock_.Now()) return Refuse("expired", "this token has ended; ask for another");
  return found->name.str();
}

}  // namespace tacit::serving
