#include "edge_agent/upload/local_ledger.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/files.h"
#include "common/base/text.h"

namespace tacit::upload {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchema = 1;
constexpr std::size_t kMostTasks = 10'000;
constexpr std::uint64_t kMostReleases = std::uint64_t{1} << 20U;
constexpr std::size_t kLargestRecord = 4UL * 1024 * 1024;

std::unexpected<Error> Malformed(const std::string& what) {
  return Fail(ErrorCode::kMalformed, what);
}

dp::Mechanism MechanismOf(codec::Mechanism mechanism) {
  switch (mechanism) {
    case codec::Mechanism::kGaussian:
      return dp::Mechanism::kGaussian;
    case codec::Mechanism::kLaplace:
      return dp::Mechanism::kLaplace;
    case codec::Mechanism::kNone:
      break;
  }
  return dp::Mechanism::kNone;
}

const Json& MemberOf(const Json& object, const char* key) {
  static const Json kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

template <typename Checked>
Result<Checked> NumberOf(const Json& object, const char* key) {
  const Json& number = MemberOf(object, key);
  if (!number.is_number()) return Malformed("has no number '" + std::string(key) + "'");
  return Checked::Create(number.get<double>());
}

Result<std::uint64_t> CountOf(const Json& object, const char* key) {
  const Json& number = MemberOf(object, key);
  if (!number.is_number_unsigned()) return Malformed("has no count '" + std::string(key) + "'");
  return number.get<std::uint64_t>();
}

std::string TextOf(const Json& object, const char* key) {
  const Json& text = MemberOf(object, key);
  return text.is_string() ? text.get<std::string>() : std::string();
}

Result<std::optional<LocalCap>> ParseCap(const Json& cap) {
  if (cap.is_null()) return std::nullopt;
  if (!cap.is_object()) return Malformed("has a cap that is no object");
  TACIT_TRY(const dp::Epsilon epsilon, NumberOf<dp::Epsilon>(cap, "epsilon"));
  TACIT_TRY(const dp::Delta delta, NumberOf<dp::Delta>(cap, "delta"));
  return LocalCap{.epsilon = epsilon, .delta = delta};
}

Result<LocalSpend> ParseSpend(const Json& spend) {
  if (!spend.is_object()) return Malformed("has a task that is no object");
  TACIT_TRY(TaskId task, TaskId::Parse(TextOf(spend, "task")));
  TACIT_TRY(const dp::Mechanism mechanism, dp::ParseMechanism(TextOf(spend, "mechanism")));
  if (mechanism == dp::Mechanism::kNone) return Malformed("has a task without noise");
  TACIT_TRY(const auto noise_multiplier, NumberOf<dp::NoiseMultiplier>(spend, "noise_multiplier"));
  TACIT_TRY(const auto delta, NumberOf<dp::Delta>(spend, "delta"));
  TACIT_TRY(const std::uint64_t max_releases, CountOf(spend, "max_releases"));
  TACIT_TRY(const std::uint64_t releases, CountOf(spend, "releases"));
  return LocalSpend{.task = std::move(task),
                    .noise = {.mechanism = mechanism, .noise_multiplier = noise_multiplier, .delta = delta},
                    .max_releases = max_releases,
                    .releases = releases};
}

template <typename Record>
auto FindTask(Record& record, const TaskId& task) {
  return std::ranges::find(record.tasks, task, &LocalSpend::task);
}

Result<void> CheckTerms(const std::string& task, const LocalSpend& spend, const LocalTerms& terms) {
  if (spend.noise != terms.noise || spend.max_releases != terms.max_releases)
    return Fail(ErrorCode::kConflict, task + " asks for other noise than when this device first took part in it");
  if (spend.releases < spend.max_releases) return {};
  return Fail(ErrorCode::kPermissionDenied, "this device has made " + std::to_string(spend.releases) +
                                                " noised updates for " + task + ", as many as it may");
}

std::string TextOf(const LocalCap& cap) {
  return "epsilon " + RoundedUp(cap.epsilon.value()) + " at delta " + RoundedUp(cap.delta.value());
}

Result<void> CheckNotLooser(const LocalCap& kept, const LocalCap& asked) {
  if (asked.epsilon <= kept.epsilon && asked.delta <= kept.delta) return {};
  return Fail(ErrorCode::kConflict, "this device is kept to " + TextOf(kept) + ", its limit for ever, and " +
                                        TextOf(asked) +
                                        " is not stricter: leave --max-local-epsilon and --local-delta out, or give "
                                        "an epsilon and a delta of which neither is larger");
}

}  // namespace

std::string FormatLocalRecord(const LocalRecord& record) {
  Json document = {{"schema", kSchema}, {"cap", nullptr}, {"tasks", Json::array()}};
  if (record.cap) {
    document["cap"] = {{"epsilon", record.cap->epsilon.value()}, {"delta", record.cap->delta.value()}};
  }
  for (const LocalSpend& spend : record.tasks) {
    document["tasks"].push_back({{"task", spend.task.str()},
                                 {"mechanism", dp::NameOf(spend.noise.mechanism)},
                                 {"noise_multiplier", spend.noise.noise_multiplier.value()},
                                 {"delta", spend.noise.delta.value()},
                                 {"max_releases", spend.max_releases},
                                 {"releases", spend.releases}});
  }
  return document.dump(2) + "\n";
}

Result<LocalRecord> ParseLocalRecord(std::string_view text) {
  const Json document = Json::parse(text, nullptr, false);
  if (document.is_discarded()) return Malformed("is no JSON, or was cut");
  if (!document.is_object() || MemberOf(document, "schema") != kSchema) return Malformed("is not of schema 1");
  const Json& tasks = MemberOf(document, "tasks");
  if (!tasks.is_array() || tasks.size() > kMostTasks) return Malformed("has no list of tasks, or too long a one");
  LocalRecord record;
  TACIT_TRY(record.cap, ParseCap(MemberOf(document, "cap")));
  for (const Json& task : tasks) {
    TACIT_TRY(LocalSpend spend, ParseSpend(task));
    if (FindTask(record, spend.task) != record.tasks.end()) return Malformed("names a task twice");
    record.tasks.push_back(std::move(spend));
  }
  return record;
}

Result<std::optional<LocalTerms>> LocalTermsOf(const codec::Lease& lease) {
  if (!lease.local) return std::nullopt;
  const codec::LocalNoise& local = *lease.local;
  TACIT_TRY(const auto noise_multiplier, dp::NoiseMultiplier::Create(local.noise_multiplier));
  TACIT_TRY(const auto delta, dp::Delta::Create(local.delta));
  return LocalTerms{
      .noise = {.mechanism = MechanismOf(local.mechanism), .noise_multiplier = noise_multiplier, .delta = delta},
      .max_releases = local.max_releases};
}

Result<LocalLedger> LocalLedger::Open(const std::filesystem::path& state_directory,
                                      const std::optional<LocalCap>& cap) {
  LocalLedger ledger(state_directory / "local_privacy.json", {});
  const auto bytes = ReadFile(ledger.file_, kLargestRecord);
  if (!bytes && bytes.error().code != ErrorCode::kNotFound) return std::unexpected(bytes.error());
  if (bytes) {
    auto record = ParseLocalRecord(AsText(*bytes));
    if (!record) {
      return Fail(ErrorCode::kDataLoss, ledger.file_.string() + ": " + record.error().message +
                                            "; it says what this device has spent, so nothing is sent without it: "
                                            "restore it, or move it away to begin again from nothing spent");
    }
    ledger.record_ = *std::move(record);
  }
  TACIT_TRY_VOID(ledger.UseCap(cap));
  return ledger;
}

Result<void> LocalLedger::UseCap(const std::optional<LocalCap>& cap) {
  const std::optional<LocalCap> used = cap ? cap : record_.cap;
  if (!used) return {};
  if (record_.cap) TACIT_TRY_VOID(CheckNotLooser(*record_.cap, *used));
  // Where a budget goes furthest for Gaussians does not depend on how much noise they have.
  TACIT_TRY(const auto most_noise, dp::NoiseMultiplier::Create(dp::kMaxNoiseMultiplier));
  TACIT_TRY(auto filter, dp::RenyiFilter::Create(
                             {.epsilon = used->epsilon,
                              .delta = used->delta,
                              .max_releases = kMostReleases,
                              .typical = {.mechanism = dp::Mechanism::kGaussian, .noise_multiplier = most_noise}}));
  // Only a cap that can be kept replaces one that is.
  if (used != record_.cap) {
    LocalRecord changed = record_;
    changed.cap = used;
    TACIT_TRY_VOID(Write(changed));
    replaced_cap_ = record_.cap;
    record_ = std::move(changed);
  }
  limit_ = Limit{.cap = *used, .filter = filter};
  return {};
}

Result<void> LocalLedger::CheckRoom(const codec::Lease& lease) const {
  const std::string task = "task " + lease.task.str();
  TACIT_TRY(const auto terms, LocalTermsOf(lease));
  if (!terms) {
    if (FindTask(record_, lease.task) != record_.tasks.end())
      return Fail(ErrorCode::kConflict, task + " asks for no noise, and did when this device first took part in it");
    if (!limit_) return {};
    return Fail(ErrorCode::kPermissionDenied,
                task + " asks for updates without noise of this device, which --max-local-epsilon rules out");
  }
  const auto found = FindTask(record_, lease.task);
  if (found != record_.tasks.end()) {
    TACIT_TRY_VOID(CheckTerms(task, *found, *terms));
  } else if (record_.tasks.size() >= kMostTasks) {
    return Fail(ErrorCode::kPermissionDenied,
                "this device keeps account of " + std::to_string(kMostTasks) + " tasks and of no more");
  }
  if (!limit_) return {};
  const double then = SpentBy(limit_->filter) + limit_->filter.CostOf(dp::LocalRelease(terms->noise));
  if (Releases() < kMostReleases && limit_->filter.Admits(then)) return {};
  return Fail(ErrorCode::kBudgetExhausted,
              task + " would bring what this device has spent above " + TextOf(limit_->cap) + ", its limit for ever");
}

Result<void> LocalLedger::Charge(const codec::Lease& lease) {
  TACIT_TRY_VOID(CheckRoom(lease));
  TACIT_TRY(const auto terms, LocalTermsOf(lease));
  if (!terms) return {};
  LocalRecord charged = record_;
  auto found = FindTask(charged, lease.task);
  if (found == charged.tasks.end()) {
    charged.tasks.push_back({.task = lease.task, .noise = terms->noise, .max_releases = terms->max_releases});
    found = std::prev(charged.tasks.end());
  }
  ++found->releases;
  TACIT_TRY_VOID(Write(charged));
  record_ = std::move(charged);
  return {};
}

bool LocalLedger::MaySendKept(const TaskId& task) const {
  return !limit_ || FindTask(record_, task) != record_.tasks.end();
}

std::optional<double> LocalLedger::EpsilonSpent() const {
  if (!limit_) return std::nullopt;
  return limit_->filter.EpsilonOf(SpentBy(limit_->filter));
}

Result<void> LocalLedger::Write(const LocalRecord& record) const {
  return WriteFileAtomic(file_, AsBytes(FormatLocalRecord(record)), kOwnerOnly);
}

std::uint64_t LocalLedger::Releases() const {
  std::uint64_t releases = 0;
  // A sum that would wrap is beyond every limit.
  for (const LocalSpend& spend : record_.tasks)
    releases = spend.releases > UINT64_MAX - releases ? UINT64_MAX : releases + spend.releases;
  return releases;
}

double LocalLedger::SpentBy(const dp::RenyiFilter& filter) const {
  double spent = 0;
  for (const LocalSpend& spend : record_.tasks) {
    // Noise so small that one update costs infinity must not make nothing of none.
    if (spend.releases > 0) spent += static_cast<double>(spend.releases) * filter.CostOf(dp::LocalRelease(spend.noise));
  }
  return spent;
}

}  // namespace tacit::upload
