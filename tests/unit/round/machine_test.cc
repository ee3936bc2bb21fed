#include "server/round/machine.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "common/base/random.h"
#include "tests/unit/round/round_support.h"

namespace tacit::round {
namespace {

using testing::At;
using testing::Device;
using testing::DigestOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Only;
using ::testing::SizeIs;

Rules SmallRules() {
  return {.min_cohort = 2,
          .target_cohort = 3,
          .max_leases = 4,
          .deadline = Millis(1000),
          .interest_lifetime = Millis(500),
          .retry_delay = Millis(100),
          .max_attempts = 3};
}

Machine NewMachine(Rules rules = SmallRules()) {
  return {{*TaskId::Parse("har"), 7}, rules};
}

Machine OpenMachine(Rules rules = SmallRules()) {
  Machine machine = NewMachine(rules);
  machine.Step(CheckedIn{Device(1)}, At(0));
  machine.Step(CheckedIn{Device(2)}, At(0));
  machine.Step(Opened{}, At(0));
  return machine;
}

TEST(Round, SpendsNothingUntilEnoughDevicesAreThere) {
  Machine machine = NewMachine();
  const Actions first = machine.Step(CheckedIn{Device(1)}, At(0));
  EXPECT_THAT(Only<Open>(first), IsEmpty());
  ASSERT_THAT(Only<TellToWait>(first), SizeIs(1));
  EXPECT_THAT(Only<TellToWait>(first)[0].reason, HasSubstr("1 of at least 2"));
  EXPECT_THAT(Only<Open>(machine.Step(CheckedIn{Device(2)}, At(10))), SizeIs(1));
  EXPECT_THAT(Only<Open>(machine.Step(CheckedIn{Device(3)}, At(20))), IsEmpty()) << "asked to open twice";
}

TEST(Round, ForgetsADeviceThatStoppedCheckingIn) {
  Machine machine = NewMachine();
  machine.Step(CheckedIn{Device(1)}, At(0));
  EXPECT_THAT(Only<Open>(machine.Step(CheckedIn{Device(2)}, At(501))), IsEmpty());
}

TEST(Round, ForgetsADeviceThatLeftUnlessItCameBack) {
  Machine machine = NewMachine();
  machine.Step(CheckedIn{Device(1)}, At(0));
  machine.Step(Left{Device(1), At(0)}, At(10));
  EXPECT_THAT(Only<Open>(machine.Step(CheckedIn{Device(2)}, At(20))), IsEmpty());
  machine.Step(CheckedIn{Device(2)}, At(30));
  machine.Step(Left{Device(2), At(20)}, At(40));
  EXPECT_THAT(Only<Open>(machine.Step(CheckedIn{Device(3)}, At(50))), SizeIs(1)) << "the second came on a new line";
}

TEST(Round, GivesOutAtMostItsLeasesAndTheSameOneAgain) {
  Machine machine = OpenMachine();
  for (int i = 1; i <= 4; ++i) EXPECT_THAT(Only<GrantLease>(machine.Step(CheckedIn{Device(i)}, At(i))), SizeIs(1));
  EXPECT_THAT(Only<GrantLease>(machine.Step(CheckedIn{Device(2)}, At(9))), SizeIs(1));
  const Actions fifth = machine.Step(CheckedIn{Device(5)}, At(10));
  ASSERT_THAT(Only<TellToWait>(fifth), SizeIs(1));
  EXPECT_THAT(Only<TellToWait>(fifth)[0].reason, HasSubstr("all its leases"));
}

TEST(Round, FreesTheLeaseOfARejectedUpdate) {
  Machine machine = OpenMachine();
  for (int i = 1; i <= 4; ++i) machine.Step(CheckedIn{Device(i)}, At(i));
  machine.Step(Rejected{Device(4)}, At(5));
  EXPECT_THAT(Only<GrantLease>(machine.Step(CheckedIn{Device(5)}, At(6))), SizeIs(1));
}

TEST(Round, HasAFreePlaceWhenALeaseIsGivenBackAndForNothingElse) {
  Machine machine = OpenMachine();
  for (int i = 1; i <= 4; ++i) machine.Step(CheckedIn{Device(i)}, At(i));
  EXPECT_TRUE(Only<TellToWait>(machine.Step(CheckedIn{Device(5)}, At(4)))[0].lacks_place);
  const auto free_after = [&](const Event& event, int at) {
    EXPECT_THAT(Only<Announce>(machine.Step(event, At(at))), IsEmpty()) << "not everybody can have it";
    return machine.FreePlaces();
  };
  EXPECT_EQ(free_after(Rejected{Device(5)}, 5), 0U) << "it held none";
  EXPECT_EQ(free_after(Rejected{Device(4)}, 6), 1U);
  EXPECT_EQ(free_after(Rejected{Device(4)}, 7), 1U) << "it is free already";
  machine.Step(Offered{Device(1), DigestOf(1)}, At(8));
  EXPECT_EQ(free_after(Rejected{Device(1)}, 9), 1U) << "its update is in";
  machine.Step(Tick{}, At(1000));
  EXPECT_EQ(free_after(Rejected{Device(3)}, 1001), 0U) << "no lease is given any more";
}

TEST(Round, DoesNotOpenForADeviceThatWillNotCome) {
  Machine machine = NewMachine();
  machine.Step(CheckedIn{Device(1)}, At(0));
  machine.Step(Rejected{Device(1)}, At(1));
  EXPECT_THAT(Only<Open>(machine.Step(CheckedIn{Device(2)}, At(2))), IsEmpty());
  EXPECT_THAT(Only<Open>(machine.Step(CheckedIn{Device(3)}, At(3))), SizeIs(1));
}

TEST(Round, AcknowledgesOnlyWhatIsDurable) {
  Machine machine = OpenMachine();
  const Actions offered = machine.Step(Offered{Device(1), DigestOf(1)}, At(1));
  EXPECT_THAT(Only<Fold>(offered), SizeIs(1));
  EXPECT_THAT(Only<CommitPartial>(offered), SizeIs(1));
  EXPECT_THAT(Only<Acknowledge>(offered), IsEmpty());
  // The second update fills the next partial sum while the first is being written.
  EXPECT_THAT(Only<CommitPartial>(machine.Step(Offered{Device(2), DigestOf(2)}, At(2))), IsEmpty());
  const Actions committed = machine.Step(Committed{}, At(3));
  ASSERT_THAT(Only<Acknowledge>(committed), SizeIs(1));
  EXPECT_EQ(Only<Acknowledge>(committed)[0].device, Device(1));
  EXPECT_THAT(Only<CommitPartial>(committed), SizeIs(1));
}

Rules BatchRules() {
  Rules rules = SmallRules();
  rules.target_cohort = 5;
  rules.max_leases = 5;
  rules.full_batch = 2;
  return rules;
}

TEST(Round, WaitsForMoreBeforeItCommitsOne) {
  Machine machine = OpenMachine(BatchRules());
  const Actions first = machine.Step(Offered{Device(1), DigestOf(1)}, At(1));
  EXPECT_THAT(Only<CommitPartial>(first), IsEmpty());
  EXPECT_THAT(Only<WaitForBatch>(first), SizeIs(1));
  EXPECT_THAT(Only<JoinPending>(machine.Step(Offered{Device(1), DigestOf(1)}, At(2))), SizeIs(1));
  EXPECT_THAT(Only<CommitPartial>(machine.Step(BatchWaited{}, At(3))), SizeIs(1));
  EXPECT_THAT(Only<Acknowledge>(machine.Step(Committed{}, At(4))), SizeIs(1));
}

TEST(Round, CommitsAFullBatchAtOnceAndWaitsOnceForTheNext) {
  Machine machine = OpenMachine(BatchRules());
  EXPECT_THAT(Only<WaitForBatch>(machine.Step(Offered{Device(1), DigestOf(1)}, At(1))), SizeIs(1));
  EXPECT_THAT(Only<CommitPartial>(machine.Step(Offered{Device(2), DigestOf(2)}, At(2))), SizeIs(1));
  machine.Step(Offered{Device(3), DigestOf(3)}, At(3));
  // The wait that the first batch asked for is still under way: it serves the next.
  const Actions committed = machine.Step(Committed{}, At(4));
  EXPECT_THAT(Only<Acknowledge>(committed), SizeIs(2));
  EXPECT_THAT(Only<CommitPartial>(committed), IsEmpty());
  EXPECT_THAT(Only<WaitForBatch>(committed), IsEmpty());
  EXPECT_THAT(Only<CommitPartial>(machine.Step(BatchWaited{}, At(5))), SizeIs(1));
  // A wait that ends while a commit is in flight, or with nothing there, asks for nothing.
  machine.Step(Offered{Device(4), DigestOf(4)}, At(6));
  EXPECT_THAT(Only<WaitForBatch>(machine.Step(Committed{}, At(7))), SizeIs(1));
  EXPECT_THAT(Only<CommitPartial>(machine.Step(BatchWaited{}, At(8))), SizeIs(1));
  EXPECT_THAT(machine.Step(BatchWaited{}, At(9)), IsEmpty());
}

TEST(Round, WaitsForNothingOnceItCloses) {
  Machine machine = OpenMachine(BatchRules());
  machine.Step(Offered{Device(1), DigestOf(1)}, At(1));
  EXPECT_THAT(Only<CommitPartial>(machine.Step(Tick{}, At(1001))), SizeIs(1)) << "at the deadline";
  Machine full = OpenMachine(BatchRules());
  for (int i = 1; i <= 3; ++i) full.Step(Offered{Device(i), DigestOf(i)}, At(i));
  full.Step(Committed{}, At(5));
  full.Step(Offered{Device(4), DigestOf(4)}, At(6));
  full.Step(Offered{Device(5), DigestOf(5)}, At(7));
  EXPECT_EQ(full.phase(), Phase::kClosing);
  EXPECT_THAT(Only<CommitPartial>(full.Step(Committed{}, At(8))), SizeIs(1));
  EXPECT_THAT(Only<Charge>(full.Step(Committed{}, At(9))), SizeIs(1));
}

TEST(Round, AnswersADuplicateLikeTheFirstAndCountsItOnce) {
  Machine machine = OpenMachine();
  machine.Step(Offered{Device(1), DigestOf(1)}, At(1));
  EXPECT_THAT(Only<JoinPending>(machine.Step(Offered{Device(1), DigestOf(1)}, At(1))), SizeIs(1));
  machine.Step(Committed{}, At(2));
  const Actions again = machine.Step(Offered{Device(1), DigestOf(1)}, At(3));
  EXPECT_THAT(Only<Acknowledge>(again), SizeIs(1));
  EXPECT_THAT(Only<Fold>(again), IsEmpty());
  const Actions other = machine.Step(Offered{Device(1), DigestOf(99)}, At(4));
  ASSERT_THAT(Only<Refuse>(other), SizeIs(1));
  EXPECT_EQ(Only<Refuse>(other)[0].error.code, ErrorCode::kConflict);
}

TEST(Round, ClosesAtItsTargetAfterTheLastUpdateIsDurable) {
  Machine machine = OpenMachine();
  for (int i = 1; i <= 3; ++i) machine.Step(Offered{Device(i), DigestOf(i)}, At(i));
  EXPECT_EQ(machine.phase(), Phase::kClosing);
  EXPECT_THAT(Only<Charge>(machine.Step(Committed{}, At(4))), IsEmpty()) << "two updates are not durable yet";
  EXPECT_THAT(Only<Charge>(machine.Step(Committed{}, At(5))), SizeIs(1));
  const Actions late = machine.Step(Offered{Device(4), DigestOf(4)}, At(6));
  ASSERT_THAT(Only<Refuse>(late), SizeIs(1));
  EXPECT_EQ(Only<Refuse>(late)[0].error.code, ErrorCode::kGone);
}

TEST(Round, DrawsNoiseOnlyAfterTheChargeIsDurable) {
  Machine machine = OpenMachine();
  for (int i = 1; i <= 3; ++i) {
    EXPECT_THAT(Only<Release>(machine.Step(Offered{Device(i), DigestOf(i)}, At(i))), IsEmpty());
    machine.Step(Tick{}, At(i));
  }
  machine.Step(Committed{}, At(4));
  EXPECT_THAT(Only<Release>(machine.Step(Committed{}, At(5))), IsEmpty());
  EXPECT_THAT(Only<Release>(machine.Step(Charged{}, At(6))), SizeIs(1));
  machine.Step(Released{}, At(7));
  EXPECT_EQ(machine.phase(), Phase::kPublished);
}

TEST(Round, TellsWhatItWaitsForAtEveryStep) {
  Machine machine = NewMachine();
  const auto says_something = [&] { return !machine.WaitingFor().empty(); };
  EXPECT_TRUE(says_something());
  machine = OpenMachine();
  EXPECT_TRUE(says_something());
  for (int i = 1; i <= 3; ++i) machine.Step(Offered{Device(i), DigestOf(i)}, At(i));
  EXPECT_TRUE(says_something());
  machine.Step(Committed{}, At(4));
  machine.Step(Committed{}, At(5));
  EXPECT_TRUE(says_something());
  machine.Step(Charged{}, At(6));
  EXPECT_TRUE(says_something());
  machine.Step(Released{}, At(7));
  EXPECT_TRUE(says_something());
}

TEST(Round, ClosesWithoutALostDeviceAtTheDeadline) {
  Machine machine = OpenMachine();
  for (int i = 1; i <= 2; ++i) {
    machine.Step(Offered{Device(i), DigestOf(i)}, At(i));
    machine.Step(Committed{}, At(i));
  }
  EXPECT_THAT(Only<Charge>(machine.Step(Tick{}, At(999))), IsEmpty());
  EXPECT_THAT(Only<Charge>(machine.Step(Tick{}, At(1000))), SizeIs(1));
}

TEST(Round, IsAbandonedWithTheReasonWhenTooFewCame) {
  Machine machine = OpenMachine();
  machine.Step(Offered{Device(1), DigestOf(1)}, At(1));
  machine.Step(Committed{}, At(2));
  const Actions actions = machine.Step(Tick{}, At(1000));
  ASSERT_THAT(Only<Abandon>(actions), SizeIs(1));
  EXPECT_THAT(Only<Abandon>(actions)[0].reason, HasSubstr("only 1 of at least 2"));
  EXPECT_TRUE(machine.ended());
}

TEST(Round, AFailedCommitCountsNobodyAndTheUpdateMayComeAgain) {
  Machine machine = OpenMachine();
  machine.Step(Offered{Device(1), DigestOf(1)}, At(1));
  const Actions failed = machine.Step(CommitFailed{"disk full"}, At(2));
  ASSERT_THAT(Only<Refuse>(failed), SizeIs(1));
  EXPECT_EQ(Only<Refuse>(failed)[0].error.code, ErrorCode::kUnavailable);
  EXPECT_THAT(Only<Fold>(machine.Step(Offered{Device(1), DigestOf(1)}, At(3))), SizeIs(1));
}

TEST(Round, RefusedBudgetEndsItBeforeAnyLease) {
  Machine machine = NewMachine();
  machine.Step(CheckedIn{Device(1)}, At(0));
  machine.Step(CheckedIn{Device(2)}, At(0));
  const Actions actions = machine.Step(OpenRefused{"epsilon 8.3 would exceed the budget of 8", false}, At(1));
  ASSERT_THAT(Only<Abandon>(actions), SizeIs(1));
  EXPECT_THAT(Only<Abandon>(actions)[0].reason, HasSubstr("exceed the budget"));
}

TEST(Round, TriesAPassingFaultAgainAndThenGivesUp) {
  Machine machine = NewMachine();
  machine.Step(CheckedIn{Device(1)}, At(0));
  machine.Step(CheckedIn{Device(2)}, At(0));
  machine.Step(OpenRefused{"disk full", true}, At(1));
  EXPECT_THAT(machine.WaitingFor(), HasSubstr("disk full"));
  EXPECT_THAT(Only<Open>(machine.Step(Tick{}, At(50))), IsEmpty());
  EXPECT_THAT(Only<Open>(machine.Step(Tick{}, At(101))), SizeIs(1));
  machine.Step(OpenRefused{"disk full", true}, At(102));
  EXPECT_THAT(Only<Open>(machine.Step(Tick{}, At(202))), SizeIs(1));
  EXPECT_THAT(Only<Abandon>(machine.Step(OpenRefused{"disk full", true}, At(203))), SizeIs(1));
}

TEST(Round, AStopEndsItUnlessItIsCharged) {
  Machine waiting = NewMachine();
  ASSERT_THAT(Only<Abandon>(waiting.Step(StopAsked{"enough"}, At(0))), SizeIs(1));
  EXPECT_EQ(waiting.WaitingFor(), "enough");
  EXPECT_THAT(waiting.Step(StopAsked{"again"}, At(1)), IsEmpty());

  Machine open = OpenMachine();
  open.Step(Offered{Device(1), DigestOf(1)}, At(1));
  EXPECT_THAT(Only<Abandon>(open.Step(StopAsked{"enough"}, At(2))), IsEmpty()) << "an update is being stored";
  const Actions stored = open.Step(Committed{}, At(3));
  EXPECT_THAT(Only<Acknowledge>(stored), SizeIs(1));
  EXPECT_THAT(Only<Abandon>(stored), SizeIs(1));
  EXPECT_EQ(open.phase(), Phase::kAbandoned);

  Machine opening = NewMachine();
  opening.Step(CheckedIn{Device(1)}, At(0));
  opening.Step(CheckedIn{Device(2)}, At(0));
  EXPECT_THAT(Only<Abandon>(opening.Step(StopAsked{"enough"}, At(1))), IsEmpty()) << "its reservation is on the way";
  EXPECT_THAT(Only<Abandon>(opening.Step(Opened{}, At(2))), SizeIs(1));
}

TEST(Round, AStopLetsAChargedRoundBePublished) {
  Machine machine = OpenMachine();
  for (int i = 1; i <= 3; ++i) machine.Step(Offered{Device(i), DigestOf(i)}, At(i));
  machine.Step(Committed{}, At(5));
  ASSERT_THAT(Only<Charge>(machine.Step(Committed{}, At(6))), SizeIs(1));
  EXPECT_THAT(machine.Step(StopAsked{"enough"}, At(7)), IsEmpty()) << "the charge is on the way";
  EXPECT_THAT(Only<Release>(machine.Step(Charged{}, At(8))), SizeIs(1));
  machine.Step(Released{}, At(9));
  EXPECT_EQ(machine.phase(), Phase::kPublished);
}

TEST(Round, WithASecretCohortNeitherItsSizeNorItsEndTellHowManyCame) {
  Rules rules = SmallRules();
  rules.cohort_is_secret = true;
  std::set<std::string> reasons;
  for (const int came : {0, 1, 4}) {
    Machine machine = OpenMachine(rules);
    for (int i = 1; i <= came; ++i) {
      machine.Step(Offered{Device(i), DigestOf(i)}, At(10));
      machine.Step(Committed{}, At(20));
    }
    reasons.insert(machine.WaitingFor());
    EXPECT_EQ(machine.phase(), Phase::kOpen) << came << " came, the target is 3";
    EXPECT_THAT(Only<Charge>(machine.Step(Tick{}, At(1000))), IsEmpty()) << came << " came";
    EXPECT_EQ(machine.phase(), Phase::kClosing);
    EXPECT_THAT(Only<Charge>(machine.Step(Tick{}, At(2999))), IsEmpty()) << came << " came";
    EXPECT_THAT(Only<Charge>(machine.Step(Tick{}, At(3000))), SizeIs(1)) << came << " came, the least is 2";
    EXPECT_THAT(Only<Charge>(machine.Step(Tick{}, At(3050))), IsEmpty()) << "it is under way";
  }
  EXPECT_THAT(reasons, SizeIs(1));
  std::map<DeviceId, Sent> four;
  for (int i = 1; i <= 4; ++i) four.emplace(Device(i), Sent{DigestOf(i)});
  Machine again = Machine::Restore({*TaskId::Parse("har"), 7}, rules, Phase::kOpen, four, At(0));
  again.Step(Tick{}, At(1));
  EXPECT_EQ(again.phase(), Phase::kOpen);
}

TEST(Round, WithASecretCohortEndsAtTheSameTimeWhetherOrNotAnUpdateCameLast) {
  Rules rules = SmallRules();
  rules.cohort_is_secret = true;
  rules.settling = Millis(500);
  Machine machine = OpenMachine(rules);
  machine.Step(Offered{Device(1), DigestOf(1)}, At(999));
  machine.Step(Tick{}, At(1000));
  EXPECT_THAT(Only<Charge>(machine.Step(Committed{}, At(1200))), IsEmpty());
  EXPECT_THAT(Only<Charge>(machine.Step(Tick{}, At(1500))), SizeIs(1));

  Machine slow = OpenMachine(rules);
  slow.Step(Offered{Device(1), DigestOf(1)}, At(999));
  slow.Step(Tick{}, At(1000));
  EXPECT_THAT(Only<Charge>(slow.Step(Tick{}, At(1600))), IsEmpty()) << "what is on its way counts";
  EXPECT_THAT(Only<Charge>(slow.Step(Committed{}, At(1700))), SizeIs(1));

  Machine stopped = OpenMachine(rules);
  EXPECT_THAT(Only<Abandon>(stopped.Step(StopAsked{"enough"}, At(10))), IsEmpty());
  EXPECT_THAT(Only<Abandon>(stopped.Step(Tick{}, At(510))), SizeIs(1));
}

TEST(Round, TakesUpWhereItStoodAfterARestart) {
  Machine charged = Machine::Restore({*TaskId::Parse("har"), 7}, SmallRules(), Phase::kCharged, {}, At(0));
  EXPECT_THAT(Only<Release>(charged.Step(Tick{}, At(0))), SizeIs(1));
  EXPECT_THAT(Only<Release>(charged.Step(Tick{}, At(1))), IsEmpty());

  Machine closing = Machine::Restore({*TaskId::Parse("har"), 7}, SmallRules(), Phase::kClosing,
                                     {{Device(1), Sent{DigestOf(1)}}, {Device(2), Sent{DigestOf(2)}}}, At(0));
  EXPECT_THAT(Only<Charge>(closing.Step(Tick{}, At(0))), SizeIs(1));

  Machine open = Machine::Restore({*TaskId::Parse("har"), 7}, SmallRules(), Phase::kOpen,
                                  {{Device(1), Sent{DigestOf(1)}}}, At(5000));
  EXPECT_THAT(Only<Acknowledge>(open.Step(Offered{Device(1), DigestOf(1)}, At(5001))), SizeIs(1));
  EXPECT_EQ(open.deadline(), At(6000));
}

TEST(Round, ClosesAtOnceWhenARestartFindsItsCohortComplete) {
  Machine full = Machine::Restore(
      {*TaskId::Parse("har"), 7}, SmallRules(), Phase::kOpen,
      {{Device(1), Sent{DigestOf(1)}}, {Device(2), Sent{DigestOf(2)}}, {Device(3), Sent{DigestOf(3)}}}, At(5000));
  EXPECT_THAT(Only<Charge>(full.Step(Tick{}, At(5000))), SizeIs(1));
}

// An environment that answers requests in a random order and sometimes says no; whatever happens, the promises hold.
class RandomEnvironment {
 public:
  explicit RandomEnvironment(std::uint64_t seed) : random_(seed), machine_(NewMachine(RulesOf(seed))) {}

