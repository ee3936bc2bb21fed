#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tacit::metrics {

/// Why a request on the api listener was not let in: the closed set behind a metric label.
inline constexpr std::array<std::string_view, 10> kAccessRefusals = {
    "no_identity", "bad_token", "bad_identity_token", "no_issuer_keys", "malformed", "rate_limited", "certificate",
    "role",        "scope",     "cross_site"};

/// Of one listener, and the closed sets that its connections are counted by.
struct ListenerFacts {
  std::string_view name;
  std::uint64_t max_connections = 0;
  std::span<const std::string_view> refusals;
  std::span<const std::string_view> handshake_failures;  ///< Empty for plain HTTP.
};

/// How an operation of the store ended: `kRefused` for what it must not do, such as to redeem a token that is used up;
/// `kError` for what it could not.
enum class StoreResult : std::uint8_t { kOk, kRefused, kError };

/// What became of spans: `kRefused` by the collector, `kDropped` by us.
enum class SpanResult : std::uint8_t { kSent, kRefused, kDropped };

/// How a request to the issuer of identity tokens for its keys ended.
enum class IssuerAnswer : std::uint8_t { kOk, kError };

/// What a task has declared, and whether it still runs.
struct TaskFacts {
  bool active = false;
  std::uint64_t rounds = 0;
  std::uint64_t min_updates = 0;     ///< Of a round.
  std::uint64_t target_updates = 0;  ///< Of a round.
};

/// Where a task's round stands.
struct RoundFacts {
  std::uint64_t round = 0;
  std::string_view phase;
  double since = 0;                      ///< Units: seconds since 1970.
  std::optional<std::uint64_t> counted;  ///< Nothing where a coin hides who came.
};

/// Units: epsilon at `delta`.
struct PrivacyFacts {
  double spent = 0;
  double reserved = 0;  ///< A part of `spent`.
  double budget = 0;
  double delta = 0;
};

/// What devices that use a task's models have counted: EdgeCounts, by what a metric says of it.
struct EdgeFacts {
  std::uint64_t rows = 0;
  std::uint64_t adversarial = 0;
  std::uint64_t out_of_distribution = 0;
  std::uint64_t rejected = 0;
  std::uint64_t over_budget = 0;
  std::uint64_t extraction_alarms = 0;
  std::uint64_t drift_windows = 0;
  std::uint64_t drift_alarms = 0;
  std::uint64_t changed_weights = 0;
  std::uint64_t refused_calls = 0;
  std::uint64_t other_endings = 0;  ///< Of workers.
};

/// How long the certificates of the fleet still hold: of each bound how many end within it. Units: seconds.
struct CertificatesLeft {
  struct Within {
    double seconds = 0;
    std::uint64_t certificates = 0;
  };
  std::vector<Within> within;  ///< Ascending.
  std::uint64_t certificates = 0;
  double sum_seconds = 0;
};

/// One series of a metric, as the page has it: a value, or a histogram.
struct MetricSeries {
  std::map<std::string, std::string> labels;
  double value = 0;
  struct Bucket {
    double up_to = 0;         ///< Infinity in the last one.
    std::uint64_t count = 0;  ///< Of all that are no more than that.
  };
  std::vector<Bucket> buckets;  ///< Empty, as count and sum, where there is a value.
  std::uint64_t count = 0;
  double sum = 0;
};

struct MetricFacts {
  std::string name;
  std::string help;
  std::string_view type;  ///< `counter`, `gauge` or `histogram`.
  std::vector<MetricSeries> series;
};

