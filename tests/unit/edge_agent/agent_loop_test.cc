#include "edge_agent/app/agent_loop.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <stop_token>
#include <thread>

#include <gmock/gmock.h>

#include "common/base/files.h"
#include "common/compression/zstd.h"
#include "edge_agent/data/synthetic.h"
#include "edge_agent/upload/residual.h"
#include "tests/support/matchers.h"
#include "tests/unit/edge_agent/data_files.h"
#include "tests/unit/edge_agent/fake_agents_server.h"

// The whole agent but its command line, against a server over real TLS.
namespace tacit::agent {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::AllOf;
using testing::FakeAgentsServer;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ScratchDirectory;

class AgentLoopTest : public ::testing::Test {
 protected:
  AgentLoopTest() {
    options_.state_directory = state_.path();
    options_.backoff = {.first = Millis(10), .longest = Millis(50)};
    options_.long_poll = Millis(1000);
    options_.rounds_limit = 1;
  }

  Result<void> Run(std::stop_token stop = {}) {
    log_.reset(std::tmpfile());
    return RunIntoLog(stop);
  }

  Result<void> RunIntoLog(const std::stop_token& stop) {
    Logger logger(::fileno(log_.get()), clock_, LogLevel::kInfo);
    data::Dataset dataset = *data::SyntheticSensorWindows({.rows = 64});
    dataset.left_out = left_out_;
    AgentLoop loop(device_, std::move(dataset), options_, logger, clock_);
    return loop.Run(stop);
  }

  // Runs until `condition` holds, then asks to stop; gives how long the stop took.
  Millis RunUntil(const std::function<bool()>& condition) {
    std::stop_source stop;
    std::chrono::steady_clock::time_point asked;
    log_.reset(std::tmpfile());  // before the condition may look into it
    {
      std::jthread stopper([&] {
        for (int i = 0; i < 1000 && !condition(); ++i) std::this_thread::sleep_for(Millis(10));
        EXPECT_TRUE(condition());
        asked = std::chrono::steady_clock::now();
        stop.request_stop();
      });
      EXPECT_THAT(RunIntoLog(stop.get_token()), IsOk());
    }
    return std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - asked);
  }

  // What the latest run has logged, also while it runs: where the logger writes next is not touched.
  [[nodiscard]] std::string Log() const {
    std::string text;
    std::array<char, 4096> buffer{};
    const auto read = [&] {
      return ::pread(::fileno(log_.get()), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    };
    for (ssize_t count = read(); count > 0; count = read()) text.append(buffer.data(), static_cast<std::size_t>(count));
    return text;
  }

  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  SystemClock clock_;
  ScratchDirectory state_;
  FakeAgentsServer server_{*model::ModelSpec::Create({.inputs = data::kSyntheticFeatures, .hidden = {}, .classes = 6})};
  enrolment::EnrolledIdentity device_ = server_.Device();
  LoopOptions options_;
  data::LeftOut left_out_;
  std::unique_ptr<std::FILE, CloseFile> log_;
};

TEST_F(AgentLoopTest, TakesPartInARoundWithAClippedUpdateOfIntegers) {
  server_.Script({codec::Wait{Millis(1), "waiting for devices"}, server_.LeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  ASSERT_EQ(server_.uploads().size(), 1U);
  const auto upload = server_.uploads()[0];
  EXPECT_EQ(upload.header.encoding, codec::Encoding::kGridInt32);
  double squares = 0;
  for (std::size_t i = 0; i < upload.payload.size(); i += 4) {
    std::int32_t value = 0;
    std::memcpy(&value, upload.payload.data() + i, 4);
    squares += std::pow(value, 2);
  }
  EXPECT_GT(squares, 0);
  EXPECT_LE(squares, std::pow(1U << 20U, 2));
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"agent_waiting\",\"reason\":\"waiting for devices\""),
                           HasSubstr("\"agent_round_started\""), HasSubstr("\"agent_update_counted\"")));
}

TEST_F(AgentLoopTest, TellsNobodyItsLossOrItsNumberOfRows) {
  server_.Script({server_.LeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(Log(), AllOf(Not(HasSubstr("loss")), Not(HasSubstr("rows")), Not(HasSubstr("examples"))));
  EXPECT_EQ(server_.uploads().at(0).header.example_count, 0U);
}

TEST_F(AgentLoopTest, WarnsAtItsStartThatLabelsAreLeftOutAndSaysNeitherWhichNorHowMany) {
  options_.rounds_limit = 0;
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(Log(), Not(HasSubstr("agent_labels_left_out")));
  left_out_ = {.rows = 4711, .labels = {"readmitted"}};
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"level\":\"warn\",\"event\":\"agent_labels_left_out\""), Not(HasSubstr("4711")),
                           Not(HasSubstr("readmitted"))));
}

