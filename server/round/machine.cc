#include "server/round/machine.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace tacit::round {
namespace {

const Sent* FindIn(const std::map<DeviceId, std::vector<Sent>>& counted, const DeviceId& device,
                   RoundNumber leased_in) {
  const auto found = counted.find(device);
  if (found == counted.end()) return nullptr;
  const auto sent = std::ranges::find(found->second, leased_in, &Sent::leased_in);
  return sent == found->second.end() ? nullptr : &*sent;
}

}  // namespace

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

void Leases::Hold(const DeviceId& device, SteadyTime now) {
  Free(device);
  since_.emplace(device, now);
  by_time_.emplace(now, device);
}

bool Leases::Free(const DeviceId& device) {
  const auto found = since_.find(device);
  if (found == since_.end()) return false;
  by_time_.erase({found->second, device});
  since_.erase(found);
  return true;
}

void Leases::FreeOlderThan(SteadyTime time) {
  while (!by_time_.empty() && by_time_.begin()->first < time) {
    since_.erase(by_time_.begin()->second);
    by_time_.erase(by_time_.begin());
  }
}

Machine::Machine(RoundKey key, Rules rules, Lineage lineage)
    : key_(std::move(key)), rules_(rules), lineage_(std::move(lineage)) {
  TACIT_CHECK(rules_.asynchronous != lineage_.versions.empty(), "there is a model that an asynchronous round is for");
}

