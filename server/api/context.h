#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rate_limiter.h"
#include "common/crypto/ca.h"
#include "common/crypto/spiffe.h"
#include "common/net/executor.h"
#include "common/net/http.h"
#include "server/api/upload_memory.h"
#include "server/coordinator/coordinator.h"
#include "server/metrics/metrics.h"

namespace tacit::crypto {
class SigningKey;
}
namespace tacit::delivery {
class BundleCache;
}

namespace tacit::detectors {
class Calibrations;
}

namespace tacit::api {

class AccessTokens;
struct IdentityAccess;
class KeptAnswers;
class PrivacyPages;
class StreamPlaces;

/// What the handlers of all listeners share. Everything in it outlives the listeners.
struct Context {
  coordinator::Coordinator& coordinator;
  net::ComputePool& compute;
  net::ComputePool& figures;   ///< For accountants: one question after the other, and never in the way of an update.
  net::ComputePool& bundling;  ///< One thread, which makes bundles and leases.
  delivery::BundleCache& bundles;
  detectors::Calibrations& calibrations;  ///< Used by `bundling` alone.
  const crypto::SigningKey& model_key;
  const crypto::CertificateAuthority& ca;
  const Clock& clock;
  Logger& log;
  metrics::Metrics& metrics;
  UploadMemory& upload_memory;  ///< Also of models on their way out to operators.
  RateLimiter& enrolment_rate;
  RateLimiter& access_rate;  ///< Of attempts with wrong tokens, of either kind.
  RateLimiter& report_rate;  ///< Of devices that use models.
  AccessTokens& access_tokens;
  const IdentityAccess* identity_access = nullptr;  ///< Null: no issuer is configured.
  KeptAnswers& kept_answers;
  PrivacyPages& privacy_pages;
  StreamPlaces& stream_places;
  WallTime certificate_ends;  ///< The server's own.
  std::string trust_domain;
  std::string advertised_host;  ///< Told to enrolled devices; empty: the host they asked.
  std::chrono::seconds certificate_lifetime{};
  std::uint64_t max_update_bytes = 0;
  std::uint16_t agents_port = 0;
  std::uint16_t enrolment_port = 0;
  bool metrics_need_certificate = false;  ///< Whether the metrics listener speaks TLS.
  std::function<bool()> ready;
  /// Cuts the live connections of a device, at once.
  std::function<void(const DeviceId&)> close_connections;
};

/// Who is calling, proven by the handshake, when it is a `kind` of our trust domain.
/// Errors: kPermissionDenied, saying what the certificate lacks.
Result<crypto::SpiffeId> Identify(const Context& context, const net::HttpRequest& request, std::string_view kind);

/// Which device is calling, once it was found to be one that may act now; notes that it was seen.
/// Errors: as Identify; kPermissionDenied for a device that is revoked or was admitted with another key.
Result<DeviceId> IdentifyDevice(const Context& context, net::HttpRequest& request);

/// Writes one audit record; `actor` did `action` to `target`. Errors: those of the store.
net::Task<Result<void>> Audit(Context& context, std::string actor, std::string action, std::string target,
                              std::string detail);

/// An answer whose body is one encoded protocol message.
net::HttpResponse ProtobufResponse(const Bytes& message);

}  // namespace tacit::api
