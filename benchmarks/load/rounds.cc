#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <utility>

#include "benchmarks/load/fleet_loop.h"
#include "benchmarks/load/process.h"
#include "benchmarks/load/sink.h"
#include "common/base/check.h"
#include "proto/codec/agent.h"
#include "proto/codec/update_frame.h"

namespace tacit::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Floats that are longer than any clip norm in use, so that all of them are scaled.
Bytes Payload(std::size_t parameters) {
  std::minstd_rand random(1);
  std::vector<float> values(parameters);
  for (float& value : values) value = static_cast<float>(static_cast<double>(random() % 2001) / 1000.0 - 1.0);
  const ByteSpan bytes = AsBytes(std::span<const float>(values));
  return {bytes.begin(), bytes.end()};
}

class Rounds {
 public:
  Rounds(const Scene& scene, const RoundsOptions& options, Fleet fleet)
      : scene_(scene),
        options_(options),
        fleet_(std::move(fleet)),
        payload_(Payload(options.parameters)),
        digest_(Xxh3(payload_)),
        leases_(scene.clients),
        began_(scene.clients) {}

  Result<nlohmann::json> Run() {
    TACIT_TRY_VOID(fleet_.Connect(kPatience));
    for (std::size_t round = 0; round < options_.warm_up; ++round) TACIT_TRY_VOID(RunOne());
    upload_seconds_ = upload_cpu_ = check_in_cpu_ = client_cpu_ = 0;
    latencies_.clear();
    for (std::size_t round = 0; round < options_.rounds; ++round) TACIT_TRY_VOID(RunOne());
    TACIT_TRY(const ResidentMemory memory, MemoryOf(scene_.server));
    const double updates = static_cast<double>(scene_.clients * options_.rounds);
    return nlohmann::json{{"updates", updates},
                          {"seconds", upload_seconds_},
                          {"cpu", upload_cpu_},
                          {"check_in_cpu", check_in_cpu_},
                          {"client_cpu", client_cpu_},
                          {"p50", Quantile(latencies_, 0.5)},
                          {"p99", Quantile(latencies_, 0.99)},
                          {"p999", Quantile(latencies_, 0.999)},
                          {"rss", memory.now},
                          {"peak_rss", memory.peak},
                          {"told_to_come_back", refusals_},
                          {"mischief", mischief_}};
  }

 private:
  Result<void> RunOne() {
    TACIT_TRY(const double before, CpuSeconds(scene_.server));
    TACIT_TRY_VOID(fleet_.Each([this](Client& client) { AskForWork(client); }, kPatience));
    TACIT_TRY(const double leased, CpuSeconds(scene_.server));
    TACIT_TRY(const double own_before, CpuSeconds(::getpid()));
    const SteadyTime start = Now();
    TACIT_TRY_VOID(fleet_.Each([this](Client& client) { BeginUpload(client); }, kPatience));
    upload_seconds_ += Duration(Now() - start).count();
    TACIT_TRY(const double uploaded, CpuSeconds(scene_.server));
    TACIT_TRY(const double own_after, CpuSeconds(::getpid()));
    check_in_cpu_ += leased - before;
    upload_cpu_ += uploaded - leased;
    client_cpu_ += own_after - own_before;
    return {};
  }

  void AskForWork(Client& client) {
    client.Send(CheckIn(options_.task, kLongPoll), [this](Client& c, const Answer& answer) { Leased(c, answer); });
  }

  void Leased(Client& client, const Answer& answer) {
    if (answer.status == 0 || answer.status == 503 || answer.status == 429) return Later(client, answer, true);
    const auto reply = codec::ParseCheckInReply(AsBytes(answer.body));
    if (answer.status != 200 || !reply) return fleet_.Failed("a check-in was answered " + answer.body);
    if (const auto* lease = std::get_if<codec::Lease>(&*reply)) {
      leases_[client.index()] = *lease;
      if (options_.keep_alive == KeepAlive::kNo) client.Cut();
      return fleet_.Done();
    }
    const auto& wait = std::get<codec::Wait>(*reply);
    if (wait.reason.contains("will not") || wait.reason.contains("has ended"))
      return fleet_.Failed("no lease: " + wait.reason);
    fleet_.loop().At(Now() + std::min(wait.retry_after, kAfterRefusal), [this, &client] { AskForWork(client); });
  }

  void Later(Client& client, const Answer& answer, bool check_in) {
    ++refusals_;
    const milliseconds pause = answer.retry_after.count() > 0 ? answer.retry_after : kAfterRefusal;
    fleet_.loop().At(Now() + pause, [this, &client, check_in] { check_in ? AskForWork(client) : Upload(client); });
  }

