#include "server/coordinator/coordinator.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <future>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "common/crypto/random.h"
#include "common/net/run_blocking.h"
#include "dp/update.h"
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

class CoordinatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (net::IoThreads* threads : {control_.get(), store_io_.get()}) threads->Start();
    ASSERT_THAT(Run(coordinator_.Start()), IsOk());
  }
  void TearDown() override {
    Run(coordinator_.Stop());
    Run(background_.JoinAll());
    net::IoThreads::StopAndJoin({control_.get(), store_io_.get()});
  }
  template <typename T>
  T Run(net::Task<T> task) {
    return net::RunBlocking(control_->executor(0), std::move(task));
  }
  Result<TaskView> CreateTask() {
    return Run(coordinator_.CreateTask(*task::ParseTask(TaskToml(), "task.toml"), TaskToml()));
  }

  SystemClock clock_;
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
  std::unique_ptr<net::IoThreads> control_ = *net::IoThreads::Create(1);
  std::unique_ptr<net::IoThreads> store_io_ = *net::IoThreads::Create(1);
  net::ComputePool compute_{1, 10};
  net::TaskGroup background_{control_->executor(0),
                             {.max_tasks = 10, .on_exception = [this](std::string_view) { ++exceptions_; }}};
  StoreThread store_thread_{store_io_->executor(0), *store_, metrics_};
  Coordinator coordinator_{
      {.control = control_->executor(0),
       .store = store_thread_,
       .compute = compute_,
       .background = background_,
       .clock = clock_,
       .log = log_,
       .metrics = metrics_,
       .noise_source = [](const RoundKey& /*round*/, const crypto::SecretKey& secret) -> std::unique_ptr<Keystream> {
         return std::make_unique<crypto::AesKeystream>(secret);
       },
       .long_poll = Millis(1'000),
       .upload_memory = 1U << 20U,
       .task_memory = 1U << 30U,
       .max_parameters = 1'000'000}};
};

TEST_F(CoordinatorTest, AnswersARequestThatAnExceptionEnded) {
  store_throws_ = true;
  EXPECT_THAT(CreateTask(), IsErrorSaying(ErrorCode::kInternal, "the server's log says why"));
  EXPECT_EQ(exceptions_, 1);
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

/// A device and an asynchronous task whose buffers are full with its one update.
class AsynchronousTask : public CoordinatorTest {
 protected:
  void SetUp() override {
    ASSERT_THAT(store_->AddDevice({.id = device_,
                                   .public_key_sha256 = key_,
                                   .certificate_serial = "01",
                                   .certificate_not_after = clock_.Now() + std::chrono::hours(1),
                                   .enrolled_at = clock_.Now(),
                                   .last_seen = {},
                                   .token_hash_hex = ""}),
                IsOk());
    CoordinatorTest::SetUp();
    std::string toml = TaskToml();
    toml.replace(toml.find("size = 4"), 8, "size = 1");
    toml += "[asynchronous]\nmax_staleness = 3\n";
    ASSERT_THAT(Run(coordinator_.CreateTask(*task::ParseTask(toml, "task.toml"), toml)), IsOk());
  }

  /// For this round, as soon as it is open.
  LeaseView LeaseOf(RoundNumber round) {
    for (int i = 0; i < 1000; ++i) {
      const auto reply = Run(coordinator_.CheckIn(std::make_shared<CheckInQuery>(
          CheckInQuery{.device = device_, .key = key_, .task = {}, .declined = {}, .wait = Millis(1'000)})));
      const auto* const lease = reply ? std::get_if<LeaseView>(&*reply) : nullptr;
      if (lease != nullptr && lease->round.round == round) return *lease;
    }
    ADD_FAILURE() << "no lease of round " << round;
    std::abort();
  }

  Result<void> Send(const LeaseView& lease, std::int32_t value) {
    const std::vector<std::int32_t> grid(lease.spec->model.ParameterCount(), value);
    dp::UpdateIntake intake(
        AlignedBuffer(grid.size() * sizeof(std::int32_t)), dp::UpdateIntake::Entries::kGrid,
        {.mechanism = lease.spec->privacy.mechanism, .grid_radius = lease.spec->privacy.grid_radius, .entry_bound = 0});
    std::memcpy(intake.Rest().data(), grid.data(), grid.size() * sizeof(std::int32_t));
    intake.Received(grid.size() * sizeof(std::int32_t));
    auto update = std::move(intake).Verify(dp::Fit::kWithinClip);
    return Run(coordinator_.Submit({.round = lease.round,
                                    .device = device_,
                                    .key = key_,
                                    .digest = Xxh3(AsBytes(std::span<const std::int32_t>(grid))),
                                    .update = *std::move(update),
                                    .weight = 1}));
  }

  const DeviceId device_ = *DeviceId::Parse("a");
  const Digest256 key_{1};
};

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

}  // namespace
}  // namespace tacit::coordinator