codec::Lease WithLocalNoise(codec::Lease lease, std::uint64_t max_releases = 5) {
  lease.mechanism = codec::Mechanism::kNone;
  lease.local = codec::LocalNoise{
      .mechanism = codec::Mechanism::kGaussian, .noise_multiplier = 20, .delta = 1e-6, .max_releases = max_releases};
  return lease;
}

TEST_F(AgentLoopTest, ChargesANoisedUpdateOnceHoweverOftenItIsSent) {
  server_.Script({WithLocalNoise(server_.LeaseOf(1))});
  server_.RefuseUploads({{ErrorCode::kUnavailable, "busy"}});
  ASSERT_THAT(Run(), IsOk());
  ASSERT_EQ(server_.uploads().size(), 2U);
  EXPECT_EQ(server_.uploads()[0].payload, server_.uploads()[1].payload);
  EXPECT_EQ(upload::LocalLedger::Open(state_.path(), {})->record().tasks.at(0).releases, 1U);
}

TEST_F(AgentLoopTest, SendsANoisedUpdateWhateverTheDataMakeOfTheTraining) {
  codec::Lease lease = WithLocalNoise(server_.LeaseOf(1));
  lease.training.learning_rate = 3e38;  // as a server would that asks whether the training diverges
  lease.training.epochs = 5;
  server_.Script({lease});
  ASSERT_THAT(Run(), IsOk());
  EXPECT_EQ(server_.uploads().size(), 1U);
  EXPECT_EQ(upload::LocalLedger::Open(state_.path(), {})->record().tasks.at(0).releases, 1U);
}

TEST_F(AgentLoopTest, DropsAKeptUpdateWithoutNoiseOnceThereIsACap) {
  server_.Script({server_.LeaseOf(1)});
  // So long that no second upload is under way when the first run ends: it could arrive in the second.
  server_.RefuseUploads({{ErrorCode::kUnavailable, "busy"}}, std::chrono::seconds(60));
  RunUntil([&] { return !server_.uploads().empty(); });
  options_.local_cap = {.epsilon = *dp::Epsilon::Create(4), .delta = *dp::Delta::Create(1e-6)};
  const std::size_t asked = server_.check_ins().size();
  RunUntil([&] { return server_.check_ins().size() > asked + 1; });
  EXPECT_EQ(server_.uploads().size(), 1U);
  EXPECT_THAT(Log(), HasSubstr("agent_update_dropped"));
}

TEST_F(AgentLoopTest, SendsNoNoisedUpdateThatItCouldNotChargeFor) {
  server_.Script({codec::Wait{Millis(500), "not yet"}, WithLocalNoise(server_.LeaseOf(1))});
  RunUntil([&] {
    // What stands in the way of the ledger's file: the charge cannot be made durable.
    if (server_.check_ins().size() == 1) std::filesystem::create_directories(state_.path() / "local_privacy.json");
    return server_.check_ins().size() > 3;
  });
  EXPECT_TRUE(server_.uploads().empty());
  EXPECT_THAT(Log(), HasSubstr("\"agent_retrying\",\"step\":\"train\""));
}

TEST_F(AgentLoopTest, DeclinesATaskThatAsksForMoreThanItMayGiveAndTellsTheServer) {
  server_.Script({WithLocalNoise(server_.LeaseOf(1), 1), WithLocalNoise(server_.LeaseOf(2), 1)});
  options_.rounds_limit = 2;
  RunUntil([&] { return server_.check_ins().size() > 3; });
  EXPECT_EQ(server_.uploads().size(), 1U);
  EXPECT_THAT(Log(), HasSubstr("\"agent_task_declined\",\"task\":\"har\",\"code\":\"permission_denied\""));
  EXPECT_TRUE(server_.check_ins().at(1).declined.empty());
  EXPECT_EQ(server_.check_ins().at(2).declined, std::vector<TaskId>{*TaskId::Parse("har")});
}

TEST_F(AgentLoopTest, WithACapOfItsOwnSendsNothingWithoutNoise) {
  options_.local_cap = {.epsilon = *dp::Epsilon::Create(4), .delta = *dp::Delta::Create(1e-6)};
  server_.Script({server_.LeaseOf(1)});
  RunUntil([&] { return server_.check_ins().size() > 2; });
  EXPECT_TRUE(server_.uploads().empty());
  EXPECT_TRUE(server_.ranges().empty());
  EXPECT_THAT(Log(), HasSubstr("without noise of this device"));
}

