#include "edge_agent/serving/detection.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <utility>

#include "edge_agent/detect/drift.h"

namespace tacit::serving {
namespace {

using detect::ExtractionReason;
using detect::Judgement;
using detect::Mode;
using detect::RowVerdict;

// Of all for whom there is no place; a name hashes to it by accident only, and then they share it.
constexpr Digest128 kOthers{};
constexpr std::string_view kAll = "";

// What is said of a row, as one word.
std::string_view WordOf(const RowVerdict& verdict) {
  if (!verdict.suspicious) return "accepted";
  if (!verdict.is_finite) return "not_finite";
  return verdict.concern == detect::Concern::kAdversarial ? "adversarial" : "out_of_distribution";
}

std::string ReasonOf(const RowVerdict& verdict) {
  if (!verdict.is_finite) return "a number that is not finite";
  return "it looks " + std::string(NameOf(verdict.concern)) + ", by " + std::string(NameOf(verdict.strongest));
}

std::string RejectionOf(std::span<const RowVerdict> rows) {
  const auto first = std::ranges::find(rows, true, &RowVerdict::suspicious);
  const auto count = std::ranges::count(rows, true, &RowVerdict::suspicious);
  return "row " + std::to_string(first - rows.begin() + 1) + " of " + std::to_string(rows.size()) +
         " was rejected by the model's detectors: " + ReasonOf(*first) +
         (count > 1 ? "; " + std::to_string(count) + " rows were" : "") + "; nothing of this request is answered";
}

ExtractionReason ExtractionOf(std::span<const RowVerdict> rows) {
  const auto found =
      std::ranges::find_if(rows, [](const RowVerdict& row) { return row.extraction != ExtractionReason::kNone; });
  return found == rows.end() ? ExtractionReason::kNone : found->extraction;
}

// All texts in it are of this program: none needs an escape.
std::string ParametersOf(std::span<const RowVerdict> rows, ExtractionReason extraction) {
  std::string words;
  for (const RowVerdict& row : rows) words += (words.empty() ? "" : ",") + std::string(WordOf(row));
  std::string json = R"({"tacit_verdict":")" + words + '"';
  if (extraction != ExtractionReason::kNone) {
    json += R"(,"tacit_extraction":")" + std::string(NameOf(extraction)) + '"';
  }
  return json + '}';
}

std::string NamesOfDrift(std::uint32_t drifted) {
  std::string names;
  for (std::size_t i = 0; i < detect::kDriftStatistics; ++i) {
    if ((drifted >> i & 1U) == 0) continue;
    names += (names.empty() ? "" : ", ") + std::string(NameOf(static_cast<detect::DriftStatistic>(i)));
  }
  return names;
}

// Whether this is the first time in the window, of which `told` keeps the number.
bool FirstIn(std::uint64_t window, std::uint64_t now, std::uint64_t& told) {
  const std::uint64_t current = now / window + 1;
  return std::exchange(told, current) != current;
}

bool IsOver(std::uint64_t budget, double used, std::uint64_t rows) {
  return budget > 0 && used + static_cast<double>(rows) > static_cast<double>(budget);
}

QuotaRefusal RefusalOf(std::uint64_t budget, std::string_view whose, std::uint64_t seconds, std::uint64_t left) {
  return {.reason = "the budget of " + std::to_string(budget) + " rows in " + std::to_string(seconds) + " seconds of " +
                    std::string(whose) + " is used up",
          .retry_after = Millis(static_cast<std::int64_t>(left * 1000))};
}

}  // namespace

std::uint64_t Detection::Seconds() const {
  const auto since = clock_.SteadyNow().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
}

Detection::Asked& Detection::Find(std::string_view identity, std::uint64_t window) {
  const Digest128 key = Xxh3(AsBytes(identity));
  const std::uint64_t now = Seconds();
  auto found = askers_.find(key);
  if (found == askers_.end() && askers_.size() >= kMostAskers) {
    // Two windows after its last question, nothing of an asker counts any more.
    std::erase_if(askers_, [&](const auto& entry) { return now - entry.second.last >= 2 * window; });
  }
  if (found == askers_.end()) found = askers_.try_emplace(askers_.size() < kMostAskers ? key : kOthers).first;
  found->second.last = now;
  return found->second;
}

