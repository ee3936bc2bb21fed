#include <algorithm>
#include <array>
#include <string>

#include "common/base/files.h"
#include "tests/unit/store/fixtures.h"

namespace tacit::store {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::At;
using testing::Device;
using ::testing::ElementsAre;
using testing::FilesIn;
using testing::From;
using ::testing::IsEmpty;
using testing::Model;
using testing::NewRound;
using testing::NewTask;
using testing::Round;
using ::testing::SizeIs;
using testing::StoreTest;
using testing::Task;
using testing::Text;
namespace fs = std::filesystem;

using Rounds = StoreTest;
using Partials = StoreTest;
using RoundKeys = StoreTest;

TEST_F(Rounds, ComeBackAsTheyWerePutAfterARestart) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  RoundRecord round = NewRound(Round("har", 1), RoundPhase::kOpen);
  round.counted = 7;
  round.total_weight = 70;
  round.base_version = 3;
  round.epsilon_after = 1.25;
  ASSERT_THAT(store().PutRound(round), IsOk());
  round.phase = RoundPhase::kAbandoned;
  round.reason = "too few devices";
  round.ended_at = At(60);
  ASSERT_THAT(store().PutRound(round), IsOk());
  Open();
  const auto rounds = store().Rounds(Task("har"), 0, 10);
  ASSERT_THAT(rounds, IsOk());
  ASSERT_THAT(*rounds, SizeIs(1));
  const RoundRecord& read = rounds->front();
  EXPECT_EQ(read.key, round.key);
  EXPECT_EQ(read.phase, RoundPhase::kAbandoned);
  EXPECT_EQ(read.reason, "too few devices");
  EXPECT_EQ(read.opened_at, round.opened_at);
  EXPECT_EQ(read.ended_at, round.ended_at);
  EXPECT_EQ(read.counted, 7U);
  EXPECT_EQ(read.total_weight, 70U);
  EXPECT_EQ(read.base_version, 3U);
  EXPECT_EQ(read.epsilon_after, 1.25);
}

TEST_F(Rounds, ArePagedInOrderAndTheLatestIsFound) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ASSERT_THAT(store().CreateTask(NewTask("other"), Model(0)), IsOk());
  for (const RoundNumber number : {1U, 2U, 3U, 10U}) {
    ASSERT_THAT(store().PutRound(NewRound(Round("har", number), RoundPhase::kAbandoned)), IsOk());
  }
  const auto page = store().Rounds(Task("har"), 1, 2);
  ASSERT_THAT(page, IsOk());
  ASSERT_THAT(*page, SizeIs(2));
  EXPECT_EQ((*page)[0].key.round, 2U);
  EXPECT_EQ((*page)[1].key.round, 3U);
  EXPECT_EQ((*store().LatestRound(Task("har")))->key.round, 10U);
  EXPECT_EQ(*store().LatestRound(Task("other")), std::nullopt);
}

TEST_F(Rounds, ThatHaveNotEndedAreListedAcrossTasks) {
  for (const std::string_view task : {"a", "b"}) {
    ASSERT_THAT(store().CreateTask(NewTask(task), Model(0)), IsOk());
  }
  ASSERT_THAT(store().PutRound(NewRound(Round("a", 1), RoundPhase::kAbandoned)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("a", 2), RoundPhase::kCharged)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("b", 1), RoundPhase::kScheduled)), IsOk());
  const auto open = store().OpenRounds();
  ASSERT_THAT(open, IsOk());
  ASSERT_THAT(*open, SizeIs(2));
  EXPECT_EQ((*open)[0].key, Round("a", 2));
  EXPECT_EQ((*open)[1].key, Round("b", 1));
}

TEST_F(Rounds, StayAsTheyEnded) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 1), RoundPhase::kAbandoned)), IsOk());
  EXPECT_THAT(store().PutRound(NewRound(Round("har", 1), RoundPhase::kOpen)),
              IsErrorSaying(ErrorCode::kConflict, "has ended"));
  EXPECT_EQ((*store().LatestRound(Task("har")))->phase, RoundPhase::kAbandoned);
}