Machine Machine::Restore(RoundKey key, Rules rules, Phase phase, std::map<DeviceId, Sent> counted, SteadyTime now,
                         Lineage lineage) {
  Machine machine(std::move(key), rules, std::move(lineage));
  machine.phase_ = phase;
  machine.counted_ = std::move(counted);
  if (phase == Phase::kOpen) {
    // A crash between the last commit and the closing must not make a full round wait for its deadline.
    const bool full = !rules.cohort_is_secret && machine.counted_.size() >= rules.target_cohort;
    machine.deadline_ = full ? now : rules.asynchronous ? SteadyTime::max() : now + rules.deadline;
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

Lineage Machine::Succession(std::vector<ModelVersion> versions) && {
  TACIT_CHECK(!versions.empty(), "the newest model is one of them");
  Lineage next = std::move(lineage_);
  next.versions = std::move(versions);
  for (const auto& [device, sent] : counted_) {
    // What was found in the store at start is there already.
    if (FindIn(next.counted, device, sent.leased_in) == nullptr) next.counted[device].push_back(sent);
  }
  // A lease that does not hold any more needs no memory: whatever is sent for it is refused.
  for (auto& [device, sent] : next.counted)
    std::erase_if(sent, [&](const Sent& each) { return each.leased_in <= next.versions.front(); });
  std::erase_if(next.counted, [](const auto& entry) { return entry.second.empty(); });
  return next;
}

const Sent* Machine::Find(const DeviceId& device) const {
  for (const auto* where : {&counted_, &in_flight_, &filling_}) {
    const auto found = where->find(device);
    if (found != where->end()) return &found->second;
  }
  return nullptr;
}

const Sent* Machine::FindCountedBefore(const DeviceId& device, RoundNumber leased_in) const {
  return rules_.asynchronous ? FindIn(lineage_.counted, device, leased_in) : nullptr;
}

bool Machine::HasUpdate(const DeviceId& device, RoundNumber leased_in) const {
  const Sent* const here = Find(device);
  return (here != nullptr && here->leased_in == leased_in) || FindCountedBefore(device, leased_in) != nullptr;
}

// Round r leases the newest model that was published before it, so that all from r on came after.
std::uint32_t Machine::StalenessOf(RoundNumber leased_in) const {
  const std::vector<ModelVersion>& versions = lineage_.versions;
  return static_cast<std::uint32_t>(versions.end() - std::ranges::lower_bound(versions, leased_in));
}

Result<void> Machine::CheckLease(RoundNumber leased_in) const {
  if (leased_in > lineage_.versions.front()) return {};
  return Fail(ErrorCode::kGone, "the model that round " + std::to_string(leased_in) +
                                    " leased is too old by now; drop the update and check in again for the newest one");
}

std::optional<Digest128> Machine::CountedDigest(const DeviceId& device, RoundNumber leased_in) const {
  const auto here = counted_.find(device);
  if (here != counted_.end() && here->second.leased_in == leased_in) return here->second.digest;
  const Sent* const before = FindCountedBefore(device, leased_in);
  return before != nullptr ? std::optional(before->digest) : std::nullopt;
}

void Machine::On(const CheckedIn& event, SteadyTime now, Actions& out) {
  if (phase_ == Phase::kScheduled) {
    interested_[event.device] = now;
    TryOpen(now, out);
    out.emplace_back(TellToWait{event.device, WaitingFor()});
    return;
  }
  Leases& leased = lineage_.leased;
  const bool is_in = phase_ == Phase::kOpen && Knows(event.device);
  if (is_in) {
    out.emplace_back(TellToWait{event.device, "your update is in; " + WaitingFor()});
  } else if (phase_ != Phase::kOpen || Full()) {
    // Beside a full buffer it would train from a model that is about to be replaced. One whose last update the disk
    // does not take has room again.
    out.emplace_back(TellToWait{event.device, WaitingFor(), phase_ == Phase::kOpen});
  } else if (leased.Holds(event.device) || leased.size() < rules_.max_leases) {
    leased.Hold(event.device, now);
    out.emplace_back(GrantLease{event.device});
  } else {
    out.emplace_back(TellToWait{event.device, "the round has given out all its leases; " + WaitingFor(), true});
  }
}

std::size_t Machine::FreePlaces() const {
  if (phase_ != Phase::kOpen || Full()) return 0;
  return rules_.max_leases - std::min<std::size_t>(rules_.max_leases, leased());
}

// Another connection of the same device may have come since.
void Machine::On(const Left& event, SteadyTime /*now*/, Actions& /*out*/) {
  const auto found = interested_.find(event.device);
  if (found != interested_.end() && found->second <= event.since) interested_.erase(found);
}

void Machine::ForgetTheGone(SteadyTime now) {
  std::erase_if(interested_, [&](const auto& entry) { return entry.second + rules_.interest_lifetime < now; });
  if (rules_.asynchronous) lineage_.leased.FreeOlderThan(now - rules_.lease_lifetime);
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
  if (!rules_.asynchronous) deadline_ = now + rules_.deadline;
  interested_.clear();
  out.emplace_back(Announce{});
  if (!stop_reason_.empty()) StartClosing(now, out);
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

void Machine::On(const Offered& event, SteadyTime now, Actions& out) {
  if (Knows(event.device) || FindCountedBefore(event.device, event.leased_in) != nullptr) return OfferAgain(event, out);
  if (rules_.asynchronous && phase_ == Phase::kScheduled) {
    // It is as good as a device that checks in: the update waits for this round and for nothing else.
    interested_[event.device] = now;
    TryOpen(now, out);
  }
  if (auto obstacle = ObstacleTo(event)) {
    out.emplace_back(Refuse{event.device, *std::move(obstacle)});
    return;
  }
  filling_.emplace(event.device, Sent{event.digest, event.leased_in});
  out.emplace_back(Fold{event.device, rules_.asynchronous ? StalenessOf(event.leased_in) : 0});
  if (rules_.asynchronous) lineage_.leased.Free(event.device);
  CommitOrWait(out);
  if (rules_.asynchronous || rules_.cohort_is_secret) return;
  if (Taken() >= rules_.target_cohort) StartClosing(now, out);
}

std::optional<Error> Machine::ObstacleTo(const Offered& event) const {
  if (rules_.asynchronous) {
    if (const auto lease = CheckLease(event.leased_in); !lease) return lease.error();
    if (phase_ == Phase::kOpen && !Full()) return std::nullopt;
    return Error{ErrorCode::kUnavailable, "round " + std::to_string(key_.round) +
                                              " has its updates, or is not open yet: " + WaitingFor() +
                                              "; keep the update and send it again"};
  }
  if (phase_ == Phase::kOpen) return std::nullopt;
  if (phase_ == Phase::kScheduled)
    return Error{ErrorCode::kConflict, "the round is not open yet; check in for a lease first"};
  return Error{ErrorCode::kGone, "round " + std::to_string(key_.round) + " is " + std::string(NameOf(phase_)) +
                                     " and takes no more updates; drop this one and check in again"};
}

void Machine::OfferAgain(const Offered& event, Actions& out) const {
  const Sent sent{event.digest, event.leased_in};
  const Sent* const before = FindCountedBefore(event.device, event.leased_in);
  const Sent* const here = Find(event.device);
  if (before != nullptr ? *before == sent : counted_.contains(event.device) && *here == sent) {
    out.emplace_back(Acknowledge{event.device});
  } else if (before == nullptr && *here == sent) {
    out.emplace_back(JoinPending{event.device});
  } else {
    out.emplace_back(
        Refuse{event.device,
               {ErrorCode::kConflict, "this device already sent a different update for round " +
                                          std::to_string(before != nullptr ? event.leased_in : key_.round) +
                                          "; the first one stands"}});
  }
}

void Machine::On(const Rejected& event, SteadyTime /*now*/, Actions& /*out*/) {
  interested_.erase(event.device);
  if (!Knows(event.device)) lineage_.leased.Free(event.device);
}

void Machine::CommitOrWait(Actions& out) {
  if (!in_flight_.empty() || filling_.empty()) return;
  // A round that closes has nothing to wait for.
  if (filling_.size() >= rules_.full_batch || phase_ == Phase::kClosing || Full()) return StartCommit(out);
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

void Machine::On(const Committed& /*event*/, SteadyTime now, Actions& out) {
  TACIT_CHECK(!in_flight_.empty(), "only a commit in flight can land");
  for (const auto& [device, sent] : in_flight_) out.emplace_back(Acknowledge{device});
  counted_.merge(in_flight_);
  in_flight_.clear();
  CommitOrWait(out);
  if (phase_ == Phase::kClosing) CloseWhenSettled(now, out);
  if (rules_.asynchronous && phase_ == Phase::kOpen && counted_.size() >= rules_.target_cohort) StartClosing(now, out);
}

void Machine::On(const CommitFailed& event, SteadyTime now, Actions& out) {
  TACIT_CHECK(!in_flight_.empty(), "only a commit in flight can fail");
  for (const auto& [device, sent] : in_flight_) {
    out.emplace_back(Refuse{
        device,
        {ErrorCode::kUnavailable, "the update could not be stored (" + event.reason + "); keep it and send it again"}});
  }
  in_flight_.clear();
  CommitOrWait(out);
  if (phase_ == Phase::kClosing) CloseWhenSettled(now, out);
}

void Machine::StartClosing(SteadyTime now, Actions& out) {
  phase_ = Phase::kClosing;
  if (rules_.cohort_is_secret) settles_at_ = now + rules_.settling;
  out.emplace_back(Announce{});
  CommitOrWait(out);
  CloseWhenSettled(now, out);
}

void Machine::CloseWhenSettled(SteadyTime now, Actions& out) {
  if (!in_flight_.empty() || !filling_.empty() || charging_ || now < settles_at_) return;
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

void Machine::On(const StopAsked& event, SteadyTime now, Actions& out) {
  if (ended()) return;
  stop_reason_ = event.reason;
  if (phase_ == Phase::kScheduled && !opening_) {
    End(stop_reason_, out);
  } else if (phase_ == Phase::kOpen) {
    StartClosing(now, out);
  } else if (phase_ == Phase::kClosing) {
    CloseWhenSettled(now, out);
  }
}

void Machine::On(const Tick& /*event*/, SteadyTime now, Actions& out) {
  ForgetTheGone(now);
  if (retry_at_ != SteadyTime::max() && now >= retry_at_) {
    retry_at_ = SteadyTime::max();
    if (phase_ == Phase::kScheduled) TryOpen(now, out);
    Redo(now, out);
  }
  if (phase_ == Phase::kOpen && now >= deadline_) StartClosing(now, out);
  // Once settled; what is on its way to the disk, or to the charge, answers by itself.
  if (phase_ == Phase::kClosing && rules_.cohort_is_secret && retry_at_ == SteadyTime::max())
    CloseWhenSettled(now, out);
}

void Machine::Redo(SteadyTime now, Actions& out) {
  if (phase_ == Phase::kClosing) CloseWhenSettled(now, out);
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
      if (Full()) return "storing the last updates";
      if (rules_.asynchronous) {
        return "waiting for updates, for as long as it takes: " + std::to_string(counted_.size()) + " of " +
               std::to_string(rules_.target_cohort) + " counted";
      }
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
