#include "cli/known_contexts.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/commands.h"
#include "cli/init.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_directory.h"

namespace tacit::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempDirectory;

const WallTime kAddedAt = testing::FakeClock().Now();

class Contexts : public ::testing::Test {
 protected:
  void SetUp() override {
    connection_.known = home_ / "config/tacit/contexts.json";
    for (const char* name : {"a", "b"}) ASSERT_TRUE(Init({home_ / name, "t", {}}, kAddedAt).has_value());
  }
  Outcome<Report> Add(const std::string& name, const std::filesystem::path& context) {
    ConnectionArguments said = connection_;
    said.context = context;
    return cli::Run(ContextAddArguments{name}, said, kAddedAt);
  }
  [[nodiscard]] std::string Current() const { return ReadKnownContexts(connection_.known)->current; }
  void Write(std::string_view text) {
    std::filesystem::create_directories(connection_.known.parent_path());
    std::ofstream(connection_.known) << text;
    std::filesystem::permissions(connection_.known, std::filesystem::perms{0600});
  }

  TempDirectory home_;
  ConnectionArguments connection_;
};

TEST_F(Contexts, AreKeptInAFileOfTheUserAlone) {
  ASSERT_TRUE(Add("prod", home_ / "a").has_value());
  struct stat status{};
  ASSERT_EQ(::stat(connection_.known.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  ASSERT_EQ(::stat((home_ / "config").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  std::filesystem::permissions(connection_.known, std::filesystem::perms{0644});
  const auto refused = ReadKnownContexts(connection_.known);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().hint, HasSubstr("chmod 600"));
}

TEST_F(Contexts, TheFirstIsTheCurrentOneAndAnotherCanBeChosen) {
  ASSERT_TRUE(Add("prod", home_ / "a").has_value());
  ASSERT_TRUE(Add("test", home_ / "b").has_value());
  EXPECT_EQ(Current(), "prod");
  EXPECT_EQ(ResolveContext(connection_)->context, home_ / "a");
  ASSERT_TRUE(cli::Run(ContextUseArguments{"test"}, connection_).has_value());
  EXPECT_EQ(ResolveContext(connection_)->context, home_ / "b");
  EXPECT_THAT(NamesOfKnownContexts(connection_.known), ElementsAre("prod", "test"));
}

TEST_F(Contexts, ANameGoesBeforeADirectoryAndAPathIsAlwaysOne) {
  ASSERT_TRUE(Add("prod", home_ / "a").has_value());
  ConnectionArguments said = connection_;
  said.context = "prod";
  EXPECT_EQ(ResolveContext(said)->context, home_ / "a");
  said.context = "./prod";
  EXPECT_EQ(ResolveContext(said)->context, "./prod");
  said.context = "nobody";
  EXPECT_THAT(ResolveContext(said).error().error.message, HasSubstr("neither the name of a context nor a directory"));
}

TEST_F(Contexts, AServerThatIsSaidIsNotAskedAsTheCurrentOne) {
  ASSERT_TRUE(Add("prod", home_ / "a").has_value());
  ConnectionArguments said = connection_;
  said.server = "other:1";
  EXPECT_EQ(ResolveContext(said)->context, "");
}

TEST_F(Contexts, RememberFlagsAndLetOthersReplaceThem) {
  const auto token = home_ / "ada.token";
  std::ofstream(token) << "tacit_x\n";
  std::filesystem::permissions(token, std::filesystem::perms{0600});
  ConnectionArguments said = connection_;
  said.server = "h:1";
  said.ca = home_ / "a/pki/ca.crt";
  said.token_file = token;
  ASSERT_TRUE(cli::Run(ContextAddArguments{"ada"}, said, kAddedAt).has_value());
  EXPECT_EQ(ResolveContext(connection_)->token_file, token);
  EXPECT_EQ(ResolveContext(connection_)->server, "h:1");
  ConnectionArguments certificate = connection_;
  certificate.context = "ada";
  certificate.certificate = home_ / "a/operators/admin.crt";
  EXPECT_EQ(ResolveContext(certificate)->token_file, "");
  EXPECT_EQ(ResolveContext(certificate)->server, "h:1");
}

TEST_F(Contexts, RefuseWhatCannotBeUsedANameThatIsTakenAndOneThatIsNotThere) {
  EXPECT_EQ(Add("bad", home_ / "none").error().exit, ExitCode::kUsage);
  EXPECT_EQ(cli::Run(ContextAddArguments{"bad"}, connection_, kAddedAt).error().exit, ExitCode::kUsage);
  ASSERT_TRUE(Add("prod", home_ / "a").has_value());
  EXPECT_EQ(Add("prod", home_ / "b").error().exit, ExitCode::kRefused);
  EXPECT_EQ(cli::Run(ContextUseArguments{"nobody"}, connection_).error().exit, ExitCode::kRefused);
  EXPECT_EQ(cli::Run(ContextRemoveArguments{"nobody"}, connection_).error().exit, ExitCode::kRefused);
}

TEST_F(Contexts, AreForgottenWithoutTouchingTheirFiles) {
  ASSERT_TRUE(Add("prod", home_ / "a").has_value());
  ASSERT_TRUE(cli::Run(ContextRemoveArguments{"prod"}, connection_).has_value());
  EXPECT_EQ(Current(), "");
  EXPECT_TRUE(std::filesystem::exists(home_ / "a/cli.json"));
  EXPECT_EQ(ResolveContext(connection_)->context, "");
}

TEST_F(Contexts, RefuseAFileThatTheyDidNotWrite) {
  for (const char* text :
       {"", "{}", R"({"schema":2,"current":null,"contexts":{}})", R"({"schema":1,"current":1,"contexts":{}})",
        R"({"schema":1,"current":null,"contexts":{"a":{"ca":"relative.crt"}}})",
        R"({"schema":1,"current":null,"contexts":{"a":{"unknown":"/x"}}})",
        R"({"schema":1,"current":null,"contexts":{"../a":{"ca":"/x"}}})"}) {
    Write(text);
    EXPECT_FALSE(ReadKnownContexts(connection_.known).has_value()) << text;
  }
  EXPECT_TRUE(NamesOfKnownContexts(connection_.known).empty());
}

TEST(ContextName, IsNothingThatCouldBeAPath) {
  for (const char* good : {"prod", "a.b", "0-_x"}) EXPECT_TRUE(IsContextName(good)) << good;
  for (const char* bad : {"", ".", "..", "-x", "a/b", "A", "a b", "\xc3\xa9"}) EXPECT_FALSE(IsContextName(bad)) << bad;
  EXPECT_FALSE(IsContextName(std::string(65, 'a')));
}

TEST(KnownContextsFile, IsWhereTheEnvironmentSays) {
  EXPECT_EQ(KnownContextsFile("/x", "/home/u"), "/x/tacit/contexts.json");
  EXPECT_EQ(KnownContextsFile(nullptr, "/home/u"), "/home/u/.config/tacit/contexts.json");
  EXPECT_EQ(KnownContextsFile("relative", "/home/u"), "/home/u/.config/tacit/contexts.json");
  EXPECT_EQ(KnownContextsFile(nullptr, nullptr), "");
}

}  // namespace
}  // namespace tacit::cli
