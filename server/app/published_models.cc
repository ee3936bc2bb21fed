#include "server/app/published_models.h"

#include <algorithm>
#include <utility>

#include "common/model/export.h"
#include "common/net/run_blocking.h"

namespace tacit::app {
namespace {

using telemetry::PublishedRound;

constexpr std::size_t kEntriesAtOnce = 500;

}  // namespace

ServerModels::Facts ServerModels::FactsOf(const coordinator::TaskView& view) {
  const task::TaskSpec& spec = view.record.spec;
  const task::Privacy& privacy = spec.privacy;
  Facts facts{.model = spec.model,
              .mechanism = std::string(dp::NameOf(privacy.mechanism)),
              .delta = std::nullopt,
              .epsilon_of_device = std::nullopt,
              .has_ledger = privacy.mechanism != dp::Mechanism::kNone,
              .cohort_is_secret = privacy.coin.has_value()};
  if (facts.has_ledger) facts.delta = privacy.promise().delta.value();
  if (const auto& local = privacy.local) {
    facts.mechanism = "local-" + std::string(dp::NameOf(local->mechanism));
    facts.delta = local->delta.value();
    if (view.local) facts.epsilon_of_device = view.local->epsilon_limit;
  }
  return facts;
}

Result<std::vector<telemetry::PublishedTask>> ServerModels::Tasks() {
  std::vector<telemetry::PublishedTask> tasks;
  for (const coordinator::TaskView& view : net::RunBlocking(control_, coordinator_.Tasks())) {
    const TaskId& id = view.record.spec.id;
    if (!facts_.contains(id)) facts_.emplace(id, FactsOf(view));
    tasks.push_back({.id = id, .newest = view.latest_version});
  }
  return tasks;
}

Result<ServerModels::Facts*> ServerModels::Find(const TaskId& task) {
  const auto found = facts_.find(task);
  if (found == facts_.end()) return Fail(ErrorCode::kNotFound, "there is no task " + task.str());
  return &found->second;
}

Result<std::vector<PublishedRound>> ServerModels::After(const TaskId& task, RoundNumber after, std::size_t limit) {
  TACIT_TRY_VOID(Find(task));
  return net::RunBlocking(control_, coordinator_.store().Call("rounds", [&](store::Store& store) {
    return Read(store, task, after, limit);
  }));
}

// On the store's thread, while the pusher's waits for it.
Result<std::vector<PublishedRound>> ServerModels::Read(store::Store& store, const TaskId& task, RoundNumber after,
                                                       std::size_t limit) {
  TACIT_TRY(const Facts* facts, Find(task));
  std::vector<PublishedRound> published;
  for (bool more = true; more && published.empty();) {
    TACIT_TRY(const auto rounds, store.Rounds(task, after, limit));
    more = rounds.size() == limit;
    for (const store::RoundRecord& round : rounds) {
      after = round.key.round;
      if (round.phase != store::RoundPhase::kPublished) continue;
      TACIT_TRY(const store::ModelRecord model, store.Model(task, round.key.round));
      PublishedRound each{.key = round.key,
                          .model_digest = model.digest,
                          .published_at = model.created_at,
                          .mechanism = facts->mechanism,
                          .epsilon = facts->epsilon_of_device,
                          .delta = facts->delta,
                          .cohort = std::nullopt,
                          .receipt_digest = std::nullopt};
      if (facts->has_ledger) each.epsilon = round.epsilon_after;
      if (!facts->cohort_is_secret) each.cohort = round.counted;
      published.push_back(std::move(each));
    }
  }
  if (facts->has_ledger && !published.empty()) TACIT_TRY_VOID(AddReceipts(store, task, published));
  return published;
}

Result<void> ServerModels::AddReceipts(store::Store& store, const TaskId& task, std::vector<PublishedRound>& rounds) {
  TACIT_TRY(Facts* const facts, Find(task));
  // Charges stand in the order of their rounds, so that as a rule only what is new is read.
  if (facts->charged_round >= rounds.front().key.round) facts->charged_round = facts->charged_at = 0;
  std::uint64_t after = facts->charged_at;
  for (auto round = rounds.begin(); round != rounds.end();) {
    TACIT_TRY(const auto entries, store.LedgerPage(task, after, kEntriesAtOnce));
    if (entries.empty()) {
      return Fail(ErrorCode::kDataLoss, "the ledger of task " + task.str() + " has no charge for the published round " +
                                            std::to_string(round->key.round));
    }
    for (const dp::LedgerEntry& entry : entries) {
      after = entry.sequence;
      if (entry.kind != dp::LedgerKind::kCharge || round == rounds.end() || entry.round != round->key.round) continue;
      round->receipt_digest = entry.hash;
      facts->charged_round = entry.round;
      facts->charged_at = entry.sequence;
      ++round;
    }
  }
  return {};
}

Result<telemetry::ModelFile> ServerModels::File(const PublishedRound& round) {
  TACIT_TRY(const Facts* facts, Find(round.key.task));
  TACIT_TRY(SharedBytes parameters,
            net::RunBlocking(control_, coordinator_.store().Call("map_model", [&](store::Store& store) {
              return store.MapModel(round.model_digest);
            })));
  // The file says of itself what the registry says of it.
  return telemetry::ModelFile{.head = model::SafetensorsHead(facts->model, telemetry::TagsOf(round)),
                              .parameters = std::move(parameters)};
}

}  // namespace tacit::app
