#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <string>

#include "tests/unit/store/fixtures.h"

namespace tacit::store {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::At;
using testing::Digest;
using testing::FilesIn;
using ::testing::IsEmpty;
using testing::Model;
using testing::NewRound;
using testing::NewTask;
using testing::Round;
using testing::RunSql;
using ::testing::SizeIs;
using testing::StoreTest;
using testing::Task;
using testing::TaskText;
using testing::Text;

using Tasks = StoreTest;

class Models : public StoreTest {
 protected:
  /// Publishes round `number` of "har".
  Result<ModelRecord> PublishRound(RoundNumber number, std::span<const float> model, Bytes state = {},
                                   std::optional<TaskStateChange> change = {}) {
    RoundRecord round = NewRound(Round("har", number), RoundPhase::kPublished);
    round.counted = 4;
    return store().Publish(
        {.round = round, .model = model, .optimizer_state = std::move(state), .task_state = std::move(change)});
  }
  void ChargedRound(RoundNumber number) {
    ASSERT_THAT(store().PutRound(NewRound(Round("har", number), RoundPhase::kCharged)), IsOk());
  }
};

TEST_F(Tasks, ComeBackInOrderAfterARestart) {
  const TaskRecord second = NewTask("a-second");
  ASSERT_THAT(store().CreateTask(NewTask("z-first"), Model(1)), IsOk());
  ASSERT_THAT(store().CreateTask(second, Model(2)), IsOk());
  Open();
  const auto tasks = store().Tasks();
  ASSERT_THAT(tasks, IsOk());
  ASSERT_THAT(*tasks, SizeIs(2));
  EXPECT_EQ((*tasks)[0].spec.id, Task("z-first"));
  const TaskRecord& read = (*tasks)[1];
  EXPECT_EQ(read.spec.id, Task("a-second"));
  EXPECT_EQ(read.toml, second.toml);
  EXPECT_EQ(read.created_at, At(0));
  EXPECT_EQ(read.state, TaskState::kActive);
  EXPECT_EQ(read.spec.privacy.noise_multiplier, second.spec.privacy.noise_multiplier);
  EXPECT_EQ(read.spec.privacy.grid_radius, second.spec.privacy.grid_radius);
  EXPECT_EQ(read.spec.model, second.spec.model);
}

TEST_F(Tasks, KeepTheNoiseThatWasPlannedWhenTheyWereAccepted) {
  TaskRecord record = NewTask("har");
  const std::size_t at = record.toml.find("noise_multiplier = 4.0");
  record.toml.replace(at, 22, "target_epsilon = 5.0");
  record.spec.privacy.noise_multiplier = *dp::NoiseMultiplier::Create(77.5);  // as an older planner had it
  record.spec.privacy.grid_radius = *dp::GridRadius::Create(1U << 15U);
  ASSERT_THAT(store().CreateTask(record, Model(0)), IsOk());
  Open();
  const task::Privacy privacy = store().Tasks()->front().spec.privacy;
  EXPECT_EQ(privacy.noise_multiplier->value(), 77.5);
  EXPECT_EQ(privacy.grid_radius.value(), 1U << 15U);
}

TEST_F(Tasks, WithoutPrivacyHaveNoNoise) {
  TaskRecord record = NewTask("open");
  const std::size_t at = record.toml.find("[privacy]");
  record.toml.replace(at, std::string::npos, "[privacy]\nmechanism = 'none'\nclip_norm = 1.0\n");
  record.spec = *task::ParseTask(record.toml, "open.toml");
  ASSERT_THAT(store().CreateTask(record, Model(0)), IsOk());
  Open();
  EXPECT_EQ(store().Tasks()->front().spec.privacy.noise_multiplier, std::nullopt);
}

TEST_F(Tasks, StartWithModelVersionZero) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0.5)), IsOk());
  Open();
  const auto latest = store().LatestModel(Task("har"));
  ASSERT_THAT(latest, IsOk());
  EXPECT_EQ(latest->version, 0U);
  EXPECT_EQ(latest->bytes, 36U);
  EXPECT_EQ(latest->digest, Digest(Model(0.5)));
  const auto bytes = store().MapModel(latest->digest);
  ASSERT_THAT(bytes, IsOk());
  std::vector<float> read(9);
  std::memcpy(read.data(), bytes->bytes.data(), 36);
  EXPECT_EQ(read, Model(0.5));
  EXPECT_THAT(*store().OptimizerState(Task("har")), IsEmpty());
}

TEST_F(Tasks, RefuseATakenName) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  EXPECT_THAT(store().CreateTask(NewTask("har"), Model(1)),
              IsErrorSaying(ErrorCode::kConflict, "a task named 'har' exists already"));
  EXPECT_THAT(*store().Tasks(), SizeIs(1));
  EXPECT_THAT(FilesIn(data_dir() / "models"), SizeIs(1)) << "the refused task left no file";
}

