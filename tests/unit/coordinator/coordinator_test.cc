#include "server/coordinator/coordinator.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>

#include "common/net/run_blocking.h"
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
  std::unique_ptr<store::SqliteStore> store_ =
      *store::SqliteStore::Open({.data_dir = directory_.path(), .after_step = [this](std::string_view) {
                                   if (store_throws_) throw std::runtime_error("a library's words");
                                 }});
  std::unique_ptr<net::IoThreads> control_ = *net::IoThreads::Create(1);
  std::unique_ptr<net::IoThreads> store_io_ = *net::IoThreads::Create(1);
  net::ComputePool compute_{1, 10};
  net::TaskGroup background_{control_->executor(0),
                             {.max_tasks = 10, .on_exception = [this](std::string_view) { ++exceptions_; }}};
  StoreThread store_thread_{store_io_->executor(0), *store_, metrics_};
  Coordinator coordinator_{{.control = control_->executor(0),
                            .store = store_thread_,
                            .compute = compute_,
                            .background = background_,
                            .clock = clock_,
                            .log = log_,
                            .metrics = metrics_,
                            .noise_source = {},
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

}  // namespace
}  // namespace tacit::coordinator
