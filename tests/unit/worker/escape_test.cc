#include <cerrno>

#include "tests/support/matchers.h"
#include "tests/unit/worker/served_model.h"

// What code can do that took a worker over: real workers, whose engine tries it.
namespace tacit::worker {
namespace {

using ::tacit::testing::IsOk;
using testing::Attempt;
using testing::ConfinedWorker;
using testing::Supervised;

struct Escape {
  Attempt attempt;
  const char* call;  ///< As the supervisor must name it.
};

constexpr Escape kEscapes[] = {
    {Attempt::kSocket, "socket"},
    {Attempt::kConnect, "connect"},
    {Attempt::kBind, "bind"},
    {Attempt::kExec, "execve"},
    {Attempt::kFork, "clone"},
    {Attempt::kThread, "clone3"},
    {Attempt::kCreateFile, "openat"},
    {Attempt::kReadFile, "openat"},
    {Attempt::kRemoveFile, "unlinkat"},
    {Attempt::kTraceAgent, "ptrace"},
    {Attempt::kReadAgentMemory, "process_vm_readv"},
    {Attempt::kWriteExecute, "mmap"},
    {Attempt::kMakeExecutable, "mprotect"},
    {Attempt::kKillAgent, "kill"},
    {Attempt::kRing, "io_uring_setup"},
    {Attempt::kBecomeDumpable, "prctl"},
    {Attempt::kCatchRefusals, "rt_sigaction"},
#ifdef __x86_64__
    {Attempt::kForeignCall, "a call of another architecture"},
#endif
};

class WorkerEscape : public ::testing::TestWithParam<Escape> {};

TEST_P(WorkerEscape, IsRefusedAndReported) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  if (!supervised.supervisor.status().model->protections.Holds(protect::Measure::kFewCalls)) {
    GTEST_SKIP() << "this kernel has no seccomp";
  }
  EXPECT_FALSE(supervised.Ask(GetParam().attempt).has_value());
  const Event ended = supervised.events.Next(EventKind::kEnded);
  ASSERT_TRUE(ended.ending.has_value());
  EXPECT_EQ(ended.ending->cause, EndCause::kRefusedCall);
  EXPECT_EQ(ended.detail, GetParam().call);
}
INSTANTIATE_TEST_SUITE_P(Calls, WorkerEscape, ::testing::ValuesIn(kEscapes));

// The walls behind the first, which a kernel without seccomp would have to do with.
class WorkerEscapeWithoutSeccomp : public ::testing::TestWithParam<Attempt> {};

TEST_P(WorkerEscapeWithoutSeccomp, IsRefusedByWhatElseTheKernelHas) {
  Supervised supervised{ConfinedWorker("few_calls")};
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  const auto& protections = supervised.supervisor.status().model->protections;
  if (!protections.Holds(protect::Measure::kNoFiles) || !protections.Holds(protect::Measure::kScopedSignals)) {
    GTEST_SKIP() << "this kernel has no Landlock of version 6";
  }
  const auto answer = supervised.Ask(GetParam());
  ASSERT_THAT(answer, IsOk());
  EXPECT_TRUE(*answer == -EACCES || *answer == -EPERM || *answer == -EAGAIN) << *answer;
}
INSTANTIATE_TEST_SUITE_P(Calls, WorkerEscapeWithoutSeccomp,
                         ::testing::Values(Attempt::kCreateFile, Attempt::kReadFile, Attempt::kExec, Attempt::kFork,
                                           Attempt::kTraceAgent, Attempt::kReadAgentMemory, Attempt::kKillAgent,
                                           Attempt::kWriteExecute, Attempt::kMakeExecutable));

TEST(WorkerWords, CannotSteerWhoReadsThem) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  EXPECT_THAT(supervised.Ask(Attempt::kWriteWords), IsOk());
  EXPECT_FALSE(supervised.Ask(Attempt::kCrash).has_value());
  EXPECT_EQ(supervised.events.Next(EventKind::kEnded).detail, "signal 6: ?[2J? first?second");
}

}  // namespace
}  // namespace tacit::worker