  void Run() {
    for (int step = 0; step < 4000 && !machine_.ended(); ++step) {
      now_ += Millis(random_.Below(20));
      Carry(machine_.Step(NextEvent(), now_));
    }
    ASSERT_TRUE(machine_.ended()) << "a round that never ends: " << machine_.WaitingFor();
    if (machine_.phase() == Phase::kPublished) {
      EXPECT_EQ(charges_, 1);
      EXPECT_GE(machine_.counted().size(), 2U);
    }
    EXPECT_EQ(acknowledged_.size(), machine_.counted().size());
    for (const auto& [device, sent] : machine_.counted()) EXPECT_TRUE(acknowledged_.contains(device));
  }

 private:
  Event NextEvent() {
    if (!asked_.empty() && random_.Below(2) == 0) {
      const std::size_t which = random_.Below(asked_.size());
      Event answer = asked_[which];
      asked_.erase(asked_.begin() + static_cast<std::ptrdiff_t>(which));
      if (std::holds_alternative<Charged>(answer)) ++charges_;
      return answer;
    }
    const int device = static_cast<int>(random_.Below(6));
    switch (random_.Below(4)) {
      case 0:
        return CheckedIn{Device(device)};
      case 1:
        return Offered{Device(device), DigestOf(device * 10 + static_cast<int>(random_.Below(2)))};
      case 2:
        return Rejected{Device(device)};
      default:
        return Tick{};
    }
  }

