#include "common/net/tls.h"

#include <chrono>
#include <mutex>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "common/base/files.h"
#include "common/net/session_cache.h"
#include "common/net/tls_session.h"

namespace tacit::net {
namespace {

constexpr std::size_t kMaxPemBytes = 1024 * 1024;

Result<std::string> ReadPem(const std::string& path) {
  TACIT_TRY(const Bytes bytes, ReadFile(path, kMaxPemBytes));
  return std::string(AsText(bytes));
}

Result<void> LoadIdentity(SSL_CTX* context, const TlsServerOptions& options) {
  TACIT_TRY(const std::string chain, ReadPem(options.certificate_chain_path));
  TACIT_TRY(std::string key, ReadPem(options.private_key_path));
  const Result<void> used = UseIdentity(context, chain, key);
  OPENSSL_cleanse(key.data(), key.size());
  if (!used) return Annotate(used.error(), options.certificate_chain_path + " with " + options.private_key_path);
  return {};
}

Result<void> LoadClientCa(SSL_CTX* context, const TlsServerOptions& options) {
  if (options.client_auth == ClientAuth::kNone) return {};
  TACIT_TRY(const std::string roots, ReadPem(options.client_ca_path));
  const Result<void> trusted = TrustOnly(context, roots);
  if (!trusted) return Annotate(trusted.error(), options.client_ca_path);
  const bool required = options.client_auth == ClientAuth::kRequired;
  VerifyPeer(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0));
  return {};
}

Result<SslContextPtr> Load(const TlsServerOptions& options) {
  TACIT_TRY(SslContextPtr context, NewTlsContext(TlsSession::Role::kServer));
  TACIT_TRY_VOID(LoadIdentity(context.get(), options));
  TACIT_TRY_VOID(LoadClientCa(context.get(), options));
  return context;
}

}  // namespace

Result<void> CheckServerChain(const TlsServerOptions& options, WallTime now) {
  TACIT_TRY(const SslContextPtr context, Load(options));
  X509_VERIFY_PARAM* asked = X509_STORE_get0_param(SSL_CTX_get_cert_store(context.get()));
  X509_VERIFY_PARAM_set_time(asked, std::chrono::system_clock::to_time_t(now));
  X509_VERIFY_PARAM_set_purpose(asked, X509_PURPOSE_SSL_SERVER);
  ERR_clear_error();
  if (SSL_CTX_build_cert_chain(context.get(), SSL_BUILD_CHAIN_FLAG_UNTRUSTED) == 1) return {};
  // OpenSSL says why only beside its error.
  const char* detail = nullptr;
  int flags = 0;
  ERR_peek_last_error_data(&detail, &flags);
  const std::string why = (flags & ERR_TXT_STRING) != 0 && detail != nullptr ? detail : "no reason given";
  ERR_clear_error();
  return Fail(ErrorCode::kUnauthenticated, options.certificate_chain_path +
                                               " cannot be believed by whoever believes only " +
                                               options.client_ca_path + ": " + why);
}

struct TlsServerContext::State {
  explicit State(TlsServerOptions its_options)
      : options(std::move(its_options)),
        sessions(options.sessions.lifetime > Millis(0) ? std::make_shared<SessionCache>(options.sessions) : nullptr) {}

  const TlsServerOptions options;
  const std::shared_ptr<SessionCache> sessions;  // null where none is resumed
  std::mutex mutex;
  std::shared_ptr<SSL_CTX> context;  // guarded by mutex
};

Result<std::shared_ptr<TlsServerContext>> TlsServerContext::Create(TlsServerOptions options) {
  if (options.client_auth != ClientAuth::kNone && options.client_ca_path.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "client certificates are asked for, but no client CA is named to check them");
  }
  std::shared_ptr<TlsServerContext> context(new TlsServerContext(std::make_unique<State>(std::move(options))));
  TACIT_TRY_VOID(context->Reload());
  return context;
}

TlsServerContext::TlsServerContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsServerContext::~TlsServerContext() = default;

Result<void> TlsServerContext::Reload() {
  TACIT_TRY(SslContextPtr loaded, Load(state_->options));
  const std::shared_ptr<SessionCache>& sessions = state_->sessions;
  if (sessions) TACIT_TRY_VOID(sessions->Attach(loaded.get()));
  // Whoever shakes hands with the context holds what it looks sessions up in.
  std::shared_ptr<SSL_CTX> shared(loaded.release(), [sessions](SSL_CTX* context) { SSL_CTX_free(context); });
  if (sessions) sessions->Clear();
  const std::scoped_lock lock(state_->mutex);
  state_->context = std::move(shared);
  return {};
}

void TlsServerContext::ForgetSessions(const std::function<bool(const PeerIdentity&)>& matches) {
  if (state_->sessions) state_->sessions->Forget(matches);
}

std::shared_ptr<ssl_ctx_st> TlsServerContext::native() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->context;
}

}  // namespace tacit::net
