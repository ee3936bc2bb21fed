#include "edge_agent/protect/hardening.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/unit/protect/lacking_kernel.h"

namespace tacit::protect {
namespace {

using ::tacit::testing::IsError;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::LackingKernel;

// Each in a process of its own, because nothing of it can be undone; its exit code is the number of the first line that
// found something wrong.
#define REQUIRE_HERE(condition) \
  if (!(condition)) std::_Exit(__LINE__ % 250 + 1)

TEST(HardenProcessDeathTest, LeavesNothingToTraceDumpOrGain) {
  const auto harden = [] {
    SystemKernel kernel;
    const Protections protections = HardenProcess(kernel);
    REQUIRE_HERE(protections.Holds(Measure::kNotDumpable) && ::prctl(PR_GET_DUMPABLE) == 0);
    rlimit core{};
    REQUIRE_HERE(::getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
    REQUIRE_HERE(protections.Holds(Measure::kNoNewPrivileges) && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    std::_Exit(0);
  };
  EXPECT_EXIT(harden(), ::testing::ExitedWithCode(0), "");
}

TEST(HardenProcessDeathTest, SaysWhatTheKernelDoesNotHave) {
  const auto harden = [] {
    for (const Measure measure :
         {Measure::kNotDumpable, Measure::kNoCoreFile, Measure::kNoNewPrivileges, Measure::kNoWriteExecute}) {
      LackingKernel kernel({measure});
      const auto missing = HardenProcess(kernel).Missing();
      REQUIRE_HERE(std::ranges::find(missing, measure) != missing.end());
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(harden(), ::testing::ExitedWithCode(0), "");
}

TEST(LeaveRootDeathTest, LeavesNoWayBack) {
  const auto leave = [] {
    SystemKernel kernel;
    const bool was_root = ::geteuid() == 0;
    const Protections protections = LeaveRoot(kernel);
    REQUIRE_HERE(::geteuid() != 0 && ::getegid() != 0);
    REQUIRE_HERE(::setuid(0) != 0);
    REQUIRE_HERE(protections.Holds(Measure::kOwnUser) == was_root);
    std::_Exit(0);
  };
  if (::geteuid() == 0) EXPECT_EXIT(leave(), ::testing::ExitedWithCode(0), "");
}

TEST(DieWithAgentDeathTest, SaysWhenTheAgentIsGoneAlready) {
  const auto follow = [] {
    SystemKernel kernel;
    REQUIRE_HERE(DieWithAgent(kernel, ::getppid()).Missing().empty());
    REQUIRE_HERE(!DieWithAgent(kernel, ::getppid() + 1).Holds(Measure::kDiesWithAgent));
    std::_Exit(0);
  };
  EXPECT_EXIT(follow(), ::testing::ExitedWithCode(0), "");
}

TEST(Protections, HoldOnlyWhereEveryAttemptDid) {
  Protections protections;
  EXPECT_FALSE(protections.Holds(Measure::kLockedPages));
  EXPECT_THAT(protections.Missing(), IsEmpty());
  protections.Record(Measure::kLockedPages, 0);
  EXPECT_TRUE(protections.Holds(Measure::kLockedPages));
  protections.Record(Measure::kLockedPages, ENOMEM);
  protections.Record(Measure::kLockedPages, 0);
  EXPECT_FALSE(protections.Holds(Measure::kLockedPages));
  EXPECT_EQ(protections.Degradations(), "locked_pages: Cannot allocate memory");
}

TEST(Protections, ComeBackFromTheirBytes) {
  Protections protections;
  protections.Record(Measure::kFewCalls, 0);
  protections.Record(Measure::kNoFiles, EOPNOTSUPP);
  const auto parsed = Protections::Parse(protections.Encode());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(*parsed, protections);
  EXPECT_THAT(parsed->Missing(), ElementsAre(Measure::kNoFiles));
  EXPECT_THAT(Protections::Parse(Bytes(15)), IsError(ErrorCode::kMalformed));
}

TEST(Measure, IsFoundByItsName) {
  for (std::size_t i = 0; i < kMeasures; ++i) {
    const auto measure = static_cast<Measure>(i);
    const auto found = ParseMeasure(NameOf(measure));
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(*found, measure);
  }
  EXPECT_THAT(ParseMeasure("secret_page"), IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::protect
