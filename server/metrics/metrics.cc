#include "server/metrics/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <mutex>
#include <system_error>
#include <tuple>
#include <utility>

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
using prometheus::ClientMetric;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::Registry;
using Labels = std::map<std::string, std::string>;

const Histogram::BucketBoundaries kRequestSeconds = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60};
const Histogram::BucketBoundaries kStoreSeconds = {.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5};
const Histogram::BucketBoundaries kRoundSeconds = {.1, .5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 21600, 86400};
constexpr std::array<std::string_view, 6> kPhases = {"scheduled", "open",      "closing",
                                                     "charged",   "published", "abandoned"};

// What WithholdTraffic takes off the page, all of it or what devices and their updates bring about.
constexpr std::array<std::string_view, 12> kWithheld = {
    "tacit_model_leases_total",       "tacit_bundle_sent_bytes_total", "tacit_edge_reports_total",
    "tacit_edge_rows_judged_total",   "tacit_edge_suspicious_total",   "tacit_edge_refused_rows_total",
    "tacit_edge_drift_windows_total", "tacit_uploads_resumed_total",   "tacit_upload_saved_bytes_total",
    "tacit_upload_memory_bytes",      "process_cpu_seconds_total",     "process_open_fds"};
constexpr std::array<std::string_view, 5> kWithheldOfAgents = {
    "tacit_connections", "tacit_tls_handshakes_total", "tacit_http_requests_total",
    "tacit_http_request_duration_seconds", "tacit_received_bytes_total"};
constexpr std::array<std::string_view, 2> kWithheldOfStore = {"tacit_store_operations_total",
                                                              "tacit_store_operation_duration_seconds"};
// Who is drawn is silent while it trains: that nobody was seen for a while tells as well.
constexpr std::array<std::string_view, 4> kOperationsOfDevices = {"commit_partial", "merge_partials", "touch_devices",
                                                                  "record_report"};
constexpr std::string_view kResident = "process_resident_memory_bytes";
constexpr double kCoarseSteps = 8;  // of the memory ceiling

bool Has(const ClientMetric& metric, std::string_view label, std::string_view value) {
  return std::ranges::any_of(metric.label, [&](const auto& each) { return each.name == label && each.value == value; });
}

// Those that failed stay: the log has a line for each as well. That none has would tell that there was one.
bool IsWithheld(std::string_view family, const ClientMetric& metric) {
  const auto among = [family](const auto& names) { return std::ranges::find(names, family) != names.end(); };
  if (among(kWithheld)) return true;
  if (among(kWithheldOfAgents)) return Has(metric, "listener", "agents");
  // On a fleet that has drifted these are its windows, and so its traffic.
  if (family == "tacit_edge_alarms_total") return Has(metric, "kind", "drift");
  const bool failed = Has(metric, "result", "error") && metric.counter.value > 0;
  return among(kWithheldOfStore) && !failed && std::ranges::any_of(kOperationsOfDevices, [&](std::string_view each) {
           return Has(metric, "operation", each);
         });
}

void Withhold(std::vector<MetricFamily>& page, double memory_step) {
  for (MetricFamily& family : page) {
    std::erase_if(family.metric, [&](const ClientMetric& metric) { return IsWithheld(family.name, metric); });
    if (family.name != kResident || memory_step <= 0) continue;
    for (ClientMetric& metric : family.metric)
      metric.gauge.value = std::ceil(metric.gauge.value / memory_step) * memory_step;
  }
  std::erase_if(page, [](const MetricFamily& family) { return family.metric.empty(); });
}

// A snapshot, of which the library's histograms know nothing: devices leave its buckets as time passes.
MetricFamily FamilyOf(const char* name, const char* help, const CertificatesLeft& left) {
  ClientMetric metric;
  metric.histogram.sample_count = left.certificates;
  metric.histogram.sample_sum = left.sum_seconds;
  for (const CertificatesLeft::Within& each : left.within)
    metric.histogram.bucket.push_back({each.certificates, each.seconds});
  metric.histogram.bucket.push_back({left.certificates, std::numeric_limits<double>::infinity()});
  return {name, help, prometheus::MetricType::Histogram, {std::move(metric)}};
}

