#include "server/api/json.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/crypto/digest.h"
#include "dp/ledger.h"
#include "dp/planning.h"

namespace tacit::api {
namespace {

constexpr std::string_view kUnit = "device: everything one device ever contributes to this task";
constexpr std::string_view kNeighbouring =
    "zero-out: one device's updates are replaced by zeros; the cohort size is public";
constexpr std::string_view kNeighbouringBehindACoin =
    "zero-out: one device's updates are replaced by zeros; who takes part, and how many, is secret";

constexpr std::string_view kUnitOfOne = "device: all updates that one device ever sends to this task";
constexpr std::string_view kNeighbouringLocally = "replace-one: any updates of the device against any others of it";

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json TimeOrNull(const std::optional<WallTime>& time) {
  return time ? Json(FormatRfc3339(*time)) : Json(nullptr);
}

Json CurrentRoundJson(const coordinator::CurrentRoundView& round, WallTime now) {
  std::optional<WallTime> deadline;
  if (round.time_left) deadline = now + *round.time_left;
  return {{"round", round.round},
          {"phase", round.phase},
          {"since", TimeOrNull(round.since)},
          {"waiting_for", round.waiting_for},
          {"counted", OrNull(round.counted)},
          {"leased", OrNull(round.leased)},
          {"deadline", TimeOrNull(deadline)}};
}

template <typename T>
Json ValueOrNull(const std::optional<T>& checked) {
  return checked ? Json(checked->value()) : Json(nullptr);
}

// Null where the budget sets no limit.
Json RoundsJson(std::uint64_t rounds) {
  return rounds == dp::kUnlimitedRounds ? Json(nullptr) : Json(rounds);
}

Json UtilityJson(const dp::UtilityForecast& forecast) {
  return {{"noise_to_signal", forecast.noise_to_signal},
          {"meaning", forecast.meaning},
          {"cohort_needed", forecast.cohort_needed}};
}

Json UtilityJson(const task::TaskSpec& spec, dp::NoiseMultiplier noise_multiplier) {
  return UtilityJson(dp::ForecastUtility(spec.privacy.mechanism, noise_multiplier, spec.cohort.size));
}

Json AsynchronousJson(const task::TaskSpec& spec) {
  const auto& asynchronous = spec.asynchronous;
  if (!asynchronous) return nullptr;
  return {{"max_staleness", asynchronous->max_staleness},
          {"discount", dp::NameOf(asynchronous->discount)},
          {"concurrency", asynchronous->concurrency},
          {"lease_lifetime_ms", asynchronous->lease_lifetime.count()}};
}

Json WatermarkJson(const task::TaskSpec& spec) {
  const auto& watermark = spec.watermark;
  if (!watermark) return nullptr;
  return {{"triggers", watermark->triggers},
          {"input_min", watermark->input_min},
          {"input_max", watermark->input_max},
          {"steps", watermark->steps},
          {"learning_rate", watermark->learning_rate}};
}

Json DeploymentJson(const task::TaskSpec& spec) {
  const auto& deployment = spec.deployment;
  if (!deployment) return nullptr;
  return {{"lease_ms", deployment->lease.count()}, {"copies", deployment->obfuscate ? "own" : "shared"}};
}

Json DetectorsJson(const task::TaskSpec& spec) {
  const auto& detectors = spec.detectors;
  if (!detectors) return nullptr;
  constexpr std::array kModes = {"observe", "flag", "reject"};
  return {{"clean_rows", detectors->clean_rows},
          {"mode", kModes.at(static_cast<std::size_t>(detectors->mode))},
          {"target", detectors->target},
          {"within", detectors->within},
          {"scores", detectors->scores},
          {"budget", detectors->budget},
          {"device_budget", detectors->device_budget},
          {"window_ms", detectors->window.count()},
          {"drift_window", detectors->drift_window}};
}

Json LocalJson(const task::TaskSpec& spec) {
  const auto& local = spec.privacy.local;
  if (!local) return nullptr;
  const dp::LocalNoise& noise = *local;
  return {{"mechanism", dp::NameOf(noise.mechanism)},
          {"noise_multiplier", noise.noise_multiplier.value()},
          {"delta", noise.delta.value()},
          {"max_releases", spec.Compositions()}};
}

// How many values a sparse update has; null where none are taken.
Json TopKJson(const task::TaskSpec& spec) {
  return spec.TopK() > 0 ? Json(spec.TopK()) : Json(nullptr);
}

const char* CompressionText(const task::TaskSpec& spec) {
  return spec.updates.takes_zstd ? "zstd" : "none";
}

Json NotCoveredLocally() {
  return {
      "that a device takes part, when, and how often",
      "updates that a device sent and that were not counted, towards this figure: the device's own ledger has them",
      "devices that run a modified agent: their noise is theirs to add, and this server cannot see whether they did"};
}

// The devices' own noise: nobody, this server included, is trusted with an update as it was.
Json LocalPrivacyJson(const coordinator::TaskView& view) {
  const task::TaskSpec& spec = view.record.spec;
  const coordinator::LocalPrivacyView& figures =
      Present(view.local, "a view of a task with local noise has the figures");
  Json json = LocalJson(spec);
  json.update({{"unit", kUnitOfOne},
               {"neighbouring", kNeighbouringLocally},
               {"accountant", figures.accountant},
               {"epsilon_of_one_update", figures.epsilon_of_one},
               {"epsilon_at_max_releases", figures.epsilon_limit},
               {"epsilon_counted", figures.epsilon_counted},
               {"utility", UtilityJson(figures.utility)},
               {"not_covered", NotCoveredLocally()}});
  return json;
}

Json NotCovered(const task::TaskSpec& spec) {
  Json list = {"devices that run a modified agent and upload more than once under several identities",
               "choosing parameters after looking at results on private data",
               "what a device reveals by being seen to take part", "timing and traffic volume as seen on the network"};
  if (spec.updates.takes_zstd) {
    list.push_back(
        "how long an upload takes, and on slow links who is counted: how small a compressed update is depends on the "
        "device's data");
  }
  if (spec.privacy.coin) {
    list.push_back(
        "the amplification, towards whoever sees which devices came or how many: this server, and those who watch its "
        "network, its load or its log at level \"debug\"");
    list.push_back(
        "when a round ends, should the disk take longer for an update that came last than the time that is left for "
        "it");
  }
  return list;
}

std::string_view SamplingText(const task::Privacy& privacy) {
  return privacy.coin ? "checkin_coin: in each round a secret coin of its own lets each device take part"
                      : "none: no amplification is claimed";
}

}  // namespace

Json ToJson(const coordinator::TaskView& view, WallTime now) {
  const task::TaskSpec& spec = view.record.spec;
  const task::Privacy& privacy = spec.privacy;
  return {{"name", spec.id.str()},
          {"state", store::NameOf(view.record.state)},
          {"state_reason", view.record.state_reason},
          {"created_at", FormatRfc3339(view.record.created_at)},
          {"mechanism", dp::NameOf(privacy.mechanism)},
          {"local", LocalJson(spec)},
          {"rounds_total", spec.rounds},
          {"rounds_published", view.rounds_published},
          {"cohort_size", spec.cohort.size},
          {"cohort_min", spec.cohort.min},
          {"asynchronous", AsynchronousJson(spec)},
          {"current_round", view.current ? CurrentRoundJson(*view.current, now) : Json(nullptr)},
          {"latest_version", view.latest_version},
          {"model", spec.model.CanonicalText()},
          {"parameters", spec.model.ParameterCount()},
          {"top_k", TopKJson(spec)},
          {"compression", CompressionText(spec)},
          {"watermark", WatermarkJson(spec)},
          {"deployment", DeploymentJson(spec)},
          {"detectors", DetectorsJson(spec)},
          {"max_participations", spec.max_participations},
          {"min_separation", spec.min_separation},
          {"clip_norm", view.record.clip_norm.value()},
          {"grid_radius", privacy.grid_radius.value()},
          {"noise_multiplier", view.privacy ? Json(view.privacy->noise_multiplier.value()) : Json(nullptr)},
          {"delta", ValueOrNull(privacy.delta)},
          {"epsilon_budget", ValueOrNull(privacy.epsilon_budget)},
          {"epsilon_spent", view.privacy ? Json(view.privacy->epsilon_spent) : Json(nullptr)}};
}

Json ToJson(const store::RoundRecord& round, const std::optional<store::ModelRecord>& model,
            const task::TaskSpec& spec) {
  Json json = {{"round", round.key.round},
               {"phase", store::NameOf(round.phase)},
               {"reason", round.reason},
               {"counted", spec.privacy.coin ? Json(nullptr) : Json(round.counted)},
               {"opened_at", FormatRfc3339(round.opened_at)},
               {"ended_at", TimeOrNull(round.ended_at)},
               // 0 stands for no mechanism, and must not read as perfect privacy.
               {"epsilon_after", round.epsilon_after > 0 ? Json(round.epsilon_after) : Json(nullptr)},
               {"model_version", nullptr},
               {"model_digest", nullptr}};
  if (model) {
    json["model_version"] = model->version;
    json["model_digest"] = ToHex(model->digest);
  }
  return json;
}

Json ToJson(const store::DeviceRecord& device, LastSeen precision) {
  std::optional<WallTime> seen = device.last_seen;
  if (seen && precision == LastSeen::kDay) seen = std::chrono::floor<std::chrono::days>(*seen);
  return {{"name", device.id.str()},
          {"state", store::NameOf(device.state)},
          {"enrolled_at", FormatRfc3339(device.enrolled_at)},
          {"certificate_not_after", FormatRfc3339(device.certificate_not_after)},
          {"certificate_serial", device.certificate_serial},
          {"last_seen_at", TimeOrNull(seen)}};
}

Json ToJson(const store::DeviceKeyRecord& key) {
  return {{"epoch", key.epoch},
          {"tier", key.tier},
          {"sha256", ToHex(crypto::Sha256(key.point))},
          {"recorded_at", FormatRfc3339(key.recorded_at)}};
}

Json ToJson(const store::ModelLeaseRecord& lease, LastSeen precision) {
  const auto told = [precision](WallTime time) {
    return FormatRfc3339(precision == LastSeen::kDay ? WallTime(std::chrono::floor<std::chrono::days>(time)) : time);
  };
  return {{"task", lease.task.str()},
          {"version", lease.version},
          {"leases", precision == LastSeen::kDay ? Json() : Json(lease.leases)},
          {"leased_at", told(lease.leased_at)},
          {"expires_at", told(lease.expires_at)}};
}

Json FleetJson(const coordinator::DeviceRegistry& devices, WallTime now) {
  const store::DeviceCounts counts = devices.Counts();
  const metrics::CertificatesLeft left = devices.CertificatesLeft(now);
  Json agents = Json::array();
  for (const auto& [version, running] : devices.Agents())
    agents.push_back({{"version", version}, {"devices", running}});
  Json within = Json::array();
  for (const auto& [seconds, certificates] : left.within)
    within.push_back({{"seconds", seconds}, {"certificates", certificates}});
  return {{"active", counts.active},
          {"revoked", counts.revoked},
          {"agents", std::move(agents)},
          {"certificates", {{"total", left.certificates}, {"within", std::move(within)}}}};
}

Json ToJson(const dp::LedgerEntry& entry) {
  return {{"sequence", entry.sequence},
          {"kind", dp::NameOf(entry.kind)},
          {"round", entry.round},
          {"mechanism", dp::NameOf(entry.mechanism)},
          {"noise_multiplier", entry.noise_multiplier},
          {"clip_norm", entry.clip_norm},
          {"grid_radius", entry.grid_radius},
          {"cohort", entry.cohort},
          {"at_ms", entry.at.time_since_epoch().count()},
          {"epsilon_after", entry.epsilon_after},
          {"previous", ToHex(entry.previous)},
          {"hash", ToHex(entry.hash)}};
}

Json ToJson(const store::AuditRecord& record) {
  return {{"sequence", record.sequence},
          {"at", FormatRfc3339(record.event.at)},
          {"at_ms", record.event.at.time_since_epoch().count()},
          {"actor", record.event.actor},
          {"action", record.event.action},
          {"target", record.event.target},
          {"detail", record.event.detail},
          {"previous", ToHex(record.previous)},
          {"hash", ToHex(record.hash)}};
}

Json ToJson(const dp::BudgetPolicy& policy) {
  Json json = {{"task", policy.task.str()},
               {"mechanism", dp::NameOf(policy.mechanism)},
               {"noise_multiplier", policy.noise_multiplier.value()},
               {"clip_norm", policy.clip_norm.value()},
               {"grid_radius", policy.grid_radius.value()},
               {"cohort", policy.cohort},
               {"delta", policy.delta.value()},
               {"epsilon_budget", policy.budget.value()},
               {"max_participations", policy.max_participations},
               {"min_separation", policy.min_separation},
               {"coin", nullptr},
               {"clip_tracking", nullptr},
               {"digest", ToHex(dp::PolicyDigest(policy))}};
  if (policy.coin) {
    json["coin"] = {{"probability", policy.coin->probability.value()},
                    {"population", policy.coin->population},
                    {"max_cohort", policy.coin->max_cohort}};
  }
  if (policy.tracking) {
    json["clip_tracking"] = {{"bit_steps", policy.tracking->bit_steps},
                             {"quantile", policy.tracking->quantile},
                             {"learning_rate", policy.tracking->learning_rate}};
  }
  return json;
}

Json ToJson(const dp::Adjustment& adjustment) {
  return {{"task", adjustment.entry.task.str()},       {"noise_multiplier", adjustment.entry.noise_multiplier},
          {"after_round", adjustment.entry.round},     {"accountant", adjustment.spent.accountant},
          {"epsilon_spent", adjustment.spent.epsilon}, {"rounds_left", RoundsJson(adjustment.rounds_left)}};
}

// Once an operator has changed the noise, from what may have been seen on the way.
Json FilterJson(const coordinator::PrivacyView& figures) {
  if (!figures.filter_order) return nullptr;
  return {{"order", *figures.filter_order},
          {"statement",
           "the noise was changed on the way: what is spent is bounded by a Renyi filter, at an order that was fixed "
           "when the task was created, and no longer by the accountants of a declared schedule"}};
}

Json ToJson(const std::vector<dp::NoisedRounds>& rounds) {
  Json list = Json::array();
  for (const dp::NoisedRounds& each : rounds)
    list.push_back({{"noise_multiplier", each.noise_multiplier.value()}, {"rounds", each.rounds}});
  return list;
}

Json ToJson(const coordinator::DeviceSpendView& spend) {
  return {{"task", spend.task.str()},
          {"mechanism", dp::NameOf(spend.mechanism)},
          {"rounds", OrNull(spend.rounds)},
          {"max_participations", spend.max_participations},
          {"epsilon", OrNull(spend.epsilon)},
          {"delta", OrNull(spend.delta)},
          {"local", spend.local}};
}

Json PrivacyJson(const coordinator::TaskView& view) {
  const task::TaskSpec& spec = view.record.spec;
  const task::Privacy& privacy = spec.privacy;
  Json json = {{"task", spec.id.str()}, {"mechanism", dp::NameOf(privacy.mechanism)}};
  if (privacy.local) {
    json["statement"] = "the server adds no noise; each device adds its own before an update leaves it";
    json["local"] = LocalPrivacyJson(view);
    return json;
  }
  if (!view.privacy) {
    json["statement"] = "this task adds no noise: nothing is claimed about privacy";
    return json;
  }
  const coordinator::PrivacyView& figures = *view.privacy;
  const task::Privacy::Promise promise = privacy.promise();
  json.update({{"state", store::NameOf(view.record.state)},
               {"unit", kUnit},
               {"neighbouring", privacy.coin ? kNeighbouringBehindACoin : kNeighbouring},
               {"sampling", SamplingText(privacy)},
               {"sampling_probability", privacy.coin ? Json(privacy.coin->probability.value()) : Json(nullptr)},
               {"population", privacy.population},
               {"accountant", figures.accountant},
               {"delta", promise.delta.value()},
               {"epsilon_spent", figures.epsilon_spent},
               {"epsilon_spent_rdp", figures.epsilon_rdp},
               // Proved of a declared schedule; not of noise that was chosen on the way.
               {"rho_zcdp", figures.filter_order ? Json(nullptr) : Json(figures.rho_zcdp)},
               {"epsilon_reserved", figures.epsilon_reserved},
               {"epsilon_budget", promise.budget.value()},
               {"noise_multiplier", figures.noise_multiplier.value()},
               {"rounds_by_noise", ToJson(figures.rounds_by_noise)},
               {"filter", FilterJson(figures)},
               {"clip_norm", view.record.clip_norm.value()},
               {"clip_quantile", privacy.tracking ? Json(privacy.tracking->quantile) : Json(nullptr)},
               {"grid_radius", privacy.grid_radius.value()},
               {"rounds_charged", figures.rounds_charged},
               {"max_participations", spec.max_participations},
               {"min_separation", spec.min_separation},
               {"rounds_left", RoundsJson(figures.rounds_left)},
               {"utility", UtilityJson(spec, figures.noise_multiplier)},
               {"not_covered", NotCovered(spec)}});
  return json;
}

Json PlanJson(const task::TaskSpec& spec) {
  const task::Privacy& privacy = spec.privacy;
  Json json = {{"name", spec.id.str()},
               {"mechanism", dp::NameOf(privacy.mechanism)},
               {"model", spec.model.CanonicalText()},
               {"parameters", spec.model.ParameterCount()},
               {"update_bytes", spec.model.ParameterCount() * sizeof(float)},
               {"top_k", TopKJson(spec)},
               {"compression", CompressionText(spec)},
               {"rounds", spec.rounds},
               {"cohort_size", spec.cohort.size},
               {"cohort_min", spec.cohort.min},
               {"asynchronous", AsynchronousJson(spec)},
               {"max_participations", spec.max_participations},
               {"clip_norm", privacy.clip_norm.value()},
               {"grid_radius", privacy.grid_radius.value()}};
  if (privacy.local) {
    json["local"] = LocalJson(spec);
    json["local"]["neighbouring"] = kNeighbouringLocally;
    json["local"]["epsilon_of_one_update"] = dp::LocalCost(*privacy.local, 1).epsilon;
    json["local"]["epsilon_at_max_releases"] = dp::LocalCost(*privacy.local, spec.Compositions()).epsilon;
    json.update(UtilityJson(
        dp::ForecastLocalUtility(privacy.local->mechanism, privacy.local->noise_multiplier, spec.cohort.size)));
  }
  if (privacy.mechanism == dp::Mechanism::kNone) return json;
  const task::Privacy::Promise promise = privacy.promise();
  const dp::BudgetPolicy policy = spec.Policy(&crypto::Sha256);
  const dp::EpsilonReport report = dp::CostOf(policy, spec.rounds);
  const std::uint64_t affordable = dp::AffordableRounds(policy);
  json.update({{"sampling", SamplingText(privacy)},
               {"sampling_probability", privacy.coin ? Json(privacy.coin->probability.value()) : Json(nullptr)},
               {"population", privacy.population},
               {"noise_multiplier", promise.noise_multiplier.value()},
               {"delta", report.delta},
               {"epsilon", report.epsilon},
               {"epsilon_rdp", report.epsilon_rdp},
               {"rho_zcdp", report.rho_zcdp},
               {"accountant", report.accountant},
               {"epsilon_budget", promise.budget.value()},
               {"rounds_within_budget", RoundsJson(affordable)}});
  json.update(UtilityJson(spec, promise.noise_multiplier));
  return json;
}

net::HttpResponse JsonResponse(const Json& body, int status) {
  net::HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  // A byte that is not UTF-8 is replaced: an answer never fails because of a name somebody chose.
  response.body = body.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return response;
}

}  // namespace tacit::api
