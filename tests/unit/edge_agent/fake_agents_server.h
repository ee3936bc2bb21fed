#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/crypto/digest.h"
#include "common/model/spec.h"
#include "common/net/http.h"
#include "common/net/wake_up.h"
#include "edge_agent/enrolment/identity.h"
#include "proto/codec/agent.h"
#include "proto/codec/update_frame.h"
#include "tests/unit/net/pki.h"
#include "tests/unit/net/test_server.h"

namespace tacit::testing {

/// The agents' listener over real TLS, with answers that a test scripts: one device, one task, one model.
class FakeAgentsServer {
 public:
  struct Upload {
    std::string path;
    codec::UpdateHeader header;
    Bytes payload;
  };

  explicit FakeAgentsServer(model::ModelSpec spec)
      : spec_(std::move(spec)),
        model_(spec_.InitialParameters(1)),
        server_(Listener(), [this](net::HttpRequest& request) { return Answer(*this, request); }) {}

  [[nodiscard]] net::Endpoint endpoint() const {
    return {"127.0.0.1", static_cast<std::uint16_t>(std::stoi(server_.port()))};
  }
  [[nodiscard]] enrolment::EnrolledIdentity Device() const {
    return {.device = *DeviceId::Parse("pump-3"),
            .trust_domain = "t",
            .agents = endpoint(),
            .ca_pem = pki_.ca_pem(),
            .certificate_pem = device_.certificate_pem,
            .key_pem = device_.key_pem,
            .not_before = SystemClock().Now(),
            .not_after = SystemClock().Now() + std::chrono::hours(24)};
  }
  [[nodiscard]] const std::vector<float>& model() const { return model_; }

