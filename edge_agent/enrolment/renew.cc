#include "edge_agent/enrolment/renew.h"

#include <utility>

#include "common/base/files.h"
#include "common/crypto/certificate.h"
#include "common/crypto/keys.h"
#include "common/net/problem_reader.h"
#include "edge_agent/enrolment/issued.h"
#include "proto/codec/enrolment.h"

namespace tacit::enrolment {
namespace {

Result<codec::RenewReply> Ask(const EnrolledIdentity& identity, const crypto::PrivateKey& key, Millis timeout) {
  TACIT_TRY(net::HttpsClient client, net::HttpsClient::Create(ClientOptionsFor(identity)));
  TACIT_TRY(std::string csr, crypto::MakeCsrPem(key, identity.device.str()));
  const Bytes body = codec::Encode(codec::RenewRequest{std::move(csr)});
  net::ClientRequest request;
  request.method = "POST";
  request.target = "/v1/certificate";
  request.headers = {{"Content-Type", "application/x-protobuf"}};
  request.body = {body};
  request.max_response_bytes = codec::kMaxRenewReplyBytes;
  request.timeout = timeout;
  TACIT_TRY(const Bytes answer, net::BodyOrProblem(client.Send(request)));
  return codec::ParseRenewReply(answer);
}

}  // namespace

WallTime RenewalDueAt(const EnrolledIdentity& identity) {
  return identity.not_before + (identity.not_after - identity.not_before) / 2;
}

Result<EnrolledIdentity> Renew(const EnrolledIdentity& identity, const RenewOptions& options, const Clock& clock) {
  TACIT_TRY(const crypto::PrivateKey key, crypto::PrivateKey::FromPem(identity.key_pem));
  TACIT_TRY(const crypto::Certificate ca, crypto::Certificate::FromPem(identity.ca_pem));
  TACIT_TRY(codec::RenewReply reply, Ask(identity, key, options.timeout));
  TACIT_TRY(const IssuedCertificate issued,
            CheckIssued(reply.certificate_chain_pem, identity.device, key, ca, clock.Now()));
  if (issued.id.trust_domain != identity.trust_domain) {
    return Fail(ErrorCode::kUnauthenticated,
                "the new certificate is of another trust domain, " + issued.id.trust_domain);
  }
  const StateFiles files(options.state_directory);
  TACIT_TRY_VOID(WriteFileAtomic(files.certificate, AsBytes(reply.certificate_chain_pem), kReadableByAll));
  EnrolledIdentity renewed = identity;
  renewed.certificate_pem = std::move(reply.certificate_chain_pem);
  renewed.not_before = issued.leaf.NotBefore();
  renewed.not_after = issued.leaf.NotAfter();
  return renewed;
}

}  // namespace tacit::enrolment
