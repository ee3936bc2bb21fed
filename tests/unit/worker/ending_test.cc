#include "edge_agent/worker/ending.h"

#include <sys/syscall.h>

#include <csignal>

#include <gtest/gtest.h>

#include "edge_agent/worker/call_names.h"

namespace tacit::worker {
namespace {

constexpr int Exited(int code) {
  return code << 8;
}

TEST(ReadEnding, NamesTheRefusedCall) {
  const Ending ending = ReadEnding(Exited(kRefusedExit), "some words\nrefused " + std::to_string(SYS_execve) + "\n");
  EXPECT_EQ(ending.cause, EndCause::kRefusedCall);
  EXPECT_EQ(ending.detail, "execve");
  EXPECT_EQ(ReadEnding(Exited(kRefusedExit), "refused 4095").detail, "system call 4095");
  EXPECT_EQ(ReadEnding(Exited(kRefusedExit), "refused x").detail, "a call that it did not name");
  EXPECT_EQ(ReadEnding(Exited(kRefusedExit), "").detail, "a call that it did not name");
}

TEST(ReadEnding, BelievesTheKernelBeforeTheWords) {
  EXPECT_EQ(ReadEnding(SIGSYS, "").cause, EndCause::kRefusedCall);
  EXPECT_EQ(ReadEnding(SIGSEGV, "refused 59").cause, EndCause::kCrashed);
  EXPECT_EQ(ReadEnding(Exited(3), "refused 59").cause, EndCause::kCrashed);
  EXPECT_EQ(ReadEnding(Exited(kQuitExit), "refused 59").cause, EndCause::kQuit);
  EXPECT_EQ(ReadEnding(Exited(kTamperedExit), "").cause, EndCause::kTampered);
}

TEST(ReadEnding, ShowsWordsThatSteerNothing) {
  EXPECT_EQ(ReadEnding(SIGABRT, "check \x1b[31mfailed\n\n").detail, "signal 6: check ?[31mfailed");
  EXPECT_LT(ReadEnding(SIGABRT, std::string(5000, 'a')).detail.size(), 300U);
}

TEST(NameOfCall, KnowsWhatBreakersTry) {
  EXPECT_EQ(NameOfCall(SYS_ptrace), "ptrace");
  EXPECT_EQ(NameOfCall(SYS_openat), "openat");
  EXPECT_EQ(NameOfCall(-1), "system call -1");
}

}  // namespace
}  // namespace tacit::worker
