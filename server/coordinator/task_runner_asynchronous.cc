// What a TaskRunner of an asynchronous task does otherwise, and keeps from one round to the next.

#include <algorithm>
#include <utility>

#include "server/coordinator/task_runner_parts.h"

namespace tacit::coordinator {

void TaskRunner::MakeBufferRules(round::Rules& rules) const {
  const task::Asynchronous& asynchronous = Present(spec().asynchronous, "only such a task has buffers");
  rules.asynchronous = true;
  rules.lease_lifetime = asynchronous.lease_lifetime;
  rules.max_leases = asynchronous.concurrency;
  rules.min_cohort = 1;  // to open: a buffer that waits costs nothing more
}

// What is in must get its answer again, also when it was the device's last for now.
Result<void> TaskRunner::CheckLease(const RoundKey& round, const DeviceId& device) const {
  if (machine().HasUpdate(device, round.round)) return {};
  TACIT_TRY_VOID(machine().CheckLease(round.round));
  return CheckMayTakePart(device);
}

void TaskRunner::ShrinkStale(Batch& batch) const {
  const dp::StalenessDiscount discount = Present(spec().asynchronous, "only its updates are stale").discount;
  for (std::size_t i = 0; i < batch.updates.size(); ++i)
    batch.updates[i].Shrink(dp::Share::Of(discount, batch.staleness[i]));
}

// ---- Models, and what was counted ----

std::optional<SharedBytes> TaskRunner::FindModel(const Digest256& digest) const {
  if (model_record().digest == digest) return model_;
  const auto older = std::ranges::find(older_models_, digest, &OlderModel::digest);
  if (older == older_models_.end()) return std::nullopt;
  return older->bytes;
}

std::vector<ModelVersion> TaskRunner::Versions() const {
  std::vector<ModelVersion> versions;
  for (const OlderModel& each : older_models_)
    if (each.bytes) versions.push_back(each.version);
  versions.push_back(model_record().version);
  return versions;
}

round::Lineage TaskRunner::NextLineage() {
  if (!spec().asynchronous) return {};
  return std::move(machine()).Succession(Versions());
}

net::Task<Result<void>> TaskRunner::LoadOlderModels(std::vector<ModelVersion> versions) {
  const std::optional<task::Asynchronous>& asynchronous = spec().asynchronous;
  if (!asynchronous) co_return Result<void>{};
  const std::size_t kept = std::size_t{asynchronous->max_staleness} + 1;
  if (versions.size() > kept) versions.erase(versions.begin(), versions.end() - static_cast<std::ptrdiff_t>(kept));
  versions.pop_back();  // the newest one is loaded
  for (const ModelVersion version : versions) older_models_.push_back({.version = version, .digest = {}, .bytes = {}});
  for (std::size_t left = older_models_.size(); left > 0; --left) {
    const Result<void> loaded = co_await LoadOlderModel(older_models_[left - 1]);
    if (loaded) continue;
    if (loaded.error().code != ErrorCode::kDataLoss) co_return loaded;
    // Not those before it without it: how stale an update is, is how many models came since.
    services_.log.Warn("older_models_dropped", {{"task", spec().id.str()},
                                                {"version", older_models_[left - 1].version},
                                                {"models", left},
                                                {"reason", loaded.error().message}});
    break;
  }
  co_return Result<void>{};
}

net::Task<Result<void>> TaskRunner::LoadOlderModel(OlderModel& model) {
  const ModelVersion version = model.version;
  TACIT_CO_TRY(const auto record,
               co_await services_.store.Call(
                   "model", [id = spec().id, version](store::Store& store) { return store.Model(id, version); }));
  model.digest = record.digest;
  TACIT_CO_TRY(model.bytes, co_await services_.store.Call("map_model", [digest = record.digest](store::Store& store) {
    return store.MapModel(digest);
  }));
  co_return Result<void>{};
}

net::Task<Result<round::Lineage>> TaskRunner::LoadLineage() {
  round::Lineage lineage;
  if (!spec().asynchronous) co_return lineage;
  lineage.versions = Versions();
  TACIT_CO_TRY(const auto leases,
               co_await services_.store.Call(
                   "counted_leases", [id = spec().id](store::Store& store) { return store.CountedLeases(id); }));
  for (const store::CountedLease& each : leases)
    lineage.counted[each.device].push_back({each.payload_digest, each.leased_in});
  co_return lineage;
}

// Those that hold no more: what is sent for them is refused whether or not it was counted. Not those of a model that is
// damaged: they hold again when its file is brought back, and what was counted under them must not be counted twice.
net::Task<Result<void>> TaskRunner::ForgetLeases(RoundKey key) {
  if (!spec().asynchronous) co_return Result<void>{};
  const ModelVersion oldest = older_models_.empty() ? model_record().version : older_models_.front().version;
  const RoundNumber last = active() ? oldest : key.round;
  co_return co_await services_.store.Call(
      "drop_counted_leases", [id = key.task, last](store::Store& store) { return store.DropCountedLeases(id, last); });
}

}  // namespace tacit::coordinator