/// Every number Tacit shows to Prometheus. A metric is a release: none carries a device, an address or a norm, and none
/// is computed from an un-noised sum; each `Add`/`Set` below says why it is safe to show.
/// Threads: any.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// From now on, until the process ends, the page has nothing from which it could be told how many devices came to a
  /// round: no traffic of devices, no commits, no processor time, and memory in coarse steps. Everything is counted all
  /// the same, so that nothing on the way of a request depends on it.
  void WithholdTraffic();

  // Transport: what any observer of the network sees. Not so behind a coin, see WithholdTraffic.
  /// So that what has not happened yet is shown as 0.
  void AddListener(const ListenerFacts& listener);
  void ConnectionOpened(std::string_view listener);
  void ConnectionClosed(std::string_view listener);
  void ConnectionRefused(std::string_view listener, std::string_view reason);
  void Handshake(std::string_view listener, std::string_view kind);
  void HandshakeFailed(std::string_view listener, std::string_view reason);
  void Request(std::string_view listener, std::string_view route, int status, double seconds);
  void BytesIn(std::string_view listener, std::uint64_t bytes);
  void UploadResumed(std::uint64_t bytes_saved);

  // Rounds: the cohort's size is public (docs/PRIVACY.md, neighbouring relation), and outcomes do not depend on data.
  // Not so behind a coin: there no outcome and no count is told.
  void UpdateOutcome(std::string_view task, std::string_view outcome);
  void SetTask(std::string_view task, const TaskFacts& facts);
  void RoundEnded(std::string_view task, std::string_view outcome, double seconds);
  void PhaseEnded(std::string_view task, std::string_view phase, double seconds);
  void SetRound(std::string_view task, const RoundFacts& facts);
  void SetModelVersion(std::string_view task, std::uint64_t version);
  /// A function of a released model and of triggers that no data has a part in; what they are stays secret.
  void SetMarkMatch(std::string_view task, double share);

  // Privacy: a function of the task's public parameters and of the number of rounds.
  void SetPrivacy(std::string_view task, const PrivacyFacts& facts);

  // Store: timings of our own disk.
  void StoreOperation(std::string_view operation, StoreResult result, double seconds);
  /// From an entry's proposal until it was durable.
  void LedgerCommitted(double seconds);

  // What is told to other people's systems: functions of how many rounds there were, and of those systems.
  void TraceSpans(SpanResult result, std::uint64_t spans);
  void TraceAttemptFailed();
  void MlflowVersionMade();
  void MlflowAttemptFailed();
  /// How many rounds the newest published ones are ahead of those that MLflow has.
  void SetMlflowBehind(std::uint64_t rounds);

  // The fleet: what is known from enrolment, and what devices say of themselves before they train. Counts of all
  // devices, and the same whatever any coin said.
  void Enrolment(std::string_view outcome);
  /// A lease of a model that a device asked for; `outcome` is "given", or the name of an error.
  void ModelLease(std::string_view outcome);
  /// A report of a device that uses a model; `outcome` is "counted", "repeated", or the name of an error.
  void EdgeReport(std::string_view outcome);
  /// What a report adds to the task. Counts of what models were asked and of what became of workers: who serves reports
  /// whether or not it is in a round. What grows with what devices serve is traffic, see WithholdTraffic; alarms and
  /// endings are told always.
  void EdgeCounted(std::string_view task, const EdgeFacts& facts);
  /// Of bundles, as they are answered: devices fetch them whether or not they are in a round.
  void BundleBytesSent(std::uint64_t bytes);
  void SetDevices(std::uint64_t active, std::uint64_t revoked);
  /// Devices by the version that their agent said last; the caller bounds how many different ones there are.
  void SetAgents(const std::map<std::string, std::uint64_t>& devices);
  void SetDeviceCertificates(CertificatesLeft left);

  // This process: what every request or a look at the machine tells.
  /// `started`: when, in seconds since 1970.
  void SetBuild(std::string_view version, double started);
  /// `use` is "server" or "ca"; `expiry` in seconds since 1970.
  void SetCertificateExpiry(std::string_view use, double expiry);
  /// People on the api listener; `reason` is one of kAccessRefusals.
  void AccessRefused(std::string_view reason);
  /// People's identity tokens: when keys are asked for follows from the configuration, and from what people send.
  void IssuerAsked(IssuerAnswer answer);
  void SetIssuerKeys(std::uint64_t keys);
  /// A defect of ours that was caught: `origin` is "handler" or "background".
  void Exception(std::string_view origin);
  void SetMemory(std::uint64_t ceiling_bytes, std::uint64_t worst_case_bytes);
  void SetUploadMemory(std::uint64_t used_bytes, std::uint64_t limit_bytes);

  /// Prometheus text format 0.0.4, process figures included.
  [[nodiscard]] std::string Render() const;
  /// The same page, for other forms of it.
  [[nodiscard]] std::vector<MetricFacts> Snapshot() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace tacit::metrics