  Request UpdateOf(Client& client) const {
    const codec::Lease& lease = Present(leases_[client.index()], "it uploads with its lease");
    const Bytes prefix = codec::EncodeUpdatePrefix({.schema_digest = lease.schema_digest,
                                                    .encoding = codec::Encoding::kFloat32,
                                                    .payload_bytes = payload_.size(),
                                                    .payload_digest = digest_,
                                                    .example_count = 1});
    return {.head = "PUT /v1/tasks/" + lease.task.str() + "/rounds/" + std::to_string(lease.round) +
                    "/update HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
                    "Content-Length: " +
                    std::to_string(prefix.size() + payload_.size()) + "\r\n\r\n" + std::string(AsText(prefix)),
            .body = payload_};
  }

  void BeginUpload(Client& client) {
    began_[client.index()] = Now();
    const bool misbehaves = options_.mischief_every > 0 && client.index() % options_.mischief_every == 0;
    if (!misbehaves) return Upload(client);
    ++mischief_;
    Request request = UpdateOf(client);
    switch (client.index() / options_.mischief_every % 4) {
      case 0:
        request.mischief = Mischief::kAbort;
        return client.Send(std::move(request), [this](Client& c, const Answer&) { Upload(c); });
      case 1:
        request.mischief = Mischief::kDrip;
        return client.Send(std::move(request), [this](Client& c, const Answer& answer) { Acknowledged(c, answer); });
      case 2:
        if (changed_.empty()) {
          changed_ = payload_;
          changed_[changed_.size() / 2] ^= 1U;
        }
        request.body = changed_;
        return client.Send(std::move(request), [this](Client& c, const Answer& answer) {
          if (answer.status == 200) return fleet_.Failed("an update that was changed on its way was acknowledged");
          Upload(c);
        });
      default:
        return client.Send(std::move(request), [this](Client& c, const Answer&) { Upload(c); });
    }
  }

  void Upload(Client& client) {
    client.Send(UpdateOf(client), [this](Client& c, const Answer& answer) { Acknowledged(c, answer); });
  }

  void Acknowledged(Client& client, const Answer& answer) {
    if (answer.status == 0 || answer.status == 503 || answer.status == 408) return Later(client, answer, false);
    if (answer.status != 200)
      return fleet_.Failed("an upload was answered " + std::to_string(answer.status) + ": " + answer.body);
    latencies_.push_back(Duration(Now() - began_[client.index()]).count());
    if (options_.keep_alive == KeepAlive::kNo) client.Cut();
    fleet_.Done();
  }

  const Scene& scene_;
  const RoundsOptions& options_;
  Fleet fleet_;
  Bytes payload_;
  Bytes changed_;
  Digest128 digest_;
  std::vector<std::optional<codec::Lease>> leases_;
  std::vector<SteadyTime> began_;
  std::vector<double> latencies_;
  double upload_seconds_ = 0;
  double upload_cpu_ = 0;
  double check_in_cpu_ = 0;
  double client_cpu_ = 0;
  std::uint64_t refusals_ = 0;
  std::uint64_t mischief_ = 0;
};

}  // namespace

Result<nlohmann::json> RunRounds(const Scene& scene, const RoundsOptions& options) {
  TACIT_TRY(Fleet fleet, Fleet::Create(scene, scene.port));
  Rounds rounds(scene, options, std::move(fleet));
  return rounds.Run();
}

Result<nlohmann::json> RunSink(const Scene& scene, const RoundsOptions& options) {
  const Bytes payload = Payload(options.parameters);
  TACIT_TRY(const Sink sink, Sink::Start({.directory = scene.directory, .largest_body = payload.size()}));
  TACIT_TRY(Fleet fleet, Fleet::Create(scene, sink.port()));
  TACIT_TRY_VOID(fleet.Connect(kPatience));
  const std::string head =
      "PUT /v1/update HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(payload.size()) + "\r\n\r\n";
  const auto upload = [&](Client& client) {
    if (options.keep_alive == KeepAlive::kNo) client.Cut();
    client.Send({.head = head, .body = payload}, [&](Client&, const Answer& answer) {
      if (answer.status != 200) return fleet.Failed("the reference server did not answer");
      fleet.Done();
    });
  };
  TACIT_TRY(const double before, CpuSeconds(sink.process()));
  const SteadyTime start = Now();
  for (std::size_t round = 0; round < options.rounds; ++round) TACIT_TRY_VOID(fleet.Each(upload, kPatience));
  TACIT_TRY(const double after, CpuSeconds(sink.process()));
  return nlohmann::json{{"updates", scene.clients * options.rounds},
                        {"seconds", Duration(Now() - start).count()},
                        {"cpu", after - before}};
}

}  // namespace tacit::load