TEST_F(Rounds, CannotBePublishedWithoutTheirModel) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  EXPECT_THAT(store().PutRound(NewRound(Round("har", 1), RoundPhase::kPublished)),
              IsError(ErrorCode::kInvalidArgument));
}

TEST_F(Rounds, NeedTheirTask) {
  EXPECT_THAT(store().PutRound(NewRound(Round("nobody", 1), RoundPhase::kOpen)), IsError(ErrorCode::kNotFound));
}

TEST_F(Rounds, RefuseNumbersThatTheDatabaseCannotHold) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  RoundRecord round = NewRound(Round("har", 1), RoundPhase::kOpen);
  round.counted = ~std::uint64_t{0};
  EXPECT_THAT(store().PutRound(round), IsError(ErrorCode::kInvalidArgument));
  round.counted = 0;
  round.epsilon_after = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(store().PutRound(round), IsError(ErrorCode::kInvalidArgument));
  round.epsilon_after = std::numeric_limits<double>::infinity();
  EXPECT_THAT(store().PutRound(round), IsOk());
  EXPECT_EQ((*store().LatestRound(Task("har")))->epsilon_after, std::numeric_limits<double>::infinity());
}

TEST_F(Partials, CommitTogetherWithTheirContributors) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  const std::array first = {From("d2", 2), From("d1", 1)};
  const std::array second = {From("d3", 3)};
  ASSERT_THAT(store().CommitPartial(key, 0, Text("sealed zero"), first), IsOk());
  ASSERT_THAT(store().CommitPartial(key, 1, Text("sealed one"), second), IsOk());
  Open();
  const auto partials = testing::PartialsOf(store(), key);
  ASSERT_THAT(partials, IsOk());
  ASSERT_THAT(*partials, SizeIs(2));
  EXPECT_EQ((*partials)[0].sequence, 0U);
  EXPECT_EQ((*partials)[0].sealed, Text("sealed zero"));
  EXPECT_EQ((*partials)[1].sealed, Text("sealed one"));
  const auto contributions = store().Contributions(key);
  ASSERT_THAT(contributions, IsOk());
  ASSERT_THAT(*contributions, SizeIs(3));
  EXPECT_EQ((*contributions)[0].device, Device("d1"));
  EXPECT_EQ((*contributions)[0].payload_digest, From("d1", 1).payload_digest);
  EXPECT_EQ((*contributions)[2].device, Device("d3"));
}

TEST_F(Partials, AreReadOneByOneIntoTheSameRoom) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  ASSERT_THAT(store().CommitPartial(key, 4, Text("four"), std::array{From("d1")}), IsOk());
  ASSERT_THAT(store().CommitPartial(key, 9, Text("ninety"), std::array{From("d2")}), IsOk());
  EXPECT_THAT(*store().PartialSequences(key), ::testing::ElementsAre(4, 9));
  EXPECT_THAT(*store().PartialSequences(Round("har", 2)), IsEmpty());
  AlignedBuffer room;
  EXPECT_EQ(AsText(*store().ReadPartial(key, 9, room)), "ninety");
  EXPECT_EQ(AsText(*store().ReadPartial(key, 4, room)), "four");
  EXPECT_EQ(room.size(), 6U);
  EXPECT_THAT(store().ReadPartial(key, 5, room), IsErrorSaying(ErrorCode::kNotFound, "no partial sum 5"));
}