TEST_F(AgentLoopTest, WarnsOfACapThatBecomesStricterAndRunsWithNoneThatBecomesLooser) {
  options_.rounds_limit = 0;
  options_.local_cap = {.epsilon = *dp::Epsilon::Create(3), .delta = *dp::Delta::Create(1e-6)};
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(Log(), Not(HasSubstr("agent_cap_tightened")));
  options_.local_cap->epsilon = *dp::Epsilon::Create(2);
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(Log(), HasSubstr("\"level\":\"warn\",\"event\":\"agent_cap_tightened\",\"epsilon\":2"));
  options_.local_cap->epsilon = *dp::Epsilon::Create(3);
  EXPECT_THAT(Run(), IsErrorSaying(ErrorCode::kConflict, "is not stricter"));
}

TEST_F(AgentLoopTest, SaysThatACapBelowWhatIsSpentEndsItsUpdates) {
  options_.local_cap = {.epsilon = *dp::Epsilon::Create(4), .delta = *dp::Delta::Create(1e-6)};
  server_.Script({WithLocalNoise(server_.LeaseOf(1))});
  ASSERT_THAT(Run(), IsOk());
  options_.rounds_limit = 0;
  options_.local_cap->epsilon = *dp::Epsilon::Create(3);
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"epsilon_spent\":1."), HasSubstr("what is spent counts against it")));
  options_.local_cap->epsilon = *dp::Epsilon::Create(0.1);
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(Log(), HasSubstr("this device sends no noised update any more"));
}

TEST_F(AgentLoopTest, SaysFromItsFirstCheckInThatItSendsNothingWithoutNoise) {
  RunUntil([&] { return !server_.check_ins().empty(); });
  EXPECT_FALSE(server_.check_ins().back().only_local_noise);
  options_.local_cap = {.epsilon = *dp::Epsilon::Create(4), .delta = *dp::Delta::Create(1e-6)};
  const std::size_t before = server_.check_ins().size();
  RunUntil([&] { return server_.check_ins().size() > before; });
  EXPECT_TRUE(server_.check_ins().at(before).only_local_noise);
  options_.local_cap.reset();
  const std::size_t capped = server_.check_ins().size();
  RunUntil([&] { return server_.check_ins().size() > capped; });
  EXPECT_TRUE(server_.check_ins().at(capped).only_local_noise) << "the cap is kept in the state directory";
}

TEST_F(AgentLoopTest, SendsTheSameUpdateAgainUntilItIsAcknowledged) {
  server_.Script({server_.LeaseOf(1)});
  server_.RefuseUploads({{ErrorCode::kUnavailable, "busy"}, {ErrorCode::kUnavailable, "busy"}});
  ASSERT_THAT(Run(), IsOk());
  const auto uploads = server_.uploads();
  ASSERT_EQ(uploads.size(), 3U);
  EXPECT_EQ(uploads[0].payload, uploads[2].payload);
  EXPECT_EQ(uploads[0].header, uploads[2].header);
  EXPECT_THAT(Log(), HasSubstr("\"agent_retrying\",\"step\":\"upload\",\"code\":\"unavailable\",\"reason\":\"busy\""));
}

TEST_F(AgentLoopTest, SendsTheUpdateOfAKilledAgentAgainByteForByte) {
  // A first agent that never gets its acknowledgement, and is stopped with the update on disk.
  server_.Script({server_.LeaseOf(1)});
  server_.RefuseUploads(std::vector<Error>(1000, {ErrorCode::kUnavailable, "busy"}));
  RunUntil([this] { return server_.uploads().size() >= 2; });
  const auto before = server_.uploads();
  server_.RefuseUploads({});
  ASSERT_THAT(Run(), IsOk());
  const auto after = server_.uploads();
  EXPECT_EQ(after.back().payload, before.front().payload);
  EXPECT_EQ(after.back().header, before.front().header);
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"agent_update_found\""), Not(HasSubstr("\"agent_round_started\""))));
}

TEST_F(AgentLoopTest, TrainsARoundTwiceToTheSameBytes) {
  server_.Script({server_.LeaseOf(1), server_.LeaseOf(1), server_.LeaseOf(2)});
  options_.rounds_limit = 3;
  ASSERT_THAT(Run(), IsOk());
  const auto uploads = server_.uploads();
  EXPECT_EQ(uploads[0].payload, uploads[1].payload);
  EXPECT_NE(uploads[0].payload, uploads[2].payload);
}

