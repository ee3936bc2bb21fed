#include "edge_agent/protect/protected_memory.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/unit/protect/lacking_kernel.h"

namespace tacit::protect {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using testing::LackingKernel;

constexpr std::size_t kLimit = std::size_t{1} << 20U;

std::span<std::uint8_t> Filled(ProtectedMemory& memory, std::size_t size) {
  auto taken = memory.Take(size);
  EXPECT_THAT(taken, IsOk());
  std::ranges::fill(*taken, std::uint8_t{0xa5});
  return *taken;
}

bool AllZero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

// Volatile: the compiler must neither leave the access out nor find out that it is none.
void Touch(const std::uint8_t* place) {
  static_cast<void>(*static_cast<const volatile std::uint8_t*>(place));
}
void Write(std::uint8_t* place) {
  *static_cast<volatile std::uint8_t*>(place) = 1;
}

TEST(ProtectedMemory, GivesZeroedMemoryAtMultiplesOf64) {
  SystemKernel kernel;
  ProtectedMemory memory(kLimit, kernel);
  for (const std::size_t size : {1UL, 63UL, 64UL, 65UL, 5000UL, 100'000UL}) {
    const auto taken = memory.Take(size);
    ASSERT_THAT(taken, IsOk());
    EXPECT_EQ(taken->size(), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(taken->data()) % 64, 0U);
    EXPECT_TRUE(AllZero(*taken));
    std::ranges::fill(*taken, std::uint8_t{0xff});
  }
}

TEST(ProtectedMemory, GivesNoMoreThanItsLimit) {
  SystemKernel kernel;
  ProtectedMemory memory(kLimit, kernel);
  EXPECT_THAT(memory.Take(kLimit + 1), IsErrorSaying(ErrorCode::kUnavailable, "over the limit"));
  EXPECT_THAT(memory.Take(kLimit), IsOk());
  EXPECT_THAT(memory.Take(64), IsErrorSaying(ErrorCode::kUnavailable, "in use"));
  memory.Wipe();
  EXPECT_THAT(memory.Take(kLimit), IsOk());
}

TEST(ProtectedMemory, GivesClearedPagesAgainAfterWipe) {
  SystemKernel kernel;
  ProtectedMemory memory(kLimit, kernel);
  Filled(memory, kLimit);
  memory.Wipe();
  const auto again = memory.Take(kLimit);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(AllZero(*again));
}

TEST(ProtectedMemoryDeathTest, HasAPageOnEitherSideThatNobodyMayTouch) {
  SystemKernel kernel;
  ProtectedMemory memory(kLimit, kernel);
  const auto bytes = Filled(memory, 128 * 1024);
  EXPECT_DEATH(Touch(bytes.data() - 1), "");
  EXPECT_DEATH(Touch(bytes.data() + bytes.size()), "");
}

TEST(ProtectedMemoryDeathTest, CannotBeWrittenOnceItIsSealed) {
  SystemKernel kernel;
  ProtectedMemory memory(kLimit, kernel);
  const auto bytes = Filled(memory, 4096);
  ASSERT_THAT(memory.Seal(), IsOk());
  EXPECT_EQ(bytes[17], 0xa5);
  EXPECT_DEATH(Write(bytes.data()), "");
}

TEST(ProtectedMemory, StaysSealedWhateverIsTried) {
  SystemKernel kernel;
  ProtectedMemory memory(kLimit, kernel);
  const auto bytes = Filled(memory, 64 * 1024);
  ASSERT_THAT(memory.Seal(), IsOk());
  if (!memory.protections().Holds(Measure::kSealedPages)) GTEST_SKIP() << "this kernel cannot seal";
  EXPECT_EQ(::mprotect(bytes.data(), bytes.size(), PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(::munmap(bytes.data(), bytes.size()), -1);
  EXPECT_EQ(::mmap(bytes.data(), bytes.size(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), MAP_FAILED);
}

class WipeSealed : public ::testing::TestWithParam<std::set<Measure>> {};

// The mapping that an engine read from stays, and must show zeros.
TEST_P(WipeSealed, OverwritesWhatNobodyCanWrite) {
  LackingKernel kernel(GetParam());
  ProtectedMemory memory(kLimit, kernel);
  const auto bytes = Filled(memory, 200'000);
  ASSERT_THAT(memory.Seal(), IsOk());
  const bool sealed = memory.protections().Holds(Measure::kSealedPages);
  memory.Wipe();
  if (sealed) EXPECT_TRUE(AllZero(bytes));
  const auto again = memory.Take(200'000);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(AllZero(*again));
}
INSTANTIATE_TEST_SUITE_P(Kernels, WipeSealed,
                         ::testing::Values(std::set<Measure>{}, std::set{Measure::kSecretPages},
                                           std::set{Measure::kSealedPages},
                                           std::set{Measure::kSecretPages, Measure::kSealedPages}));

TEST(ProtectedMemory, SaysWhatTheKernelDoesNotHave) {
  for (const Measure measure :
       {Measure::kSecretPages, Measure::kSealedPages, Measure::kPagesNotDumped, Measure::kPagesNotForked}) {
    LackingKernel kernel({measure});
    ProtectedMemory memory(kLimit, kernel);
    Filled(memory, 4096);
    ASSERT_THAT(memory.Seal(), IsOk());
    EXPECT_THAT(memory.protections().Missing(), ::testing::Contains(measure)) << NameOf(measure);
    EXPECT_NE(memory.protections().Degradations().find(NameOf(measure)), std::string::npos);
  }
}

TEST(ProtectedMemory, HasSecretPagesWhereTheKernelHasThem) {
  SystemKernel kernel;
  const long fd = kernel.Call(SYS_memfd_secret, 0, 0, 0, 0, 0, 0);
  if (fd < 0) GTEST_SKIP() << "this kernel has no secret memory";
  const OwnedFd probe(static_cast<int>(fd));
  ProtectedMemory memory(64 * 1024, kernel);
  Filled(memory, 64 * 1024);
  EXPECT_TRUE(memory.protections().Holds(Measure::kSecretPages)) << memory.protections().Degradations();
}

TEST(ProtectedMemory, LocksPlainPagesAndSaysWhenItCannot) {
  LackingKernel no_secret({Measure::kSecretPages});
  ProtectedMemory locked(64 * 1024, no_secret);
  Filled(locked, 4096);
  EXPECT_THAT(locked.protections().Missing(), ElementsAre(Measure::kSecretPages));
  EXPECT_TRUE(locked.protections().Holds(Measure::kLockedPages));

  LackingKernel neither({Measure::kSecretPages, Measure::kLockedPages});
  ProtectedMemory unlocked(64 * 1024, neither);
  Filled(unlocked, 4096);
  EXPECT_THAT(unlocked.protections().Missing(), ElementsAre(Measure::kSecretPages, Measure::kLockedPages));
}

// As an ordinary user with 64 KiB that may be locked: more than that is given, and told.
TEST(ProtectedMemoryDeathTest, GoesOnWithPlainPagesOverTheLimitOfLockedOnes) {
  const auto take_much = [] {
    const rlimit limit{64 * 1024, 64 * 1024};
    if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) std::_Exit(10);
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) std::_Exit(11);
    SystemKernel kernel;
    ProtectedMemory memory(kLimit, kernel);
    const auto taken = memory.Take(512UL * 1024);
    if (!taken || !AllZero(*taken)) std::_Exit(12);
    if (memory.protections().Holds(Measure::kSecretPages) || memory.protections().Holds(Measure::kLockedPages)) {
      std::_Exit(13);
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(take_much(), ::testing::ExitedWithCode(0), "");
}

TEST(ProtectedMemoryDeathTest, IsNotThereInAChild) {
  SystemKernel kernel;
  ProtectedMemory memory(kLimit, kernel);
  const auto bytes = Filled(memory, 4096);
  const pid_t child = ::fork();
  if (child == 0) {
    // mincore tells of a page that is not mapped, without a fault that a sanitizer would report.
    unsigned char resident = 0;
    const int answer = ::mincore(bytes.data(), 4096, &resident);
    std::_Exit(answer == -1 && errno == ENOMEM ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace tacit::protect
