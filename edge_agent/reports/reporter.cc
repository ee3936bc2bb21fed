#include "edge_agent/reports/reporter.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/base/files.h"
#include "common/crypto/random.h"

namespace tacit::reports {
namespace {

constexpr std::uint64_t kJitterParts = 10;  // a tenth of the wait is left to chance

codec::ReportStream NewStream() {
  codec::ReportStream stream;
  crypto::OsRandom().Fill(stream);
  return stream;
}

EdgeCounts CountsOf(const detect::Tally& tally) {
  return {.rows = tally.rows,
          .adversarial = tally.adversarial,
          .out_of_distribution = tally.out_of_distribution,
          .rejected = tally.rejected,
          .extraction_alarms = tally.extraction_alarms,
          .over_budget = tally.over_budget,
          .drift_windows = tally.drift_windows,
          .drift_alarms = tally.drift_alarms,
          .worker_endings = tally.worker_endings,
          .changed_weights = tally.changed_weights,
          .refused_calls = tally.refused_calls};
}

}  // namespace

Reporter::Reporter(ReporterOptions options, ReportBook book, ReportClient client, const Clock& clock, Logger& log)
    : options_(std::move(options)),
      book_(std::move(book)),
      client_(std::move(client)),
      clock_(&clock),
      log_(&log),
      backoff_(options_.backoff, options_.seed),
      random_(options_.seed),
      due_(clock.SteadyNow()) {}

Result<Reporter> Reporter::Create(ReporterOptions options, const Clock& clock, Logger& log) {
  TACIT_TRY(ReportClient client,
            ReportClient::Create(options.server, {.device = options.device, .task = options.task}));
  auto book = ReadReportBook(options.file);
  if (!book && book.error().code != ErrorCode::kDataLoss) return std::unexpected(book.error());
  if (!book) log.Error("agent_reports_lost", {{"task", options.task.str()}, {"reason", book.error().message}});
  const std::optional<ReportBook> found = book ? *std::move(book) : std::nullopt;
  return Reporter(std::move(options), found.value_or(ReportBook(NewStream())), std::move(client), clock, log);
}

Health Reporter::HealthNow(const detect::Tally& tally) const {
  Health health{.model_version = tally.model_version};
  if (tally.calibration != Digest256{}) health.calibration = tally.calibration;
  for (const protect::Measure measure : options_.missing()) health.degradations.emplace_back(NameOf(measure));
  std::ranges::sort(health.degradations);
  return health;
}

void Reporter::Count(const detect::Tally& tally) {
  const EdgeCounts now = CountsOf(tally);
  const EdgeCounts more = Since(counted_, now);
  counted_ = now;
  if (more == EdgeCounts{}) return;
  book_.Add(more);
  unsaved_ = true;
}

Result<void> Reporter::Write() const {
  return WriteFileAtomic(options_.file, book_.Format(), kOwnerOnly);
}

void Reporter::Save() {
  Count(options_.tally());
  if (!unsaved_) return;
  const auto written = Write();
  unsaved_ = !written;
  if (!written) {
    log_->Warn("agent_report_not_saved", {{"task", options_.task.str()}, {"reason", written.error().message}});
  }
}

// On the disk before it is sent: a process that begins anew must send the same bytes under the same number.
Result<void> Reporter::SendOne(const detect::Tally& tally) {
  const Bytes statement = book_.Begin(HealthNow(tally));
  TACIT_TRY_VOID(Write());
  unsaved_ = false;
  const auto ack = client_.Send(statement);
  if (!ack && ack.error().code == ErrorCode::kConflict) {
    book_.BeginAnew(NewStream());
    log_->Warn("agent_report_renumbered", {{"task", options_.task.str()}, {"reason", ack.error().message}});
  }
  if (!ack) return std::unexpected(ack.error());
  if (ack->sequence != book_.sequence())
    return Fail(ErrorCode::kMalformed, "the server acknowledged another report than was sent");
  book_.Acknowledge();
  // Where this fails and the process then ends, the same report is sent again, and counted once.
  unsaved_ = !Write();
  return {};
}

// One that was on its way speaks of another time: the present follows it.
Result<void> Reporter::SendAll() {
  const detect::Tally tally = options_.tally();
  Count(tally);
  if (book_.on_its_way()) TACIT_TRY_VOID(SendOne(tally));
  return SendOne(tally);
}

void Reporter::Send() {
  const auto sent = SendAll();
  const Millis wait = sent ? UntilNext() : backoff_.Next(client_.retry_after());
  due_ = clock_->SteadyNow() + wait;
  if (sent) backoff_.Reset();
  if (sent && std::exchange(failing_, false)) log_->Info("agent_reports_resumed", {{"task", options_.task.str()}});
  if (sent || std::exchange(failing_, true)) return;
  log_->Warn("agent_report_not_sent", {{"task", options_.task.str()},
                                       {"code", TraitsOf(sent.error().code).name},
                                       {"reason", sent.error().message},
                                       {"delay_ms", wait.count()}});
}

void Reporter::SendSoon() {
  if (!failing_) due_ = clock_->SteadyNow();
}

Millis Reporter::UntilNext() {
  const auto most = static_cast<std::uint64_t>(options_.interval.count());
  return Millis(static_cast<std::int64_t>(most - random_() % (most / kJitterParts + 1)));
}

Result<void> Reporter::Reconnect(net::ClientOptions server) {
  TACIT_TRY(client_, ReportClient::Create(std::move(server), {.device = options_.device, .task = options_.task}));
  return {};
}

}  // namespace tacit::reports
