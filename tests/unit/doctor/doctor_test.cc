#include "server/doctor/doctor.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/doctor.h"
#include "cli/init.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_directory.h"

namespace tacit::doctor {
namespace {

using ::testing::Contains;
using ::testing::Each;
using testing::FakeClock;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempDirectory;
using namespace std::chrono_literals;

auto Says(std::string_view area, Verdict verdict, std::string_view what) {
  return ::testing::AllOf(Field(&Finding::area, std::string(area)), Field(&Finding::verdict, verdict),
                          Field(&Finding::what, HasSubstr(std::string(what))));
}

class Server : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cli::Init({root_, "t", {}}, clock_.Now()).has_value());
    // Any free port: what else runs on this machine must not matter.
    for (const char* port : {"8443", "8444", "8445", "9464"}) Edit(std::string("port = ") + port, "port = 0");
  }
  void Edit(std::string_view from, std::string_view to) {
    std::ifstream in(config_);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    std::ofstream(config_) << text;
  }
  Findings Examine() { return ExamineServer(config_, clock_); }

  FakeClock clock_;
  TempDirectory parent_;
  const std::filesystem::path root_ = parent_ / "fleet";
  const std::filesystem::path config_ = root_ / "tacitd.toml";
};

TEST_F(Server, ThatWasJustMadeHasNoProblem) {
  const Findings findings = Examine();
  EXPECT_THAT(findings, Each(Field(&Finding::verdict, Not(Verdict::kProblem))));
  for (const char* area : {"configuration", "clock", "certificates", "limits", "disk", "store", "ports"})
    EXPECT_THAT(findings, Contains(Field(&Finding::area, area)));
  EXPECT_FALSE(std::filesystem::exists(root_ / "data")) << "nothing is made";
}

TEST_F(Server, TellsEveryFaultOfItsConfigurationAndWhatToTry) {
  std::filesystem::permissions(root_ / "pki/ca.key", std::filesystem::perms{0644});
  std::filesystem::remove(root_ / "pki/server.key");
  const Findings findings = Examine();
  EXPECT_THAT(findings, Contains(Says("configuration", Verdict::kProblem, "ca.key is open to every user")));
  EXPECT_THAT(findings, Contains(Says("configuration", Verdict::kProblem, "server.key")));
  Edit("[api]", "[apu]");
  EXPECT_THAT(Examine(), Each(Says("configuration", Verdict::kProblem, "tacitd.toml")));
  std::filesystem::remove(config_);
  EXPECT_THAT(Examine(), Each(Says("configuration", Verdict::kProblem, "tacitd.toml")));
}

TEST_F(Server, WarnsBeforeACertificateEnds) {
  EXPECT_THAT(Examine(), Contains(Says("certificates", Verdict::kOk, "server.crt is good for another 825 days")));
  clock_.Advance(std::chrono::days(824));
  EXPECT_THAT(Examine(), Contains(Says("certificates", Verdict::kWarning, "server.crt is good for another 1 day")));
  clock_.Advance(std::chrono::days(2));
  EXPECT_THAT(Examine(), Contains(Says("certificates", Verdict::kProblem, "server.crt ended at")));
}

TEST_F(Server, ComparesTheCeilingWithTheMachine) {
  Edit("# memory_ceiling = \"2GiB\"", "memory_ceiling = \"1024GiB\"");
  EXPECT_THAT(Examine(), Contains(Says("limits", Verdict::kWarning, "limits.memory_ceiling is 1048576 MiB")));
  Edit("# upload_memory = \"512MiB\"", "upload_memory = \"1000GiB\"");
  EXPECT_THAT(Examine(), Contains(Says("limits", Verdict::kProblem, "the limits together can take")));
}

TEST_F(Server, ComparesTheOpenFilesWithTheConnections) {
  Edit("# max_connections = 10000", "max_connections = 1000000");
  const Findings findings = Examine();
  const auto files = std::ranges::find(findings, "limits", &Finding::area);
  ASSERT_NE(files, findings.end());
  // A system that allows a million connections exists.
  if (files->verdict == Verdict::kProblem) EXPECT_THAT(files->next, HasSubstr("LimitNOFILE="));
}

TEST_F(Server, AsksTheIssuerWhereOneIsConfigured) {
  EXPECT_THAT(Examine(), Not(Contains(Field(&Finding::area, "issuer"))));
  // Nobody listens there.
  Edit("[metrics]",
       "[api.oidc]\nissuer = \"https://127.0.0.1:1/fleet\"\naudience = \"tacit\"\n[api.oidc.roles]\na = \"viewer\"\n"
       "[metrics]");
  EXPECT_THAT(Examine(), Contains(Says("issuer", Verdict::kProblem, "no keys from the issuer: ")));
}

TEST_F(Server, NeedsADirectoryThatCanBeWritten) {
  Edit("data_dir = \"data\"", "data_dir = \"/proc/data\"");
  EXPECT_THAT(Examine(), Contains(Says("disk", Verdict::kProblem, "cannot be written and made durable")));
}

TEST(Roughly, IsInTheLargestUnitThatFits) {
  EXPECT_EQ(Roughly(-1s), "0 seconds");
  EXPECT_EQ(Roughly(59s), "59 seconds");
  EXPECT_EQ(Roughly(61s), "1 minute");
  EXPECT_EQ(Roughly(119min), "1 hour");
  EXPECT_EQ(Roughly(49h), "2 days");
}

TEST(Findings, EndWithTheirOwnExitCodeWhenThereIsAProblem) {
  const Finding warning{.area = "disk", .verdict = Verdict::kWarning, .what = "slow", .next = "wait"};
  const cli::Report good = cli::DescribeFindings({Ok("clock", "right"), warning});
  EXPECT_EQ(good.exit, cli::ExitCode::kOk);
  EXPECT_EQ(good.data["verdict"], "warning");
  EXPECT_EQ(good.text, "ok       clock  right\nwarning  disk   slow\n                next: wait\n");
  const cli::Report bad = cli::DescribeFindings({{"disk", Verdict::kProblem, "full", "make room"}});
  EXPECT_EQ(bad.exit, cli::ExitCode::kProblem);
  EXPECT_EQ(bad.data["problems"], 1);
  EXPECT_THAT(bad.notes.front(), HasSubstr("1 problem, 0 warnings"));
}

}  // namespace
}  // namespace tacit::doctor
