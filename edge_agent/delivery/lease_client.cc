#include "edge_agent/delivery/lease_client.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>

#include "common/base/text.h"
#include "common/net/problem_reader.h"

namespace tacit::delivery {
namespace {

constexpr std::uint64_t kRange = std::uint64_t{1} << 20U;
constexpr Millis kLongestAnswer{60'000};

}  // namespace

Result<LeaseClient> LeaseClient::Create(net::ClientOptions server, TaskId task) {
  TACIT_TRY(net::HttpsClient client, net::HttpsClient::Create(std::move(server)));
  return LeaseClient(std::move(client), std::move(task));
}

Result<net::ClientResponse> LeaseClient::Send(const net::ClientRequest& request) {
  retry_after_.reset();
  TACIT_TRY(net::ClientResponse response, client_.Send(request));
  const auto text = response.Header("retry-after");
  const auto seconds = text ? ParseWhole(*text) : std::nullopt;
  if (seconds && *seconds <= std::numeric_limits<std::uint32_t>::max()) retry_after_ = std::chrono::seconds(*seconds);
  return response;
}

Result<codec::ModelLeaseReply> LeaseClient::Lease(const codec::ModelLeaseRequest& request) {
  const Bytes body = codec::Encode(request);
  net::ClientRequest post;
  post.method = "POST";
  post.target = "/v1/tasks/" + task_.str() + "/lease";
  post.headers = {{"Content-Type", "application/x-protobuf"}};
  post.body = {body};
  post.timeout = kLongestAnswer;
  post.max_response_bytes = codec::kMaxModelLeaseReplyBytes;
  TACIT_TRY(const Bytes answer, net::BodyOrProblem(Send(post)));
  return codec::ParseModelLeaseReply(answer);
}

Result<void> LeaseClient::Download(const Wanted& wanted, const PartFile& part) {
  while (part.Size() < wanted.bytes) TACIT_TRY_VOID(DownloadRange(wanted, part));
  return {};
}

Result<void> LeaseClient::DownloadRange(const Wanted& wanted, const PartFile& part) {
  const std::uint64_t begun = part.Size();
  const std::uint64_t count = std::min(kRange, wanted.bytes - begun);
  const std::string range = std::to_string(begun) + "-" + std::to_string(begun + count - 1);
  net::ClientRequest get;
  get.target = "/v1/tasks/" + task_.str() + "/bundles/" + std::to_string(wanted.version);
  get.headers = {{"Range", "bytes=" + range}};
  get.timeout = kLongestAnswer;
  get.max_response_bytes = kRange;
  TACIT_TRY(net::ClientResponse response, Send(get));
  const bool expected = response.status == 206 &&
                        response.Header("content-range") == "bytes " + range + "/" + std::to_string(wanted.bytes);
  if (response.status / 100 == 2 && !expected)
    return Fail(ErrorCode::kMalformed, "the server answered a range of the bundle with another one");
  TACIT_TRY(const Bytes body, net::BodyOrProblem(std::move(response)));
  if (body.size() != count) return Fail(ErrorCode::kMalformed, "the server sent another number of bytes than it said");
  return part.Append(body);
}

}  // namespace tacit::delivery