TEST_F(Partials, AreMergedIntoOneThatStandsForTheSameDevices) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  ASSERT_THAT(store().CommitPartial(key, 0, Text("zero"), std::array{From("d1"), From("d2")}), IsOk());
  ASSERT_THAT(store().CommitPartial(key, 3, Text("three"), std::array{From("d3")}), IsOk());
  ASSERT_THAT(store().MergePartials(key, std::array<std::uint64_t, 2>{0, 3}, 4, Text("both")), IsOk());
  ASSERT_THAT(store().CommitPartial(key, 5, Text("five"), std::array{From("d4")}), IsOk());
  for (int restarts = 0; restarts < 2; ++restarts, Open()) {
    const auto partials = testing::PartialsOf(store(), key);
    ASSERT_THAT(partials, IsOk());
    ASSERT_THAT(*partials, SizeIs(2));
    EXPECT_EQ(partials->front().sequence, 4U);
    EXPECT_EQ(partials->front().sealed, Text("both"));
    EXPECT_THAT(*store().Contributions(key), SizeIs(4));
    EXPECT_THAT(FilesIn(data_dir() / "partials"), SizeIs(2));
  }
}

TEST_F(Partials, AreNotReplacedByASumOfOthers) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  ASSERT_THAT(store().CommitPartial(key, 0, Text("zero"), std::array{From("d1")}), IsOk());
  ASSERT_THAT(store().CommitPartial(key, 1, Text("one"), std::array{From("d2")}), IsOk());
  const auto merge = [&](const std::vector<std::uint64_t>& replaced, std::uint64_t sequence) {
    return store().MergePartials(key, replaced, sequence, Text("both"));
  };
  for (const std::vector<std::uint64_t>& others : {std::vector<std::uint64_t>{0}, {1}, {}, {0, 2}, {0, 1, 2}})
    EXPECT_THAT(merge(others, 9), IsErrorSaying(ErrorCode::kConflict, "does not replace"));
  EXPECT_THAT(merge({0, 1}, 1), IsError(ErrorCode::kConflict));
  EXPECT_THAT(*testing::PartialsOf(store(), key), SizeIs(2));
  EXPECT_THAT(FilesIn(data_dir() / "partials"), SizeIs(2));
  ASSERT_THAT(store().PutRound(NewRound(key, RoundPhase::kCharged)), IsOk());
  EXPECT_THAT(merge({0, 1}, 2), IsErrorSaying(ErrorCode::kGone, "is charged"));
  EXPECT_THAT(store().MergePartials(Round("har", 2), {}, 0, Text("a")), IsError(ErrorCode::kNotFound));
}

TEST_F(Partials, NeverCountADeviceTwice) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  ASSERT_THAT(store().CommitPartial(key, 0, Text("a"), std::array{From("d1"), From("d2")}), IsOk());
  EXPECT_THAT(store().CommitPartial(key, 1, Text("b"), std::array{From("d3"), From("d2")}),
              IsErrorSaying(ErrorCode::kConflict, "device 'd2' is already counted in round 1 of task 'har'"));
  EXPECT_THAT(store().CommitPartial(key, 1, Text("b"), std::array{From("d4"), From("d4")}),
              IsErrorSaying(ErrorCode::kConflict, "'d4'"));
  // Nothing of the refused steps is there.
  EXPECT_THAT(*testing::PartialsOf(store(), key), SizeIs(1));
  EXPECT_THAT(*store().Contributions(key), SizeIs(2));
  EXPECT_EQ(testing::RoundsOf(store(), Task("har"), Device("d3")), 0U);
  EXPECT_EQ(testing::RoundsOf(store(), Task("har"), Device("d2")), 1U);
  EXPECT_THAT(FilesIn(data_dir() / "partials"), SizeIs(1));
}

TEST_F(Partials, RefuseATakenSequence) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  ASSERT_THAT(store().CommitPartial(key, 0, Text("a"), std::array{From("d1")}), IsOk());
  EXPECT_THAT(store().CommitPartial(key, 0, Text("b"), std::array{From("d2")}),
              IsErrorSaying(ErrorCode::kConflict, "partial sum 0"));
  EXPECT_EQ(testing::PartialsOf(store(), key)->front().sealed, Text("a"));
}

