#include "server/metrics/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <map>
#include <mutex>
#include <tuple>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace tacit::metrics {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;
using Labels = std::map<std::string, std::string>;

const Histogram::BucketBoundaries kRequestSeconds = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60};
const Histogram::BucketBoundaries kStoreSeconds = {.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5};
const Histogram::BucketBoundaries kRoundSeconds = {.1, .5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 21600, 86400};
constexpr std::array<std::string_view, 6> kPhases = {"scheduled", "open",      "closing",
                                                     "charged",   "published", "abandoned"};

Family<Counter>& MakeCounter(Registry& registry, const char* name, const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry);
}
Family<Gauge>& MakeGauge(Registry& registry, const char* name, const char* help) {
  return BuildGauge().Name(name).Help(help).Register(registry);
}
Family<Histogram>& MakeHistogram(Registry& registry, const char* name, const char* help) {
  return BuildHistogram().Name(name).Help(help).Register(registry);
}

double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Metrics by what their labels are made of. To find one by its labels, the library makes another and throws it away:
/// too slow for what is counted with every request.
template <typename Key, typename Found>
class Known {
 public:
  template <typename View, typename Make>
  Found Of(const View& key, Make make) {
    const std::scoped_lock lock(mutex_);
    const auto found = known_.find(key);
    return found != known_.end() ? found->second : known_.emplace(Key(key), make()).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<Key, Found, std::less<>> known_;
};

struct OfRequests {
  Counter* count;
  Histogram* seconds;
};

}  // namespace