  static Rules RulesOf(std::uint64_t seed) {
    Rules rules = SmallRules();
    rules.full_batch = 1 + static_cast<std::uint32_t>(seed % 3);
    return rules;
  }

  void Carry(const Actions& actions) {
    for (const Action& action : actions) {
      const bool fail = random_.Below(5) == 0;
      if (std::holds_alternative<Open>(action)) Ask(fail ? Event(OpenRefused{"full", true}) : Event(Opened{}));
      if (std::holds_alternative<WaitForBatch>(action)) Ask(BatchWaited{});
      if (std::holds_alternative<CommitPartial>(action)) Ask(fail ? Event(CommitFailed{"full"}) : Event(Committed{}));
      if (std::holds_alternative<Charge>(action)) Ask(fail ? Event(ChargeFailed{"full"}) : Event(Charged{}));
      if (std::holds_alternative<Release>(action)) {
        EXPECT_EQ(charges_, 1) << "noise before the charge";
        Ask(fail ? Event(ReleaseFailed{"full"}) : Event(Released{}));
      }
      if (const auto* fold = std::get_if<Fold>(&action)) {
        EXPECT_FALSE(acknowledged_.contains(fold->device)) << "counted twice";
      }
      if (const auto* ack = std::get_if<Acknowledge>(&action)) acknowledged_.insert(ack->device);
    }
  }
  void Ask(Event answer) { asked_.push_back(std::move(answer)); }

  SplitMix64 random_;
  Machine machine_;
  SteadyTime now_{};
  std::vector<Event> asked_;
  std::set<DeviceId> acknowledged_;
  int charges_ = 0;
};

TEST(Round, KeepsItsPromisesUnderRandomOrderAndFaults) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomEnvironment(seed).Run();
  }
}

}  // namespace
}  // namespace tacit::round
