#include "benchmarks/load/fleet_loop.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/files.h"
#include "proto/codec/agent.h"

namespace tacit::load {

Result<Fleet> Fleet::Create(const Scene& scene, std::uint16_t port) {
  Fleet fleet;
  TACIT_TRY(const Bytes ca, ReadFile(scene.directory / "pki" / "ca.crt", kMaxPemBytes));
  TACIT_TRY(fleet.context_, ClientContext(std::string(AsText(ca))));
  TACIT_TRY(fleet.identities_, LoadFleet(scene.directory, scene.clients));
  fleet.loop_ = std::make_unique<Loop>();
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_port = htons(port);
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (std::size_t i = 0; i < scene.clients; ++i) {
    fleet.clients_.push_back(std::make_unique<Client>(
        *fleet.loop_,
        Client::Options{.context = fleet.context_.get(), .server = server, .identity = &fleet.identities_[i]}, i));
  }
  return fleet;
}

Result<void> Fleet::Connect(std::chrono::seconds patience) {
  return Each(
      [this](const Client& client) {
        if (client.index() < kAtOnce) ConnectNext(client.index());
      },
      patience);
}

void Fleet::ConnectNext(std::size_t index) {
  if (index >= clients_.size()) return;
  clients_[index]->Connect([this, index](Client&, const Answer& answer) {
    if (answer.status != 200) return loop_->At(Now() + kAfterRefusal, [this, index] { ConnectNext(index); });
    Done();
    ConnectNext(index + kAtOnce);
  });
}

Result<void> Fleet::Each(const std::function<void(Client&)>& start, std::chrono::seconds patience) {
  done_ = 0;
  for (const auto& client : clients_) start(*client);
  const bool stopped = loop_->RunUntil(std::chrono::steady_clock::now() + patience);
  if (!failure_.empty()) return Fail(ErrorCode::kInternal, failure_);
  if (stopped) return {};
  return Fail(ErrorCode::kDeadlineExceeded, std::to_string(done_) + " of " + std::to_string(clients_.size()) +
                                                " clients were done after " + std::to_string(patience.count()) + " s");
}

void Fleet::Done() {
  if (++done_ == clients_.size()) loop_->Stop();
}

void Fleet::Failed(std::string why) {
  if (failure_.empty()) failure_ = std::move(why);
  loop_->Stop();
}

Request CheckIn(const std::string& task, std::chrono::milliseconds wait) {
  codec::CheckInRequest wish{.agent_version = "load", .wait = wait, .task = *TaskId::Parse(task), .declined = {}};
  const Bytes body = codec::Encode(wish);
  return {.head =
              "POST /v1/checkin HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
              "Content-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + std::string(AsText(body)),
          .body = {}};
}

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(
      std::min(std::ceil(share * static_cast<double>(values.size())), static_cast<double>(values.size())) - 1);
  const auto nth = values.begin() + std::max<std::ptrdiff_t>(at, 0);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

}  // namespace tacit::load