TEST_F(Tasks, RefuseARecordThatARestartCouldNotRead) {
  TaskRecord wrong_text = NewTask("har");
  wrong_text.toml += "nonsense = 1\n";
  EXPECT_THAT(store().CreateTask(wrong_text, Model(0)), IsErrorSaying(ErrorCode::kInvalidArgument, "nonsense"));
  TaskRecord other_name = NewTask("har");
  other_name.toml = TaskText("other");
  EXPECT_THAT(store().CreateTask(other_name, Model(0)), IsErrorSaying(ErrorCode::kInvalidArgument, "'other'"));
  EXPECT_THAT(store().CreateTask(NewTask("har"), std::vector<float>(8)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "8 parameters; tacit-mlp/1:2,3 has 9"));
  EXPECT_THAT(*store().Tasks(), IsEmpty());
}

TEST_F(Tasks, KeepTheirStateAndItsReason) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  for (const TaskState state : {TaskState::kFinished, TaskState::kBudgetExhausted, TaskState::kStopped}) {
    ASSERT_THAT(store().SetTaskState(Task("har"), {state, "because"}), IsOk());
    Open();
    EXPECT_EQ(store().Tasks()->front().state, state);
    EXPECT_EQ(store().Tasks()->front().state_reason, "because");
  }
  EXPECT_THAT(store().SetTaskState(Task("nobody"), {}), IsError(ErrorCode::kNotFound));
}

TEST_F(Tasks, WhoseStoredTextWasChangedAreReportedAsDamage) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ASSERT_EQ(RunSql(database(), "UPDATE tasks SET toml = 'name = 3'"), "");
  EXPECT_THAT(store().Tasks(), IsErrorSaying(ErrorCode::kDataLoss, "task har as stored:1:8"));
}

TEST_F(Models, ArePublishedWithTheirRoundAndOptimizerState) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ChargedRound(1);
  const auto published =
      PublishRound(1, Model(1), Text("moments"), TaskStateChange{TaskState::kFinished, "all rounds"});
  ASSERT_THAT(published, IsOk());
  EXPECT_EQ(published->version, 1U);
  EXPECT_EQ(published->digest, Digest(Model(1)));
  Open();
  const auto round = store().LatestRound(Task("har"));
  EXPECT_EQ((*round)->phase, RoundPhase::kPublished);
  EXPECT_EQ((*round)->counted, 4U);
  EXPECT_EQ(store().LatestModel(Task("har"))->version, 1U);
  EXPECT_EQ(store().LatestModel(Task("har"))->created_at, At(20));
  EXPECT_EQ(store().Model(Task("har"), 0)->digest, Digest(Model(0)));
  EXPECT_EQ(store().ModelByDigest(Digest(Model(1)))->version, 1U);
  EXPECT_THAT(store().MapModel(Digest(Model(1))), IsOk());
  EXPECT_EQ(*store().OptimizerState(Task("har")), Text("moments"));
  EXPECT_EQ(store().Tasks()->front().state, TaskState::kFinished);
}

TEST_F(Models, AreNotFoundByOtherNames) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  EXPECT_THAT(store().LatestModel(Task("nobody")), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(store().Model(Task("har"), 1), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(store().ModelByDigest(Digest(Model(5))), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(store().MapModel(Digest(Model(5))), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(store().OptimizerState(Task("nobody")), IsError(ErrorCode::kNotFound));
}

TEST_F(Models, AreRefusedWithoutARunningRoundAndNothingChanges) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  EXPECT_THAT(PublishRound(1, Model(1)), IsError(ErrorCode::kNotFound));
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 1), RoundPhase::kAbandoned)), IsOk());
  EXPECT_THAT(PublishRound(1, Model(1)), IsErrorSaying(ErrorCode::kConflict, "has ended"));
  ChargedRound(2);
  ASSERT_THAT(PublishRound(2, Model(2), Text("two")), IsOk());
  EXPECT_THAT(PublishRound(2, Model(3), Text("three")), IsError(ErrorCode::kConflict)) << "published already";
  EXPECT_EQ(store().LatestModel(Task("har"))->digest, Digest(Model(2)));
  EXPECT_EQ(*store().OptimizerState(Task("har")), Text("two"));
  EXPECT_THAT(FilesIn(data_dir() / "models"), SizeIs(2)) << "refused models left no file";
}

TEST_F(Models, OfAnotherSizeAreRefused) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ChargedRound(1);
  EXPECT_THAT(PublishRound(1, std::vector<float>(10)), IsErrorSaying(ErrorCode::kInvalidArgument, "36 bytes, not 40"));
}

TEST_F(Models, NeedARoundThatSaysItIsPublished) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ChargedRound(1);
  EXPECT_THAT(store().Publish({.round = NewRound(Round("har", 1), RoundPhase::kCharged),
                               .model = Model(1),
                               .optimizer_state = {},
                               .task_state = {}}),
              IsError(ErrorCode::kInvalidArgument));
}

