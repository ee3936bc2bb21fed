#include "server/metrics/metrics.h"

#include <array>
#include <string>

#include <gmock/gmock.h>

namespace tacit::metrics {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::array<std::string_view, 1> kRefusals = {"max_connections"};
constexpr std::array<std::string_view, 1> kFailures = {"expired"};

void AddAgents(Metrics& metrics) {
  metrics.AddListener({.name = "agents", .max_connections = 7, .refusals = kRefusals, .handshake_failures = kFailures});
}

// Everything that a round of devices brings about.
void RunARound(Metrics& metrics) {
  for (const char* listener : {"agents", "api"}) {
    metrics.ConnectionOpened(listener);
    metrics.Handshake(listener, "full");
    metrics.Request(listener, "/v1/x", 200, 0.1);
    metrics.BytesIn(listener, 100);
  }
  metrics.UploadResumed(5);
  metrics.EdgeReport("counted");
  metrics.EdgeCounted("t", {.rows = 9, .adversarial = 2, .rejected = 1, .extraction_alarms = 1, .changed_weights = 1});
  metrics.SetUploadMemory(6, 60);
  for (const char* operation : {"commit_partial", "merge_partials", "touch_devices", "append_ledger"})
    metrics.StoreOperation(operation, StoreResult::kOk, 0.01);
}

TEST(Metrics, ShowsAsZeroWhatHasNotHappenedYet) {
  Metrics metrics;
  AddAgents(metrics);
  EXPECT_THAT(
      metrics.Render(),
      AllOf(HasSubstr("tacit_connections{listener=\"agents\"} 0\n"),
            HasSubstr("tacit_connections_limit{listener=\"agents\"} 7\n"),
            HasSubstr("tacit_connections_refused_total{listener=\"agents\",reason=\"max_connections\"} 0\n"),
            HasSubstr("tacit_tls_handshake_failures_total{listener=\"agents\",reason=\"expired\"} 0\n"),
            HasSubstr("tacit_exceptions_total{origin=\"handler\"} 0\n"), HasSubstr("tacit_traffic_withheld 0\n"),
            HasSubstr("tacit_ledger_commit_duration_seconds_count 0")));
}

// So that an alert on a rate sees the first failure as well.
TEST(Metrics, ShowsTheFailuresOfAnOperationAsZeroOnceItSucceeded) {
  Metrics metrics;
  metrics.StoreOperation("publish", StoreResult::kOk, 0.01);
  EXPECT_THAT(metrics.Render(), HasSubstr("tacit_store_operations_total{operation=\"publish\",result=\"error\"} 0\n"));
}

TEST(Metrics, WithholdsAllThatDevicesBringAboutAndNothingElse) {
  Metrics metrics;
  AddAgents(metrics);
  RunARound(metrics);
  const std::string open = metrics.Render();
  metrics.WithholdTraffic();
  const std::string page = metrics.Render();
  for (const char* gone :
       {"tacit_connections{listener=\"agents\"", "tacit_tls_handshakes_total{kind=\"full\",listener=\"agents\"",
        "tacit_http_requests_total{code=\"200\",listener=\"agents\"",
        "tacit_http_request_duration_seconds_count{listener=\"agents\"",
        "tacit_received_bytes_total{listener=\"agents\"", "tacit_uploads_resumed_total ",
        "tacit_upload_saved_bytes_total ", "tacit_upload_memory_bytes ", "process_cpu_seconds_total ",
        "process_open_fds ", "tacit_store_operations_total{operation=\"commit_partial\",result=\"ok\"",
        "tacit_store_operation_duration_seconds_count{operation=\"commit_partial\"",
        "tacit_store_operations_total{operation=\"merge_partials\",result=\"ok\"",
        "tacit_store_operations_total{operation=\"touch_devices\",result=\"ok\"", "tacit_edge_reports_total",
        "tacit_edge_rows_judged_total{task=\"t\"} 9", "tacit_edge_suspicious_total", "tacit_edge_refused_rows_total",
        "tacit_edge_drift_windows_total"}) {
    EXPECT_THAT(open, HasSubstr(gone));
    EXPECT_THAT(page, Not(HasSubstr(gone)));
  }
  EXPECT_THAT(page, Not(HasSubstr("operation=\"commit_partial\"")));
  metrics.StoreOperation("commit_partial", StoreResult::kError, 0.01);
  EXPECT_THAT(metrics.Render(),
              HasSubstr("tacit_store_operations_total{operation=\"commit_partial\",result=\"error\"} 1\n"));
  EXPECT_THAT(page, AllOf(HasSubstr("tacit_connections{listener=\"api\"} 1\n"),
                          HasSubstr("tacit_tls_handshake_failures_total{listener=\"agents\",reason=\"expired\"} 0\n"),
                          HasSubstr("tacit_store_operations_total{operation=\"append_ledger\",result=\"ok\"} 1\n"),
                          HasSubstr("tacit_upload_memory_limit_bytes 60\n"), HasSubstr("tacit_traffic_withheld 1\n"),
                          HasSubstr("tacit_edge_alarms_total{kind=\"extraction\",task=\"t\"} 1\n"),
                          Not(HasSubstr("kind=\"drift\""))));
}

TEST(Metrics, AddUpWhatDevicesReport) {
  Metrics metrics;
  metrics.EdgeCounted("t", {});
  EXPECT_THAT(metrics.Render(), HasSubstr("tacit_edge_worker_endings_total{cause=\"changed_weights\",task=\"t\"} 0\n"));
  for (int i = 0; i < 2; ++i) {
    metrics.EdgeCounted("t", {.rows = 10,
                              .adversarial = 1,
                              .out_of_distribution = 2,
                              .rejected = 3,
                              .over_budget = 4,
                              .extraction_alarms = 5,
                              .drift_windows = 6,
                              .drift_alarms = 7,
                              .changed_weights = 8,
                              .refused_calls = 9,
                              .other_endings = 10});
  }
  EXPECT_THAT(metrics.Render(),
              AllOf(HasSubstr("tacit_edge_rows_judged_total{task=\"t\"} 20\n"),
                    HasSubstr("tacit_edge_suspicious_total{concern=\"adversarial\",task=\"t\"} 2\n"),
                    HasSubstr("tacit_edge_suspicious_total{concern=\"out_of_distribution\",task=\"t\"} 4\n"),
                    HasSubstr("tacit_edge_refused_rows_total{reason=\"suspicious\",task=\"t\"} 6\n"),
                    HasSubstr("tacit_edge_refused_rows_total{reason=\"over_budget\",task=\"t\"} 8\n"),
                    HasSubstr("tacit_edge_alarms_total{kind=\"extraction\",task=\"t\"} 10\n"),
                    HasSubstr("tacit_edge_drift_windows_total{task=\"t\"} 12\n"),
                    HasSubstr("tacit_edge_alarms_total{kind=\"drift\",task=\"t\"} 14\n"),
                    HasSubstr("tacit_edge_worker_endings_total{cause=\"refused_call\",task=\"t\"} 18\n"),
                    HasSubstr("tacit_edge_worker_endings_total{cause=\"other\",task=\"t\"} 20\n")));
}

TEST(Metrics, TellsTheMemoryInCoarseStepsWhereItWithholds) {
  Metrics metrics;
  constexpr std::uint64_t kStep = 1ULL << 40U;  // larger than any process that runs this
  metrics.SetMemory(8 * kStep, 1);
  metrics.WithholdTraffic();
  EXPECT_THAT(metrics.Render(), HasSubstr("process_resident_memory_bytes " + std::to_string(kStep)));
}

TEST(Metrics, ShowsTheFleetsCertificatesAsAHistogram) {
  Metrics metrics;
  metrics.SetDeviceCertificates({.within = {{.seconds = 0, .certificates = 1}, {.seconds = 3600, .certificates = 2}},
                                 .certificates = 5,
                                 .sum_seconds = 70.5});
  const std::string name = "tacit_device_certificate_remaining_seconds";
  EXPECT_THAT(metrics.Render(),
              AllOf(HasSubstr("# TYPE " + name + " histogram\n"), HasSubstr(name + "_bucket{le=\"0\"} 1\n"),
                    HasSubstr(name + "_bucket{le=\"3600\"} 2\n"), HasSubstr(name + "_bucket{le=\"+Inf\"} 5\n"),
                    HasSubstr(name + "_count 5\n"), HasSubstr(name + "_sum 70.5\n")));
}

}  // namespace
}  // namespace tacit::metrics
