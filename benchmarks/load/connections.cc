#include <chrono>
#include <utility>

#include "benchmarks/load/fleet_loop.h"
#include "benchmarks/load/process.h"
#include "benchmarks/load/sink.h"

namespace tacit::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Connects until it works, and counts what did not.
class Connecting {
 public:
  explicit Connecting(Fleet& fleet) : fleet_(fleet) {}

  Result<void> All() {
    start_ = Now();
    return fleet_.Each([this](Client& client) { Try(client); }, kPatience);
  }
  [[nodiscard]] const std::vector<double>& waits() const { return waits_; }
  [[nodiscard]] std::uint64_t failures() const { return failures_; }

 private:
  void Try(Client& client) {
    client.Connect([this](Client& c, const Answer& answer) {
      if (answer.status == 200) {
        waits_.push_back(Duration(Now() - start_).count());
        return fleet_.Done();
      }
      ++failures_;
      fleet_.loop().At(Now() + kAfterRefusal, [this, &c] { Try(c); });
    });
  }

  Fleet& fleet_;
  SteadyTime start_{};
  std::vector<double> waits_;
  std::uint64_t failures_ = 0;
};

/// Keeps a client in long polls, as an agent does.
void Poll(Client& client, const std::string& task) {
  client.Send(CheckIn(task, kLongPoll), [&task](Client& same, const Answer&) { Poll(same, task); });
}

}  // namespace

Result<nlohmann::json> RunIdle(const Scene& scene, const IdleOptions& options) {
  TACIT_TRY(Fleet fleet, Fleet::Create(scene, scene.port));
  TACIT_TRY(const ResidentMemory alone, MemoryOf(scene.server));
  TACIT_TRY_VOID(fleet.Connect(kPatience));
  const std::size_t measured = std::min(options.check_ins, scene.clients);
  TACIT_TRY_VOID(fleet.Each(
      [&](Client& client) {
        client.Send(CheckIn(options.task, milliseconds(0)), [&](Client& same, const Answer&) {
          if (same.index() >= measured) Poll(same, options.task);
          fleet.Done();
        });
      },
      kPatience));
  fleet.loop().RunUntil(Now() + seconds(5));
  TACIT_TRY(const ResidentMemory waiting, MemoryOf(scene.server));
  std::vector<double> latencies;
  for (std::size_t i = 0; i < measured; ++i) {
    const SteadyTime start = Now();
    fleet.clients()[i]->Send(CheckIn(options.task, milliseconds(0)), [&](Client&, const Answer& answer) {
      if (answer.status == 200) latencies.push_back(Duration(Now() - start).count());
      fleet.loop().Stop();
    });
    if (!fleet.loop().RunUntil(Now() + seconds(30)))
      return Fail(ErrorCode::kDeadlineExceeded, "a check-in was not answered in half a minute");
  }
  // Those whose connection was closed meanwhile, because it was idle for too long, had no answer to measure.
  if (latencies.size() < measured / 2) return Fail(ErrorCode::kInternal, "most check-ins were not answered");
  const auto clients = static_cast<double>(scene.clients);
  return nlohmann::json{{"clients", scene.clients},
                        {"bytes_each", static_cast<double>(waiting.now - alone.now) / clients},
                        {"measured", latencies.size()},
                        {"check_in_p50", Quantile(latencies, 0.5)},
                        {"check_in_p99", Quantile(latencies, 0.99)}};
}

Result<nlohmann::json> RunStorm(const Scene& scene, const StormOptions& options) {
  std::optional<Sink> sink;
  if (options.reference) {
    TACIT_TRY(Sink started, Sink::Start({.directory = scene.directory, .largest_body = 0}));
    sink.emplace(std::move(started));
  }
  const pid_t server = sink ? sink->process() : scene.server;
  TACIT_TRY(Fleet fleet, Fleet::Create(scene, sink ? sink->port() : scene.port));
  TACIT_TRY_VOID(fleet.Connect(kPatience));
  for (const auto& client : fleet.clients()) client->Cut();
  TACIT_TRY(const double before, CpuSeconds(server));
  const SteadyTime start = Now();
  Connecting again(fleet);
  TACIT_TRY_VOID(again.All());
  const double took = Duration(Now() - start).count();
  TACIT_TRY(const double after, CpuSeconds(server));
  return nlohmann::json{{"clients", scene.clients},
                        {"seconds", took},
                        {"cpu", after - before},
                        {"longest_wait", Quantile(again.waits(), 1.0)},
                        {"failed_attempts", again.failures()}};
}

}  // namespace tacit::load