TEST_F(Models, WithTheSameParametersShareTheirFile) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ChargedRound(1);
  ASSERT_THAT(PublishRound(1, Model(0)), IsOk()) << "a round of zero updates changes nothing";
  EXPECT_THAT(FilesIn(data_dir() / "models"), SizeIs(1));
  EXPECT_EQ(store().LatestModel(Task("har"))->version, 1U);
  Open();
  EXPECT_THAT(store().MapModel(Digest(Model(0))), IsOk());
}

TEST_F(Models, KeepOnlyTheNewestOptimizerState) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  for (const RoundNumber number : {1U, 2U, 3U}) {
    ChargedRound(number);
    ASSERT_THAT(PublishRound(number, Model(1), Text("state " + std::to_string(number))), IsOk());
  }
  EXPECT_EQ(*store().OptimizerState(Task("har")), Text("state 3"));
  EXPECT_THAT(FilesIn(data_dir() / "optimizer"), SizeIs(1));
  ChargedRound(4);
  ASSERT_THAT(PublishRound(4, Model(1)), IsOk());
  EXPECT_THAT(*store().OptimizerState(Task("har")), IsEmpty());
  EXPECT_THAT(FilesIn(data_dir() / "optimizer"), IsEmpty());
}

TEST_F(Models, ShareEqualOptimizerStatesBetweenTasks) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ASSERT_THAT(store().CreateTask(NewTask("other"), Model(0)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("other", 1), RoundPhase::kCharged)), IsOk());
  ASSERT_THAT(store().Publish({.round = NewRound(Round("other", 1), RoundPhase::kPublished),
                               .model = Model(1),
                               .optimizer_state = Text("same"),
                               .task_state = {}}),
              IsOk());
  ChargedRound(1);
  ASSERT_THAT(PublishRound(1, Model(1), Text("same")), IsOk());
  ChargedRound(2);
  ASSERT_THAT(PublishRound(2, Model(1), Text("new")), IsOk());
  EXPECT_EQ(*store().OptimizerState(Task("other")), Text("same"));
}

class Commitments : public Models {
 protected:
  Result<ModelRecord> PublishCommitted(RoundNumber number, std::string commitment) {
    return store().Publish({.round = NewRound(Round("har", number), RoundPhase::kPublished),
                            .model = Model(static_cast<float>(number)),
                            .optimizer_state = {},
                            .task_state = {},
                            .commitment = std::move(commitment)});
  }
};

TEST_F(Commitments, StandInTheAuditLogOfTheirModelAndOfNoOther) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ChargedRound(1);
  ASSERT_THAT(PublishCommitted(1, "sha256 ab"), IsOk());
  ChargedRound(2);
  ASSERT_THAT(PublishRound(2, Model(2)), IsOk());
  Open();
  const auto record = store().Commitment(Task("har"), 1);
  ASSERT_THAT(record, IsOk());
  ASSERT_TRUE(record->has_value());
  EXPECT_EQ((*record)->event.detail, "sha256 ab");
  EXPECT_EQ((*record)->event.action, kCommitAction);
  EXPECT_EQ((*record)->event.target, "task/har/models/1");
  EXPECT_LE((*record)->event.at, store().Model(Task("har"), 1)->created_at);
  EXPECT_EQ((*record)->hash, AuditHash(**record));
  EXPECT_FALSE(store().Commitment(Task("har"), 2)->has_value());
  EXPECT_FALSE(store().Commitment(Task("ha"), 1)->has_value());
  EXPECT_EQ(store().VerifyAudit()->sequence, 1U);
}

TEST_F(Commitments, AreNotMadeByAPublicationThatFails) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ChargedRound(1);
  ASSERT_THAT(PublishCommitted(1, "sha256 ab"), IsOk());
  EXPECT_THAT(PublishCommitted(1, "sha256 cd"), IsError(ErrorCode::kConflict));
  EXPECT_EQ(store().VerifyAudit()->sequence, 1U);
}

TEST_F(Commitments, KeepTheirKeyAndDoNotReplaceOneThatIsLost) {
  const auto first = store().OwnerKey();
  ASSERT_THAT(first, IsOk());
  Open();
  const auto again = store().OwnerKey();
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(std::ranges::equal(first->bytes(), again->bytes()));
  std::filesystem::remove(data_dir() / "owner.key");
  ASSERT_THAT(store().OwnerKey(), IsOk()) << "nothing is marked yet";
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ChargedRound(1);
  ASSERT_THAT(PublishCommitted(1, "sha256 ab"), IsOk());
  std::filesystem::remove(data_dir() / "owner.key");
  EXPECT_THAT(store().OwnerKey(), IsErrorSaying(ErrorCode::kDataLoss, "restore it from a backup"));
}

}  // namespace
}  // namespace tacit::store