std::string_view NameOf(prometheus::MetricType type) {
  if (type == prometheus::MetricType::Counter) return "counter";
  return type == prometheus::MetricType::Histogram ? "histogram" : "gauge";
}

MetricSeries SeriesOf(const ClientMetric& metric, prometheus::MetricType type) {
  MetricSeries series;
  for (const auto& label : metric.label) series.labels.emplace(label.name, label.value);
  if (type != prometheus::MetricType::Histogram) {
    series.value = type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
    return series;
  }
  series.count = metric.histogram.sample_count;
  series.sum = metric.histogram.sample_sum;
  for (const auto& bucket : metric.histogram.bucket)
    series.buckets.push_back({bucket.upper_bound, bucket.cumulative_count});
  return series;
}

double OpenFiles() {
  std::error_code failure;
  std::filesystem::directory_iterator files("/proc/self/fd", failure);
  double open = -1;  // the one that looks
  for (const std::filesystem::directory_iterator end; !failure && files != end; files.increment(failure)) ++open;
  return std::max(open, 0.0);
}

double MostOpenFiles() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

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

struct OfOperations {
  std::array<Counter*, 3> by_result;  // as in StoreResult
  Histogram* seconds;
};

}  // namespace

struct Metrics::Families {
  /// All there is to tell, at this moment.
  std::vector<MetricFamily> Page();

