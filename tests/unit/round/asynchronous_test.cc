#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "common/base/random.h"
#include "server/round/machine.h"
#include "tests/support/matchers.h"
#include "tests/unit/round/round_support.h"

namespace tacit::round {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsOk;
using testing::At;
using testing::Device;
using testing::DigestOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::KeyOf;
using testing::Only;
using ::testing::SizeIs;

/// Buffers of two, with three devices at work.
Rules BufferRules() {
  return {.min_cohort = 1,
          .target_cohort = 2,
          .max_leases = 3,
          .interest_lifetime = Millis(500),
          .retry_delay = Millis(100),
          .max_attempts = 3,
          .asynchronous = true,
          .lease_lifetime = Millis(1000)};
}

/// The buffer of round `round`, open, where updates may come from the models of `versions`.
Machine OpenBuffer(RoundNumber round, std::vector<ModelVersion> versions, Lineage lineage = {}) {
  lineage.versions = std::move(versions);
  Machine machine(KeyOf(round), BufferRules(), std::move(lineage));
  machine.Step(CheckedIn{Device(9)}, At(0));
  machine.Step(Opened{}, At(0));
  return machine;
}

Actions Offer(Machine& machine, int device, RoundNumber leased_in, int digest = 1) {
  return machine.Step(Offered{Device(device), DigestOf(digest), leased_in}, At(1));
}

/// Fills a buffer of two with updates of these devices, leased in this round, and publishes it.
void Publish(Machine& machine, std::pair<int, int> devices, RoundNumber leased_in) {
  EXPECT_THAT(Only<Fold>(Offer(machine, devices.first, leased_in)), SizeIs(1));
  machine.Step(Committed{}, At(2));
  EXPECT_THAT(Only<Fold>(Offer(machine, devices.second, leased_in)), SizeIs(1));
  EXPECT_THAT(Only<Charge>(machine.Step(Committed{}, At(3))), SizeIs(1));
  EXPECT_THAT(Only<Release>(machine.Step(Charged{}, At(4))), SizeIs(1));
  machine.Step(Released{}, At(5));
  EXPECT_EQ(machine.phase(), Phase::kPublished);
}

ErrorCode RefusalOf(const Actions& actions) {
  const auto refused = Only<Refuse>(actions);
  EXPECT_THAT(refused, SizeIs(1));
  return refused.empty() ? ErrorCode::kInternal : refused.front().error.code;
}

TEST(AsynchronousRound, OpensForOneDeviceAndForAnUpdateThatWaits) {
  Machine machine(KeyOf(1), BufferRules(), {.versions = {0}, .counted = {}, .leased = {}});
  EXPECT_THAT(Only<Open>(machine.Step(CheckedIn{Device(1)}, At(0))), SizeIs(1));
  Machine later(KeyOf(2), BufferRules(), {.versions = {0, 1}, .counted = {}, .leased = {}});
  const Actions early = Offer(later, 1, 1);
  EXPECT_THAT(Only<Open>(early), SizeIs(1)) << "every device may be at work, and none checks in";
  EXPECT_EQ(RefusalOf(early), ErrorCode::kUnavailable);
  later.Step(Opened{}, At(2));
  EXPECT_THAT(Only<Fold>(Offer(later, 1, 1)), SizeIs(1));
}

TEST(AsynchronousRound, TellsHowManyModelsCameSinceTheOneThatWasLeased) {
  // Round 4 was abandoned: it published nothing, and its leases are for model 3 as those of round 5 are.
  for (const auto& [leased_in, staleness] : std::map<RoundNumber, std::uint32_t>{{6, 0}, {5, 1}, {4, 1}, {3, 2}}) {
    Machine machine = OpenBuffer(6, {2, 3, 5});
    const auto folded = Only<Fold>(Offer(machine, 1, leased_in));
    ASSERT_THAT(folded, SizeIs(1)) << leased_in;
    EXPECT_EQ(folded.front().staleness, staleness) << leased_in;
  }
}

TEST(AsynchronousRound, RefusesAModelThatIsTooOldForGood) {
  Machine machine = OpenBuffer(6, {2, 3, 5});
  const Actions actions = Offer(machine, 1, 2);
  EXPECT_EQ(RefusalOf(actions), ErrorCode::kGone);
  EXPECT_THAT(Only<Refuse>(actions)[0].error.message, HasSubstr("check in again for the newest one"));
  EXPECT_THAT(machine.CheckLease(2), IsError(ErrorCode::kGone));
  EXPECT_THAT(machine.CheckLease(3), IsOk());
}

TEST(AsynchronousRound, WaitsForAFullBufferHoweverLongItTakes) {
  Machine machine = OpenBuffer(1, {0});
  Offer(machine, 1, 1);
  machine.Step(Committed{}, At(2));
  EXPECT_THAT(machine.Step(Tick{}, At(1'000'000'000)), IsEmpty());
  EXPECT_EQ(machine.phase(), Phase::kOpen);
  EXPECT_THAT(machine.WaitingFor(), HasSubstr("1 of 2 counted"));
}

TEST(AsynchronousRound, ClosesWhenItsUpdatesAreDurableAndNotBefore) {
  Machine machine = OpenBuffer(1, {0});
  Offer(machine, 1, 1);
  Offer(machine, 2, 1);
  EXPECT_EQ(RefusalOf(Offer(machine, 3, 1)), ErrorCode::kUnavailable) << "it may come again: the next buffer takes it";
  EXPECT_THAT(Only<TellToWait>(machine.Step(CheckedIn{Device(4)}, At(1))), SizeIs(1))
      << "its model would be old at once";
  machine.Step(Committed{}, At(2));
  EXPECT_EQ(machine.phase(), Phase::kOpen);
  // The disk did not take the second: the buffer has room again, and who waits hears of it.
  EXPECT_EQ(machine.FreePlaces(), 0U);
  EXPECT_EQ(RefusalOf(machine.Step(CommitFailed{"full"}, At(3))), ErrorCode::kUnavailable);
  EXPECT_EQ(machine.FreePlaces(), 3U);
  EXPECT_THAT(Only<Fold>(Offer(machine, 3, 1)), SizeIs(1));
  EXPECT_THAT(Only<Charge>(machine.Step(Committed{}, At(5))), SizeIs(1));
  EXPECT_THAT(machine.counted(), SizeIs(2));
}

TEST(AsynchronousRound, TakesADeviceOnceWhateverLeasesItHas) {
  Machine machine = OpenBuffer(3, {0, 1, 2});
  EXPECT_THAT(Only<Fold>(Offer(machine, 1, 2)), SizeIs(1));
  EXPECT_THAT(Only<JoinPending>(Offer(machine, 1, 2)), SizeIs(1));
  EXPECT_EQ(RefusalOf(Offer(machine, 1, 3)), ErrorCode::kConflict) << "the same bytes, but another lease";
  machine.Step(Committed{}, At(2));
  EXPECT_EQ(RefusalOf(Offer(machine, 1, 3)), ErrorCode::kConflict);
  EXPECT_THAT(Only<Acknowledge>(Offer(machine, 1, 2)), SizeIs(1));
  EXPECT_THAT(Only<TellToWait>(machine.Step(CheckedIn{Device(1)}, At(3))), SizeIs(1));
}

TEST(AsynchronousRound, AcknowledgesAgainWhatAnEarlierBufferCountedAndDoesNotCountItAgain) {
  Machine first = OpenBuffer(1, {0});
  Publish(first, {1, 2}, 1);
  Machine second = OpenBuffer(2, {0, 1}, std::move(first).Succession({0, 1}));
  const Actions again = Offer(second, 1, 1);
  EXPECT_THAT(Only<Acknowledge>(again), SizeIs(1));
  EXPECT_THAT(Only<Fold>(again), IsEmpty());
  EXPECT_TRUE(second.HasUpdate(Device(1), 1));
  EXPECT_EQ(RefusalOf(Offer(second, 1, 1, 99)), ErrorCode::kConflict) << "other bytes under the same lease";
  // Its next update, under its next lease, is another one; and the answer to the first stays what it was.
  EXPECT_THAT(Only<Fold>(Offer(second, 1, 2)), SizeIs(1));
  const Actions first_again = Offer(second, 1, 1);
  EXPECT_THAT(Only<Acknowledge>(first_again), SizeIs(1));
  EXPECT_THAT(Only<JoinPending>(first_again), IsEmpty());
}

TEST(AsynchronousRound, AnswersFromAnEarlierBufferInEveryPhase) {
  Machine first = OpenBuffer(1, {0});
  Publish(first, {1, 2}, 1);
  Machine second(KeyOf(2), BufferRules(), std::move(first).Succession({0, 1}));
  EXPECT_THAT(Only<Acknowledge>(Offer(second, 1, 1)), SizeIs(1)) << "scheduled";
  second.Step(CheckedIn{Device(9)}, At(0));
  second.Step(Opened{}, At(0));
  Publish(second, {3, 4}, 2);
  EXPECT_THAT(Only<Acknowledge>(Offer(second, 1, 1)), SizeIs(1)) << "published";
}

TEST(AsynchronousRound, ForgetsAnAnswerOnlyWhenItsLeaseHoldsNoMore) {
  Machine first = OpenBuffer(1, {0});
  Publish(first, {1, 2}, 1);
  Machine second = OpenBuffer(2, {0, 1}, std::move(first).Succession({0, 1}));
  Publish(second, {1, 2}, 2);
  // One version further on: the leases of round 1 were for model 0, those of round 2 for model 1.
  Lineage lineage = std::move(second).Succession({1, 2});
  EXPECT_THAT(lineage.versions, ElementsAre(1, 2));
  EXPECT_THAT(lineage.counted[Device(1)], ElementsAre(Sent{DigestOf(1), 2}));
  Machine third = OpenBuffer(3, {1, 2}, std::move(lineage));
  EXPECT_EQ(RefusalOf(Offer(third, 1, 1)), ErrorCode::kGone) << "not counted again either";
  EXPECT_THAT(Only<Acknowledge>(Offer(third, 1, 2)), SizeIs(1));
}

TEST(AsynchronousRound, KeepsPlacesAcrossBuffersAndHoldsThemOnlySoLong) {
  Machine first = OpenBuffer(1, {0});
  for (int i = 3; i <= 5; ++i) EXPECT_THAT(Only<GrantLease>(first.Step(CheckedIn{Device(i)}, At(10))), SizeIs(1));
  EXPECT_THAT(Only<TellToWait>(first.Step(CheckedIn{Device(6)}, At(10))), SizeIs(1));
  Publish(first, {1, 2}, 1);
  Machine second = OpenBuffer(2, {0, 1}, std::move(first).Succession({0, 1}));
  EXPECT_THAT(Only<TellToWait>(second.Step(CheckedIn{Device(6)}, At(20))), SizeIs(1));
  EXPECT_EQ(second.FreePlaces(), 0U);
  // An update frees the place of its device: for one of those who wait, so that not all of them are told.
  Offer(second, 3, 1);
  EXPECT_THAT(second.Step(Tick{}, At(30)), IsEmpty());
  EXPECT_EQ(second.FreePlaces(), 1U);
  EXPECT_THAT(Only<GrantLease>(second.Step(CheckedIn{Device(6)}, At(50))), SizeIs(1));
  EXPECT_EQ(second.FreePlaces(), 0U);
  // The others never answer. Their places go to others, and what they send later is taken all the same.
  EXPECT_THAT(Only<TellToWait>(second.Step(CheckedIn{Device(7)}, At(60))), SizeIs(1));
  EXPECT_THAT(second.Step(Tick{}, At(1011)), IsEmpty());
  EXPECT_EQ(second.FreePlaces(), 2U);
  EXPECT_THAT(Only<GrantLease>(second.Step(CheckedIn{Device(7)}, At(1020))), SizeIs(1));
  EXPECT_THAT(Only<Fold>(Offer(second, 4, 1)), SizeIs(1));
}

TEST(AsynchronousRound, ALeaseThatIsAskedForAgainHoldsAnew) {
  Machine machine = OpenBuffer(1, {0});
  machine.Step(CheckedIn{Device(1)}, At(0));
  machine.Step(CheckedIn{Device(1)}, At(900));
  machine.Step(Tick{}, At(1800));
  EXPECT_EQ(machine.leased(), 1U);
  machine.Step(Tick{}, At(1901));
  EXPECT_EQ(machine.leased(), 0U);
}

TEST(AsynchronousRound, SaysWhoLacksNothingButAPlace) {
  Machine machine = OpenBuffer(1, {0});
  const auto told = [&](int device) {
    const auto waits = Only<TellToWait>(machine.Step(CheckedIn{Device(device)}, At(1)));
    return waits.empty() ? std::nullopt : std::optional(waits.front().lacks_place);
  };
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(told(i), std::nullopt);
  EXPECT_EQ(told(4), true);
  Offer(machine, 1, 1);
  EXPECT_EQ(told(1), false) << "its update is in: a place is of no use to it";
  Offer(machine, 2, 1);
  EXPECT_EQ(told(4), true) << "it may have one yet when the disk does not take the last update";
  EXPECT_EQ(machine.FreePlaces(), 0U) << "the buffer is full";
  machine.Step(Committed{}, At(2));
  machine.Step(Committed{}, At(3));
  EXPECT_EQ(told(4), false) << "the next buffer is told to everybody";
  EXPECT_EQ(machine.FreePlaces(), 0U);
}

TEST(AsynchronousRound, IsTakenUpAfterARestart) {
  const Lineage lineage{.versions = {0, 1}, .counted = {{Device(1), {{DigestOf(1), 1}}}}, .leased = {}};
  Machine open =
      Machine::Restore(KeyOf(2), BufferRules(), Phase::kOpen, {{Device(2), Sent{DigestOf(1), 1}}}, At(0), lineage);
  EXPECT_EQ(open.deadline(), SteadyTime::max());
  EXPECT_THAT(Only<Acknowledge>(Offer(open, 1, 1)), SizeIs(1)) << "counted in the buffer before";
  EXPECT_THAT(Only<Acknowledge>(Offer(open, 2, 1)), SizeIs(1)) << "counted in this one";
  EXPECT_THAT(Only<Fold>(Offer(open, 1, 2)), SizeIs(1));
  Machine full =
      Machine::Restore(KeyOf(2), BufferRules(), Phase::kOpen,
                       {{Device(2), Sent{DigestOf(1), 1}}, {Device(3), Sent{DigestOf(1), 2}}}, At(0), lineage);
  EXPECT_THAT(Only<Charge>(full.Step(Tick{}, At(0))), SizeIs(1)) << "the crash came before it closed";
}

TEST(AsynchronousRound, AStopEndsItAtOnce) {
  Machine machine = OpenBuffer(1, {0});
  Offer(machine, 1, 1);
  machine.Step(Committed{}, At(2));
  EXPECT_THAT(Only<Abandon>(machine.Step(StopAsked{"enough"}, At(3))), SizeIs(1));
}

// A task of many buffers, whose devices lease, send, send again and forget, on a disk that sometimes says no.
class RandomBuffers {
 public:
  explicit RandomBuffers(std::uint64_t seed) : random_(seed) { Begin({.versions = {0}, .counted = {}, .leased = {}}); }

  void Run() {
    for (int step = 0; step < 2000 && round_ < 30; ++step) {
      now_ += Millis(random_.Below(20));
      const Event event = NextEvent();
      offering_ = std::holds_alternative<Offered>(event);
      Carry(machine().Step(event, now_));
      if (machine().ended()) Next();
    }
    EXPECT_GE(round_, 5U) << "buffers do not fill";
    NoteCounted();
    for (const auto& [lease, digest] : acknowledged_) EXPECT_EQ(counted_.count(lease), 1U) << lease.first;
  }

 private:
  using Lease = std::pair<int, RoundNumber>;
  static constexpr std::size_t kVersions = 3;

  Machine& machine() { return machines_.back(); }

  void Begin(Lineage lineage) {
    machines_.clear();
    asked_.clear();
    machines_.emplace_back(KeyOf(++round_), BufferRules(), std::move(lineage));
  }

  void Next() {
    if (machine().phase() == Phase::kPublished) EXPECT_THAT(machine().counted(), SizeIs(2));
    NoteCounted();
    if (machine().phase() == Phase::kPublished) versions_.push_back(round_);
    if (versions_.size() > kVersions) versions_.erase(versions_.begin());
    Begin(std::move(machine()).Succession(versions_));
  }

  void NoteCounted() {
    for (const auto& [device, sent] : machine().counted()) {
      const Lease lease{std::stoi(device.str().substr(7)), sent.leased_in};
      EXPECT_TRUE(counted_.insert(lease).second) << "counted twice: " << device.str() << " of " << sent.leased_in;
      EXPECT_TRUE(acknowledged_.contains(lease));
    }
  }

  Event NextEvent() {
    if (!asked_.empty() && random_.Below(2) == 0) {
      const Event answer = asked_.front();
      asked_.erase(asked_.begin());
      return answer;
    }
    const int device = static_cast<int>(random_.Below(6));
    if (random_.Below(3) == 0) return CheckedIn{Device(device)};
    if (random_.Below(8) == 0) return Tick{};
    const RoundNumber back = random_.Below(5);
    const RoundNumber leased_in = round_ > back ? round_ - back : 1;
    // Mostly the same bytes, so that retries are common.
    const int digest = device * 1000 + static_cast<int>(leased_in) * 10 + (random_.Below(8) == 0 ? 1 : 0);
    offered_ = {{device, leased_in}, DigestOf(digest)};
    return Offered{Device(device), offered_.second, leased_in};
  }

  void Carry(const Actions& actions) {
    for (const Action& action : actions) {
      const bool fail = random_.Below(6) == 0;
      if (std::holds_alternative<Open>(action)) asked_.emplace_back(Opened{});
      if (std::holds_alternative<CommitPartial>(action))
        asked_.push_back(fail ? Event(CommitFailed{"full"}) : Event(Committed{}));
      if (std::holds_alternative<Charge>(action))
        asked_.push_back(fail ? Event(ChargeFailed{"full"}) : Event(Charged{}));
      if (std::holds_alternative<Release>(action)) asked_.emplace_back(Released{});
      if (const auto* fold = std::get_if<Fold>(&action)) {
        EXPECT_FALSE(acknowledged_.contains(offered_.first)) << "taken again after its acknowledgement";
        EXPECT_LT(fold->staleness, kVersions);
        taken_[fold->device] = offered_;
      }
      if (const auto* ack = std::get_if<Acknowledge>(&action)) Acknowledged(ack->device);
    }
  }

  // Of what was offered just now and is counted already, or of what is in the batch that landed.
  void Acknowledged(const DeviceId& device) {
    if (offering_) {
      ASSERT_TRUE(acknowledged_.contains(offered_.first)) << "acknowledged, but never taken";
      EXPECT_EQ(acknowledged_[offered_.first], offered_.second) << "other bytes were acknowledged";
    } else {
      acknowledged_.insert(taken_.at(device));
    }
  }

  SplitMix64 random_;
  std::vector<Machine> machines_;
  std::vector<ModelVersion> versions_{0};
  RoundNumber round_ = 0;
  SteadyTime now_{};
  std::vector<Event> asked_;
  std::pair<Lease, Digest128> offered_;
  bool offering_ = false;
  std::map<DeviceId, std::pair<Lease, Digest128>> taken_;
  std::map<Lease, Digest128> acknowledged_;
  std::set<Lease> counted_;
};

TEST(AsynchronousRound, CountsEveryLeaseOnceUnderRandomOrderAndFaults) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomBuffers(seed).Run();
  }
}

}  // namespace
}  // namespace tacit::round
