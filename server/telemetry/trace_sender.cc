#include "server/telemetry/trace_sender.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/version.h"
#include "common/crypto/random.h"
#include "server/telemetry/otlp.h"

namespace tacit::telemetry {
namespace {

constexpr std::size_t kMostAtOnce = 32;

}  // namespace

Result<std::unique_ptr<TraceSender>> TraceSender::Create(TraceSenderOptions options, metrics::Metrics& metrics,
                                                         Logger& log) {
  TACIT_TRY_VOID(web::OriginOf(options.endpoint, options.web.plain_http));
  TACIT_TRY(web::WebClient client, web::WebClient::Create(options.web));
  std::unique_ptr<TraceSender> sender(new TraceSender(std::move(options), std::move(client), metrics, log));
  sender->thread_ = std::jthread([&made = *sender](const std::stop_token& stop) { made.Run(stop); });
  return sender;
}

TraceSender::TraceSender(TraceSenderOptions options, web::WebClient client, metrics::Metrics& metrics, Logger& log)
    : options_(std::move(options)),
      client_(std::move(client)),
      metrics_(metrics),
      log_(log),
      backoff_(options_.retry, crypto::OsRandom().NextU64()) {}

TraceSender::~TraceSender() {
  Stop(Millis(0));
}

void TraceSender::Offer(round::Story story) {
  std::uint64_t dropped = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) {
      dropped = SpansOf(story);
    } else {
      waiting_.push_back(std::move(story));
      if (waiting_.size() > options_.most_waiting) {
        dropped = SpansOf(waiting_.front());
        waiting_.pop_front();
      }
    }
  }
  changed_.notify_all();
  if (dropped > 0) Drop(dropped, "more rounds ended than could be sent");
}

void TraceSender::Stop(Millis grace) {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    if (thread_.joinable()) changed_.wait_for(lock, grace, [this] { return ended_; });
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void TraceSender::Run(const std::stop_token& stop) {
  for (;;) {
    const std::vector<round::Story> batch = NextBatch(stop);
    if (batch.empty()) break;
    Deliver(batch, stop);
  }
  const std::scoped_lock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

/// Nothing at the end.
std::vector<round::Story> TraceSender::NextBatch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [this] { return stopping_ || !waiting_.empty(); });
  const auto count = static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kMostAtOnce));
  std::vector<round::Story> batch(std::move_iterator(waiting_.begin()), std::move_iterator(waiting_.begin() + count));
  waiting_.erase(waiting_.begin(), waiting_.begin() + count);
  return batch;
}

void TraceSender::Deliver(const std::vector<round::Story>& batch, const std::stop_token& stop) {
  std::uint64_t spans = 0;
  for (const round::Story& story : batch) spans += SpansOf(story);
  crypto::OsRandom random;
  // Made once: a collector that took a request whose answer was lost can tell that it is the same.
  const std::string body = RenderTraces(batch, kVersion, random);
  web::WebRequest request{.method = web::WebMethod::kPost,
                          .url = options_.endpoint + "/v1/traces",
                          .headers = options_.headers,
                          .body = {AsBytes(body)}};
  request.headers.push_back({.name = "Content-Type", .value = "application/json"});
  const SteadyPoint deadline = std::chrono::steady_clock::now() + options_.patience;
  for (;;) {
    const Attempt attempt = Post(request, spans, stop);
    if (attempt.end == Attempt::End::kTaken) return backoff_.Succeeded();
    if (attempt.end == Attempt::End::kRefused) {
      metrics_.TraceSpans(metrics::SpanResult::kRefused, spans);
      log_.Error("traces_refused", {{"spans", spans}, {"reason", attempt.reason}});
      return;
    }
    metrics_.TraceAttemptFailed();
    const Millis pause = backoff_.Next(attempt.retry_after);
    if (std::chrono::steady_clock::now() + pause > deadline) return Drop(spans, attempt.reason);
    log_.Warn("traces_not_sent", {{"spans", spans}, {"reason", attempt.reason}, {"delay_ms", pause.count()}});
    if (!PauseUnlessStopped(pause, stop)) return Drop(spans, "the server stops");
  }
}

Attempt TraceSender::Post(const web::WebRequest& request, std::uint64_t spans, const std::stop_token& stop) {
  const auto answer = client_.Ask(request, stop);
  Attempt attempt = Judge(answer);
  if (attempt.end != Attempt::End::kTaken) return attempt;
  const auto said = ParseExportAnswer(answer->body);
  if (!said) return {.end = Attempt::End::kRefused, .reason = said.error().message, .retry_after = std::nullopt};
  // Not to be sent again, says the specification ("Partial Success").
  const std::uint64_t rejected = std::min(said->rejected_spans, spans);
  metrics_.TraceSpans(metrics::SpanResult::kSent, spans - rejected);
  metrics_.TraceSpans(metrics::SpanResult::kRefused, rejected);
  if (rejected > 0) log_.Error("traces_refused", {{"spans", rejected}, {"reason", said->message}});
  return attempt;
}

// False when the server stops: then nothing is waited for any more.
bool TraceSender::PauseUnlessStopped(Millis pause, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, stop, pause, [this] { return stopping_; }) && !stop.stop_requested();
}

void TraceSender::Drop(std::uint64_t spans, std::string_view reason) {
  metrics_.TraceSpans(metrics::SpanResult::kDropped, spans);
  log_.Warn("traces_dropped", {{"spans", spans}, {"reason", reason}});
}

}  // namespace tacit::telemetry
