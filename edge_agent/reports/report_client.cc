#include "edge_agent/reports/report_client.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include "common/base/text.h"
#include "common/crypto/key_signature.h"
#include "common/net/problem_reader.h"

namespace tacit::reports {
namespace {

constexpr Millis kLongestAnswer{60'000};

std::optional<Millis> WaitIn(const net::ClientResponse& response) {
  const auto text = response.Header("retry-after");
  const auto seconds = text ? ParseWhole(*text) : std::nullopt;
  if (!seconds || *seconds > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return std::chrono::seconds(*seconds);
}

}  // namespace

Result<ReportClient> ReportClient::Create(net::ClientOptions server, Reported reported) {
  TACIT_TRY(crypto::PrivateKey key, crypto::PrivateKey::FromPem(server.client_key_pem));
  TACIT_TRY(net::HttpsClient client, net::HttpsClient::Create(std::move(server)));
  return ReportClient(std::move(client), std::move(key), std::move(reported));
}

Result<codec::ReportAck> ReportClient::Send(ByteSpan statement) {
  retry_after_.reset();
  TACIT_TRY(Bytes signature, crypto::SignWith(key_, codec::ReportMessage(reported_.device, reported_.task, statement)));
  const Bytes body = codec::Encode(codec::ReportBatch{.statement = Bytes(statement.begin(), statement.end()),
                                                      .public_key = crypto::PublicKeyDer(key_),
                                                      .signature = std::move(signature)});
  net::ClientRequest post;
  post.method = "POST";
  post.target = "/v1/tasks/" + reported_.task.str() + "/reports";
  post.headers = {{"Content-Type", "application/x-protobuf"}};
  post.body = {body};
  post.timeout = kLongestAnswer;
  post.max_response_bytes = codec::kMaxReportAckBytes * 4;  // also of a problem in words
  TACIT_TRY(net::ClientResponse response, client_.Send(post));
  retry_after_ = WaitIn(response);
  TACIT_TRY(const Bytes answer, net::BodyOrProblem(std::move(response)));
  return codec::ParseReportAck(answer);
}

}  // namespace tacit::reports