TEST_F(Partials, AreTakenOnlyWhileTheRoundIsOpenOrClosing) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  const RoundKey key = Round("har", 1);
  const std::array who = {From("d1")};
  EXPECT_THAT(store().CommitPartial(key, 0, Text("a"), who), IsError(ErrorCode::kNotFound));
  const auto commit_in = [&](RoundPhase phase) {
    EXPECT_THAT(store().PutRound(NewRound(key, phase)), IsOk());
    return store().CommitPartial(key, 0, Text("a"), who);
  };
  EXPECT_THAT(commit_in(RoundPhase::kScheduled), IsErrorSaying(ErrorCode::kGone, "is scheduled"));
  EXPECT_THAT(commit_in(RoundPhase::kCharged), IsErrorSaying(ErrorCode::kGone, "is charged"));
  EXPECT_THAT(commit_in(RoundPhase::kClosing), IsOk());
  EXPECT_THAT(commit_in(RoundPhase::kAbandoned), IsErrorSaying(ErrorCode::kGone, "is abandoned"));
}

TEST_F(Partials, NeedAContributor) {
  OpenRoundOf("har");
  EXPECT_THAT(store().CommitPartial(Round("har", 1), 0, Text("a"), {}), IsError(ErrorCode::kInvalidArgument));
}

TEST_F(Partials, AreDroppedWithTheirDigestsOnceTheRoundHasEnded) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  ASSERT_THAT(store().CommitPartial(key, 0, Text("a"), std::array{From("d1", 9)}), IsOk());
  EXPECT_THAT(store().DropPartials(key), IsErrorSaying(ErrorCode::kConflict, "has not ended"));
  ASSERT_THAT(store().PutRound(NewRound(key, RoundPhase::kAbandoned)), IsOk());
  ASSERT_THAT(store().DropPartials(key), IsOk());
  ASSERT_THAT(store().DropPartials(key), IsOk()) << "it can be repeated";
  EXPECT_THAT(*testing::PartialsOf(store(), key), IsEmpty());
  EXPECT_THAT(FilesIn(data_dir() / "partials"), IsEmpty());
  // Who took part is each device's own ledger, and stays; what it sent is forgotten.
  const auto contributions = store().Contributions(key);
  ASSERT_THAT(*contributions, SizeIs(1));
  EXPECT_EQ(contributions->front().device, Device("d1"));
  EXPECT_EQ(contributions->front().payload_digest, Digest128{});
  const Digest128 forgotten = From("d1", 9).payload_digest;
  for (const char* name : {"tacit.db", "tacit.db-wal"}) {
    const auto bytes = ReadFile(data_dir() / name, 64U << 20U);
    ASSERT_THAT(bytes, IsOk());
    EXPECT_TRUE(std::ranges::search(*bytes, forgotten).empty()) << "a copy of the digest is left in " << name;
  }
  EXPECT_THAT(store().DropPartials(Round("har", 2)), IsError(ErrorCode::kNotFound));
}

TEST_F(Partials, CountParticipationForEverAndByTask) {
  OpenRoundOf("har");
  OpenRoundOf("other");
  ASSERT_THAT(store().CommitPartial(Round("har", 1), 0, Text("a"), std::array{From("d1"), From("d2")}), IsOk());
  ASSERT_THAT(store().CommitPartial(Round("other", 1), 0, Text("a"), std::array{From("d1")}), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 1), RoundPhase::kAbandoned)), IsOk());
  ASSERT_THAT(store().DropPartials(Round("har", 1)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 2), RoundPhase::kOpen)), IsOk());
  ASSERT_THAT(store().CommitPartial(Round("har", 2), 0, Text("a"), std::array{From("d1")}), IsOk());
  Open();
  EXPECT_EQ(testing::RoundsOf(store(), Task("har"), Device("d1")), 2U) << "an abandoned round counts";
  EXPECT_EQ(testing::RoundsOf(store(), Task("har"), Device("d2")), 1U);
  EXPECT_EQ(testing::RoundsOf(store(), Task("other"), Device("d1")), 1U);
  EXPECT_EQ(testing::RoundsOf(store(), Task("har"), Device("stranger")), 0U);
  const auto counts = store().ParticipationCounts(Task("har"));
  ASSERT_THAT(*counts, SizeIs(2));
  EXPECT_EQ((*counts)[0].device, Device("d1"));
  EXPECT_EQ((*counts)[0].rounds, 2U);
}