struct Metrics::Families {
  Registry registry;
  Family<Gauge>& connections = MakeGauge(registry, "tacit_connections", "Open connections by listener.");
  Family<Counter>& refusals = MakeCounter(registry, "tacit_connections_refused_total",
                                          "Connections closed before the handshake, by listener and reason.");
  Family<Counter>& handshakes =
      MakeCounter(registry, "tacit_tls_handshakes_total", "TLS handshakes that succeeded, by listener and kind.");
  Family<Counter>& handshake_failures =
      MakeCounter(registry, "tacit_tls_handshake_failures_total", "TLS handshakes refused, by listener and reason.");
  Family<Counter>& requests =
      MakeCounter(registry, "tacit_http_requests_total", "HTTP requests by listener, route and status code.");
  Family<Histogram>& request_seconds =
      MakeHistogram(registry, "tacit_http_request_duration_seconds",
                    "Time from a request's head to its answer, by listener and route.");
  Family<Counter>& bytes_in = MakeCounter(registry, "tacit_received_bytes_total", "Request body bytes by listener.");
  Family<Counter>& updates = MakeCounter(registry, "tacit_updates_total", "Updates by task and outcome.");
  Family<Counter>& rounds = MakeCounter(registry, "tacit_rounds_total", "Ended rounds by task and outcome.");
  Family<Histogram>& round_seconds = MakeHistogram(registry, "tacit_round_duration_seconds",
                                                   "Time from a round's opening to its end, by task and outcome.");
  Family<Gauge>& round_current = MakeGauge(registry, "tacit_round_current", "Number of the current round by task.");
  Family<Gauge>& round_phase =
      MakeGauge(registry, "tacit_round_phase", "1 for the phase the task's current round is in, 0 for the others.");
  Family<Gauge>& round_counted =
      MakeGauge(registry, "tacit_round_counted_updates", "Durably counted updates in the current round by task.");
  Family<Gauge>& model_version = MakeGauge(registry, "tacit_model_version", "Newest published model version by task.");
  Family<Gauge>& epsilon_spent = MakeGauge(
      registry, "tacit_privacy_epsilon_spent",
      "Upper bound of the epsilon spent by task (unit: device): every round ever reserved, published or not.");
  Family<Gauge>& epsilon_reserved = MakeGauge(
      registry, "tacit_privacy_epsilon_reserved",
      "The part of the epsilon spent by task of rounds that released nothing: not charged yet, or abandoned.");
  Family<Gauge>& epsilon_budget = MakeGauge(registry, "tacit_privacy_epsilon_budget", "Epsilon budget by task.");
  Family<Counter>& store_operations =
      MakeCounter(registry, "tacit_store_operations_total", "Store operations by kind and result.");
  Family<Histogram>& store_seconds =
      MakeHistogram(registry, "tacit_store_operation_duration_seconds", "Store operation latency by kind.");
  Family<Counter>& enrolments = MakeCounter(registry, "tacit_enrolments_total", "Enrolment attempts by outcome.");
  Family<Counter>& access_refusals = MakeCounter(registry, "tacit_access_refused_total",
                                                 "Requests on the api listener that were not let in, by reason.");
  Family<Gauge>& devices = MakeGauge(registry, "tacit_devices", "Enrolled devices by state.");
  Family<Gauge>& memory_ceiling = MakeGauge(registry, "tacit_memory_ceiling_bytes", "Configured memory ceiling.");
  Family<Gauge>& memory_worst =
      MakeGauge(registry, "tacit_memory_worst_case_bytes", "Worst-case memory computed from the configured limits.");
  Family<Counter>& uploads_resumed =
      MakeCounter(registry, "tacit_uploads_resumed_total", "Broken uploads that went on where they had stopped.");
  Family<Counter>& bytes_saved =
      MakeCounter(registry, "tacit_upload_saved_bytes_total", "Bytes that resumed uploads did not have to send again.");
  Family<Gauge>& upload_memory =
      MakeGauge(registry, "tacit_upload_memory_bytes", "Memory held by uploads in progress.");
  Family<Gauge>& upload_limit = MakeGauge(registry, "tacit_upload_memory_limit_bytes", "Most memory uploads may hold.");
  Family<Gauge>& resident = MakeGauge(registry, "process_resident_memory_bytes", "Resident memory size.");
  Family<Counter>& cpu = MakeCounter(registry, "process_cpu_seconds_total", "User and system CPU time.");
  Known<std::tuple<std::string, std::string, int>, OfRequests> known_requests;
  Known<std::string, Counter*> known_bytes_in;
  Known<std::tuple<std::string, std::string>, Counter*> known_updates;
  std::mutex render_mutex;  // two scrapes at once must not both add the same CPU time
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {}
Metrics::~Metrics() = default;

void Metrics::ConnectionOpened(std::string_view listener) {
  families_->connections.Add({{"listener", std::string(listener)}}).Increment();
}
void Metrics::ConnectionClosed(std::string_view listener) {
  families_->connections.Add({{"listener", std::string(listener)}}).Decrement();
}
void Metrics::ConnectionRefused(std::string_view listener, std::string_view reason) {
  families_->refusals.Add({{"listener", std::string(listener)}, {"reason", std::string(reason)}}).Increment();
}
void Metrics::Handshake(std::string_view listener, std::string_view kind) {
  families_->handshakes.Add({{"listener", std::string(listener)}, {"kind", std::string(kind)}}).Increment();
}
void Metrics::HandshakeFailed(std::string_view listener, std::string_view reason) {
  families_->handshake_failures.Add({{"listener", std::string(listener)}, {"reason", std::string(reason)}}).Increment();
}
void Metrics::Request(std::string_view listener, std::string_view route, int status, double seconds) {
  const OfRequests known = families_->known_requests.Of(std::tuple(listener, route, status), [&] {
    const Labels by_route{{"listener", std::string(listener)}, {"route", std::string(route)}};
    Labels by_status = by_route;
    by_status.emplace("code", std::to_string(status));
    return OfRequests{&families_->requests.Add(by_status), &families_->request_seconds.Add(by_route, kRequestSeconds)};
  });
  known.count->Increment();
  known.seconds->Observe(seconds);
}
void Metrics::BytesIn(std::string_view listener, std::uint64_t bytes) {
  families_->known_bytes_in
      .Of(listener, [&] { return &families_->bytes_in.Add({{"listener", std::string(listener)}}); })
      ->Increment(static_cast<double>(bytes));
}
void Metrics::UploadResumed(std::uint64_t bytes_saved) {
  families_->uploads_resumed.Add({}).Increment();
  families_->bytes_saved.Add({}).Increment(static_cast<double>(bytes_saved));
}
void Metrics::UpdateOutcome(std::string_view task, std::string_view outcome) {
  families_->known_updates
      .Of(std::tuple(task, outcome),
          [&] { return &families_->updates.Add({{"task", std::string(task)}, {"outcome", std::string(outcome)}}); })
      ->Increment();
}
void Metrics::RoundEnded(std::string_view task, std::string_view outcome, double seconds) {
  const Labels labels{{"task", std::string(task)}, {"outcome", std::string(outcome)}};
  families_->rounds.Add(labels).Increment();
  families_->round_seconds.Add(labels, kRoundSeconds).Observe(seconds);
}
void Metrics::SetRound(std::string_view task, std::uint64_t round, std::string_view phase,
                       std::optional<std::uint64_t> counted) {
  const std::string name(task);
  families_->round_current.Add({{"task", name}}).Set(static_cast<double>(round));
  if (counted) families_->round_counted.Add({{"task", name}}).Set(static_cast<double>(*counted));
  for (const std::string_view each : kPhases) {
    families_->round_phase.Add({{"task", name}, {"phase", std::string(each)}}).Set(each == phase ? 1 : 0);
  }
}
void Metrics::SetModelVersion(std::string_view task, std::uint64_t version) {
  families_->model_version.Add({{"task", std::string(task)}}).Set(static_cast<double>(version));
}
void Metrics::SetEpsilon(std::string_view task, double spent, double reserved, double budget) {
  const Labels labels{{"task", std::string(task)}};
  families_->epsilon_spent.Add(labels).Set(spent);
  families_->epsilon_reserved.Add(labels).Set(reserved);
  families_->epsilon_budget.Add(labels).Set(budget);
}
void Metrics::StoreOperation(std::string_view operation, bool ok, double seconds) {
  families_->store_operations.Add({{"operation", std::string(operation)}, {"result", ok ? "ok" : "error"}}).Increment();
  families_->store_seconds.Add({{"operation", std::string(operation)}}, kStoreSeconds).Observe(seconds);
}
void Metrics::Enrolment(std::string_view outcome) {
  families_->enrolments.Add({{"outcome", std::string(outcome)}}).Increment();
}
void Metrics::AccessRefused(std::string_view reason) {
  families_->access_refusals.Add({{"reason", std::string(reason)}}).Increment();
}
void Metrics::SetDevices(std::uint64_t active, std::uint64_t revoked) {
  families_->devices.Add({{"state", "active"}}).Set(static_cast<double>(active));
  families_->devices.Add({{"state", "revoked"}}).Set(static_cast<double>(revoked));
}
void Metrics::SetMemory(std::uint64_t ceiling_bytes, std::uint64_t worst_case_bytes) {
  families_->memory_ceiling.Add({}).Set(static_cast<double>(ceiling_bytes));
  families_->memory_worst.Add({}).Set(static_cast<double>(worst_case_bytes));
}
void Metrics::SetUploadMemory(std::uint64_t used_bytes, std::uint64_t limit_bytes) {
  families_->upload_memory.Add({}).Set(static_cast<double>(used_bytes));
  families_->upload_limit.Add({}).Set(static_cast<double>(limit_bytes));
}

std::string Metrics::Render() const {
  const std::scoped_lock lock(families_->render_mutex);
  families_->resident.Add({}).Set(ResidentBytes());
  Counter& cpu = families_->cpu.Add({});
  cpu.Increment(CpuSeconds() - cpu.Value());
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace tacit::metrics
