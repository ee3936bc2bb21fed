#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include <openssl/ssl.h>

#include "common/base/clock.h"
#include "common/net/tls.h"
#include "common/net/tls_session.h"

// The sessions that clients of one listener may resume. Private to common/net.
namespace tacit::net {

/// Sessions of clients that have proved a certificate, in memory: resuming one costs a quarter of proving it again
/// (tickets that hold the session itself would save little, because the certificate in them has to be read again). A
/// session stands for its certificate and no longer than that: what is asked of a client after the handshake is asked
/// of a resumed one from the same certificate. One for each client, by its SPIFFE URI, the newest, so that none can
/// push out others by connecting often or by renewing its certificate often; beyond `max_bytes` the one that was not
/// used for longest goes. A certificate without a URI names no client, and has none. Threads: any.
class SessionCache {
 public:
  explicit SessionCache(SessionLimits limits) : limits_(limits) {}
  SessionCache(const SessionCache&) = delete;
  SessionCache& operator=(const SessionCache&) = delete;

  /// Lets clients of `context` resume what this cache holds, and gives them something to resume. The cache must live as
  /// long as handshakes with it. Errors: kInternal.
  Result<void> Attach(SSL_CTX* context);

  /// The one that is attached to `context`; null where none is.
  static SessionCache* Of(const SSL_CTX* context);

  /// Keeps the session of a handshake that has just ended. `peer` is what IdentityOf said of it.
  void Keep(const TlsSession& session, const PeerIdentity& peer);

  void Forget(const std::function<bool(const PeerIdentity&)>& matches);
  void Clear();

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  struct Entry {
    SslSessionPtr session;
    PeerIdentity peer;
    std::string id;    // by which the client asks for it
    WallTime ends_at;  // the first certificate of its chain to end, or the lifetime since that was proved
    std::uint64_t bytes = 0;
  };
  using Entries = std::list<Entry>;

  static SSL_SESSION* OnLookUp(SSL* ssl, const unsigned char* id, int size, int* copy);
  SslSessionPtr Find(std::string_view id, WallTime now, WallTime& ends_at);
  [[nodiscard]] WallTime EndOf(const TlsSession& session, WallTime now) const;
  void Erase(Entries::iterator entry);

  const SessionLimits limits_;
  mutable std::mutex mutex_;
  Entries entries_;                                                    // the newest first; guarded by mutex_
  std::unordered_map<std::string_view, Entries::iterator> by_id_;      // into entries_; guarded by mutex_
  std::unordered_map<std::string_view, Entries::iterator> by_client_;  // into entries_; guarded by mutex_
  std::uint64_t bytes_ = 0;                                            // guarded by mutex_
};

}  // namespace tacit::net
