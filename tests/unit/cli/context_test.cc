#include "cli/context.h"

#include <unistd.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/init.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::cli {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using ::testing::HasSubstr;
using testing::TempDirectory;

const WallTime kNow = testing::FakeClock().Now();

ConnectionArguments ContextAt(const std::filesystem::path& directory) {
  ConnectionArguments arguments;
  arguments.context = directory;
  return arguments;
}

TEST(Endpoint, RoundTripsNamesAndAddresses) {
  for (const std::string text : {"localhost:8444", "10.0.0.1:1", "[::1]:65535"}) {
    const auto endpoint = ParseEndpoint(text);
    ASSERT_THAT(endpoint, IsOk()) << text;
    EXPECT_EQ(FormatEndpoint(*endpoint), text);
  }
  EXPECT_EQ(ParseEndpoint("[::1]:443")->host, "::1");
}

TEST(Endpoint, RefusesWhatHasNoHostOrNoPort) {
  for (const char* bad :
       {"", "host", ":1", "host:", "host:0", "host:65536", "host:1x", "host:-1", "::1:8444", "[]:1", "h: 1"}) {
    EXPECT_THAT(ParseEndpoint(bad), IsError(ErrorCode::kInvalidArgument)) << bad;
  }
}

TEST(LoadContext, LetsFlagsReplaceWhatTheDirectorySays) {
  const TempDirectory parent;
  ASSERT_TRUE(Init({parent / "a", "t", {}}, kNow).has_value());
  ASSERT_TRUE(Init({parent / "b", "t", {}}, kNow).has_value());
  ConnectionArguments arguments = ContextAt(parent / "a");
  const auto plain = LoadContext(arguments, kNow);
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(FormatEndpoint(plain->client.server), "localhost:8444");

  arguments.server = "other:9";
  arguments.ca = parent / "b/pki/ca.crt";
  const auto replaced = LoadContext(arguments, kNow);
  ASSERT_TRUE(replaced.has_value());
  EXPECT_EQ(FormatEndpoint(replaced->client.server), "other:9");
  EXPECT_NE(replaced->client.ca_pem, plain->client.ca_pem);
  EXPECT_EQ(replaced->client.client_key_pem, plain->client.client_key_pem);
}

TEST(LoadContext, NeedsAllFlagsWithoutADirectory) {
  EXPECT_THAT(LoadContext({}, kNow).error().error.message, HasSubstr("which server?"));
  ConnectionArguments arguments;
  arguments.server = "h:1";
  const auto refused = LoadContext(arguments, kNow);
  EXPECT_EQ(refused.error().exit, ExitCode::kUsage);
  EXPECT_THAT(refused.error().error.message, HasSubstr("--cert and --key or --token-file"));
}

TEST(LoadContext, NamesTheFileThatIsMissing) {
  const TempDirectory parent;
  const auto refused = LoadContext(ContextAt(parent / "none"), kNow);
  EXPECT_EQ(refused.error().exit, ExitCode::kUsage);
  EXPECT_THAT(refused.error().error.message, HasSubstr((parent / "none/cli.json").string()));
}

TEST(LoadContext, RefusesAKeyThatIsOpenToEveryUser) {
  const TempDirectory parent;
  ASSERT_TRUE(Init({parent / "a", "t", {}}, kNow).has_value());
  const auto key = parent / "a/operators/admin.key";
  std::filesystem::permissions(key, std::filesystem::perms{0644});
  const auto refused = LoadContext(ContextAt(parent / "a"), kNow);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().exit, ExitCode::kUsage);
  EXPECT_THAT(refused.error().error.message, HasSubstr("admin.key is open to every user"));
  EXPECT_EQ(refused.error().hint, "chmod 600 " + key.string());
}

TEST(LoadContext, HintsAtTheUserWhereAFileMayNotBeRead) {
  const TempDirectory parent;
  ASSERT_TRUE(Init({parent / "a", "t", {}}, kNow).has_value());
  std::filesystem::permissions(parent / "a/operators/admin.key", std::filesystem::perms::none);
  const uid_t user = ::geteuid();
  constexpr uid_t kNobody = 65534;  // root may read everything, and may be somebody else
  if (user == 0) ASSERT_EQ(::seteuid(kNobody), 0);
  const auto refused = LoadContext(ContextAt(parent / "a"), kNow);
  if (user == 0) ASSERT_EQ(::seteuid(user), 0);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().hint, HasSubstr("as the user whose files"));
}

TEST(LoadContext, SaysThatTheCertificateHasExpiredBeforeTheServerRefusesIt) {
  const TempDirectory parent;
  ASSERT_TRUE(Init({parent / "a", "t", {}}, kNow).has_value());
  EXPECT_TRUE(LoadContext(ContextAt(parent / "a"), kNow + std::chrono::days(89)).has_value());
  const auto refused = LoadContext(ContextAt(parent / "a"), kNow + std::chrono::days(91));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().exit, ExitCode::kConnect);
  EXPECT_THAT(refused.error().error.message, HasSubstr("expired"));
}

}  // namespace
}  // namespace tacit::cli
