#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/base/owned_fd.h"
#include "edge_agent/serving/token_file.h"
#include "edge_agent/serving/token_gate.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::serving {
namespace {

using testing::FakeClock;
using ::testing::HasSubstr;
using testing::IsError;
using testing::IsOk;
using ::testing::Not;
using ::testing::SizeIs;
using testing::TempDirectory;

ClientName NameOf(std::string_view text) {
  return *ClientName::Parse(text);
}

TEST(TokenFile, IsReadAsItWasWritten) {
  const std::vector<KeptToken> tokens = {
      {.name = NameOf("camera"), .hash = HashOfToken("one"), .expires = WallTime(Millis(1'000))},
      {.name = NameOf("gateway-2"), .hash = HashOfToken("two"), .expires = WallTime(Millis(0))}};
  const auto parsed = ParseTokens(FormatTokens(tokens));
  ASSERT_THAT(parsed, IsOk());
  ASSERT_THAT(*parsed, SizeIs(2));
  EXPECT_EQ((*parsed)[1].name, tokens[1].name);
  EXPECT_EQ((*parsed)[0].hash, tokens[0].hash);
  EXPECT_EQ((*parsed)[0].expires, tokens[0].expires);
}

TEST(TokenFile, SaysInWhichLineWhatIsWrong) {
  const std::string hash = ToHex(HashOfToken("one"));
  const std::string good = "camera " + hash + " 1000\n";
  for (const std::string& wrong :
       {std::string("camera"), "camera " + hash, "camera " + hash + " ", "camera " + hash + " -1",
        "camera " + hash + " 99999999999999999999", "camera " + hash + " 1 more", "camera " + hash.substr(2) + " 1",
        "camera x" + hash.substr(1) + " 1", "Camera " + hash + " 1", " " + hash + " 1", "camera  " + hash + " 1",
        "camera " + hash + " 1\r", "camera " + hash + " 18446744073709551615"}) {
    const auto parsed = ParseTokens("# two\n\n" + wrong + "\n");
    ASSERT_THAT(parsed, IsError(ErrorCode::kMalformed)) << wrong;
    EXPECT_THAT(parsed.error().message, HasSubstr("line 3")) << wrong;
  }
  EXPECT_THAT(ParseTokens(good + good), IsError(ErrorCode::kMalformed));
  std::string many;
  for (std::size_t i = 0; i <= kMostTokens; ++i) many += "n" + std::to_string(i) + " " + hash + " 1\n";
  EXPECT_THAT(ParseTokens(many), IsError(ErrorCode::kTooLarge));
}

TEST(TokenFile, IsRefusedWhereOthersCanReadIt) {
  const TempDirectory directory;
  const auto path = directory.path() / "tokens";
  ASSERT_THAT(WriteFileAtomic(path, AsBytes(std::string_view("# none\n")), kReadableByAll), IsOk());
  EXPECT_THAT(ReadTokenFile(path), IsError(ErrorCode::kPermissionDenied));
}

TEST(TokenFileChange, KeepsOneTokenForAName) {
  const TempDirectory directory;
  const auto path = directory.path() / "tokens";
  const WallTime now(Millis(5'000));
  {
    auto change = TokenFileChange::Begin(path);
    ASSERT_THAT(change, IsOk());
    const KeptToken token{.name = NameOf("camera"), .hash = HashOfToken("one"), .expires = now + Millis(1)};
    ASSERT_THAT(change->Add(token, now), IsOk());
    EXPECT_THAT(change->Add(token, now), IsError(ErrorCode::kConflict));
    EXPECT_THAT(change->Add(token, now + Millis(1)), IsOk()) << "one that has ended is in nobody's way";
    ASSERT_THAT(change->Commit(), IsOk());
  }
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  auto change = TokenFileChange::Begin(path);
  ASSERT_THAT(change, IsOk());
  EXPECT_THAT(change->Remove(NameOf("other")), IsError(ErrorCode::kNotFound));
  ASSERT_THAT(change->Remove(NameOf("camera")), IsOk());
  ASSERT_THAT(change->Commit(), IsOk());
  EXPECT_THAT(*ReadTokenFile(path), SizeIs(0));
}

TEST(MakeToken, IsAnotherOneEachTime) {
  const std::string one = MakeToken();
  EXPECT_THAT(one, SizeIs(68));
  EXPECT_NE(one, MakeToken());
}

class TokenGateTest : public ::testing::Test {
 protected:
  void Give(const std::string& name, const std::string& token, WallTime expires) {
    auto change = TokenFileChange::Begin(path_);
    ASSERT_THAT(change, IsOk());
    ASSERT_THAT(change->Add({.name = NameOf(name), .hash = HashOfToken(token), .expires = expires}, clock_.Now()),
                IsOk());
    ASSERT_THAT(change->Commit(), IsOk());
  }
  void Revoke(const std::string& name) {
    auto change = TokenFileChange::Begin(path_);
    ASSERT_THAT(change, IsOk());
    ASSERT_THAT(change->Remove(NameOf(name)), IsOk());
    ASSERT_THAT(change->Commit(), IsOk());
  }
  std::string Log() { return std::string(AsText(*ReadFile(log_path_, 1 << 20))); }

  TempDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "tokens";
  std::filesystem::path log_path_ = directory_.path() / "log";
  OwnedFd log_file_{::open(log_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600)};
  FakeClock clock_;
  Logger log_{log_file_.get(), clock_, LogLevel::kDebug};
  TokenGate gate_{path_, log_, clock_};
};

TEST_F(TokenGateTest, KnowsWhoseTokenItIs) {
  Give("camera", "tst_one", clock_.Now() + Millis(1'000));
  Give("gateway", "tst_two", clock_.Now() + Millis(1'000));
  EXPECT_EQ(*gate_.NameOf("Bearer tst_two"), "gateway");
  EXPECT_EQ(*gate_.NameOf("bearer tst_one"), "camera");
  EXPECT_THAT(gate_.NameOf({}), IsError(ErrorCode::kUnauthenticated));
  EXPECT_THAT(Log(), Not(HasSubstr("serving_token_refused"))) << "who shows none is told, not logged";
  for (const char* const wrong :
       {"", "Bearer", "Bearer ", "Basic tst_one", "tst_one", "Bearer tst_on", "Bearer  tst_one"})
    EXPECT_THAT(gate_.NameOf(wrong), IsError(ErrorCode::kUnauthenticated)) << wrong;
  EXPECT_THAT(Log(), HasSubstr("serving_token_refused"));
  EXPECT_THAT(Log(), Not(HasSubstr("tst_")));
}

TEST_F(TokenGateTest, RefusesFromTheNextRequestOnWhatIsRevokedOrOver) {
  Give("camera", "one", clock_.Now() + Millis(1'000));
  Give("gateway", "two", clock_.Now() + Millis(1'000));
  ASSERT_THAT(gate_.NameOf("Bearer one"), IsOk());
  Revoke("camera");
  EXPECT_THAT(gate_.NameOf("Bearer one"), IsError(ErrorCode::kUnauthenticated));
  EXPECT_THAT(gate_.NameOf("Bearer two"), IsOk());
  clock_.Advance(Millis(1'000));
  EXPECT_THAT(gate_.NameOf("Bearer two"), IsError(ErrorCode::kUnauthenticated));
}

TEST_F(TokenGateTest, LimitsWrongTokensAndNotRightOnes) {
  Give("camera", "one", clock_.Now() + std::chrono::hours(1));
  int refused = 0;
  while (refused < 1'000 && gate_.NameOf("Bearer wrong").error().code == ErrorCode::kUnauthenticated) ++refused;
  EXPECT_GT(refused, 5);
  EXPECT_LT(refused, 100);
  EXPECT_THAT(gate_.NameOf("Bearer wrong"), IsError(ErrorCode::kRateLimited));
  EXPECT_THAT(gate_.NameOf("Bearer one"), IsOk());
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_THAT(gate_.NameOf("Bearer wrong"), IsError(ErrorCode::kUnauthenticated));
}

TEST_F(TokenGateTest, LetsNobodyInWithoutItsFile) {
  Give("camera", "one", clock_.Now() + Millis(1'000));
  ASSERT_THAT(gate_.NameOf("Bearer one"), IsOk());
  ASSERT_EQ(::chmod(path_.c_str(), 0644), 0);
  EXPECT_THAT(gate_.NameOf("Bearer one"), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(gate_.NameOf("Bearer one"), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(Log(), HasSubstr("serving_tokens_not_read"));
  ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  EXPECT_THAT(gate_.NameOf("Bearer one"), IsOk());
  std::filesystem::remove(path_);
  EXPECT_THAT(gate_.NameOf("Bearer one"), IsError(ErrorCode::kUnavailable));
}

}  // namespace
}  // namespace tacit::serving