TEST_F(RoundKeys, ComeFromElsewhereWhereASimulationSaysSo) {
  Close();
  const auto opened =
      SqliteStore::Open({.data_dir = data_dir(), .round_key = [](const RoundKey& key) {
                           return *crypto::SecretKey::FromBytes(Bytes(32, static_cast<std::uint8_t>(key.round)));
                         }});
  ASSERT_THAT(opened, IsOk());
  const auto made = (*opened)->CreateRoundKey(Round("har", 7));
  ASSERT_THAT(made, IsOk());
  EXPECT_THAT(made->bytes(), ::testing::Each(7));
  EXPECT_THAT((*opened)->LoadRoundKey(Round("har", 7))->bytes(), ::testing::Each(7));
}

TEST_F(RoundKeys, AreMadeOnceAndLoadedAfterARestart) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  const auto made = store().CreateRoundKey(key);
  ASSERT_THAT(made, IsOk());
  EXPECT_THAT(store().CreateRoundKey(key), IsError(ErrorCode::kConflict));
  Open();
  const auto loaded = store().LoadRoundKey(key);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_TRUE(std::equal(made->bytes().begin(), made->bytes().end(), loaded->bytes().begin(), loaded->bytes().end()));
  const auto status = fs::status(data_dir() / "keys" / "har-1.key");
  EXPECT_EQ(status.permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(RoundKeys, AreGoneOnceDestroyed) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  ASSERT_THAT(store().CreateRoundKey(key), IsOk());
  ASSERT_THAT(store().DestroyRoundKey(key), IsOk());
  ASSERT_THAT(store().DestroyRoundKey(key), IsOk()) << "it can be repeated";
  EXPECT_THAT(store().LoadRoundKey(key), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(FilesIn(data_dir() / "keys"), IsEmpty());
}

TEST_F(RoundKeys, AreOverwrittenBeforeTheirNameGoes) {
  OpenRoundOf("har");
  const fs::path file = data_dir() / "keys" / "har-1.key";
  const fs::path witness = data_dir() / "witness";
  const auto content = [&] { return *ReadFile(witness, 1000); };
  ASSERT_THAT(store().CreateRoundKey(Round("har", 1)), IsOk());
  fs::create_hard_link(file, witness);
  ASSERT_NE(content(), Bytes(32, 0));
  ASSERT_THAT(store().DestroyRoundKey(Round("har", 1)), IsOk());
  EXPECT_EQ(content(), Bytes(32, 0));
  // The sweep of a restart destroys a key in the same way.
  fs::remove(witness);
  ASSERT_THAT(store().CreateRoundKey(Round("har", 1)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 1), RoundPhase::kAbandoned)), IsOk());
  fs::create_hard_link(file, witness);
  Open();
  EXPECT_FALSE(fs::exists(file));
  EXPECT_EQ(content(), Bytes(32, 0));
}

TEST_F(RoundKeys, OfTasksWhoseNamesEndInNumbersAreToldApart) {
  OpenRoundOf("har-1");
  ASSERT_THAT(store().CreateRoundKey(Round("har-1", 1)), IsOk());
  Open();  // sweeps keys without a running round
  EXPECT_THAT(store().LoadRoundKey(Round("har-1", 1)), IsOk());
  EXPECT_THAT(store().LoadRoundKey(Round("har", 1)), IsError(ErrorCode::kNotFound));
}