  [[nodiscard]] codec::Lease LeaseOf(RoundNumber round) const {
    const auto& shape = spec_.shape();
    return {.task = *TaskId::Parse("har"),
            .round = round,
            .model_version = round - 1,
            .model_digest = crypto::Sha256(AsBytes(std::span<const float>(model_))),
            .model_bytes = model_.size() * sizeof(float),
            .schema_digest = spec_.SchemaDigest(),
            .model = {.inputs = shape.inputs,
                      .hidden = shape.hidden,
                      .classes = shape.classes,
                      .layers = spec_.HasSpace() ? spec_.CanonicalText() : std::string()},
            .training = {.epochs = 1, .batch_size = 16, .learning_rate = 0.1},
            .mechanism = codec::Mechanism::kGaussian,
            .clip_norm = 1,
            .grid_radius = 1U << 20U,
            .deadline = Millis(60'000),
            .local = {}};
  }

  /// What the next check-ins answer; afterwards "nothing yet".
  void Script(std::vector<codec::CheckInReply> replies) {
    const std::scoped_lock lock(mutex_);
    replies_ = std::move(replies);
  }
  /// What uploads are refused with, in turn, and how long to stay away after each; afterwards they are counted.
  void RefuseUploads(std::vector<Error> errors, std::chrono::seconds stay_away = {}) {
    const std::scoped_lock lock(mutex_);
    refusals_ = std::move(errors);
    stay_away_ = stay_away;
  }
  /// What check-ins are refused with, in turn; afterwards they are answered as scripted.
  void RefuseCheckIns(std::vector<Error> errors) {
    const std::scoped_lock lock(mutex_);
    check_in_refusals_ = std::move(errors);
  }
  /// What questions for the device's own spend are refused with.
  void RefusePrivacy(Error error) {
    const std::scoped_lock lock(mutex_);
    privacy_refusal_ = std::move(error);
  }
  /// Answers so many requests for the model with "unavailable".
  void BreakModelAnswers(int count) { broken_model_answers_ = count; }
  void ServeWrongModel() { wrong_model_ = true; }
  /// Holds check-ins back for so long when there is nothing to do.
  void HoldCheckIns(Millis time) { hold_ = time; }

  [[nodiscard]] std::vector<Upload> uploads() const {
    const std::scoped_lock lock(mutex_);
    return uploads_;
  }
  [[nodiscard]] std::vector<codec::CheckInRequest> check_ins() const {
    const std::scoped_lock lock(mutex_);
    return check_ins_;
  }
  [[nodiscard]] std::vector<std::string> ranges() const {
    const std::scoped_lock lock(mutex_);
    return ranges_;
  }

 private:
  [[nodiscard]] net::ListenerOptions Listener() const {
    net::ListenerOptions options;
    options.tls = *net::TlsServerContext::Create({.certificate_chain_path = identity_.certificate_path,
                                                  .private_key_path = identity_.key_path,
                                                  .client_ca_path = pki_.ca_path(),
                                                  .client_auth = net::ClientAuth::kRequired});
    return options;
  }

  static net::HttpResponse Message(const Bytes& bytes) {
    net::HttpResponse response;
    response.content_type = "application/x-protobuf";
    response.body = std::string(AsText(bytes));
    return response;
  }

  static net::Task<net::HttpResponse> Answer(FakeAgentsServer& self, net::HttpRequest& request) {
    if (request.path() == "/v1/privacy") co_return self.Privacy(request.path());
    if (request.method() == "GET") co_return self.Model(request);
    auto body = co_await request.ReadBody(std::size_t{64} << 20U);
    if (!body) co_return net::Problem(body.error(), request.path());
    if (request.method() == "PUT") co_return self.Update(request.path(), *body);
    if (request.path() != "/v1/checkin") {
      co_return net::Problem({ErrorCode::kUnavailable, "not here"}, request.path());
    }
    if (const auto refusal = self.CheckInRefusal(*body)) co_return net::Problem(*refusal, request.path());
    if (const auto reply = self.CheckIn(*body)) co_return Message(codec::Encode(*reply));
    net::WakeUp never;
    co_await never.WaitUntil(net::testing::In(self.hold_.load()));
    co_return Message(codec::Encode(codec::CheckInReply(codec::Wait{Millis(1), "round 1 waits for 2 of at least 3"})));
  }

  net::HttpResponse Privacy(const std::string& path) {
    const std::scoped_lock lock(mutex_);
    if (privacy_refusal_) return net::Problem(*privacy_refusal_, path);
    return Message(codec::Encode(codec::PrivacyReply{}));
  }

  std::optional<Error> CheckInRefusal(const Bytes& body) {
    const std::scoped_lock lock(mutex_);
    if (check_in_refusals_.empty()) return std::nullopt;
    check_ins_.push_back(*codec::ParseCheckInRequest(body));
    Error error = check_in_refusals_.front();
    check_in_refusals_.erase(check_in_refusals_.begin());
    return error;
  }

  std::optional<codec::CheckInReply> CheckIn(const Bytes& body) {
    const std::scoped_lock lock(mutex_);
    check_ins_.push_back(*codec::ParseCheckInRequest(body));
    if (replies_.empty()) return std::nullopt;
    codec::CheckInReply reply = replies_.front();
    replies_.erase(replies_.begin());
    return reply;
  }

  net::HttpResponse Model(net::HttpRequest& request) {
    {
      const std::scoped_lock lock(mutex_);
      ranges_.emplace_back(request.Header("range").value_or(""));
    }
    if (broken_model_answers_ > 0) {
      --broken_model_answers_;
      return net::Problem({ErrorCode::kUnavailable, "the disk is busy"}, request.path());
    }
    ByteSpan bytes = AsBytes(std::span<const float>(model_));
    Bytes copy(bytes.begin(), bytes.end());
    if (wrong_model_) copy.back() ^= 1U;
    return net::ServeBytes(request, SharedBytes::Of(std::move(copy)), "application/octet-stream", "tag");
  }

  net::HttpResponse Update(const std::string& path, const Bytes& body) {
    const std::scoped_lock lock(mutex_);
    const auto length = *codec::ParseUpdatePrefix(std::span(body).first<codec::kUpdateLengthBytes>());
    const ByteSpan rest = ByteSpan(body).subspan(codec::kUpdateLengthBytes);
    const ByteSpan payload = rest.subspan(length);
    uploads_.push_back({path, *codec::ParseUpdateHeader(rest.first(length)), Bytes(payload.begin(), payload.end())});
    if (!refusals_.empty()) {
      const Error error = refusals_.front();
      refusals_.erase(refusals_.begin());
      net::HttpResponse response = net::Problem(error, path);
      response.headers.emplace_back("Retry-After", std::to_string(stay_away_.count()));
      return response;
    }
    return Message(codec::Encode(codec::UpdateAck{}));
  }

  model::ModelSpec spec_;
  std::vector<float> model_;
  net::testing::Pki pki_;
  net::testing::Identity identity_ = pki_.Server();
  net::testing::Identity device_ = pki_.Client("pump-3");
  std::atomic<int> broken_model_answers_ = 0;
  std::atomic<bool> wrong_model_ = false;
  std::atomic<Millis> hold_ = Millis(20);
  mutable std::mutex mutex_;
  std::vector<codec::CheckInReply> replies_;
  std::vector<Error> refusals_;
  std::chrono::seconds stay_away_{};
  std::vector<Error> check_in_refusals_;
  std::optional<Error> privacy_refusal_;
  std::vector<Upload> uploads_;
  std::vector<codec::CheckInRequest> check_ins_;
  std::vector<std::string> ranges_;
  net::testing::TestServer server_;
};

}  // namespace tacit::testing