std::expected<void, QuotaRefusal> Detection::Admit(const detect::Policy& policy, std::string_view identity,
                                                   std::uint64_t rows) {
  if (policy.identity_budget == 0 && policy.device_budget == 0) return {};
  const std::uint64_t window = policy.window_seconds;
  const std::uint64_t now = Seconds();
  std::optional<QuotaRefusal> refusal;
  bool tells = false;
  {
    const std::scoped_lock lock(mutex_);
    Asked& mine = Find(identity, window);
    const std::uint64_t left = window - now % window;
    if (IsOver(policy.identity_budget, mine.rows.Within(window, now), rows)) {
      refusal = RefusalOf(policy.identity_budget, "this identity", window, left);
    } else if (IsOver(policy.device_budget, device_.rows.Within(window, now), rows)) {
      refusal = RefusalOf(policy.device_budget, "all who ask on this device", window, left);
    }
    if (!refusal) {
      mine.rows.Add(window, now, rows);
      device_.rows.Add(window, now, rows);
      return {};
    }
    tally_.over_budget += rows;
    tells = FirstIn(window, now, mine.spent);
  }
  if (tells) {
    listener_({.kind = DetectionEvent::Kind::kOverBudget, .asker = std::string(identity), .detail = refusal->reason});
  }
  return std::unexpected(*std::move(refusal));
}

void Detection::Count(const Judgement& judgement, std::size_t first, std::size_t rows) {
  const std::scoped_lock lock(mutex_);
  tally_.rows += rows;
  for (const RowVerdict& row : std::span(judgement.rows).subspan(first, rows)) {
    if (!row.suspicious) continue;
    ++(row.concern == detect::Concern::kAdversarial ? tally_.adversarial : tally_.out_of_distribution);
  }
}

// Once for all requests that were answered at once.
void Detection::CountDrift(const Judgement& judgement) {
  {
    const std::scoped_lock lock(mutex_);
    tally_.drift_windows += judgement.drift_windows;
    tally_.drift_alarms += judgement.drift_alarms;
  }
  if (judgement.drift_alarms == 0) return;
  listener_({.kind = DetectionEvent::Kind::kDrift,
             .asker = std::string(kAll),
             .detail = "unlike the clean rows in " + NamesOfDrift(judgement.drifted)});
}

void Detection::CountExtraction(std::string_view identity, ExtractionReason reason, std::uint64_t window) {
  if (reason == ExtractionReason::kNone) return;
  const bool is_device = reason == ExtractionReason::kGroupDistances;
  {
    const std::scoped_lock lock(mutex_);
    Asked& asked = is_device ? device_ : Find(identity, window);
    if (!FirstIn(window, Seconds(), asked.alarmed)) return;
    ++tally_.extraction_alarms;
  }
  listener_({.kind = DetectionEvent::Kind::kExtraction,
             .asker = std::string(is_device ? kAll : identity),
             .detail = std::string(NameOf(reason))});
}

std::expected<std::string, std::string> Detection::Decide(std::string_view identity, const BatchedAnswer& answer) {
  const auto& judged = answer.whole->judged;
  if (!judged) return std::string();
  const Judgement& judgement = judged->judgement;
  const detect::Policy& policy = judged->detectors.policy;
  if (answer.first_row == 0) CountDrift(judgement);
  Count(judgement, answer.first_row, answer.rows);
  const auto rows = std::span(judgement.rows).subspan(answer.first_row, answer.rows);
  const ExtractionReason extraction = ExtractionOf(rows);
  CountExtraction(identity, extraction, policy.window_seconds);
  if (policy.mode == Mode::kObserve) return std::string();
  const bool suspicious = std::ranges::any_of(rows, &RowVerdict::suspicious);
  if (suspicious && policy.mode == Mode::kReject) {
    const std::scoped_lock lock(mutex_);
    tally_.rejected += answer.rows;
    return std::unexpected(RejectionOf(rows));
  }
  return ParametersOf(rows, extraction);
}

detect::Tally Detection::Counted() const {
  const std::scoped_lock lock(mutex_);
  return tally_;
}

}  // namespace tacit::serving
