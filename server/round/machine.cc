#include "server/round/machine.h"

#include <utility>

#include "common/base/check.h"

namespace tacit::round {

std::string_view NameOf(Phase phase) {
  switch (phase) {
    case Phase::kScheduled:
      return "scheduled";
    case Phase::kOpen:
      return "open";
    case Phase::kClosing:
      return "closing";
    case Phase::kCharged:
      return "charged";
    case Phase::kPublished:
      return "published";
    case Phase::kAbandoned:
      return "abandoned";
  }
  return "unknown";
}

Machine::Machine(RoundKey key, Rules rules) : key_(std::move(key)), rules_(rules) {}

Machine Machine::Restore(RoundKey key, Rules rules, Phase phase, std::map<DeviceId, Digest128> counted,
                         SteadyTime now) {
  Machine machine(std::move(key), rules);
  machine.phase_ = phase;
  machine.counted_ = std::move(counted);
  if (phase == Phase::kOpen) {
    // A crash between the last commit and the closing must not make a full round wait for its deadline.
    const bool full = !rules.cohort_is_secret && machine.counted_.size() >= rules.target_cohort;
    machine.deadline_ = full ? now : now + rules.deadline;
  }
  // The step that was under way is asked for again by the first tick.
  if (phase == Phase::kClosing || phase == Phase::kCharged) machine.retry_at_ = now;
  return machine;
}

Actions Machine::Step(const Event& event, SteadyTime now) {
  Actions out;
  std::visit([&](const auto& e) { On(e, now, out); }, event);
  return out;
}

bool Machine::Knows(const DeviceId& device) const {
  return counted_.contains(device) || in_flight_.contains(device) || filling_.contains(device);
}

void Machine::On(const CheckedIn& event, SteadyTime now, Actions& out) {
  if (phase_ == Phase::kScheduled) {
    interested_[event.device] = now;
    TryOpen(now, out);
    out.emplace_back(TellToWait{event.device, WaitingFor()});
    return;
  }
  if (phase_ != Phase::kOpen) {
    out.emplace_back(TellToWait{event.device, WaitingFor()});
  } else if (Knows(event.device)) {
    out.emplace_back(TellToWait{event.device, "your update is in; " + WaitingFor()});
  } else if (leased_.contains(event.device) || leased_.size() < rules_.max_leases) {
    leased_.emplace(event.device, now);
    out.emplace_back(GrantLease{event.device});
  } else {
    out.emplace_back(TellToWait{event.device, "the round has given out all its leases; " + WaitingFor()});
  }
}

// Another connection of the same device may have come since.
void Machine::On(const Left& event, SteadyTime /*now*/, Actions& /*out*/) {
  const auto found = interested_.find(event.device);
  if (found != interested_.end() && found->second <= event.since) interested_.erase(found);
}

void Machine::ForgetTheGone(SteadyTime now) {
  std::erase_if(interested_, [&](const auto& entry) { return entry.second + rules_.interest_lifetime < now; });
}

void Machine::TryOpen(SteadyTime now, Actions& out) {
  if (opening_ || retry_at_ != SteadyTime::max()) return;
  // Looked through only when it could matter: at every check-in it would cost a large fleet the square of its size.
  if (interested_.size() < rules_.min_cohort) return;
  ForgetTheGone(now);
  if (interested_.size() < rules_.min_cohort) return;
  opening_ = true;
  retry_at_ = SteadyTime::max();
  out.emplace_back(Open{});
}

void Machine::On(const Opened& /*event*/, SteadyTime now, Actions& out) {
  TACIT_CHECK(phase_ == Phase::kScheduled && opening_, "a round opens once, after it asked to");
  opening_ = false;
  attempts_ = 0;
  phase_ = Phase::kOpen;
  deadline_ = now + rules_.deadline;
  interested_.clear();
  out.emplace_back(Announce{});
  if (!stop_reason_.empty()) StartClosing(out);
}

void Machine::On(const OpenRefused& event, SteadyTime now, Actions& out) {
  TACIT_CHECK(phase_ == Phase::kScheduled && opening_, "only an asked-for opening can be refused");
  opening_ = false;
  if (!stop_reason_.empty()) {
    End(stop_reason_, out);
  } else if (event.passing) {
    RetryOrAbandon("opening the round", event.reason, now, out);
  } else {
    End(event.reason, out);
  }
}

void Machine::On(const Offered& event, SteadyTime /*now*/, Actions& out) {
  if (Knows(event.device)) return OfferAgain(event, out);
  if (phase_ == Phase::kScheduled) {
    out.emplace_back(
        Refuse{event.device, {ErrorCode::kConflict, "the round is not open yet; check in for a lease first"}});
    return;
  }
  if (phase_ != Phase::kOpen) {
    out.emplace_back(
        Refuse{event.device,
               {ErrorCode::kGone, "round " + std::to_string(key_.round) + " is " + std::string(NameOf(phase_)) +
                                      " and takes no more updates; drop this one and check in again"}});
    return;
  }
  filling_.emplace(event.device, event.digest);
  out.emplace_back(Fold{event.device});
  CommitOrWait(out);
  if (!rules_.cohort_is_secret && Taken() >= rules_.target_cohort) StartClosing(out);
}

void Machine::OfferAgain(const Offered& event, Actions& out) const {
  const auto same_in = [&](const std::map<DeviceId, Digest128>& where) {
    const auto found = where.find(event.device);
    return found != where.end() && found->second == event.digest;
  };
  if (same_in(counted_)) {
    out.emplace_back(Acknowledge{event.device});
  } else if (same_in(in_flight_) || same_in(filling_)) {
    out.emplace_back(JoinPending{event.device});
  } else {
    out.emplace_back(Refuse{event.device,
                            {ErrorCode::kConflict, "this device already sent a different update for round " +
                                                       std::to_string(key_.round) + "; the first one stands"}});
  }
}

void Machine::On(const Rejected& event, SteadyTime /*now*/, Actions& out) {
  interested_.erase(event.device);
  const bool frees_a_lease = !Knows(event.device) && leased_.erase(event.device) > 0;
  // Who was told that there is none left waits to hear of it.
  if (frees_a_lease && phase_ == Phase::kOpen) out.emplace_back(Announce{});
}

void Machine::CommitOrWait(Actions& out) {
  if (!in_flight_.empty() || filling_.empty()) return;
  // A round that closes has nothing to wait for.
  if (filling_.size() >= rules_.full_batch || phase_ == Phase::kClosing) return StartCommit(out);
  if (std::exchange(batch_waits_, true)) return;
  out.emplace_back(WaitForBatch{});
}

void Machine::On(const BatchWaited& /*event*/, SteadyTime /*now*/, Actions& out) {
  batch_waits_ = false;
  if (in_flight_.empty() && !filling_.empty()) StartCommit(out);
}

void Machine::StartCommit(Actions& out) {
  TACIT_CHECK(in_flight_.empty() && !filling_.empty(), "one commit at a time, and never an empty one");
  in_flight_.swap(filling_);
  out.emplace_back(CommitPartial{});
}

void Machine::On(const Committed& /*event*/, SteadyTime /*now*/, Actions& out) {
  TACIT_CHECK(!in_flight_.empty(), "only a commit in flight can land");
  for (const auto& [device, digest] : in_flight_) out.emplace_back(Acknowledge{device});
  counted_.merge(in_flight_);
  in_flight_.clear();
  CommitOrWait(out);
  if (phase_ == Phase::kClosing) CloseWhenSettled(out);
}

void Machine::On(const CommitFailed& event, SteadyTime /*now*/, Actions& out) {
  TACIT_CHECK(!in_flight_.empty(), "only a commit in flight can fail");
  for (const auto& [device, digest] : in_flight_) {
    out.emplace_back(Refuse{
        device,
        {ErrorCode::kUnavailable, "the update could not be stored (" + event.reason + "); keep it and send it again"}});
  }
  in_flight_.clear();
  CommitOrWait(out);
  if (phase_ == Phase::kClosing) CloseWhenSettled(out);
}

void Machine::StartClosing(Actions& out) {
  phase_ = Phase::kClosing;
  out.emplace_back(Announce{});
  CommitOrWait(out);
  CloseWhenSettled(out);
}

void Machine::CloseWhenSettled(Actions& out) {
  if (!in_flight_.empty() || !filling_.empty() || charging_) return;
  if (!stop_reason_.empty()) {
    End(stop_reason_, out);
    return;
  }
  if (!rules_.cohort_is_secret && counted_.size() < rules_.min_cohort) {
    End("only " + std::to_string(counted_.size()) + " of at least " + std::to_string(rules_.min_cohort) +
            " updates were counted",
        out);
    return;
  }
  charging_ = true;
  retry_at_ = SteadyTime::max();
  out.emplace_back(Charge{});
}

void Machine::On(const Charged& /*event*/, SteadyTime /*now*/, Actions& out) {
  TACIT_CHECK(phase_ == Phase::kClosing && charging_, "a charge answers a request of a closing round");
  charging_ = false;
  attempts_ = 0;
  phase_ = Phase::kCharged;
  releasing_ = true;
  out.emplace_back(Announce{});
  out.emplace_back(Release{});
}

void Machine::On(const ChargeFailed& event, SteadyTime now, Actions& out) {
  charging_ = false;
  RetryOrAbandon("charging the round", event.reason, now, out);
}

void Machine::On(const Released& /*event*/, SteadyTime /*now*/, Actions& out) {
  TACIT_CHECK(phase_ == Phase::kCharged && releasing_, "only a charged round can be published");
  releasing_ = false;
  phase_ = Phase::kPublished;
  out.emplace_back(Announce{});
}

void Machine::On(const ReleaseFailed& event, SteadyTime now, Actions& out) {
  releasing_ = false;
  RetryOrAbandon("publishing the model", event.reason, now, out);
}

void Machine::On(const StopAsked& event, SteadyTime /*now*/, Actions& out) {
  if (ended()) return;
  stop_reason_ = event.reason;
  if (phase_ == Phase::kScheduled && !opening_) {
    End(stop_reason_, out);
  } else if (phase_ == Phase::kOpen) {
    StartClosing(out);
  } else if (phase_ == Phase::kClosing) {
    CloseWhenSettled(out);
  }
}

void Machine::On(const Tick& /*event*/, SteadyTime now, Actions& out) {
  ForgetTheGone(now);
  if (retry_at_ != SteadyTime::max() && now >= retry_at_) {
    retry_at_ = SteadyTime::max();
    if (phase_ == Phase::kScheduled) TryOpen(now, out);
    Redo(out);
  }
  if (phase_ == Phase::kOpen && now >= deadline_) StartClosing(out);
}

void Machine::Redo(Actions& out) {
  if (phase_ == Phase::kClosing) CloseWhenSettled(out);
  if (phase_ == Phase::kCharged && !releasing_) {
    releasing_ = true;
    out.emplace_back(Release{});
  }
}

void Machine::RetryOrAbandon(std::string_view step, const std::string& reason, SteadyTime now, Actions& out) {
  if (++attempts_ >= rules_.max_attempts) {
    End(std::string(step) + " failed " + std::to_string(attempts_) + " times: " + reason, out);
    return;
  }
  reason_ = std::string(step) + " failed and is tried again: " + reason;
  retry_at_ = now + rules_.retry_delay;
  out.emplace_back(Announce{});
}

void Machine::End(std::string reason, Actions& out) {
  phase_ = Phase::kAbandoned;
  reason_ = reason;
  retry_at_ = SteadyTime::max();
  out.emplace_back(Abandon{std::move(reason)});
  out.emplace_back(Announce{});
}

std::string Machine::WaitingFor() const {
  switch (phase_) {
    case Phase::kScheduled:
      if (retry_at_ != SteadyTime::max()) return reason_;
      if (opening_) return "opening the round";
      return "waiting for devices to check in: " + std::to_string(interested_.size()) + " of at least " +
             std::to_string(rules_.min_cohort);
    case Phase::kOpen:
      if (rules_.cohort_is_secret) return "waiting for the deadline: how many updates came is not told";
      return "waiting for updates: " + std::to_string(counted_.size()) + " of " + std::to_string(rules_.target_cohort) +
             " counted, at least " + std::to_string(rules_.min_cohort) + " needed at the deadline";
    case Phase::kClosing:
      return charging_ ? "charging the privacy budget" : reason_.empty() ? "storing the last updates" : reason_;
    case Phase::kCharged:
      return releasing_ ? "adding noise and publishing" : reason_;
    case Phase::kPublished:
      return "the round is published; the next one follows at once";
    case Phase::kAbandoned:
      return reason_;
  }
  return "";
}

}  // namespace tacit::round
