#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "server/store/rows.h"
#include "server/store/sqlite_store.h"

// What devices that use models have reported.
namespace tacit::store {

namespace {

Query& BindCounts(Query& query, const EdgeCounts& counts) {
  for (const EdgeCounter& each : kEdgeCounters) query.Bind(counts.*each.member);
  return query;
}

EdgeCounts TakeCounts(Query& query) {
  EdgeCounts counts;
  for (const EdgeCounter& each : kEdgeCounters) counts.*each.member = query.TakeU64();
  return counts;
}

Result<EdgeReportRecord> TakeReport(Query& query) {
  TACIT_TRY(TaskId task, TakeName<TaskId>(query));
  TACIT_TRY(DeviceId device, TakeName<DeviceId>(query));
  EdgeReportRecord report{.task = std::move(task), .device = std::move(device), .received_at = {}};
  report.stream = query.TakeDigest<ReportStream>();
  report.sequence = query.TakeU64();
  report.statement = query.TakeBlob();
  report.public_key = query.TakeBlob();
  report.signature = query.TakeBlob();
  report.received_at = query.TakeTime();
  report.version = query.TakeU64();
  report.drifted = query.TakeU64() != 0;
  report.totals = TakeCounts(query);
  return report;
}

Result<std::optional<EdgeReportRecord>> FindReport(Database& database, const ReportStep& step) {
  TACIT_TRY(Query query, database.Prepare("SELECT * FROM edge_reports WHERE task = ? AND device = ?"));
  query.Bind(step.task.str()).Bind(step.device.str());
  return TakeFirst(std::move(query), TakeReport);
}

/// Whether it is the next one to count, or was counted.
Result<ReportOutcome> PlaceOf(const ReportStep& step, const std::optional<EdgeReportRecord>& before) {
  const bool continues = before && before->stream == step.stream;
  const std::uint64_t last = continues ? before->sequence : 0;
  if (step.sequence == last + 1) return ReportOutcome::kCounted;
  if (step.sequence == last && before && before->statement == step.statement) return ReportOutcome::kRepeated;
  const std::string which = "report " + std::to_string(step.sequence) + " of device '" + step.device.str() + "'";
  if (step.sequence == last)
    return Fail(ErrorCode::kConflict, which + " was counted with another content: begin a new stream with it");
  return Fail(ErrorCode::kConflict, which + " does not come next: " + std::to_string(last) +
                                        " of this stream are counted; begin a new stream with it");
}

Result<void> PutReport(Database& database, const ReportStep& step, const EdgeCounts& totals) {
  TACIT_TRY(Query put, database.Prepare("INSERT INTO edge_reports VALUES"
                                        " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,"
                                        " ?18, ?19, ?20, ?21) ON CONFLICT (task, device) DO UPDATE SET"
                                        " stream = ?3, sequence = ?4, statement = ?5, public_key = ?6, signature = ?7,"
                                        " received_at = ?8, version = ?9, drifted = ?10, judged_rows = ?11,"
                                        " adversarial = ?12, out_of_distribution = ?13, rejected = ?14,"
                                        " extraction_alarms = ?15, over_budget = ?16, drift_windows = ?17,"
                                        " drift_alarms = ?18, worker_endings = ?19, changed_weights = ?20,"
                                        " refused_calls = ?21"));
  const std::uint64_t drifted = step.counts.drift_alarms > 0 ? 1 : 0;
  put.Bind(step.task.str()).Bind(step.device.str()).Bind(ByteSpan(step.stream)).Bind(step.sequence);
  put.Bind(ByteSpan(step.statement)).Bind(ByteSpan(step.public_key)).Bind(ByteSpan(step.signature));
  put.Bind(step.at).Bind(step.version).Bind(drifted);
  return BindCounts(put, totals).Run();
}

Result<void> PutDegradations(Database& database, const ReportStep& step) {
  {
    TACIT_TRY(Query drop, database.Prepare("DELETE FROM edge_degradations WHERE task = ? AND device = ?"));
    TACIT_TRY_VOID(drop.Bind(step.task.str()).Bind(step.device.str()).Run());
  }
  for (const std::string& protection : step.degradations) {
    TACIT_TRY(Query put, database.Prepare("INSERT INTO edge_degradations VALUES (?, ?, ?)"));
    TACIT_TRY_VOID(put.Bind(step.task.str()).Bind(step.device.str()).Bind(protection).Run());
  }
  return {};
}

Result<EdgeTotals> TakeTotals(Query& query) {
  EdgeTotals totals{.reports = query.TakeU64()};
  totals.counts = TakeCounts(query);
  totals.extraction_alarm_at = query.TakeOptionalTime();
  totals.changed_weights_at = query.TakeOptionalTime();
  totals.refused_call_at = query.TakeOptionalTime();
  return totals;
}

Result<EdgeTotals> FindTotals(Database& database, const TaskId& task) {
  TACIT_TRY(Query query,
            database.Prepare("SELECT reports, judged_rows, adversarial, out_of_distribution, rejected,"
                             " extraction_alarms, over_budget, drift_windows, drift_alarms, worker_endings,"
                             " changed_weights, refused_calls, extraction_alarm_at, changed_weights_at,"
                             " refused_call_at FROM edge_totals WHERE task = ?"));
  query.Bind(task.str());
  TACIT_TRY(const auto found, TakeFirst(std::move(query), TakeTotals));
  return found.value_or(EdgeTotals{});
}

Result<void> AddToTotals(Database& database, const ReportStep& step) {
  TACIT_TRY(EdgeTotals totals, FindTotals(database, step.task));
  totals.reports += 1;
  totals.counts = Plus(totals.counts, step.counts);
  if (step.counts.extraction_alarms > 0) totals.extraction_alarm_at = step.at;
  if (step.counts.changed_weights > 0) totals.changed_weights_at = step.at;
  if (step.counts.refused_calls > 0) totals.refused_call_at = step.at;
  TACIT_TRY(Query put, database.Prepare("INSERT OR REPLACE INTO edge_totals VALUES"
                                        " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  put.Bind(step.task.str()).Bind(totals.reports);
  BindCounts(put, totals.counts);
  return put.Bind(totals.extraction_alarm_at).Bind(totals.changed_weights_at).Bind(totals.refused_call_at).Run();
}

Result<void> RequireTask(Database& database, const TaskId& task) {
  TACIT_TRY(Query query, database.Prepare("SELECT 1 FROM tasks WHERE id = ?"));
  query.Bind(task.str());
  TACIT_TRY(const bool exists, query.Next());
  if (exists) return {};
  return Fail(ErrorCode::kNotFound, "there is no task '" + task.str() + "'");
}

Result<std::vector<EdgeVersion>> VersionsOf(Database& database, const TaskId& task, WallTime lately,
                                            std::size_t limit) {
  TACIT_TRY(Query query, database.Prepare("SELECT version, count(*), sum(received_at >= ?1) FROM edge_reports"
                                          " WHERE task = ?2 GROUP BY version ORDER BY version DESC LIMIT ?3"));
  query.Bind(lately).Bind(task.str()).Bind(limit);
  return TakeAll(std::move(query), [](Query& row) -> Result<EdgeVersion> {
    EdgeVersion read{.version = row.TakeU64()};
    read.devices = row.TakeU64();
    read.reporting = row.TakeU64();
    return read;
  });
}

Result<std::vector<EdgeDegradation>> DegradationsOf(Database& database, const TaskId& task, std::size_t limit) {
  TACIT_TRY(Query query, database.Prepare("SELECT protection, count(*) AS devices FROM edge_degradations"
                                          " WHERE task = ? GROUP BY protection ORDER BY devices DESC, protection"
                                          " LIMIT ?"));
  query.Bind(task.str()).Bind(limit);
  return TakeAll(std::move(query), [](Query& row) -> Result<EdgeDegradation> {
    EdgeDegradation read{.protection = row.TakeText()};
    read.devices = row.TakeU64();
    return read;
  });
}

/// Fills in how many devices there are.
Result<void> CountReporting(Database& database, const TaskId& task, WallTime lately, EdgeFleet& fleet) {
  TACIT_TRY(Query query, database.Prepare("SELECT count(*), coalesce(sum(received_at >= ?1), 0),"
                                          " coalesce(sum(received_at >= ?1 AND drifted), 0)"
                                          " FROM edge_reports WHERE task = ?2"));
  query.Bind(lately).Bind(task.str());
  TACIT_TRY(const bool row, query.Next());
  TACIT_CHECK(row, "a count is a row");
  fleet.devices = query.TakeU64();
  fleet.reporting = query.TakeU64();
  fleet.drifted = query.TakeU64();
  return query.RowIsSound();
}

}  // namespace

Result<ReportOutcome> SqliteStore::RecordReport(const ReportStep& step) {
  TACIT_TRY(Transaction transaction, Transaction::Begin(*database_));
  TACIT_TRY(const DeviceRecord device, Device(step.device));
  if (device.state == DeviceState::kRevoked)
    return Fail(ErrorCode::kPermissionDenied, "device '" + step.device.str() + "' is revoked");
  TACIT_TRY_VOID(RequireTask(*database_, step.task));
  TACIT_TRY(const std::optional<EdgeReportRecord> before, FindReport(*database_, step));
  TACIT_TRY(const ReportOutcome outcome, PlaceOf(step, before));
  if (outcome == ReportOutcome::kRepeated) return outcome;
  const EdgeCounts totals = before ? Plus(before->totals, step.counts) : step.counts;
  TACIT_TRY_VOID(PutReport(*database_, step, totals));
  TACIT_TRY_VOID(PutDegradations(*database_, step));
  TACIT_TRY_VOID(AddToTotals(*database_, step));
  TACIT_TRY_VOID(CommitStep(transaction, "edge_report"));
  return outcome;
}

Result<std::vector<EdgeReportRecord>> SqliteStore::ReportsOf(const DeviceId& device) {
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM edge_reports WHERE device = ? ORDER BY task"));
  query.Bind(device.str());
  return TakeAll(std::move(query), TakeReport);
}

Result<EdgeFleet> SqliteStore::EdgeOf(const TaskId& task, WallTime lately, std::size_t limit) {
  EdgeFleet fleet;
  TACIT_TRY(fleet.totals, FindTotals(*database_, task));
  TACIT_TRY_VOID(CountReporting(*database_, task, lately, fleet));
  TACIT_TRY(fleet.versions, VersionsOf(*database_, task, lately, limit));
  TACIT_TRY(fleet.degradations, DegradationsOf(*database_, task, limit));
  return fleet;
}

}  // namespace tacit::store
