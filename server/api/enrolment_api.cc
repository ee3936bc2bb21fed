#include "server/api/enrolment_api.h"

#include <utility>

#include "common/base/check.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "proto/codec/enrolment.h"

namespace tacit::api {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using net::Task;

std::string RandomHex(std::size_t bytes) {
  Bytes raw(bytes);
  crypto::OsRandom().Fill(raw);
  return ToHex(raw);
}

DeviceId ChooseName(const codec::EnrolRequest& wish) {
  if (auto fixed = codec::NameInToken(wish.token)) return *std::move(fixed);
  if (wish.label) return *wish.label;
  auto fresh = DeviceId::Parse("d-" + RandomHex(8));
  TACIT_CHECK(fresh.has_value(), "hexadecimal digits make a good name");
  return *std::move(fresh);
}

Task<Result<HttpResponse>> Enrol(Context& context, HttpRequest& request) {
  if (!context.enrolment_rate.Allow(request.peer().address)) {
    context.metrics.Enrolment("rate_limited");
    co_return Fail(ErrorCode::kRateLimited, "too many enrolment attempts from this address; wait a minute");
  }
  TACIT_CO_TRY(const Bytes body, co_await request.ReadBody(codec::kMaxEnrolRequestBytes));
  TACIT_CO_TRY(const codec::EnrolRequest wish, codec::ParseEnrolRequest(body));
  const DeviceId device = ChooseName(wish);
  const crypto::SpiffeId identity{context.trust_domain, "device", device.str()};
  const WallTime now = context.clock.Now();
  // The certificate is made first and thrown away if the token does not pay for it: it names a device that then has no
  // row, and so may do nothing.
  TACIT_CO_TRY(const crypto::Certificate certificate,
               context.ca.IssueClient({.csr_pem = wish.csr_pem,
                                       .spiffe_uri = identity.ToUri(),
                                       .common_name = device.str(),
                                       .now = now,
                                       .lifetime = context.certificate_lifetime}));
  const store::DeviceRecord row{.id = device,
                                .state = store::DeviceState::kActive,
                                .public_key_sha256 = certificate.PublicKeySha256(),
                                .certificate_serial = certificate.SerialHex(),
                                .certificate_not_after = certificate.NotAfter(),
                                .enrolled_at = now,
                                .last_seen = std::nullopt,
                                .token_hash_hex = {}};
  const Digest256 hash = crypto::Sha256(AsBytes(wish.token));
  const auto redeemed = co_await context.coordinator.store().Call("redeem_token", [&](store::Store& store) {
    auto outcome = store.RedeemToken(hash, now, row);
    if (!outcome) return outcome;
    context.coordinator.devices().Admit(device, row.public_key_sha256, now);
    context.coordinator.devices().Certified(device, row.certificate_not_after);
    return outcome;
  });
  if (!redeemed) {
    context.metrics.Enrolment(TraitsOf(redeemed.error().code).name);
    context.log.WarnSparingly("enrolment_refused",
                              {{"address", request.peer().address}, {"reason", redeemed.error().message}});
    co_return std::unexpected(redeemed.error());
  }
  const bool readmitted = *redeemed == store::Redemption::kReadmitted;
  context.metrics.Enrolment(readmitted ? "readmitted" : "enrolled");
  if (readmitted) context.close_connections(device);
  TACIT_CO_TRY_VOID(co_await Audit(context, "token/" + ToHex(hash).substr(0, 16),
                                   readmitted ? "device_readmit" : "device_enrol", "device/" + device.str(),
                                   "serial " + row.certificate_serial + " from " + request.peer().address));
  if (readmitted) {
    context.log.Warn("device_readmitted", {{"device", device.str()}, {"address", request.peer().address}});
  } else {
    context.log.Info("device_enrolled", {{"device", device.str()}, {"address", request.peer().address}});
  }
  co_return ProtobufResponse(codec::Encode(codec::EnrolReply{.device = device,
                                                             .certificate_chain_pem = certificate.ToPem(),
                                                             .ca_pem = context.ca.CertPem(),
                                                             .agents_host = context.advertised_host,
                                                             .agents_port = context.agents_port}));
}

Task<Result<HttpResponse>> GetCa(Context& context) {
  HttpResponse response;
  response.content_type = "application/x-pem-file";
  response.body = context.ca.CertPem();
  co_return response;
}

}  // namespace

std::string MakeToken(const std::optional<DeviceId>& fixed_name) {
  std::string token = "tct_" + RandomHex(16);
  if (fixed_name) token += "." + fixed_name->str();
  return token;
}

std::vector<Route> EnrolmentRoutes(Context& context) {
  return {
      {"GET", "/v1/ca", [&context](HttpRequest&, const PathArguments&) { return GetCa(context); }},
      {"POST", "/v1/enrol", [&context](HttpRequest& request, const PathArguments&) { return Enrol(context, request); }},
  };
}

}  // namespace tacit::api
