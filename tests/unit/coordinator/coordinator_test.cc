#include "server/coordinator/coordinator.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "common/net/run_blocking.h"
#include "dp/update.h"
#include "server/ownership/watermark.h"
#include "server/store/sqlite_store.h"
#include "tests/support/matchers.h"
#include "tests/support/task_text.h"
#include "tests/support/temp_directory.h"

namespace tacit::coordinator {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

std::string TaskToml() {
  return testing::SmallTask("t", R"([rounds]
count = 20
[cohort]
size = 4
[privacy]
mechanism = "none"
clip_norm = 1.0
)");
}

/// The real time, and how often it was asked for: a measure of the work that was done meanwhile.
class CountingClock final : public Clock {
 public:
  [[nodiscard]] WallTime Now() const override { return clock_.Now(); }
  [[nodiscard]] SteadyTime SteadyNow() const override {
    ++asked_;
    return clock_.SteadyNow();
  }
  [[nodiscard]] int asked() const { return asked_; }

 private:
  SystemClock clock_;
  mutable std::atomic<int> asked_ = 0;
};

class CoordinatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (net::IoThreads* threads : {io_.get(), control_.get(), store_io_.get()}) threads->Start();
    ASSERT_THAT(Run(coordinator_.Start()), IsOk());
  }
  void TearDown() override {
    net::RunBlocking(on_control_, coordinator_.Stop());
    net::RunBlocking(on_control_, background_.JoinAll());
    net::IoThreads::StopAndJoin({io_.get(), control_.get(), store_io_.get()});
  }
  template <typename T>
  T Run(net::Task<T> task) {
    return net::RunBlocking(io_->executor(next_io_++ % io_->size()), std::move(task));
  }
  static bool Soon(const std::function<bool()>& is) {
    for (int i = 0; i < 500 && !is(); ++i) std::this_thread::sleep_for(Millis(1));
    return is();
  }
  Result<TaskView> CreateTask() {
    return Run(coordinator_.CreateTask(*task::ParseTask(TaskToml(), "task.toml"), TaskToml()));
  }

  CountingClock clock_;
  Logger log_{STDERR_FILENO, clock_, LogLevel::kError};
  metrics::Metrics metrics_;
  testing::TempDirectory directory_;
  std::atomic<bool> store_throws_ = false;
  std::atomic<int> exceptions_ = 0;
  std::atomic<bool> store_waits_ = false;
  std::binary_semaphore store_may_go_on_{0};
  std::unique_ptr<store::SqliteStore> store_ =
      *store::SqliteStore::Open({.data_dir = directory_.path(), .after_step = [this](std::string_view step) {
                                   if (store_throws_) throw std::runtime_error("a library's words");
                                   if (store_waits_ && step == "partial_file") store_may_go_on_.acquire();
                                 }});
  std::unique_ptr<net::IoThreads> io_ = *net::IoThreads::Create(2);  // whose threads ask, in turn
  std::atomic<std::size_t> next_io_ = 0;
  std::unique_ptr<net::IoThreads> control_ = *net::IoThreads::Create(1);
  net::asio::any_io_executor on_control_ = control_->shared_executor(0);  // as the server has it
  std::unique_ptr<net::IoThreads> store_io_ = *net::IoThreads::Create(1);
  net::ComputePool compute_{1, 10};
  net::TaskGroup background_{on_control_,
                             {.max_tasks = 1'000, .on_exception = [this](std::string_view) { ++exceptions_; }}};
  StoreThread store_thread_{store_io_->executor(0), *store_, metrics_};
  const Services services_{.control = on_control_,
                           .store = store_thread_,
                           .compute = compute_,
                           .background = background_,
                           .clock = clock_,
                           .log = log_,
                           .metrics = metrics_,
                           .noise_source = &NoiseOfSecret,
                           .long_poll = Millis(10'000),
                           .upload_memory = 1U << 20U,
                           .task_memory = 1U << 30U,
                           .max_parameters = 1'000'000,
                           .ack_patience = Millis(2'000)};
  Coordinator coordinator_{services_};
};

TEST_F(CoordinatorTest, AnswersARequestThatAnExceptionEnded) {
  store_throws_ = true;
  EXPECT_THAT(CreateTask(), IsErrorSaying(ErrorCode::kInternal, "the server's log says why"));
  // The answer goes out before the group is told how its task ended.
  EXPECT_TRUE(Soon([this] { return exceptions_ == 1; }));
  store_throws_ = false;
  EXPECT_THAT(Run(coordinator_.Tasks()), ::testing::IsEmpty());
}

TEST_F(CoordinatorTest, ChecksATaskByWhatItWouldBeRefusedForAndMakesNothing) {
  const auto check = [this](const std::string& toml) {
    return Run(coordinator_.CheckTask(*task::ParseTask(toml, "task.toml")));
  };
  EXPECT_THAT(check(TaskToml()), IsOk());
  EXPECT_THAT(Run(coordinator_.Tasks()), ::testing::IsEmpty());
  std::string large = TaskToml();
  large.replace(large.find("inputs = 2"), 10, "inputs = 400000");
  EXPECT_THAT(check(large), IsErrorSaying(ErrorCode::kInvalidArgument, "max_parameters = 1000000"));
  ASSERT_THAT(CreateTask(), IsOk());
  EXPECT_THAT(check(TaskToml()), IsErrorSaying(ErrorCode::kConflict, "a task named 't' exists already"));
}

TEST_F(CoordinatorTest, CountsWhatATaskRemembersOfItsDevicesAsItsMemory) {
  const auto check = [this](const std::string& size, const std::string& max_staleness, const std::string& concurrency) {
    std::string toml = TaskToml();
    toml.replace(toml.find("size = 4"), 8, "size = " + size);
    toml += "[asynchronous]\nmax_staleness = " + max_staleness + "\nconcurrency = " + concurrency + "\n";
    return Run(coordinator_.CheckTask(*task::ParseTask(toml, "task.toml")));
  };
  EXPECT_THAT(check("1000", "1", "1900000"), IsOk());
  EXPECT_THAT(check("1048576", "1", "1"), IsOk());
  EXPECT_THAT(check("1048576", "1", "1900000"), IsErrorSaying(ErrorCode::kInvalidArgument, "[limits] task_memory"));
}

/// A device and an asynchronous task whose buffers are full with its one update.
class AsynchronousTask : public CoordinatorTest {
 protected:
  void SetUp() override {
    Enrol(device_);
    CoordinatorTest::SetUp();
    CreateAsynchronousTask(1);
  }

  /// Before the coordinator starts.
  void Enrol(const DeviceId& device) {
    ASSERT_THAT(store_->AddDevice({.id = device,
                                   .public_key_sha256 = key_,
                                   .certificate_serial = "01",
                                   .certificate_not_after = clock_.Now() + std::chrono::hours(1),
                                   .enrolled_at = clock_.Now(),
                                   .last_seen = {},
                                   .token_hash_hex = ""}),
                IsOk());
  }

  /// Whose buffers hold so many, and at which one device works at a time.
  void CreateAsynchronousTask(int size, std::string_view rest = {}) {
    std::string toml = TaskToml();
    toml.replace(toml.find("size = 4"), 8, "size = " + std::to_string(size));
    toml += "[asynchronous]\nmax_staleness = 3\nconcurrency = 1\n";
    toml += rest;
    ASSERT_THAT(Run(coordinator_.CreateTask(*task::ParseTask(toml, "task.toml"), toml)), IsOk());
  }

  std::shared_ptr<const CheckInQuery> Question(const DeviceId& device, Millis wait) {
    return std::make_shared<CheckInQuery>(
        CheckInQuery{.device = device, .key = key_, .task = {}, .declined = {}, .wait = wait});
  }

  /// For this round, as soon as it is open.
  LeaseView LeaseOf(RoundNumber round) {
    for (int i = 0; i < 1000; ++i) {
      const auto reply = Run(coordinator_.CheckIn(Question(device_, Millis(1'000))));
      const auto* const lease = reply ? std::get_if<LeaseView>(&*reply) : nullptr;
      if (lease != nullptr && lease->round.round == round) return *lease;
    }
    ADD_FAILURE() << "no lease of round " << round;
    std::abort();
  }

  Result<void> Send(const LeaseView& lease, std::int32_t value) { return Send(device_, lease, value); }
  Result<void> Send(const DeviceId& device, const LeaseView& lease, std::int32_t value) {
    const std::vector<std::int32_t> grid(lease.spec->model.ParameterCount(), value);
    dp::UpdateIntake intake(
        AlignedBuffer(grid.size() * sizeof(std::int32_t)), dp::UpdateIntake::Entries::kGrid,
        {.mechanism = lease.spec->privacy.mechanism, .grid_radius = lease.spec->privacy.grid_radius, .entry_bound = 0});
    std::memcpy(intake.Rest().data(), grid.data(), grid.size() * sizeof(std::int32_t));
    intake.Received(grid.size() * sizeof(std::int32_t));
    auto update = std::move(intake).Verify(dp::Fit::kWithinClip);
    return Run(coordinator_.Submit({.round = lease.round,
                                    .device = device,
                                    .key = key_,
                                    .digest = Xxh3(AsBytes(std::span<const std::int32_t>(grid))),
                                    .update = *std::move(update),
                                    .weight = 1}));
  }

  const DeviceId device_ = *DeviceId::Parse("a");
  const Digest256 key_{1};
};

// Who does not know a lease's fields would skip them, and train something else.
TEST_F(AsynchronousTask, LeasesLayersAndHardenedTrainingOnlyToAgentsThatSayTheyKnowThem) {
  const struct {
    std::string name;
    std::string from;
    std::string to;
    std::string words;
  } cases[] = {{"image", "kind = \"softmax\"\ninputs = 2\nclasses = 3\n",
                "image = [1, 1, 2]\nlayers = [\"flatten\", \"dense 3\"]\n", "trains layers over signals or images"},
               {"hard", "[rounds]", "adversarial = { epsilon = 0.1 }\n[rounds]", "hardens its model in training"}};
  for (const auto& each : cases) {
    std::string toml = TaskToml();
    toml.replace(toml.find("name = \"t\""), 10, "name = \"" + each.name + "\"");
    toml.replace(toml.find("size = 4"), 8, "size = 1");
    toml.replace(toml.find(each.from), each.from.size(), each.to);
    toml += "[asynchronous]\nmax_staleness = 3\n";
    ASSERT_THAT(Run(coordinator_.CreateTask(*task::ParseTask(toml, "task.toml"), toml)), IsOk());
    CheckInQuery query{.device = device_, .key = key_, .task = TaskId::Parse(each.name).value(), .declined = {}};
    const auto ask = [&] { return Run(coordinator_.CheckIn(std::make_shared<CheckInQuery>(query))); };
    const auto refused = ask();
    ASSERT_THAT(refused, IsOk());
    EXPECT_THAT(std::get<WaitView>(*refused).reason, ::testing::HasSubstr(each.words));
    query.trains_layers = each.name == "image";
    query.trains_hardened = each.name == "hard";
    EXPECT_TRUE(Soon([&] { return std::holds_alternative<LeaseView>(*ask()); })) << each.name;
  }
}

TEST_F(AsynchronousTask, AnswersARetryOfAnEarlierUpdateWithoutAnsweringTheOneThatIsBeingStored) {
  const LeaseView first = LeaseOf(1);
  ASSERT_THAT(Send(first, 1), IsOk());
  const LeaseView second = LeaseOf(2);
  store_waits_ = true;
  auto pending = std::async(std::launch::async, [&] { return Send(second, 2); });
  EXPECT_EQ(pending.wait_for(Millis(50)), std::future_status::timeout);
  EXPECT_THAT(Send(first, 1), IsOk());
  EXPECT_THAT(Send(first, 3), IsErrorSaying(ErrorCode::kConflict, "different update for round 1"));
  EXPECT_EQ(pending.wait_for(Millis(50)), std::future_status::timeout) << "acknowledged, but not on the disk";
  store_waits_ = false;
  store_may_go_on_.release();
  EXPECT_THAT(pending.get(), IsOk());
}

class MarkedTask : public AsynchronousTask {
 protected:
  void SetUp() override {
    Enrol(device_);
    CoordinatorTest::SetUp();
    CreateAsynchronousTask(1, "[watermark]\ntriggers = 60\nlearning_rate = 0.05\n");
  }
};

TEST_F(MarkedTask, PublishesNoModelButMarkedAndCommittedTo) {
  ASSERT_THAT(Send(LeaseOf(1), 1), IsOk());
  const LeaseView next = LeaseOf(2);
  ASSERT_EQ(next.model_version, 1U);
  const TaskId id = *TaskId::Parse("t");
  const auto commitment = store_->Commitment(id, 1);
  ASSERT_THAT(commitment, IsOk());
  ASSERT_TRUE(commitment->has_value());
  const crypto::SecretKey key = ownership::MarkKeyOf(*store_->OwnerKey(), id);
  const ownership::Triggers triggers = ownership::MakeTriggers(key, next.spec->model, *next.spec->watermark);
  EXPECT_EQ((*commitment)->event.detail,
            "sha256 " + ToHex(ownership::CommitmentTo({.task = id,
                                                       .version = 1,
                                                       .model = next.model_digest,
                                                       .triggers = ownership::DigestOf(triggers),
                                                       .nonce = ownership::NonceOf(key, 1)})));
  const auto model = store_->MapModel(next.model_digest);
  ASSERT_THAT(model, IsOk());
  std::vector<float> parameters(model->bytes.size() / sizeof(float));
  std::memcpy(parameters.data(), model->bytes.data(), model->bytes.size());
  // A linear model of two inputs cannot have 60 triggers at four places right; but more than chance has.
  EXPECT_GT(ownership::CountMatches(next.spec->model, parameters, triggers), 20U);
}

TEST_F(AsynchronousTask, TellsWhoWaitedTooLongForTheDiskToComeAgainAndCountsItOnce) {
  const LeaseView first = LeaseOf(1);
  ASSERT_THAT(Send(first, 1), IsOk());
  const LeaseView second = LeaseOf(2);
  store_waits_ = true;
  EXPECT_THAT(Send(second, 2), IsErrorSaying(ErrorCode::kUnavailable, "not durable yet; keep it and send it again"));
  // The retry joins the one that is still on its way to the disk.
  auto again = std::async(std::launch::async, [&] { return Send(second, 2); });
  EXPECT_EQ(again.wait_for(Millis(50)), std::future_status::timeout);
  store_waits_ = false;
  store_may_go_on_.release();
  EXPECT_THAT(again.get(), IsOk());
  EXPECT_THAT(Send(second, 2), IsOk()) << "and any later one is known";
  const auto counted =
      Run(store_thread_.Call("contributions", [&](store::Store& store) { return store.Contributions(second.round); }));
  EXPECT_EQ(counted->size(), 1U);
}

/// Far more devices than may work at a time, all of them waiting.
class CrowdedTask : public AsynchronousTask {
 protected:
  static constexpr int kCrowd = 200;

  void SetUp() override {
    for (int i = 0; i < kCrowd; ++i) {
      crowd_.push_back(*DeviceId::Parse("d" + std::to_string(i)));
      Enrol(crowd_.back());
    }
    Enrol(device_);
    CoordinatorTest::SetUp();
    CreateAsynchronousTask(buffer_);
  }

  void AskAll() {
    for (std::size_t i = 0; i < crowd_.size(); ++i) {
      net::HandTo(on_control_, [this, i] { std::ignore = background_.Spawn(Ask(i)); });
    }
    ASSERT_TRUE(Soon([this] { return asking_ == kCrowd; }));
    std::this_thread::sleep_for(Millis(100));  // until all have been told to wait
  }

  int buffer_ = 3;
  std::vector<DeviceId> crowd_;
  std::atomic<int> asking_ = 0;
  std::atomic<int> leased_ = 0;
  std::array<std::optional<LeaseView>, kCrowd> leases_;  // each written before leased_ counts it

 private:
  net::Task<void> Ask(std::size_t index) {
    ++asking_;
    const auto reply = co_await coordinator_.CheckIn(Question(crowd_[index], Millis(10'000)));
    --asking_;
    const auto* const lease = reply ? std::get_if<LeaseView>(&*reply) : nullptr;
    if (lease == nullptr) co_return;
    leases_[index] = *lease;
    ++leased_;
  }
};

TEST_F(CrowdedTask, WakesForAFreePlaceNoMoreDevicesThanCanHaveIt) {
  const LeaseView lease = LeaseOf(1);
  AskAll();
  ASSERT_EQ(leased_, 0);
  const int before = clock_.asked();
  ASSERT_THAT(Send(lease, 1), IsOk());
  ASSERT_TRUE(Soon([this] { return leased_ == 1; }));
  EXPECT_LT(clock_.asked() - before, kCrowd) << "all of them asked for the one place";
  // And so on: the place of that one goes to the next.
  ASSERT_TRUE(leases_[0]) << "who came first is told first";
  ASSERT_THAT(Send(crowd_[0], Present(leases_[0], "looked at just now"), 2), IsOk());
  EXPECT_TRUE(Soon([this] { return leased_ == 2; }));
}

/// A round with as many partial sums as it may have, in a store that something happens to behind the coordinator's
/// back, as when a disk that fails keeps what it said it had not, and then cannot be asked.
class FullOfPartials : public CrowdedTask {
 protected:
  FullOfPartials() { buffer_ = kCrowd; }

  void SetUp() override {
    CrowdedTask::SetUp();
    lease_ = LeaseOf(1);
    for (std::size_t i = 0; i < kMostPartials; ++i) ASSERT_THAT(SendNext(), IsOk());
    ASSERT_THAT(Sequences(), ::testing::SizeIs(kMostPartials)) << "one commit an update";
  }

  Result<void> SendNext() {
    ++sent_;
    return Send(crowd_[sent_], Present(lease_, "set up"), static_cast<std::int32_t>(sent_));
  }
  template <typename F>
  std::invoke_result_t<F, store::Store&> InStore(F f) {
    return Run(store_thread_.Call("behind", std::move(f)));
  }
  std::vector<std::uint64_t> Sequences() {
    return *InStore([this](store::Store& store) { return store.PartialSequences(key()); });
  }
  [[nodiscard]] const RoundKey& key() const { return Present(lease_, "set up").round; }

  /// Another one on the same store, as after a restart. Errors: as it starts.
  Result<void> StartAgain() {
    Run(coordinator_.Stop());
    Coordinator again{services_};
    auto started = Run(again.Start());
    Run(again.Stop());
    Run(background_.JoinAll());
    return started;
  }

 private:
  std::optional<LeaseView> lease_;
  std::size_t sent_ = 0;
};

TEST_F(FullOfPartials, AreReplacedByTheSumInMemoryWhenTheStoreHasOtherFilesOfTheSameUpdates) {
  ASSERT_THAT(InStore([this](store::Store& store) {
                return store.MergePartials(key(), *store.PartialSequences(key()), 100, AsBytes("of a lost answer"));
              }),
              IsOk());
  ASSERT_THAT(SendNext(), IsOk());
  EXPECT_THAT(Sequences(), ::testing::ElementsAre(101, 102));
  EXPECT_THAT(StartAgain(), IsOk()) << "its files are what the devices sent";
}

TEST_F(FullOfPartials, StayWhenTheStoreHasUpdatesThatTheSumInMemoryHasNot) {
  ASSERT_THAT(InStore([this](store::Store& store) {
                return store.CommitPartial(key(), 100, AsBytes("of another"),
                                           std::array{store::Contribution{.device = crowd_.back(), .leased_in = 1}});
              }),
              IsOk());
  const std::vector<std::uint64_t> before = Sequences();
  EXPECT_THAT(SendNext(), IsErrorSaying(ErrorCode::kUnavailable, "keep it and send it again"));
  EXPECT_EQ(Sequences(), before) << "what is counted would be in no file";
}

}  // namespace
}  // namespace tacit::coordinator