TEST_F(AgentLoopTest, ForgetsAnUpdateOfARoundThatIsOverAndGoesOn) {
  server_.Script({server_.LeaseOf(1), server_.LeaseOf(2)});
  server_.RefuseUploads({{ErrorCode::kGone, "round 1 is over"}});
  ASSERT_THAT(Run(), IsOk());
  EXPECT_EQ(server_.uploads().back().path, "/v1/tasks/har/rounds/2/update");
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"agent_update_refused\""), HasSubstr("round 1 is over")));
  EXPECT_FALSE(std::filesystem::exists(state_.path() / "pending_update"));
}

class SparseAgentLoopTest : public AgentLoopTest {
 protected:
  [[nodiscard]] codec::Lease SparseLeaseOf(RoundNumber round) const {
    codec::Lease lease = server_.LeaseOf(round);
    lease.top_k = 20;
    return lease;
  }
  // What the next update takes up; empty for nothing.
  [[nodiscard]] std::vector<float> Residual() const {
    const codec::Lease lease = server_.LeaseOf(1);
    return upload::ResidualStore(state_.path()).Load(lease.task, lease.schema_digest, server_.model().size());
  }
  // Runs until an update is on disk that the server does not take, and gives the file.
  Bytes TrainAndBeKilled(RoundNumber round) {
    server_.Script({SparseLeaseOf(round)});
    server_.RefuseUploads({{ErrorCode::kUnavailable, "busy"}}, std::chrono::seconds(60));
    const std::size_t before = server_.uploads().size();
    RunUntil([&] { return server_.uploads().size() > before; });
    return *ReadFile(PendingFile(), std::size_t{1} << 20U);
  }
  [[nodiscard]] std::filesystem::path PendingFile() const { return state_.path() / "pending_update"; }
};