  Registry registry;
  Family<Gauge>& connections = MakeGauge(registry, "tacit_connections", "Open connections by listener.");
  Family<Gauge>& connection_limit =
      MakeGauge(registry, "tacit_connections_limit", "Most connections that a listener may have open.");
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
  Family<Gauge>& task_active =
      MakeGauge(registry, "tacit_task_active", "1 while the task opens rounds, 0 once it has ended.");
  Family<Gauge>& task_rounds = MakeGauge(registry, "tacit_task_rounds", "Rounds that the task is to publish.");
  Family<Gauge>& round_minimum =
      MakeGauge(registry, "tacit_round_minimum_updates", "Updates that a round of the task needs at least.");
  Family<Gauge>& round_target =
      MakeGauge(registry, "tacit_round_target_updates", "Updates that a round of the task aims at.");
  Family<Counter>& rounds = MakeCounter(registry, "tacit_rounds_total", "Ended rounds by task and outcome.");
  Family<Histogram>& round_seconds = MakeHistogram(registry, "tacit_round_duration_seconds",
                                                   "Time from a round's opening to its end, by task and outcome.");
  Family<Histogram>& phase_seconds = MakeHistogram(registry, "tacit_round_phase_duration_seconds",
                                                   "Time that a round spent in a phase, by task and phase.");
  Family<Gauge>& phase_since = MakeGauge(registry, "tacit_round_phase_start_timestamp_seconds",
                                         "When the task's current round came into its phase.");
  Family<Gauge>& round_current = MakeGauge(registry, "tacit_round_current", "Number of the current round by task.");
  Family<Gauge>& round_phase =
      MakeGauge(registry, "tacit_round_phase", "1 for the phase the task's current round is in, 0 for the others.");
  Family<Gauge>& round_counted =
      MakeGauge(registry, "tacit_round_counted_updates", "Durably counted updates in the current round by task.");
  Family<Gauge>& model_version = MakeGauge(registry, "tacit_model_version", "Newest published model version by task.");
  Family<Gauge>& mark_match = MakeGauge(registry, "tacit_model_mark_match",
                                        "Share of the triggers that the newest marked model answers as it was taught.");
  Family<Gauge>& epsilon_spent = MakeGauge(
      registry, "tacit_privacy_epsilon_spent",
      "Upper bound of the epsilon spent by task (unit: device): every round ever reserved, published or not.");
  Family<Gauge>& epsilon_reserved = MakeGauge(
      registry, "tacit_privacy_epsilon_reserved",
      "The part of the epsilon spent by task of rounds that released nothing: not charged yet, or abandoned.");
  Family<Gauge>& epsilon_budget = MakeGauge(registry, "tacit_privacy_epsilon_budget", "Epsilon budget by task.");
  Family<Gauge>& delta = MakeGauge(registry, "tacit_privacy_delta", "Delta at which the task's epsilons hold.");
  Family<Counter>& store_operations =
      MakeCounter(registry, "tacit_store_operations_total", "Store operations by kind and result.");
  Family<Histogram>& store_seconds =
      MakeHistogram(registry, "tacit_store_operation_duration_seconds", "Store operation latency by kind.");
  Histogram& ledger_seconds =
      MakeHistogram(registry, "tacit_ledger_commit_duration_seconds",
                    "Time from an entry of a privacy ledger being proposed until it was durable.")
          .Add({}, kStoreSeconds);
  Family<Counter>& spans =
      MakeCounter(registry, "tacit_trace_spans_total", "Spans of rounds by what became of them at the collector.");
  Counter& trace_failures =
      MakeCounter(registry, "tacit_trace_attempts_failed_total", "Requests with traces that failed and may pass later.")
          .Add({});
  Counter& mlflow_versions =
      MakeCounter(registry, "tacit_mlflow_versions_total", "Model versions made in MLflow.").Add({});
  Counter& mlflow_failures =
      MakeCounter(registry, "tacit_mlflow_attempts_failed_total", "Attempts to bring MLflow up to date that failed.")
          .Add({});
  Gauge& mlflow_behind =
      MakeGauge(registry, "tacit_mlflow_behind_rounds", "How far published rounds are ahead of those in MLflow.")
          .Add({});
  Family<Counter>& enrolments = MakeCounter(registry, "tacit_enrolments_total", "Enrolment attempts by outcome.");
  Family<Counter>& model_leases =
      MakeCounter(registry, "tacit_model_leases_total", "Leases of models that devices asked for, by outcome.");
  Family<Counter>& edge_reports =
      MakeCounter(registry, "tacit_edge_reports_total", "Reports of devices that use models, by outcome.");
  Family<Counter>& edge_rows =
      MakeCounter(registry, "tacit_edge_rows_judged_total", "Rows that detectors on devices judged, by task.");
  Family<Counter>& edge_suspicious = MakeCounter(
      registry, "tacit_edge_suspicious_total", "Rows that detectors on devices found suspicious, by task and concern.");
  Family<Counter>& edge_refused =
      MakeCounter(registry, "tacit_edge_refused_rows_total", "Rows that devices did not answer, by task and reason.");
  Family<Counter>& edge_windows = MakeCounter(registry, "tacit_edge_drift_windows_total",
                                              "Windows of rows that devices compared with the clean ones, by task.");
  Family<Counter>& edge_alarms =
      MakeCounter(registry, "tacit_edge_alarms_total", "Alarms of detectors on devices, by task and kind.");
  Family<Counter>& edge_endings = MakeCounter(registry, "tacit_edge_worker_endings_total",
                                              "Inference workers on devices that ended unasked, by task and cause.");
  Counter& bundle_bytes =
      MakeCounter(registry, "tacit_bundle_sent_bytes_total", "Bytes of model bundles sent to devices.").Add({});
  Family<Counter>& access_refusals = MakeCounter(registry, "tacit_access_refused_total",
                                                 "Requests on the api listener that were not let in, by reason.");
  Family<Counter>& issuer_requests = MakeCounter(registry, "tacit_oidc_requests_total",
                                                 "Requests to the issuer of identity tokens for its keys, by result.");
  Gauge& issuer_keys = MakeGauge(registry, "tacit_oidc_keys", "Keys that identity tokens are checked with.").Add({});
  Family<Gauge>& devices = MakeGauge(registry, "tacit_devices", "Enrolled devices by state.");
  Family<Gauge>& agents =
      MakeGauge(registry, "tacit_agents", "Devices that came since the start, by the version that their agent said.");
  Family<Gauge>& certificate_expiry = MakeGauge(registry, "tacit_certificate_expiry_timestamp_seconds",
                                                "When a certificate of the server ends, by use.");
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
  Family<Gauge>& withheld = MakeGauge(registry, "tacit_traffic_withheld",
                                      "1 where a secret cohort keeps the traffic of devices off this page.");
  Family<Counter>& exceptions =
      MakeCounter(registry, "tacit_exceptions_total", "Exceptions that were caught, each a defect, by origin.");
  Family<Gauge>& build = MakeGauge(registry, "tacit_build_info", "1, with the version of the program.");
  Family<Gauge>& started = MakeGauge(registry, "process_start_time_seconds", "When the process started.");
  Family<Gauge>& open_files = MakeGauge(registry, "process_open_fds", "Open files.");
  Family<Gauge>& most_files = MakeGauge(registry, "process_max_fds", "Most files that may be open.");
  Family<Gauge>& resident = MakeGauge(registry, "process_resident_memory_bytes", "Resident memory size.");
  Family<Counter>& cpu = MakeCounter(registry, "process_cpu_seconds_total", "User and system CPU time.");
  Known<std::tuple<std::string, std::string, int>, OfRequests> known_requests;
  Known<std::string, Counter*> known_bytes_in;
  Known<std::tuple<std::string, std::string>, Counter*> known_updates;
  Known<std::string, OfOperations> known_operations;
  std::atomic<bool> withholds = false;
  std::atomic<double> memory_step = 0;   // to which the resident size is rounded up where it is told coarsely
  std::mutex render_mutex;               // two scrapes at once must not both add the same CPU time
  CertificatesLeft device_certificates;  // guarded by render_mutex
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {
  families_->most_files.Add({}).Set(MostOpenFiles());
  families_->withheld.Add({}).Set(0);
  families_->uploads_resumed.Add({});
  families_->bytes_saved.Add({});
  for (const std::string_view reason : kAccessRefusals)
    families_->access_refusals.Add({{"reason", std::string(reason)}});
  for (const SpanResult result : {SpanResult::kSent, SpanResult::kRefused, SpanResult::kDropped}) TraceSpans(result, 0);
  for (const char* result : {"ok", "error"}) families_->issuer_requests.Add({{"result", result}});
  families_->model_leases.Add({{"outcome", "given"}});
  families_->edge_reports.Add({{"outcome", "counted"}});
  for (const char* origin : {"handler", "background"}) families_->exceptions.Add({{"origin", origin}});
}
Metrics::~Metrics() = default;

void Metrics::WithholdTraffic() {
  families_->withholds = true;
  families_->withheld.Add({}).Set(1);
}
void Metrics::AddListener(const ListenerFacts& listener) {
  const Labels labels{{"listener", std::string(listener.name)}};
  const auto with = [&labels](std::string_view name, std::string_view value) {
    Labels more = labels;
    more.emplace(name, value);
    return more;
  };
  families_->connections.Add(labels);
  families_->connection_limit.Add(labels).Set(static_cast<double>(listener.max_connections));
  for (const std::string_view reason : listener.refusals) families_->refusals.Add(with("reason", reason));
  for (const std::string_view reason : listener.handshake_failures)
    families_->handshake_failures.Add(with("reason", reason));
}

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
void Metrics::SetTask(std::string_view task, const TaskFacts& facts) {
  const Labels labels{{"task", std::string(task)}};
  families_->task_active.Add(labels).Set(facts.active ? 1 : 0);
  families_->task_rounds.Add(labels).Set(static_cast<double>(facts.rounds));
  families_->round_minimum.Add(labels).Set(static_cast<double>(facts.min_updates));
  families_->round_target.Add(labels).Set(static_cast<double>(facts.target_updates));
  for (const char* outcome : {"published", "abandoned"})
    families_->rounds.Add({{"task", std::string(task)}, {"outcome", outcome}});
}
void Metrics::RoundEnded(std::string_view task, std::string_view outcome, double seconds) {
  const Labels labels{{"task", std::string(task)}, {"outcome", std::string(outcome)}};
  families_->rounds.Add(labels).Increment();
  families_->round_seconds.Add(labels, kRoundSeconds).Observe(seconds);
}
void Metrics::PhaseEnded(std::string_view task, std::string_view phase, double seconds) {
  families_->phase_seconds.Add({{"task", std::string(task)}, {"phase", std::string(phase)}}, kRoundSeconds)
      .Observe(seconds);
}
void Metrics::SetRound(std::string_view task, const RoundFacts& facts) {
  const Labels labels{{"task", std::string(task)}};
  families_->round_current.Add(labels).Set(static_cast<double>(facts.round));
  families_->phase_since.Add(labels).Set(facts.since);
  if (const auto& counted = facts.counted) families_->round_counted.Add(labels).Set(static_cast<double>(*counted));
  for (const std::string_view each : kPhases) {
    families_->round_phase.Add({{"task", std::string(task)}, {"phase", std::string(each)}})
        .Set(each == facts.phase ? 1 : 0);
  }
}
void Metrics::SetModelVersion(std::string_view task, std::uint64_t version) {
  families_->model_version.Add({{"task", std::string(task)}}).Set(static_cast<double>(version));
}
void Metrics::SetMarkMatch(std::string_view task, double share) {
  families_->mark_match.Add({{"task", std::string(task)}}).Set(share);
}
void Metrics::SetPrivacy(std::string_view task, const PrivacyFacts& facts) {
  const Labels labels{{"task", std::string(task)}};
  families_->epsilon_spent.Add(labels).Set(facts.spent);
  families_->epsilon_reserved.Add(labels).Set(facts.reserved);
  families_->epsilon_budget.Add(labels).Set(facts.budget);
  families_->delta.Add(labels).Set(facts.delta);
}
void Metrics::StoreOperation(std::string_view operation, StoreResult result, double seconds) {
  const OfOperations known = families_->known_operations.Of(operation, [&] {
    const std::string name(operation);
    const auto counter = [&](const char* ended) {
      return &families_->store_operations.Add({{"operation", name}, {"result", ended}});
    };
    return OfOperations{{counter("ok"), counter("refused"), counter("error")},
                        &families_->store_seconds.Add({{"operation", name}}, kStoreSeconds)};
  });
  known.by_result[static_cast<std::size_t>(result)]->Increment();
  known.seconds->Observe(seconds);
}
void Metrics::LedgerCommitted(double seconds) {
  families_->ledger_seconds.Observe(seconds);
}
void Metrics::TraceSpans(SpanResult result, std::uint64_t spans) {
  constexpr std::array kNames = {"sent", "refused", "dropped"};
  families_->spans.Add({{"result", kNames[static_cast<std::size_t>(result)]}}).Increment(static_cast<double>(spans));
}
void Metrics::TraceAttemptFailed() {
  families_->trace_failures.Increment();
}
void Metrics::MlflowVersionMade() {
  families_->mlflow_versions.Increment();
}
void Metrics::MlflowAttemptFailed() {
  families_->mlflow_failures.Increment();
}
void Metrics::SetMlflowBehind(std::uint64_t rounds) {
  families_->mlflow_behind.Set(static_cast<double>(rounds));
}
void Metrics::ModelLease(std::string_view outcome) {
  families_->model_leases.Add({{"outcome", std::string(outcome)}}).Increment();
}
void Metrics::EdgeReport(std::string_view outcome) {
  families_->edge_reports.Add({{"outcome", std::string(outcome)}}).Increment();
}
void Metrics::EdgeCounted(std::string_view task, const EdgeFacts& facts) {
  const auto add = [task](Family<Counter>& family, const char* label, const char* value, std::uint64_t count) {
    Labels labels{{"task", std::string(task)}};
    if (label != nullptr) labels.emplace(label, value);
    family.Add(labels).Increment(static_cast<double>(count));
  };
  add(families_->edge_rows, nullptr, nullptr, facts.rows);
  add(families_->edge_suspicious, "concern", "adversarial", facts.adversarial);
  add(families_->edge_suspicious, "concern", "out_of_distribution", facts.out_of_distribution);
  add(families_->edge_refused, "reason", "suspicious", facts.rejected);
  add(families_->edge_refused, "reason", "over_budget", facts.over_budget);
  add(families_->edge_windows, nullptr, nullptr, facts.drift_windows);
  add(families_->edge_alarms, "kind", "extraction", facts.extraction_alarms);
  add(families_->edge_alarms, "kind", "drift", facts.drift_alarms);
  add(families_->edge_endings, "cause", "changed_weights", facts.changed_weights);
  add(families_->edge_endings, "cause", "refused_call", facts.refused_calls);
  add(families_->edge_endings, "cause", "other", facts.other_endings);
}
void Metrics::BundleBytesSent(std::uint64_t bytes) {
  families_->bundle_bytes.Increment(static_cast<double>(bytes));
}
void Metrics::Enrolment(std::string_view outcome) {
  families_->enrolments.Add({{"outcome", std::string(outcome)}}).Increment();
}
void Metrics::AccessRefused(std::string_view reason) {
  families_->access_refusals.Add({{"reason", std::string(reason)}}).Increment();
}
void Metrics::IssuerAsked(IssuerAnswer answer) {
  families_->issuer_requests.Add({{"result", answer == IssuerAnswer::kOk ? "ok" : "error"}}).Increment();
}
void Metrics::SetIssuerKeys(std::uint64_t keys) {
  families_->issuer_keys.Set(static_cast<double>(keys));
}
void Metrics::SetDevices(std::uint64_t active, std::uint64_t revoked) {
  families_->devices.Add({{"state", "active"}}).Set(static_cast<double>(active));
  families_->devices.Add({{"state", "revoked"}}).Set(static_cast<double>(revoked));
}
void Metrics::SetAgents(const std::map<std::string, std::uint64_t>& devices) {
  for (const auto& [version, count] : devices)
    families_->agents.Add({{"version", version}}).Set(static_cast<double>(count));
}
void Metrics::SetDeviceCertificates(CertificatesLeft left) {
  const std::scoped_lock lock(families_->render_mutex);
  families_->device_certificates = std::move(left);
}
void Metrics::SetCertificateExpiry(std::string_view use, double expiry) {
  families_->certificate_expiry.Add({{"use", std::string(use)}}).Set(expiry);
}
void Metrics::SetBuild(std::string_view version, double started) {
  families_->build.Add({{"version", std::string(version)}}).Set(1);
  families_->started.Add({}).Set(started);
}
void Metrics::Exception(std::string_view origin) {
  families_->exceptions.Add({{"origin", std::string(origin)}}).Increment();
}
void Metrics::SetMemory(std::uint64_t ceiling_bytes, std::uint64_t worst_case_bytes) {
  families_->memory_ceiling.Add({}).Set(static_cast<double>(ceiling_bytes));
  families_->memory_worst.Add({}).Set(static_cast<double>(worst_case_bytes));
  families_->memory_step = static_cast<double>(ceiling_bytes) / kCoarseSteps;
}
void Metrics::SetUploadMemory(std::uint64_t used_bytes, std::uint64_t limit_bytes) {
  families_->upload_memory.Add({}).Set(static_cast<double>(used_bytes));
  families_->upload_limit.Add({}).Set(static_cast<double>(limit_bytes));
}

std::vector<MetricFamily> Metrics::Families::Page() {
  const std::scoped_lock lock(render_mutex);
  resident.Add({}).Set(ResidentBytes());
  open_files.Add({}).Set(OpenFiles());
  Counter& of_process = cpu.Add({});
  of_process.Increment(CpuSeconds() - of_process.Value());
  std::vector<MetricFamily> page = registry.Collect();
  page.push_back(FamilyOf("tacit_device_certificate_remaining_seconds",
                          "How long the certificates of enrolled devices still hold, to the hour: a snapshot.",
                          device_certificates));
  if (withholds) Withhold(page, memory_step);
  return page;
}

std::string Metrics::Render() const {
  return prometheus::TextSerializer().Serialize(families_->Page());
}

std::vector<MetricFacts> Metrics::Snapshot() const {
  std::vector<MetricFacts> facts;
  for (const MetricFamily& family : families_->Page()) {
    MetricFacts& each = facts.emplace_back(MetricFacts{family.name, family.help, NameOf(family.type), {}});
    for (const ClientMetric& metric : family.metric) each.series.push_back(SeriesOf(metric, family.type));
  }
  return facts;
}

}  // namespace tacit::metrics
