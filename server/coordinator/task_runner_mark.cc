// How a TaskRunner marks a model before it is published, and commits to the mark.

#include <utility>

#include "common/crypto/digest.h"
#include "server/coordinator/task_runner_parts.h"
#include "server/ownership/watermark.h"

namespace tacit::coordinator {
namespace {

struct Marked {
  ownership::Embedding embedding;
  Digest256 commitment{};
};

// Runs on the compute pool. What a restart makes of the same sum is the same model, so the same commitment.
Marked Mark(const task::TaskSpec& spec, const crypto::SecretKey& key, ModelVersion version, std::span<float> model) {
  const task::Watermark& rules = Present(spec.watermark, "only such a task has a key for it");
  const ownership::Triggers triggers = ownership::MakeTriggers(key, spec.model, rules);
  Marked marked{.embedding = ownership::Embed(spec.model, rules, triggers, model)};
  marked.commitment = ownership::CommitmentTo({.task = spec.id,
                                               .version = version,
                                               .model = crypto::Sha256(AsBytes(std::span<const float>(model))),
                                               .triggers = ownership::DigestOf(triggers),
                                               .nonce = ownership::NonceOf(key, version)});
  return marked;
}

}  // namespace

net::Task<Result<void>> TaskRunner::LoadMarkKey() {
  // A stopped task may still have a round to publish.
  const bool may_publish = active() || record_.state == store::TaskState::kStopped;
  if (!spec().watermark || !may_publish) co_return Result<void>{};
  TACIT_CO_TRY(const auto owner,
               co_await services_.store.Call("owner_key", [](store::Store& store) { return store.OwnerKey(); }));
  mark_key_.emplace(ownership::MarkKeyOf(owner, spec().id));
  co_return Result<void>{};
}

// After the model is drawn and before it is published, with no data of devices: what is released is a function of what
// the mechanism released, and costs no epsilon. Source: Dwork, Roth 2014, proposition 2.1.
net::Task<Result<void>> TaskRunner::MarkNextModel() {
  if (!spec().watermark || commitment_) co_return Result<void>{};
  std::vector<float>& model = Present(next_model_, "it is marked when it was drawn");
  const crypto::SecretKey& key = Present(mark_key_, "Load gives out no runner without it");
  const SteadyTime began = services_.clock.SteadyNow();
  TACIT_CO_TRY(const Marked marked, co_await services_.compute.Run([this, &key, &model, version = CurrentKey().round] {
    return Mark(spec(), key, version, model);
  }));
  const std::uint32_t triggers = Present(spec().watermark, "asked above").triggers;
  services_.log.Info("model_marked",
                     {{"task", spec().id.str()},
                      {"round", CurrentKey().round},
                      {"matched", std::uint64_t{marked.embedding.matched}},
                      {"triggers", std::uint64_t{triggers}},
                      {"steps", std::uint64_t{marked.embedding.steps}},
                      {"took_ms", std::chrono::duration_cast<Millis>(services_.clock.SteadyNow() - began).count()}});
  services_.metrics.SetMarkMatch(spec().id.str(), static_cast<double>(marked.embedding.matched) / triggers);
  commitment_ = "sha256 " + ToHex(marked.commitment);
  co_return Result<void>{};
}

}  // namespace tacit::coordinator
