#include "edge_agent/enrolment/join.h"

#include <sys/stat.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "common/base/files.h"
#include "common/crypto/certificate.h"
#include "common/crypto/keys.h"
#include "common/crypto/secret.h"
#include "common/net/problem_reader.h"
#include "edge_agent/enrolment/identity_file.h"
#include "edge_agent/enrolment/issued.h"
#include "proto/codec/enrolment.h"

namespace tacit::enrolment {
namespace {

constexpr std::size_t kLargestKeyFile = 16UL * 1024;

Result<void> CheckToken(std::string_view token) {
  const bool printable = std::ranges::all_of(token, [](char c) { return c > ' ' && c < 0x7f; });
  if (!token.empty() && token.size() <= codec::kMaxTokenBytes && printable) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "a token is 1 to 128 printable characters without spaces, as 'tacit device token create' prints it");
}

Result<void> PrepareDirectory(const std::filesystem::path& directory) {
  std::error_code failure;
  if (std::filesystem::is_directory(directory, failure)) return {};
  if (directory.has_parent_path()) std::filesystem::create_directories(directory.parent_path(), failure);
  if (::mkdir(directory.c_str(), 0700) == 0) return {};
  // Whatever keeps it from being made, it is this machine and not the server that says no.
  return Fail(ErrorCode::kInvalidArgument,
              "cannot make the directory " + directory.string() + ": " + std::system_category().message(errno));
}

// A finished join is repeated only to bring the same device back: what else is in its directory, such as an update that
// the server may have counted already, must not be sent under a second name.
Result<void> CheckFinished(const JoinOptions& options, WallTime now) {
  const StateFiles files(options.state_directory);
  std::error_code failure;
  if (!std::filesystem::exists(files.identity, failure)) return {};
  TACIT_TRY(const EnrolledIdentity identity, LoadIdentity(options.state_directory));
  if (now < identity.not_after) {
    return Fail(ErrorCode::kConflict, "this device has joined already (" + files.identity.string() +
                                          "): use 'tacit-agent run', or another state directory for another identity");
  }
  if (codec::NameInToken(options.token) == identity.device) return {};
  return Fail(ErrorCode::kInvalidArgument, options.state_directory.string() + " is of the device " +
                                               identity.device.str() + ", whose certificate expired at " +
                                               FormatRfc3339(identity.not_after) +
                                               "; it takes a token for that name: 'tacit device token create --name " +
                                               identity.device.str() + "'. No token was sent");
}

// The key of an earlier join, when it is whole: the server may know it already.
std::optional<crypto::PrivateKey> ReadKey(const std::filesystem::path& path) {
  auto pem = ReadFile(path, kLargestKeyFile);
  if (!pem) return std::nullopt;
  auto key = crypto::PrivateKey::FromPem(AsText(*pem));
  crypto::Zeroise(*pem);
  if (!key) return std::nullopt;
  return *std::move(key);
}

Result<crypto::PrivateKey> ReadOrMakeKey(const std::filesystem::path& path) {
  if (auto key = ReadKey(path)) return *std::move(key);
  TACIT_TRY(crypto::PrivateKey key, crypto::PrivateKey::GenerateP256());
  TACIT_TRY(std::string pem, key.ToPem());
  // Over a file that a crash cut short: a key that cannot be read was never shown to a server.
  const auto written = WriteFileAtomic(path, AsBytes(pem), kOwnerOnly);
  crypto::Zeroise(pem);
  if (!written) return std::unexpected(written.error());
  return key;
}

// The other listeners want a certificate, and know no such path: who asks them for the CA most likely mistook the port.
Error SuspectPort(const Error& error) {
  return {error.code, error.message + "; is this the enrolment port (8445 by default)?"};
}

Result<std::string> FetchCa(const JoinOptions& options) {
  const auto pem =
      net::BodyOrProblem(net::FetchUnverified(options.enrolment, "/v1/ca", codec::kMaxCaPemBytes, options.timeout));
  if (!pem) return std::unexpected(SuspectPort(pem.error()));
  auto found = net::FindByFingerprint(AsText(*pem), options.ca_fingerprint);
  if (found) return found;
  return Fail(found.error().code,
              found.error().message +
                  ": this is not the server the fingerprint was printed for, or something between is "
                  "answering in its place; no token was sent");
}

// A name that is the same each time this device asks: when the answer to a spent token was lost, the server knows the
// repetition by key, token and name, and answers again.
Result<DeviceId> LabelOf(const crypto::PrivateKey& key) {
  constexpr std::size_t kDigestBytes = 8;
  return DeviceId::Parse("d-" + ToHex(ByteSpan(key.PublicKeySha256()).first(kDigestBytes)));
}

Result<codec::EnrolReply> Enrol(const JoinOptions& options, const std::string& ca_pem, const crypto::PrivateKey& key) {
  net::ClientOptions client_options;
  client_options.server = options.enrolment;
  client_options.ca_pem = ca_pem;
  client_options.ca_fingerprint = options.ca_fingerprint;
  TACIT_TRY(net::HttpsClient client, net::HttpsClient::Create(std::move(client_options)));
  TACIT_TRY(DeviceId label, options.label ? Result<DeviceId>(*options.label) : LabelOf(key));
  TACIT_TRY(std::string csr, crypto::MakeCsrPem(key, label.str()));
  Bytes body = codec::Encode(codec::EnrolRequest{options.token, std::move(csr), std::move(label)});
  net::ClientRequest request;
  request.method = "POST";
  request.target = "/v1/enrol";
  request.headers = {{"Content-Type", "application/x-protobuf"}};
  request.body = {body};
  request.max_response_bytes = codec::kMaxEnrolReplyBytes;
  request.timeout = options.timeout;
  auto response = client.Send(request);
  crypto::Zeroise(body);  // it holds the token
  const bool answered = response.has_value();
  const auto answer = net::BodyOrProblem(std::move(response));
  // An answer was heard, so that each side believes the other's certificate: what is not believed is the token.
  if (answered && !answer && answer.error().code == ErrorCode::kUnauthenticated) {
    return Fail(ErrorCode::kPermissionDenied, answer.error().message + "; ask for another: tacit device token create");
  }
  if (!answer) return std::unexpected(answer.error());
  return codec::ParseEnrolReply(*answer);
}

// identity.json last: it is what says that the rest is whole.
Result<void> Store(const StateFiles& files, const codec::EnrolReply& reply, const std::string& ca_pem,
                   const IdentityRecord& record) {
  TACIT_TRY_VOID(WriteFileAtomic(files.ca, AsBytes(ca_pem), kReadableByAll));
  TACIT_TRY_VOID(WriteFileAtomic(files.certificate, AsBytes(reply.certificate_chain_pem), kReadableByAll));
  return WriteFileAtomic(files.identity, AsBytes(FormatIdentityRecord(record)), kReadableByAll);
}

}  // namespace

