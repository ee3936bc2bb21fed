#include "common/net/tls.h"

#include <mutex>

#include "common/base/files.h"
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

Result<std::shared_ptr<SSL_CTX>> Load(const TlsServerOptions& options) {
  TACIT_TRY(SslContextPtr context, NewTlsContext(TlsSession::Role::kServer));
  TACIT_TRY_VOID(LoadIdentity(context.get(), options));
  TACIT_TRY_VOID(LoadClientCa(context.get(), options));
  return std::shared_ptr<SSL_CTX>(std::move(context));
}

}  // namespace

struct TlsServerContext::State {
  TlsServerOptions options;
  std::mutex mutex;
  std::shared_ptr<SSL_CTX> context;  // guarded by mutex
};

Result<std::shared_ptr<TlsServerContext>> TlsServerContext::Create(TlsServerOptions options) {
  if (options.client_auth != ClientAuth::kNone && options.client_ca_path.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "client certificates are asked for, but no client CA is named to check them");
  }
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  std::shared_ptr<TlsServerContext> context(new TlsServerContext(std::move(state)));
  TACIT_TRY_VOID(context->Reload());
  return context;
}

TlsServerContext::TlsServerContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsServerContext::~TlsServerContext() = default;

Result<void> TlsServerContext::Reload() {
  TACIT_TRY(std::shared_ptr<SSL_CTX> loaded, Load(state_->options));
  const std::scoped_lock lock(state_->mutex);
  state_->context = std::move(loaded);
  return {};
}

std::shared_ptr<ssl_ctx_st> TlsServerContext::native() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->context;
}

}  // namespace tacit::net