using CountedLeases = StoreTest;

Contribution Leased(std::string_view device, RoundNumber leased_in, std::uint8_t digest = 1) {
  Contribution contribution = From(device, digest);
  contribution.leased_in = leased_in;
  return contribution;
}

TEST_F(CountedLeases, ComeBackAfterARestartWhenTheirRoundHasEnded) {
  OpenRoundOf("har");
  ASSERT_THAT(store().CommitPartial(Round("har", 1), 0, Text("sum"), std::array{Leased("a", 1), Leased("b", 1, 2)}),
              IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 1), RoundPhase::kAbandoned)), IsOk());
  ASSERT_THAT(store().DropPartials(Round("har", 1)), IsOk());
  Open();
  const auto leases = store().CountedLeases(Task("har"));
  ASSERT_THAT(leases, IsOk());
  ASSERT_THAT(*leases, SizeIs(2));
  EXPECT_EQ((*leases)[1].device, Device("b"));
  EXPECT_EQ((*leases)[1].leased_in, 1U);
  EXPECT_EQ((*leases)[1].payload_digest, From("b", 2).payload_digest);
  EXPECT_EQ(store().Contributions(Round("har", 1))->front().leased_in, 1U);
}

TEST_F(CountedLeases, AreCountedOnceInAllRounds) {
  OpenRoundOf("har");
  ASSERT_THAT(store().CommitPartial(Round("har", 1), 0, Text("sum"), std::array{Leased("a", 1)}), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 1), RoundPhase::kAbandoned)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 2), RoundPhase::kOpen)), IsOk());
  EXPECT_THAT(store().CommitPartial(Round("har", 2), 0, Text("sum"), std::array{Leased("b", 1), Leased("a", 1)}),
              IsErrorSaying(ErrorCode::kConflict, "leased to device 'a' is already counted"));
  EXPECT_THAT(*store().Contributions(Round("har", 2)), IsEmpty()) << "nothing of a refused step is recorded";
  EXPECT_THAT(store().CommitPartial(Round("har", 2), 0, Text("sum"), std::array{Leased("b", 1), Leased("a", 2)}),
              IsOk());
  EXPECT_EQ(testing::RoundsOf(store(), Task("har"), Device("a")), 2U);
}

TEST_F(CountedLeases, AreForgottenWithTheirDigestsOnceTheyHoldNoMore) {
  OpenRoundOf("har");
  OpenRoundOf("other");
  for (const std::string_view task : {"har", "other"})
    ASSERT_THAT(store().CommitPartial(Round(task, 1), 0, Text("sum"), std::array{Leased("a", 1)}), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 1), RoundPhase::kAbandoned)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 2), RoundPhase::kOpen)), IsOk());
  ASSERT_THAT(store().CommitPartial(Round("har", 2), 0, Text("sum"), std::array{Leased("a", 2)}), IsOk());
  ASSERT_THAT(store().DropCountedLeases(Task("har"), 1), IsOk());
  ASSERT_THAT(store().DropCountedLeases(Task("har"), 1), IsOk());
  ASSERT_THAT(*store().CountedLeases(Task("har")), SizeIs(1));
  EXPECT_EQ(store().CountedLeases(Task("har"))->front().leased_in, 2U);
  EXPECT_THAT(*store().CountedLeases(Task("other")), SizeIs(1));
  EXPECT_EQ(store().Contributions(Round("har", 1))->front().leased_in, 0U);
}

TEST_F(CountedLeases, AreOfAsynchronousTasksOnly) {
  OpenRoundOf("har");
  ASSERT_THAT(store().CommitPartial(Round("har", 1), 0, Text("sum"), std::array{From("a")}), IsOk());
  EXPECT_THAT(*store().CountedLeases(Task("har")), IsEmpty());
}

}  // namespace
}  // namespace tacit::store