Result<EnrolledIdentity> Join(const JoinOptions& options, const Clock& clock) {
  const StateFiles files(options.state_directory);
  TACIT_TRY_VOID(CheckToken(options.token));
  TACIT_TRY_VOID(PrepareDirectory(options.state_directory));
  TACIT_TRY_VOID(CheckFinished(options, clock.Now()));
  TACIT_TRY(const crypto::PrivateKey key, ReadOrMakeKey(files.key));
  TACIT_TRY(const std::string ca_pem, FetchCa(options));
  TACIT_TRY(const codec::EnrolReply reply, Enrol(options, ca_pem, key));

  // The CA that the reply names is not looked at: only the one with the fingerprint is believed.
  TACIT_TRY(const crypto::Certificate ca, crypto::Certificate::FromPem(ca_pem));
  TACIT_TRY(const IssuedCertificate issued,
            CheckIssued(reply.certificate_chain_pem, reply.device, key, ca, clock.Now()));
  const std::string host = reply.agents_host.empty() ? options.enrolment.host : reply.agents_host;
  const IdentityRecord record{reply.device, issued.id.trust_domain, {host, reply.agents_port}};
  TACIT_TRY_VOID(Store(files, reply, ca_pem, record));
  return LoadIdentity(options.state_directory);
}

}  // namespace tacit::enrolment
