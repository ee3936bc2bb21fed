#pragma once

#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/identity/keys.h"
#include "server/identity/token.h"
#include "server/metrics/metrics.h"

namespace tacit::identity {

/// The body of what a server answers to GET. Blocks; `stop` ends it. Errors: whatever kept it from being got, without a
/// path or a query.
using Fetch = std::function<Result<std::string>(const std::string& url, const std::stop_token& stop)>;

/// Over HTTPS, of servers whose certificate is of the CA in `ca_file`, or of one that the system trusts when it is
/// empty. Errors: those of reading the file.
Result<Fetch> MakeFetch(const std::filesystem::path& ca_file);

/// Where the keys of an issuer are.
struct KeySource {
  std::string issuer;
  std::string jwks_url;  ///< Empty: where the issuer's description of itself says.
};

/// Asks an issuer for its keys, as it is described there. Blocks. Errors: those of `fetch`; those of ParseDiscovery and
/// KeySet::Parse.
Result<KeySet> FetchKeys(const KeySource& source, const Fetch& fetch, const std::stop_token& stop);

struct IssuerOptions {
  KeySource source;
  TokenRules rules;
  Millis refresh{};  ///< How often the keys are asked for.
  Millis keep{};     ///< For how long the last ones are good while the issuer gives none.
};

/// The issuer whose tokens are taken: keeps its keys, and checks tokens against them. It asks for keys in time, and
/// once when a token names a key that it does not know, but no more often than every few seconds: tokens come from
/// anybody. Threads: Run from one of its own, the rest from any.
class Issuer {
 public:
  /// Between two requests for keys at least, whatever tokens say.
  static constexpr Millis kBetweenRequests{5'000};
  /// Checked tokens that are remembered, so that a client that sends its token with every request costs one signature.
  static constexpr std::size_t kMostRemembered = 256;

  /// Clock, log and metrics must outlive it.
  Issuer(IssuerOptions options, Fetch fetch, const Clock& clock, Logger& log, metrics::Metrics& metrics);

  /// Who the token speaks of. Errors: kUnavailable while there are no keys to check it with; kUnauthenticated when it
  /// is not to be believed. Never waits for the issuer. Cost: one signature, or a digest for a token seen before.
  Result<Identity> Check(std::string_view token);

  /// Asks for keys whenever that is due, until it is to stop.
  void Run(const std::stop_token& stop);

  /// One turn of Run: asks now, takes the keys or notes that there were none.
  void Refresh(const std::stop_token& stop);
  /// When the next turn is due.
  [[nodiscard]] SteadyTime due() const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  /// What tokens are checked with; null when there is nothing, or nothing that is still good.
  std::shared_ptr<const KeySet> KeysNow(const Lock& held) const;
  void AskSoon(const Lock& held);
  void Take(KeySet keys);
  void NoteFailure(const Error& error);
  void Remember(const Digest256& digest, const Identity& identity, const Lock& held);

  const IssuerOptions options_;
  const Fetch fetch_;
  const Clock& clock_;
  Logger& log_;
  metrics::Metrics& metrics_;
  mutable std::mutex mutex_;
  std::condition_variable_any woken_;
  // Guarded by mutex_.
  std::shared_ptr<const KeySet> keys_;
  SteadyTime taken_at_{};
  SteadyTime next_at_{};
  SteadyTime earliest_at_{};  // kBetweenRequests after the last request
  Millis backoff_{};          // zero while the issuer answers
  std::map<Digest256, Identity> remembered_;
};

}  // namespace tacit::identity