TEST_F(SparseAgentLoopTest, SendsTheLargestEntriesAndKeepsTheRestForTheNextUpdate) {
  options_.rounds_limit = 2;
  server_.Script({SparseLeaseOf(1), SparseLeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  const auto uploads = server_.uploads();
  ASSERT_EQ(uploads.size(), 2U);
  const std::size_t parameters = server_.model().size();
  for (const auto& upload : uploads) {
    EXPECT_TRUE(upload.header.sparse);
    EXPECT_EQ(upload.payload.size(), 20 * 4 + (parameters + 7) / 8);
  }
  EXPECT_EQ(Residual().size(), parameters);
  // The same round, trained to the same delta: only the rest makes a difference.
  EXPECT_NE(uploads[0].payload, uploads[1].payload);
}

TEST_F(SparseAgentLoopTest, TakesUpWhatAcknowledgedUpdatesLeftAndNothingOfRefusedOnes) {
  server_.Script({SparseLeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  const std::vector<float> first = Residual();
  ASSERT_FALSE(first.empty());
  options_.rounds_limit = std::nullopt;
  server_.Script({SparseLeaseOf(2)});
  server_.RefuseUploads({{ErrorCode::kGone, "round 2 is over"}});
  RunUntil([&] { return Log().find("agent_update_refused") != std::string::npos; });
  EXPECT_EQ(Residual(), first);
  EXPECT_FALSE(std::filesystem::exists(PendingFile()));
  options_.rounds_limit = 1;
  // More than one: a check-in of the agent that was stopped may still take the first.
  server_.Script(std::vector<codec::CheckInReply>(3, SparseLeaseOf(3)));
  ASSERT_THAT(Run(), IsOk());
  EXPECT_NE(Residual(), first);
}

// A kill leaves the files as they are between any two steps: the update and its rest saved; the rest taken for the
// residual; the update removed.
TEST_F(SparseAgentLoopTest, AdvancesItsResidualOnceWhereverItIsKilled) {
  const Bytes saved = TrainAndBeKilled(1);
  EXPECT_TRUE(Residual().empty()) << "nothing was acknowledged";
  ASSERT_THAT(Run(), IsOk());
  const std::vector<float> advanced = Residual();
  ASSERT_FALSE(advanced.empty());
  EXPECT_FALSE(std::filesystem::exists(PendingFile()));
  // Killed between the second step and the third: the server knows the update, or its round is over meanwhile.
  state_.Write("pending_update", saved);
  ASSERT_THAT(Run(), IsOk());
  EXPECT_EQ(Residual(), advanced);
  state_.Write("pending_update", saved);
  server_.RefuseUploads({{ErrorCode::kGone, "round 1 is over"}});
  RunUntil([&] { return Log().find("agent_update_refused") != std::string::npos; });
  EXPECT_EQ(Residual(), advanced);
}

// The names that files in two directories get or lose, in the order in which it happens.
class WatchedNames {
 public:
  WatchedNames(const std::filesystem::path& one, const std::filesystem::path& other) {
    for (const auto& path : {one, other})
      EXPECT_GE(::inotify_add_watch(watch_, path.c_str(), IN_MOVED_TO | IN_DELETE), 0);
  }
  ~WatchedNames() { ::close(watch_); }
  WatchedNames(const WatchedNames&) = delete;
  WatchedNames& operator=(const WatchedNames&) = delete;

  std::vector<std::string> Take() const {
    std::vector<std::string> names;
    alignas(inotify_event) std::array<char, 16 * 1024> buffer{};
    const ssize_t size = ::read(watch_, buffer.data(), buffer.size());
    for (ssize_t at = 0; at < size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      names.push_back(((event->mask & IN_DELETE) != 0 ? "-" : "+") + std::string(event->name));
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
    return names;
  }

 private:
  int watch_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
};

TEST_F(SparseAgentLoopTest, RemovesAnUpdateOnlyOnceItsRestIsTheResidual) {
  server_.Script({SparseLeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  const WatchedNames watched(state_.path(), state_.path() / "residuals");
  server_.Script({SparseLeaseOf(2)});
  ASSERT_THAT(Run(), IsOk());
  const std::vector<std::string> names = watched.Take();
  const auto at = [&](const std::string& name) { return std::ranges::find(names, name) - names.begin(); };
  const std::string residual = "+har." + ToHex(server_.LeaseOf(1).schema_digest);
  EXPECT_LT(at("+pending_update"), at(residual));
  EXPECT_LT(at(residual), at("-pending_update"));
  EXPECT_LT(at("-pending_update"), std::ssize(names));
}

TEST_F(SparseAgentLoopTest, GivesAResidualUpThatItCannotReplace) {
  server_.Script({SparseLeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  ASSERT_FALSE(Residual().empty());
  // What stands where the new one would be written cannot be replaced by a file.
  const auto file = std::filesystem::directory_iterator(state_.path() / "residuals")->path();
  const auto older = state_.path() / "residuals" / ("har." + ToHex(Digest128{1}));
  std::filesystem::rename(file, older);
  std::filesystem::create_directory(file);
  state_.Write("residuals/" + file.filename().string() + "/in-the-way", std::string_view("x"));
  server_.Script({SparseLeaseOf(2)});
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"agent_residual_dropped\""), HasSubstr("\"agent_update_counted\"")));
  EXPECT_FALSE(std::filesystem::exists(older));
}

TEST_F(SparseAgentLoopTest, ForgetsWhatWasLeftOnceADenseUpdateIsAcknowledged) {
  server_.Script({SparseLeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  const std::vector<float> left = Residual();
  ASSERT_FALSE(left.empty());
  options_.encoding = codec::Encoding::kFloat32;
  server_.Script({SparseLeaseOf(2)});
  server_.RefuseUploads({{ErrorCode::kGone, "round 2 is over"}});
  RunUntil([&] { return Log().find("agent_update_refused") != std::string::npos; });
  EXPECT_EQ(Residual(), left);
  server_.Script(std::vector<codec::CheckInReply>(3, SparseLeaseOf(3)));
  ASSERT_THAT(Run(), IsOk());
  EXPECT_TRUE(Residual().empty());
}

TEST_F(AgentLoopTest, SendsCompressedWhatItsLeaseTakesSo) {
  codec::Lease lease = server_.LeaseOf(1);
  lease.takes_zstd = true;
  server_.Script({server_.LeaseOf(1), lease});
  options_.rounds_limit = 2;
  ASSERT_THAT(Run(), IsOk());
  const auto uploads = server_.uploads();
  ASSERT_EQ(uploads.size(), 2U);
  EXPECT_FALSE(uploads[0].header.zstd);
  EXPECT_TRUE(uploads[1].header.zstd);
  // The same round, trained to the same bytes.
  EXPECT_EQ(uploads[1].header.payload_digest, uploads[0].header.payload_digest);
  EXPECT_EQ(uploads[1].header.payload_bytes, uploads[0].payload.size());
  EXPECT_LE(uploads[1].payload.size(), uploads[0].payload.size() * 15 / 16);
  Bytes unpacked(uploads[0].payload.size());
  ByteSpan frame = uploads[1].payload;
  Decompressor decompressor = *Decompressor::Create();
  EXPECT_EQ(*decompressor.Unpack(frame, unpacked), unpacked.size());
  EXPECT_EQ(unpacked, uploads[0].payload);
}

TEST_F(SparseAgentLoopTest, SendsFloatsDenseAndKeepsNoResidual) {
  options_.encoding = codec::Encoding::kFloat32;
  server_.Script({SparseLeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  EXPECT_FALSE(server_.uploads().at(0).header.sparse);
  EXPECT_EQ(server_.uploads().at(0).payload.size(), server_.model().size() * sizeof(float));
  EXPECT_TRUE(Residual().empty());
}

TEST_F(SparseAgentLoopTest, InjectsNanForEveryParameterOfASparseUpdate) {
  options_.fault = Fault::kNan;
  server_.Script({SparseLeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  EXPECT_FALSE(server_.uploads().at(0).header.sparse);
  EXPECT_EQ(server_.uploads().at(0).payload.size(), server_.model().size() * sizeof(float));
}

TEST_F(AgentLoopTest, WaitsForAServerThatIsAway) {
  const net::Endpoint real = device_.agents;
  std::unique_ptr<FakeAgentsServer> gone =
      std::make_unique<FakeAgentsServer>(*model::ModelSpec::Create({.inputs = 1, .hidden = {}, .classes = 2}));
  device_.agents = gone->endpoint();
  gone.reset();
  const std::string retrying = R"("agent_retrying","step":"check_in","code":"unavailable")";
  RunUntil([&] { return Log().find(retrying) != std::string::npos; });
  EXPECT_THAT(Log(), AllOf(HasSubstr(retrying), HasSubstr("\"agent_stopped\"")));
  device_.agents = real;
  server_.Script({server_.LeaseOf(1)});
  EXPECT_THAT(Run(), IsOk());
}

TEST_F(AgentLoopTest, StopsQuicklyInTheMiddleOfALongPoll) {
  server_.HoldCheckIns(Millis(30'000));
  EXPECT_LT(RunUntil([this] { return !server_.check_ins().empty(); }), Millis(2000));
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"agent_stopped\""), Not(HasSubstr("\"agent_retrying\""))));
}

TEST_F(AgentLoopTest, StopsQuicklyInTheMiddleOfAPauseAndOfTraining) {
  server_.Script(std::vector<codec::CheckInReply>(3, codec::Wait{std::chrono::hours(1), "tomorrow"}));
  EXPECT_LT(RunUntil([this] { return !server_.check_ins().empty(); }), Millis(2000));
  codec::Lease endless = server_.LeaseOf(1);
  endless.training.epochs = codec::kMaxEpochs;
  server_.Script({endless});
  EXPECT_LT(RunUntil([this] { return server_.ranges().size() == 1; }), Millis(2000));
  EXPECT_TRUE(server_.uploads().empty());
}

TEST_F(AgentLoopTest, AsksForAnAnswerAtOnceFirstAndThenWaits) {
  server_.RefuseCheckIns({{ErrorCode::kUnavailable, "starting"}});
  server_.Script({codec::Wait{std::chrono::hours(1), "task har takes 7 inputs"}});
  RunUntil([this] { return server_.check_ins().size() >= 3; });
  EXPECT_EQ(server_.check_ins().at(0).wait, Millis(0));
  EXPECT_EQ(server_.check_ins().at(1).wait, Millis(0)) << "the first was not answered";
  EXPECT_EQ(server_.check_ins().at(2).wait, Millis(1000));
  EXPECT_THAT(Log(), HasSubstr("\"agent_waiting\",\"reason\":\"task har takes 7 inputs\""));
}

TEST_F(AgentLoopTest, IsHeldBackNoLongerThanItsCertificateCanWait) {
  device_.not_before = clock_.Now() - std::chrono::seconds(10);
  device_.not_after = clock_.Now() + std::chrono::seconds(12);
  options_.long_poll = std::chrono::seconds(30);
  RunUntil([this] { return server_.check_ins().size() >= 2; });
  // Renewal is due one second from the start on.
  EXPECT_LE(server_.check_ins().at(1).wait, std::chrono::seconds(1));
  // Once a renewal has failed, no longer than until the next try.
  device_.not_before = clock_.Now() - std::chrono::hours(48);
  device_.not_after = clock_.Now() + std::chrono::hours(24);
  const std::size_t before = server_.check_ins().size();
  RunUntil([&] { return server_.check_ins().size() >= before + 2; });
  EXPECT_LE(server_.check_ins().at(before + 1).wait, std::chrono::seconds(5));
}

TEST_F(AgentLoopTest, SaysTheSameReasonOnce) {
  RunUntil([this] { return server_.check_ins().size() >= 3; });
  const std::string log = Log();
  const std::size_t first = log.find("\"agent_waiting\"");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(log.find("\"agent_waiting\"", first + 1), std::string::npos);
}

TEST_F(AgentLoopTest, RefusesALeaseForAModelThatDoesNotFitItsData) {
  FakeAgentsServer other(*model::ModelSpec::Create({.inputs = 7, .hidden = {}, .classes = 6}));
  device_ = other.Device();
  other.Script({other.LeaseOf(1)});
  RunUntil([&] { return other.check_ins().size() >= 2; });
  EXPECT_THAT(Log(), HasSubstr("takes 7 features, the data have 60"));
  EXPECT_TRUE(other.uploads().empty());
}

TEST_F(AgentLoopTest, LeavesAModelAloneThatWouldTakeMoreMemoryThanAllowed) {
  options_.memory_limit_mib = 1;
  server_.Script({server_.LeaseOf(1), server_.LeaseOf(1)});
  RunUntil([&] { return server_.check_ins().size() >= 2; });
  EXPECT_THAT(Log(), AllOf(HasSubstr("agent_retrying"), HasSubstr("memory-limit-mib 1")));
  EXPECT_TRUE(server_.uploads().empty());
  EXPECT_TRUE(server_.ranges().empty()) << "nothing was downloaded";
}

model::ModelSpec Layers(std::string_view text) {
  return *model::ModelSpec::Parse("tacit-layers/1:" + std::string(text));
}

TEST_F(AgentLoopTest, TrainsLayersOverASignalAndSaysFromItsFirstCheckInThatItCan) {
  FakeAgentsServer server(Layers("6x10;conv 8 3 pad 1;relu;max-pool 2;flatten;dense 6"));
  device_ = server.Device();
  server.Script({server.LeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  ASSERT_EQ(server.uploads().size(), 1U);
  EXPECT_EQ(server.uploads()[0].header.schema_digest, server.LeaseOf(1).schema_digest);
  EXPECT_EQ(server.uploads()[0].payload.size(), server.model().size() * sizeof(std::int32_t));
  EXPECT_TRUE(server.check_ins().at(0).trains_layers);
  EXPECT_TRUE(server.check_ins().at(0).trains_hardened);
}

TEST_F(AgentLoopTest, HardensItsTrainingWhereTheLeaseSaysSo) {
  server_.Script({server_.LeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  const Bytes plain = server_.uploads().at(0).payload;
  codec::Lease lease = server_.LeaseOf(1);
  lease.training.adversarial =
      codec::Adversarial{.epsilon = 0.5, .steps = 3, .step_size = 0.3, .share = 1, .input_min = -10, .input_max = 10};
  for (int i = 0; i < 2; ++i) {
    server_.Script({lease});
    ASSERT_THAT(Run(), IsOk());
  }
  ASSERT_EQ(server_.uploads().size(), 3U);
  EXPECT_NE(server_.uploads()[1].payload, plain);
  EXPECT_EQ(server_.uploads()[1].payload, server_.uploads()[2].payload) << "the same bits for the same round";
}

TEST_F(AgentLoopTest, TrainsNothingElseThanWhatTheWholeLeaseSays) {
  FakeAgentsServer server(Layers("6x10;flatten;dense 6"));
  device_ = server.Device();
  // As an agent reads it that knows of no layers: softmax regression, with as many parameters.
  codec::Lease skipped = server.LeaseOf(1);
  skipped.model.layers.clear();
  codec::Lease other = server.LeaseOf(1);
  other.model.layers = "tacit-layers/1:5x10;flatten;dense 6";
  server.Script({skipped, other});
  RunUntil([&] { return server.check_ins().size() >= 3; });
  EXPECT_THAT(Log(), AllOf(HasSubstr("does not fit its schema digest and size; server and agent differ in version"),
                           HasSubstr("layers are of another model than its inputs and classes")));
  EXPECT_TRUE(server.uploads().empty());
}

TEST_F(AgentLoopTest, CountsWhatLayersKeepOfARowAsItsMemory) {
  std::string text = "6x10";
  for (int i = 0; i < 20; ++i) text += ";conv 64 1 pad 1024";
  FakeAgentsServer server(Layers(text + ";global-average-pool;flatten;dense 6"));
  device_ = server.Device();
  options_.memory_limit_mib = 200;  // 20 convolutions over up to 41,000 places: 27 million numbers, and their slopes
  server.Script({server.LeaseOf(1)});
  RunUntil([&] { return server.check_ins().size() >= 2; });
  EXPECT_THAT(Log(), HasSubstr("memory-limit-mib 200"));
  EXPECT_TRUE(server.ranges().empty()) << "nothing was downloaded";
}

TEST_F(AgentLoopTest, InjectsNanWithADigestThatIsRight) {
  options_.fault = Fault::kNan;
  server_.Script({server_.LeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  const auto upload = server_.uploads().at(0);
  EXPECT_EQ(upload.header.encoding, codec::Encoding::kFloat32);
  EXPECT_EQ(upload.header.payload_digest, Xxh3(upload.payload));
  float value = 0;
  std::memcpy(&value, upload.payload.data(), sizeof value);
  EXPECT_TRUE(std::isnan(value));
}

TEST_F(AgentLoopTest, InjectsAnUploadAfterTheDeadline) {
  options_.fault = Fault::kSlow;
  codec::Lease lease = server_.LeaseOf(1);
  lease.deadline = Millis(200);
  server_.Script({lease});
  const auto start = std::chrono::steady_clock::now();
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(std::chrono::steady_clock::now() - start, Ge(Millis(1200)));
}

TEST_F(AgentLoopTest, EndsWhenItsCertificateHasExpiredAndIsNotRenewed) {
  device_.not_before = clock_.Now() - std::chrono::hours(48);
  device_.not_after = clock_.Now() - std::chrono::hours(1);
  EXPECT_THAT(Run(), IsErrorSaying(ErrorCode::kUnauthenticated, "token create --name " + device_.device.str()));
}

TEST_F(AgentLoopTest, EndsWhenTheServerShutsItOut) {
  const Error revoked{ErrorCode::kPermissionDenied, "device pump-3 is revoked"};
  server_.RefuseCheckIns({revoked});
  EXPECT_THAT(Run(), IsErrorSaying(ErrorCode::kPermissionDenied,
                                   "shuts this device out (device pump-3 is revoked); to "
                                   "take part again it needs a new token, and to join "
                                   "under another name"));
  EXPECT_EQ(server_.check_ins().size(), 1U);
  // With an update to send, too: what it is refused with may have been about its round.
  server_.Script({server_.LeaseOf(1)});
  server_.RefuseUploads({revoked});
  server_.RefusePrivacy(revoked);
  EXPECT_THAT(Run(), IsErrorSaying(ErrorCode::kPermissionDenied, "shuts this device out"));
  EXPECT_EQ(server_.uploads().size(), 1U);
}

TEST_F(AgentLoopTest, SendsAgainWhatIsRefusedBecauseOfItsRound) {
  server_.Script({server_.LeaseOf(1)});
  server_.RefuseUploads({{ErrorCode::kPermissionDenied, "the coin of round 1 did not choose this device"}});
  ASSERT_THAT(Run(), IsOk());
  EXPECT_EQ(server_.uploads().size(), 2U);
}

TEST_F(AgentLoopTest, WarnsOnceOfATaskThatIsNotThereAndWaitsForIt) {
  options_.task = *TaskId::Parse("har");
  server_.RefuseCheckIns(std::vector<Error>(3, {ErrorCode::kNotFound, "there is no task named har"}));
  server_.Script({server_.LeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  const std::string log = Log();
  const std::size_t first = log.find("\"level\":\"warn\",\"event\":\"agent_task_missing\",\"task\":\"har\"");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(log.find("agent_task_missing", first + 50), std::string::npos);
  EXPECT_THAT(log, Not(HasSubstr("agent_retrying")));
}

TEST_F(AgentLoopTest, GoesOnWhileARenewalFailsBeforeTheEnd) {
  device_.not_before = clock_.Now() - std::chrono::hours(48);
  device_.not_after = clock_.Now() + std::chrono::hours(24);
  server_.Script({server_.LeaseOf(1)});
  ASSERT_THAT(Run(), IsOk());
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"agent_renewal_failed\""), HasSubstr("\"agent_update_counted\"")));
}

}  // namespace
}  // namespace tacit::agent
