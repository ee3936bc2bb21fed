#include "common/net/session_cache.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <optional>
#include <utility>

#include <openssl/rand.h>

namespace tacit::net {
namespace {

// A session and its entry; what OpenSSL makes of a certificate: measured, and rounded up by a tenth, for certificates
// of our CA (5.2 KB of 460 bytes, 5.6 KB of 494) and their root.
constexpr std::uint64_t kBytesOfEntry = 2 * 1024;
constexpr std::uint64_t kBytesOfCertificate = 2 * 1024;
constexpr std::uint64_t kBytesPerDerByte = 8;
// A device's certificate has about 500 bytes, and a chain of a few fits too.
constexpr int kMostDerBytes = 4 * 1024;

// Certificates that the check of the chain had no use for may hold anything, and blow up when they are read.
bool IsPartOf(X509* certificate, const STACK_OF(X509) * verified) {
  for (int i = 0; i < sk_X509_num(verified); ++i) {
    if (X509_cmp(certificate, sk_X509_value(verified, i)) == 0) return true;
  }
  return false;
}

// What a session takes with the certificates that are in it; nothing where they must not be kept.
std::optional<std::uint64_t> BytesOf(SSL* ssl) {
  const STACK_OF(X509)* sent = SSL_get_peer_cert_chain(ssl);
  const STACK_OF(X509)* verified = SSL_get0_verified_chain(ssl);
  int der_bytes = i2d_X509(SSL_get0_peer_certificate(ssl), nullptr);
  for (int i = 0; i < sk_X509_num(sent); ++i) {
    X509* certificate = sk_X509_value(sent, i);
    // A resumed session's chain was looked at when it was proved, and is gone from the library's hands.
    if (SSL_session_reused(ssl) == 0 && !IsPartOf(certificate, verified)) return std::nullopt;
    der_bytes += i2d_X509(certificate, nullptr);
  }
  if (der_bytes > kMostDerBytes) return std::nullopt;
  const auto certificates = static_cast<std::uint64_t>(1 + std::max(sk_X509_num(sent), 0));
  return kBytesOfEntry + kBytesOfCertificate * certificates + kBytesPerDerByte * static_cast<std::uint64_t>(der_bytes);
}

std::string IdOf(const SSL_SESSION* session) {
  unsigned size = 0;
  const unsigned char* id = SSL_SESSION_get_id(session, &size);
  return std::string(AsText({id, size}));
}

}  // namespace

Result<void> SessionCache::Attach(SSL_CTX* context) {
  // Made anew for each context: nothing that was proved to another listener, or to another CA before a reload, counts.
  std::array<unsigned char, SSL_MAX_SID_CTX_LENGTH> name{};
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(limits_.lifetime).count();
  const bool set = RAND_bytes(name.data(), static_cast<int>(name.size())) == 1 &&
                   SSL_CTX_set_session_id_context(context, name.data(), name.size()) == 1 &&
                   // One ticket, of which a client gets a fresh one whenever it resumes; it is a name for what is here.
                   SSL_CTX_set_num_tickets(context, 1) == 1;
  if (!set) return Fail(ErrorCode::kInternal, "the TLS library refuses its settings: " + TakeTlsErrorText());
  SSL_CTX_set_timeout(context, static_cast<long>(seconds));
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_sess_set_get_cb(context, OnLookUp);
  return {};
}

SessionCache* SessionCache::Of(const SSL_CTX* context) {
  return static_cast<SessionCache*>(SSL_CTX_get_app_data(context));
}

SSL_SESSION* SessionCache::OnLookUp(SSL* ssl, const unsigned char* id, int size, int* copy) {
  WallTime ends_at{};
  SslSessionPtr found =
      Of(SSL_get_SSL_CTX(ssl))->Find(AsText({id, static_cast<std::size_t>(size)}), SystemClock().Now(), ends_at);
  if (found) TlsSession::NoteOffered(ssl, ends_at);
  *copy = 0;  // The caller takes over our share: by then another thread may have dropped the cache's.
  return found.release();
}

SslSessionPtr SessionCache::Find(std::string_view id, WallTime now, WallTime& ends_at) {
  const std::scoped_lock lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  const Entry& entry = *found->second;
  if (now >= entry.ends_at) {
    Erase(found->second);
    return nullptr;
  }
  ends_at = entry.ends_at;
  SSL_SESSION_up_ref(entry.session.get());
  return SslSessionPtr(entry.session.get());
}

// Resuming proves nothing anew, and so does not prolong.
WallTime SessionCache::EndOf(const TlsSession& session, WallTime now) const {
  if (session.resumed()) return session.offered_end();
  return std::min<WallTime>(now + limits_.lifetime, session.ProofEnd().value_or(WallTime::max()));
}

void SessionCache::Keep(const TlsSession& session, const PeerIdentity& peer) {
  if (peer.spiffe_uri.empty() || SSL_get_verify_result(session.native()) != X509_V_OK) return;
  const WallTime now = SystemClock().Now();
  const std::optional<std::uint64_t> bytes = BytesOf(session.native());
  if (!bytes || *bytes > limits_.max_bytes) return;
  SslSessionPtr kept(SSL_get1_session(session.native()));
  if (!kept || SSL_SESSION_is_resumable(kept.get()) == 0) return;
  Entry entry{.session = std::move(kept), .peer = peer, .id = {}, .ends_at = EndOf(session, now), .bytes = *bytes};
  entry.id = IdOf(entry.session.get());
  if (entry.ends_at <= now) return;
  const std::scoped_lock lock(mutex_);
  if (const auto old = by_client_.find(peer.spiffe_uri); old != by_client_.end()) Erase(old->second);
  if (const auto old = by_id_.find(entry.id); old != by_id_.end()) Erase(old->second);
  while (bytes_ + entry.bytes > limits_.max_bytes) Erase(std::prev(entries_.end()));
  bytes_ += entry.bytes;
  entries_.push_front(std::move(entry));
  by_id_.emplace(entries_.front().id, entries_.begin());
  by_client_.emplace(entries_.front().peer.spiffe_uri, entries_.begin());
}

void SessionCache::Forget(const std::function<bool(const PeerIdentity&)>& matches) {
  const std::scoped_lock lock(mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto here = entry++;
    if (matches(here->peer)) Erase(here);
  }
}

void SessionCache::Clear() {
  Forget([](const PeerIdentity&) { return true; });
}

void SessionCache::Erase(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  by_id_.erase(entry->id);
  by_client_.erase(entry->peer.spiffe_uri);
  entries_.erase(entry);
}

std::size_t SessionCache::size() const {
  const std::scoped_lock lock(mutex_);
  return entries_.size();
}

std::uint64_t SessionCache::bytes() const {
  const std::scoped_lock lock(mutex_);
  return bytes_;
}

}  // namespace tacit::net
