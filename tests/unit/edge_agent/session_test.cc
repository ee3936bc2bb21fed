#include "edge_agent/upload/session.h"

#include <chrono>
#include <thread>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/edge_agent/data_files.h"
#include "tests/unit/edge_agent/fake_agents_server.h"

namespace tacit::upload {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using testing::FakeAgentsServer;
using testing::ScratchDirectory;

// 300,000 parameters: 1.2 MB, so that it takes two ranges.
class SessionTest : public ::testing::Test {
 protected:
  AgentSession Connect() {
    auto session = AgentSession::Create({.server = enrolment::ClientOptionsFor(server_.Device()),
                                         .state_directory = state_.path(),
                                         .agent_version = "tacit-agent test"});
    EXPECT_THAT(session, IsOk());
    return *std::move(session);
  }
  PendingUpdate Update() {
    return *MakeUpdate(server_.LeaseOf(1), std::vector<float>(server_.model().size(), 0.5F), {});
  }

  ScratchDirectory state_;
  FakeAgentsServer server_{*model::ModelSpec::Create({.inputs = 99'999, .hidden = {}, .classes = 3})};
  AgentSession session_ = Connect();
};

TEST_F(SessionTest, ChecksInWithWhatTheDeviceCanTrain) {
  server_.Script({server_.LeaseOf(1)});
  const auto reply =
      session_.CheckIn({.task = *TaskId::Parse("har"), .inputs = 99'999, .classes = 3, .wait = Millis(1000)});
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(std::get<codec::Lease>(*reply), server_.LeaseOf(1));
  const codec::CheckInRequest seen = server_.check_ins().at(0);
  EXPECT_EQ(seen.task, *TaskId::Parse("har"));
  EXPECT_EQ(seen.inputs, 99'999U);
  EXPECT_EQ(seen.classes, 3U);
  EXPECT_EQ(seen.wait, Millis(1000));
  EXPECT_EQ(seen.agent_version, "tacit-agent test");
}

TEST_F(SessionTest, TellsTheReasonForWaiting) {
  const auto reply = session_.CheckIn({});
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(std::get<codec::Wait>(*reply).reason, "round 1 waits for 2 of at least 3");
}

TEST_F(SessionTest, DownloadsAModelInRangesOnceAndThenFindsItOnDisk) {
  EXPECT_EQ(*session_.DownloadModel(server_.LeaseOf(1)), server_.model());
  EXPECT_THAT(server_.ranges(), ElementsAre("bytes=0-1048575", "bytes=1048576-1199999"));
  EXPECT_EQ(*Connect().DownloadModel(server_.LeaseOf(1)), server_.model());
  EXPECT_EQ(server_.ranges().size(), 2U);
}

TEST_F(SessionTest, GoesOnWithADownloadWhereAnotherProcessStopped) {
  const ByteSpan bytes = AsBytes(std::span<const float>(server_.model()));
  ModelCache cache(state_.path() / "models");
  ASSERT_THAT(cache.Append({.digest = crypto::Sha256(bytes), .bytes = bytes.size()}, bytes.first(1'000'000)), IsOk());
  server_.BreakModelAnswers(1);
  EXPECT_THAT(session_.DownloadModel(server_.LeaseOf(1)), IsErrorSaying(ErrorCode::kUnavailable, "the disk is busy"));
  EXPECT_EQ(*session_.DownloadModel(server_.LeaseOf(1)), server_.model());
  EXPECT_THAT(server_.ranges(), ElementsAre("bytes=1000000-1199999", "bytes=1000000-1199999"));
}

TEST_F(SessionTest, RefusesAModelWithAnotherDigestAndStartsAfresh) {
  server_.ServeWrongModel();
  EXPECT_THAT(session_.DownloadModel(server_.LeaseOf(1)), IsErrorSaying(ErrorCode::kMalformed, "digest"));
  EXPECT_THAT(session_.DownloadModel(server_.LeaseOf(1)), IsError(ErrorCode::kMalformed));
  EXPECT_EQ(server_.ranges().size(), 4U);
}

TEST_F(SessionTest, UploadsExactlyTheHeaderAndThePayload) {
  const PendingUpdate update = Update();
  const auto answer = session_.Upload(update);
  ASSERT_THAT(answer, IsOk());
  EXPECT_FALSE(answer->has_value());
  const auto seen = server_.uploads().at(0);
  EXPECT_EQ(seen.path, "/v1/tasks/har/rounds/1/update");
  EXPECT_EQ(seen.header, update.header);
  EXPECT_EQ(seen.payload, update.payload);
}

TEST_F(SessionTest, TellsAFinalRefusalFromAPassingFault) {
  server_.RefuseUploads({{ErrorCode::kUnavailable, "memory is in use"},
                         {ErrorCode::kRateLimited, "too many"},
                         {ErrorCode::kPermissionDenied, "revoked"},
                         {ErrorCode::kGone, "the round is over"},
                         {ErrorCode::kInvalidArgument, "parameter 7 is NaN"},
                         {ErrorCode::kConflict, "another update was counted"}});
  for (const ErrorCode passing : {ErrorCode::kUnavailable, ErrorCode::kRateLimited, ErrorCode::kPermissionDenied}) {
    EXPECT_THAT(session_.Upload(Update()), IsError(passing));
    EXPECT_EQ(session_.retry_after(), Millis(0));
  }
  for (const std::string_view reason : {"the round is over", "parameter 7 is NaN", "another update was counted"}) {
    const auto answer = session_.Upload(Update());
    ASSERT_THAT(answer, IsOk());
    ASSERT_TRUE(answer->has_value());
    EXPECT_EQ((*answer)->message, reason);
  }
}

TEST_F(SessionTest, CancelEndsALongPollAtOnce) {
  server_.HoldCheckIns(Millis(30'000));
  std::jthread canceller([this] {
    server_.Script({});
    while (server_.check_ins().empty()) std::this_thread::sleep_for(Millis(5));
    session_.Cancel();
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(session_.CheckIn({}), IsError(ErrorCode::kUnavailable));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_THAT(session_.CheckIn({}), IsError(ErrorCode::kUnavailable));
}

TEST(Session, SaysThatNobodyAnswers) {
  const ScratchDirectory state;
  enrolment::EnrolledIdentity device =
      FakeAgentsServer(*model::ModelSpec::Create({.inputs = 1, .hidden = {}, .classes = 2})).Device();
  auto session = AgentSession::Create(
      {.server = enrolment::ClientOptionsFor(device), .state_directory = state.path(), .agent_version = "x"});
  ASSERT_THAT(session, IsOk());
  EXPECT_THAT(session->CheckIn({}), IsError(ErrorCode::kUnavailable));
}

}  // namespace
}  // namespace tacit::upload
