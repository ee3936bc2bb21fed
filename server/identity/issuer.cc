#include "server/identity/issuer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/version.h"
#include "common/crypto/digest.h"
#include "common/web/web_client.h"

namespace tacit::identity {
namespace {

constexpr Millis kFirstBackoff{1'000};
constexpr Millis kLongestBackoff{60'000};
constexpr Millis kConnectIn{5'000};
constexpr Millis kAnswerIn{10'000};
constexpr int kOk = 200;

}  // namespace

Result<Fetch> MakeFetch(const std::filesystem::path& ca_file) {
  TACIT_TRY(
      web::WebClient made,
      web::WebClient::Create({.ca_file = ca_file,
                              .user_agent = "tacitd/" + std::string(kVersion),
                              .limits = {.connect = kConnectIn, .whole = kAnswerIn, .max_body_bytes = kLargestDocument},
                              .plain_http = web::PlainHttp::kRefused}));
  auto client = std::make_shared<const web::WebClient>(std::move(made));
  return [client](const std::string& url, const std::stop_token& stop) -> Result<std::string> {
    const web::WebRequest request{.method = web::WebMethod::kGet,
                                  .url = url,
                                  .headers = {{.name = "Accept", .value = "application/json"}},
                                  .body = {}};
    TACIT_TRY(web::WebResponse answer, client->Ask(request, stop));
    if (answer.status == kOk) return std::move(answer.body);
    TACIT_TRY(const std::string origin, web::OriginOf(url, web::PlainHttp::kRefused));
    return Fail(ErrorCode::kUnavailable, origin + " answers with status " + std::to_string(answer.status));
  };
}

Result<KeySet> FetchKeys(const KeySource& source, const Fetch& fetch, const std::stop_token& stop) {
  std::string url = source.jwks_url;
  if (url.empty()) {
    TACIT_TRY(const std::string description, fetch(DiscoveryUrl(source.issuer), stop));
    TACIT_TRY(url, ParseDiscovery(description, source.issuer));
  }
  TACIT_TRY(const std::string keys, fetch(url, stop));
  return KeySet::Parse(keys);
}

Issuer::Issuer(IssuerOptions options, Fetch fetch, const Clock& clock, Logger& log, metrics::Metrics& metrics)
    : options_(std::move(options)),
      fetch_(std::move(fetch)),
      clock_(clock),
      log_(log),
      metrics_(metrics),
      next_at_(clock.SteadyNow()) {}

Result<Identity> Issuer::Check(std::string_view token) {
  // Nothing longer is even digested.
  if (token.size() > kLongestToken)
    return Fail(ErrorCode::kUnauthenticated, "the token has more than " + std::to_string(kLongestToken) + " bytes");
  const Digest256 digest = crypto::Sha256(AsBytes(token));
  std::shared_ptr<const KeySet> keys;
  {
    const Lock held(mutex_);
    keys = KeysNow(held);
    if (keys == nullptr) {
      AskSoon(held);
      return Fail(ErrorCode::kUnavailable,
                  "this server has no keys of the issuer to check the token with: it asks for "
                  "them, and its log says why there are none; try again in a few seconds");
    }
    const auto found = remembered_.find(digest);
    if (found != remembered_.end() && found->second.expires_at > clock_.Now()) return found->second;
  }
  auto identity = VerifyToken(token, *keys, options_.rules, clock_.Now());
  const Lock held(mutex_);
  if (!identity) {
    if (identity.error().code == ErrorCode::kNotFound) AskSoon(held);
    return Fail(ErrorCode::kUnauthenticated, std::move(identity).error().message);
  }
  if (keys_ == keys) Remember(digest, *identity, held);
  return identity;
}

void Issuer::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Lock lock(mutex_);
    const SteadyTime now = clock_.SteadyNow();
    if (next_at_ > now) {
      // Looks again at the time when it is woken, for whatever reason.
      woken_.wait_for(lock, stop, next_at_ - now, [this, until = next_at_] { return next_at_ != until; });
      continue;
    }
    lock.unlock();
    Refresh(stop);
  }
}

void Issuer::Refresh(const std::stop_token& stop) {
  {
    const Lock held(mutex_);
    earliest_at_ = clock_.SteadyNow() + kBetweenRequests;
  }
  auto keys = FetchKeys(options_.source, fetch_, stop);
  if (stop.stop_requested()) return;  // what then failed was ended by us
  if (keys) {
    Take(*std::move(keys));
  } else {
    NoteFailure(keys.error());
  }
}

SteadyTime Issuer::due() const {
  const Lock held(mutex_);
  return next_at_;
}

std::shared_ptr<const KeySet> Issuer::KeysNow(const Lock& /*held*/) const {
  return clock_.SteadyNow() - taken_at_ < options_.keep ? keys_ : nullptr;
}

void Issuer::AskSoon(const Lock& /*held*/) {
  next_at_ = std::min(next_at_, std::max(clock_.SteadyNow(), earliest_at_));
  woken_.notify_all();
}

void Issuer::Take(KeySet keys) {
  const Lock held(mutex_);
  // Once, and again when it is news.
  const LogLevel level = keys_ == nullptr || backoff_ > Millis(0) ? LogLevel::kInfo : LogLevel::kDebug;
  log_.Write(level, "oidc_keys_taken", {{"keys", keys.size()}, {"left_out", keys.left_out()}});
  metrics_.IssuerAsked(metrics::IssuerAnswer::kOk);
  metrics_.SetIssuerKeys(keys.size());
  taken_at_ = clock_.SteadyNow();
  next_at_ = taken_at_ + options_.refresh;
  backoff_ = Millis(0);
  keys_ = std::make_shared<const KeySet>(std::move(keys));
  // A key that the issuer has taken back opens nothing any more, nor does one of the same id that is another now.
  remembered_.clear();
}

void Issuer::NoteFailure(const Error& error) {
  const Lock held(mutex_);
  const SteadyTime now = clock_.SteadyNow();
  backoff_ = backoff_ == Millis(0) ? kFirstBackoff : std::min(2 * backoff_, kLongestBackoff);
  next_at_ = now + backoff_;
  metrics_.IssuerAsked(metrics::IssuerAnswer::kError);
  log_.Warn("oidc_keys_not_taken",
            {{"code", TraitsOf(error.code).name}, {"reason", error.message}, {"delay_ms", backoff_.count()}});
  if (keys_ == nullptr || KeysNow(held) != nullptr) return;
  keys_ = nullptr;
  remembered_.clear();
  metrics_.SetIssuerKeys(0);
  log_.Error("oidc_keys_ended", {{"after_s", std::chrono::duration_cast<std::chrono::seconds>(options_.keep).count()}});
}

void Issuer::Remember(const Digest256& digest, const Identity& identity, const Lock& /*held*/) {
  if (remembered_.size() >= kMostRemembered)
    std::erase_if(remembered_, [now = clock_.Now()](const auto& each) { return each.second.expires_at <= now; });
  // Which one has to give way does not matter: it is checked again when it comes.
  if (remembered_.size() >= kMostRemembered) remembered_.erase(remembered_.begin());
  remembered_.insert_or_assign(digest, identity);
}

}  // namespace tacit::identity
