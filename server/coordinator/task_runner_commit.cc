// How a TaskRunner makes updates durable: commits of partial sums, and their merges.

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "server/coordinator/task_runner_parts.h"

namespace tacit::coordinator {

void TaskRunner::Carry(const round::CommitPartial& /*action*/) {
  in_flight_ = std::exchange(filling_, std::make_unique<Batch>());
  Spawn(DoCommit());
}

void TaskRunner::Carry(const round::WaitForBatch& /*action*/) {
  Spawn(DoWaitForBatch(CurrentKey().round));
}

net::Task<void> TaskRunner::DoWaitForBatch(RoundNumber round) {
  net::WakeUp pause;
  co_await pause.WaitUntil(services_.clock.SteadyNow() + BatchWait());
  if (machine_ && CurrentKey().round == round) Handle(round::BatchWaited{});
}

net::Task<void> TaskRunner::DoCommit() {
  const Result<void> committed = co_await CommitDurably();
  if (!committed) {
    services_.log.Error("partial_not_committed", {{"task", spec().id.str()},
                                                  {"round", CurrentKey().round},
                                                  CountOf("updates", in_flight_->contributions.size()),
                                                  {"reason", committed.error().message}});
    in_flight_.reset();
    Handle(round::CommitFailed{committed.error().message});
    co_return;
  }
  for (const store::Contribution& each : in_flight_->contributions) {
    total_->contributions.push_back(each);
    Part& part = participations_[each.device];
    ++part.rounds;
    part.last_round = CurrentKey().round;
    most_participations_ = std::max(most_participations_, part.rounds);
  }
  services_.log.Debug(
      "partial_committed",
      {{"task", spec().id.str()}, {"round", CurrentKey().round}, CountOf("updates", in_flight_->contributions.size())});
  in_flight_.reset();
  Handle(round::Committed{});
  if (machine_) ShowRound();
}

net::Task<Result<void>> TaskRunner::CommitDurably() {
  // A merge that the disk refuses refuses the commit too: what a round keeps on the disk is bounded.
  TACIT_CO_TRY_VOID(co_await MergeWhenMany());
  const RoundKey key = CurrentKey();
  const std::uint64_t sequence = next_sequence_++;
  const Bytes context = SealContext(key, sequence);
  TACIT_CO_TRY(const ByteSpan sealed, co_await services_.compute.Run([this, &context] { return AddBatch(context); }));
  const auto committed = co_await services_.store.Call("commit_partial", [&](store::Store& store) {
    return store.CommitPartial(key, sequence, sealed, in_flight_->contributions);
  });
  if (committed || co_await CommitIsDurableAfterAll()) {
    partials_.push_back(sequence);
    co_return Result<void>{};
  }
  // Here and not on the pool, which may refuse: a disk that fails is rare, a sum that is wrong must not be.
  const Result<void> taken_back = total_->sum.TakeBackSealed(Present(sealer_, "it sealed"), sealed, context);
  TACIT_CHECK(taken_back.has_value(), "what was just sealed opens");
  co_return committed;
}

/// The updates go into the sum, their memory back to those who wait for it.
Result<ByteSpan> TaskRunner::AddBatch(ByteSpan context) {
  if (spec().asynchronous) ShrinkStale(*in_flight_);
  std::vector<dp::Addend> addends;
  for (std::size_t i = 0; i < in_flight_->updates.size(); ++i)
    addends.push_back({&in_flight_->updates[i], in_flight_->contributions[i].weight});
  auto sealed = total_->sum.AddAndSeal(addends, Present(sealer_, "an open round has its key"), context, sealed_room_);
  in_flight_->updates.clear();
  return sealed;
}

net::Task<bool> TaskRunner::CommitIsDurableAfterAll() {
  // A disk that fails in the very moment of a commit can report a failure for what it has kept: ask what is there.
  const RoundKey key = CurrentKey();
  const auto stored =
      co_await services_.store.Call("contributions", [key](store::Store& store) { return store.Contributions(key); });
  if (!stored) co_return false;
  const auto is_stored = [&](const store::Contribution& ours) {
    return std::ranges::any_of(*stored, [&](const store::Contribution& theirs) {
      return theirs.device == ours.device && theirs.payload_digest == ours.payload_digest;
    });
  };
  co_return std::ranges::all_of(in_flight_->contributions, is_stored);
}

net::Task<Result<void>> TaskRunner::MergeWhenMany() {
  if (partials_.size() < services_.most_partials) co_return Result<void>{};
  Result<void> merged = co_await MergePartials();
  if (!merged && merged.error().code == ErrorCode::kConflict && co_await AdoptPartials())
    merged = co_await MergePartials();
  co_return merged;
}

// The store has other partial sums than those that are remembered, after a step that was made although the disk said
// that it was not, and nobody could be asked. Whatever they are, the sum in memory may stand for them where exactly its
// updates are recorded as counted; anywhere else they would no longer add up to who is counted, and the round could not
// be read again. There the next start makes it good, which reads them.
net::Task<bool> TaskRunner::AdoptPartials() {
  struct Recorded {
    std::vector<store::Contribution> contributions;
    std::vector<std::uint64_t> sequences;
  };
  const RoundKey key = CurrentKey();
  const auto recorded =
      co_await services_.store.Call("partial_sequences", [key](store::Store& store) -> Result<Recorded> {
        TACIT_TRY(auto contributions, store.Contributions(key));
        TACIT_TRY(auto sequences, store.PartialSequences(key));
        return Recorded{std::move(contributions), std::move(sequences)};
      });
  if (!recorded) co_return false;
  std::ranges::sort(total_->contributions, {}, &store::Contribution::device);  // as the store lists them
  if (recorded->contributions != total_->contributions) co_return false;
  services_.log.Warn("partials_adopted",
                     {{"task", key.task.str()}, {"round", key.round}, {"files", recorded->sequences.size()}});
  partials_ = recorded->sequences;
  if (!partials_.empty()) next_sequence_ = std::max(next_sequence_, partials_.back() + 1);
  co_return true;
}

// Nothing is read again: between two commits the sum in memory is what the partial sums on the disk add up to. Updates
// are received and verified meanwhile; only their commit waits.
net::Task<Result<void>> TaskRunner::MergePartials() {
  const RoundKey key = CurrentKey();
  const std::uint64_t sequence = next_sequence_++;
  const Bytes context = SealContext(key, sequence);
  TACIT_CO_TRY(const ByteSpan sealed, co_await services_.compute.Run([this, &context] {
    return total_->sum.Seal(Present(sealer_, "an open round has its key"), context, sealed_room_);
  }));
  const auto merged = co_await services_.store.Call(
      "merge_partials", [&](store::Store& store) { return store.MergePartials(key, partials_, sequence, sealed); });
  if (!merged && !co_await MergeIsDurableAfterAll(sequence)) co_return merged;
  services_.log.Debug("partials_merged", {{"task", key.task.str()}, {"round", key.round}, {"files", partials_.size()}});
  partials_.assign(1, sequence);
  co_return Result<void>{};
}

net::Task<bool> TaskRunner::MergeIsDurableAfterAll(std::uint64_t sequence) {
  // As in CommitIsDurableAfterAll.
  const RoundKey key = CurrentKey();
  const auto stored = co_await services_.store.Call("partial_sequences",
                                                    [key](store::Store& store) { return store.PartialSequences(key); });
  co_return stored && *stored == std::vector<std::uint64_t>{sequence};
}

}  // namespace tacit::coordinator
