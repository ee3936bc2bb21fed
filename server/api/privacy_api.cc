#include "server/api/privacy_api.h"

#include <algorithm>
#include <utility>

#include "common/crypto/digest.h"
#include "dp/ledger_check.h"
#include "server/api/json.h"
#include "server/api/privacy_pages.h"
#include "server/api/request_parts.h"

namespace tacit::api {
namespace {

using coordinator::TaskView;
using net::HttpResponse;
using net::Task;

Result<void> CheckHasLedger(const TaskView& view) {
  const task::TaskSpec& spec = view.record.spec;
  if (spec.privacy.local) {
    return Fail(ErrorCode::kNotFound, "the server adds no noise in task " + spec.id.str() +
                                          ": its devices do, and each keeps its own account of it");
  }
  if (view.privacy) return {};
  return Fail(ErrorCode::kNotFound, "task " + spec.id.str() + " adds no noise: it has no privacy ledger");
}

HttpResponse JsonText(std::string text) {
  HttpResponse response;
  response.content_type = "application/json";
  response.body = std::move(text);
  return response;
}

Task<Result<HttpResponse>> GetPrivacy(Call call) {
  TACIT_CO_TRY(const TaskId id, TaskId::Parse(call.path[0]));
  TACIT_CO_TRY(const auto page, co_await call.context.privacy_pages.Get(call.context.coordinator, id));
  co_return JsonText(page->text);
}

/// The ledger in pages; the newest published version goes with it, so that a ledger whose end was cut is found out.
Task<Result<HttpResponse>> GetLedger(Call call) {
  TACIT_CO_TRY(const TaskView view, co_await FindTask(call));
  TACIT_CO_TRY(const std::uint64_t after, QueryNumber(call.request, "after", 0));
  TACIT_CO_TRY(const std::size_t limit, PageSize(call.request));
  const task::TaskSpec& spec = view.record.spec;
  TACIT_CO_TRY_VOID(CheckHasLedger(view));
  TACIT_CO_TRY(const auto entries, co_await call.context.coordinator.store().Call("ledger", [&](store::Store& store) {
    return store.LedgerPage(spec.id, after, limit);
  }));
  Json items = Json::array();
  for (const auto& entry : entries) items.push_back(ToJson(entry));
  Json next = nullptr;
  if (entries.size() == limit) next = std::to_string(entries.back().sequence);
  co_return JsonResponse({{"policy", ToJson(spec.Policy(&crypto::Sha256))},
                          {"latest_version", view.latest_version},
                          {"items", items},
                          {"next_cursor", next}});
}

/// Individual spends: for the device itself, on its own listener, and here for auditors.
Task<Result<HttpResponse>> GetDevicePrivacy(Call call) {
  TACIT_CO_TRY(const DeviceId device, DeviceId::Parse(call.path[0]));
  TACIT_CO_TRY_VOID(co_await call.context.coordinator.store().Call(
      "device", [&](store::Store& store) { return store.Device(device); }));
  TACIT_CO_TRY_VOID(co_await Audit(call.context, call.principal.Actor(), "device_privacy_read",
                                   "device/" + device.str(), "individual spends"));
  Json items = Json::array();
  for (const auto& spend : co_await call.context.coordinator.SpendOf(device)) items.push_back(ToJson(spend));
  co_return JsonResponse({{"device", device.str()}, {"items", items}, {"next_cursor", nullptr}});
}

// ---- What rounds to come would cost ----

constexpr std::uint64_t kMostRounds = 100'000;
constexpr std::uint64_t kMostPoints = 50;

// As far as the task will go, as things are.
std::uint64_t RoundsToCome(const TaskView& view) {
  const coordinator::PrivacyView& figures = Present(view.privacy, "a task with a ledger has figures");
  std::uint64_t reserved = 0;
  for (const dp::NoisedRounds& each : figures.rounds_by_noise) reserved += each.rounds;
  const std::uint64_t declared = view.record.spec.rounds;
  return std::min({declared - std::min(declared, reserved), figures.rounds_left, kMostRounds});
}

Result<std::uint64_t> AskedRounds(const Call& call, std::uint64_t otherwise) {
  TACIT_TRY(const std::uint64_t rounds, QueryNumber(call.request, "rounds", otherwise));
  if (rounds <= kMostRounds && (rounds > 0 || !call.request.Query("rounds"))) return rounds;
  return FailAt("?rounds", ErrorCode::kInvalidArgument, "rounds must be between 1 and " + std::to_string(kMostRounds));
}

Json ForecastItems(const dp::BudgetLedger& ledger, std::uint64_t rounds) {
  Json items = Json::array();
  const std::uint64_t step = std::max<std::uint64_t>(1, (rounds + kMostPoints - 1) / kMostPoints);
  double epsilon = ledger.Spent().epsilon;
  std::uint64_t reckoned = 0;
  const auto add = [&](std::uint64_t more) {
    // Nobody takes part in more rounds than that: what comes behind them costs nothing more.
    const std::uint64_t counting = std::min(more, ledger.policy().max_participations);
    if (counting != reckoned) epsilon = ledger.Projected(counting).epsilon;
    reckoned = counting;
    items.push_back({{"rounds", more}, {"epsilon", epsilon}});
  };
  for (std::uint64_t more = 0; more < rounds; more += step) add(more);
  add(rounds);
  return items;
}

Json ForecastJson(const dp::BudgetLedger& ledger, std::uint64_t rounds) {
  return {{"task", ledger.policy().task.str()},
          {"delta", ledger.policy().delta.value()},
          {"epsilon_budget", ledger.policy().budget.value()},
          {"noise_multiplier", ledger.noise_multiplier().value()},
          {"accountant", ledger.Spent().accountant},
          {"items", ForecastItems(ledger, rounds)}};
}

Task<Result<HttpResponse>> GetForecast(Call call) {
  Context& context = call.context;
  TACIT_CO_TRY(const TaskView view, co_await FindTask(call));
  TACIT_CO_TRY_VOID(CheckHasLedger(view));
  TACIT_CO_TRY(const std::uint64_t rounds, AskedRounds(call, RoundsToCome(view)));
  const ForecastKey key{.task = view.record.spec.id, .moment = view.moment, .rounds = rounds};
  if (auto kept = context.privacy_pages.FindForecast(key)) co_return JsonText(*std::move(kept));
  TACIT_CO_TRY(const dp::BudgetLedger ledger, co_await context.coordinator.LedgerOf(key.task));
  TACIT_CO_TRY(const Json forecast, co_await context.figures.Run([&] { return ForecastJson(ledger, rounds); }));
  HttpResponse response = JsonResponse(forecast);
  // Of another moment, when an entry came meanwhile: that is asked for under its own.
  if (ledger.sequence() == key.moment.ledger_entries) context.privacy_pages.KeepForecast(key, response.body);
  co_return response;
}

// ---- Whether the record holds ----

constexpr std::size_t kEntriesAtOnce = 1000;
// Computed again they take a second or two of one thread; more is work for `tacit privacy verify`, which asks nobody.
constexpr std::size_t kMostEntries = 4000;
constexpr std::size_t kMostEntriesOfSlowAccountants = 200;

std::size_t MostEntriesOf(const task::Privacy& privacy) {
  const bool quick = privacy.mechanism == dp::Mechanism::kGaussian && !privacy.coin;
  return quick ? kMostEntries : kMostEntriesOfSlowAccountants;
}

Task<Result<std::vector<dp::LedgerEntry>>> WholeLedger(Context& context, const TaskId& id, std::size_t most) {
  std::vector<dp::LedgerEntry> entries;
  while (true) {
    const std::uint64_t after = entries.empty() ? 0 : entries.back().sequence;
    TACIT_CO_TRY(auto page, co_await context.coordinator.store().Call("ledger_page", [&](store::Store& store) {
      return store.LedgerPage(id, after, kEntriesAtOnce);
    }));
    entries.insert(entries.end(), page.begin(), page.end());
    if (entries.size() > most) {
      co_return Fail(ErrorCode::kTooLarge, "the ledger has more than " + std::to_string(most) +
                                               " entries; 'tacit privacy ledger " + id.str() +
                                               " -o FILE' and 'tacit privacy verify FILE' look at all of them");
    }
    if (page.size() < kEntriesAtOnce) co_return entries;
  }
}

Json VerificationJson(const Result<dp::LedgerCheck>& check, std::size_t entries) {
  Json json = {{"holds", check.has_value()}, {"fault", nullptr},          {"entries", entries},
               {"rounds_reserved", nullptr}, {"rounds_charged", nullptr}, {"rounds_void", nullptr},
               {"adjustments", nullptr},     {"epsilon_spent", nullptr},  {"head", nullptr}};
  if (!check) {
    json["fault"] = check.error().message;
    return json;
  }
  json["rounds_reserved"] = check->rounds_reserved;
  json["rounds_charged"] = check->rounds_charged;
  json["rounds_void"] = check->rounds_void;
  json["adjustments"] = check->adjustments;
  json["epsilon_spent"] = check->spent.epsilon;
  json["head"] = ToHex(check->head);
  return json;
}

/// As `tacit privacy verify` does it, by the server itself: who does not trust it takes the ledger along.
Task<Result<HttpResponse>> GetLedgerVerification(Call call) {
  // The newest version first: a round that ends meanwhile adds entries to what is read, never a version without one.
  TACIT_CO_TRY(const TaskView view, co_await FindTask(call));
  TACIT_CO_TRY_VOID(CheckHasLedger(view));
  const task::TaskSpec& spec = view.record.spec;
  TACIT_CO_TRY(const std::vector<dp::LedgerEntry> entries,
               co_await WholeLedger(call.context, spec.id, MostEntriesOf(spec.privacy)));
  TACIT_CO_TRY(const Json json, co_await call.context.figures.Run([&] {
    return VerificationJson(dp::CheckLedger(spec.Policy(&crypto::Sha256), entries, view.latest_version),
                            entries.size());
  }));
  co_return JsonResponse(json);
}

}  // namespace

std::vector<GuardedRoute> PrivacyRoutes() {
  using enum Action;
  return {
      {"GET", "/api/v1/tasks/{task}/privacy", kReadPrivacy, &GetPrivacy},
      {"GET", "/api/v1/tasks/{task}/privacy/forecast", kReadPrivacy, &GetForecast},
      {"GET", "/api/v1/tasks/{task}/ledger", kReadLedger, &GetLedger},
      {"GET", "/api/v1/tasks/{task}/ledger/verification", kReadLedger, &GetLedgerVerification},
      {"GET", "/api/v1/devices/{device}/privacy", kReadDevicePrivacy, &GetDevicePrivacy},
  };
}

}  // namespace tacit::api
