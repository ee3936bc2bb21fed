#include "cli/init.h"

#include <sys/stat.h>

#include <fstream>
#include <map>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/context.h"
#include "cli/fields.h"
#include "common/base/files.h"
#include "common/crypto/ca.h"
#include "server/app/config.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::cli {
namespace {

using ::tacit::testing::IsOk;
using ::testing::HasSubstr;
using testing::TempDirectory;
using ::testing::UnorderedElementsAre;

const WallTime kToday = testing::FakeClock().Now();

InitArguments In(const std::filesystem::path& directory) {
  return {directory, "tacit.test", {}};
}

mode_t ModeOf(const std::filesystem::path& path) {
  struct stat status{};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777U;
}

std::string TextOf(const std::filesystem::path& path) {
  const auto bytes = ReadFile(path, 1U << 20U);
  EXPECT_THAT(bytes, IsOk());
  return std::string(AsText(*bytes));
}

crypto::Certificate CertificateOf(const std::filesystem::path& path) {
  return *crypto::Certificate::FromPem(TextOf(path));
}

std::set<std::string> NamesIn(const std::filesystem::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    names.insert(entry.path().lexically_relative(directory).string());
  }
  return names;
}

TEST(Init, MakesTheWholeTreeWithSecretsForTheOwnerOnly) {
  const TempDirectory parent;
  const auto directory = parent / "srv";
  ASSERT_TRUE(Init(In(directory), kToday).has_value());
  EXPECT_THAT(NamesIn(directory),
              UnorderedElementsAre("pki", "pki/ca.key", "pki/ca.crt", "pki/models.key", "pki/server.key",
                                   "pki/server.crt", "operators", "operators/admin.key", "operators/admin.crt",
                                   "operators/auditor.key", "operators/auditor.crt", "operators/prometheus.key",
                                   "operators/prometheus.crt", "tacitd.toml", "cli.json"));
  for (const char* name : {"", "pki", "operators"}) EXPECT_EQ(ModeOf(directory / name), 0700U) << name;
  for (const char* name : {"pki/ca.key", "pki/models.key", "pki/server.key", "operators/admin.key",
                           "operators/auditor.key", "operators/prometheus.key"}) {
    EXPECT_EQ(ModeOf(directory / name), 0600U) << name;
  }
  EXPECT_EQ(NamesIn(parent.path()).size(), 16U) << "nothing may be left beside the directory";
}

TEST(Init, IssuesCertificatesThatVerifyAndCarryTheirIdentities) {
  const TempDirectory parent;
  const auto directory = parent / "srv";
  ASSERT_TRUE(Init(In(directory), kToday).has_value());
  const auto ca = CertificateOf(directory / "pki/ca.crt");
  const auto server = CertificateOf(directory / "pki/server.crt");
  const auto admin = CertificateOf(directory / "operators/admin.crt");
  EXPECT_THAT(crypto::VerifyCertificate(server, ca, crypto::CertificatePurpose::kServer, kToday), IsOk());
  EXPECT_THAT(crypto::VerifyCertificate(admin, ca, crypto::CertificatePurpose::kClient, kToday), IsOk());
  EXPECT_EQ(server.SpiffeUri(), "spiffe://tacit.test/server/tacitd");
  EXPECT_EQ(admin.SpiffeUri(), "spiffe://tacit.test/admin/admin");
  EXPECT_EQ(CertificateOf(directory / "operators/auditor.crt").SpiffeUri(), "spiffe://tacit.test/auditor/auditor");
  EXPECT_EQ(CertificateOf(directory / "operators/prometheus.crt").SpiffeUri(),
            "spiffe://tacit.test/monitor/prometheus");
  EXPECT_LE(admin.NotAfter(), kToday + std::chrono::days(90));
  EXPECT_GT(admin.NotAfter(), kToday + std::chrono::days(89));
  EXPECT_THAT(crypto::CertificateAuthority::Load(TextOf(directory / "pki/ca.crt"), TextOf(directory / "pki/ca.key")),
              IsOk());
  for (const std::string name : {"pki/server", "operators/admin", "operators/auditor", "operators/prometheus"}) {
    const auto key = crypto::PrivateKey::FromPem(TextOf(directory / (name + ".key")));
    ASSERT_THAT(key, IsOk());
    EXPECT_EQ(key->PublicKeySha256(), CertificateOf(directory / (name + ".crt")).PublicKeySha256()) << name;
  }
}

TEST(Init, PutsHostsAndLocalhostIntoTheServerCertificate) {
  const TempDirectory parent;
  ASSERT_TRUE(Init({parent / "srv", "tacit.test", {"Fleet.Example", "10.1.2.3"}}, kToday).has_value());
  const Bytes der = CertificateOf(parent / "srv/pki/server.crt").ToDer();
  const std::string_view text = AsText(der);
  EXPECT_TRUE(text.contains("fleet.example"));
  EXPECT_TRUE(text.contains("localhost"));
  EXPECT_TRUE(text.contains(std::string_view("\x87\x04\x0a\x01\x02\x03", 6)));  // [7] IPAddress of four bytes
  EXPECT_TRUE(text.contains(std::string_view("\x87\x04\x7f\x00\x00\x01", 6)));
}

TEST(Init, WritesAConfigurationThatTheServerTakesAndAContextThatThisCommandTakes) {
  const TempDirectory parent;
  const auto directory = parent / "srv";
  ASSERT_TRUE(Init({directory, "tacit.test", {"10.1.2.3"}}, kToday).has_value());
  const auto config = app::LoadConfig(directory / "tacitd.toml", kToday);
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->trust_domain, "tacit.test");
  EXPECT_EQ(config->pki.ca_key, directory / "pki/ca.key");
  EXPECT_EQ(config->pki.private_key, directory / "pki/server.key");

  const auto context = LoadContext(
      {.context = directory, .server = {}, .ca = {}, .certificate = {}, .key = {}, .token_file = {}, .known = {}},
      kToday);
  ASSERT_TRUE(context.has_value()) << context.error().error.message;
  EXPECT_EQ(context->client.server.host, "10.1.2.3");
  EXPECT_EQ(context->client.server.port, config->api.port);
}

TEST(Init, OpensTheOperatorsPortOnlyForAHostThatOthersReachAndSaysSo) {
  const struct {
    std::vector<std::string> hosts;
    std::string_view address;
    bool open;
  } cases[] = {
      {{}, "127.0.0.1", false}, {{"127.0.0.1"}, "127.0.0.1", false}, {{"LocalHost", "127.0.0.2"}, "127.0.0.1", false},
      {{"::1"}, "::1", false},  {{"10.1.2.3"}, "0.0.0.0", true},     {{"127.0.0.1", "fleet.example"}, "0.0.0.0", true}};
  for (const auto& test : cases) {
    const TempDirectory parent;
    const auto report = Init({parent / "srv", "tacit.test", test.hosts}, kToday);
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(app::LoadConfig(parent / "srv/tacitd.toml", kToday)->api.address, test.address);
    EXPECT_EQ(TextAt(report->data, "api_address"), test.address);
    EXPECT_EQ(report->text.contains("open to the network"), test.open) << report->text;
    EXPECT_EQ(TextOf(parent / "srv/tacitd.toml").contains("open to the network, for the --host"), test.open);
  }
}

TEST(Init, ListensForDevicesAtWhateverKindOfAddressItsHostsAre) {
  const struct {
    std::vector<std::string> hosts;
    std::string_view devices;
    std::string_view api;
  } cases[] = {{{}, "0.0.0.0", "127.0.0.1"},
               {{"10.1.2.3"}, "0.0.0.0", "0.0.0.0"},
               {{"::1"}, "::", "::1"},
               {{"fleet.example", "fd00::2"}, "::", "::"}};
  for (const auto& test : cases) {
    const TempDirectory parent;
    ASSERT_TRUE(Init({parent / "srv", "tacit.test", test.hosts}, kToday).has_value());
    const auto config = app::LoadConfig(parent / "srv/tacitd.toml", kToday);
    ASSERT_THAT(config, IsOk());
    EXPECT_EQ(config->agents.address, test.devices);
    EXPECT_EQ(config->enrolment.listener.address, test.devices);
    EXPECT_EQ(config->api.address, test.api);
    // The comments of the section stand below each other.
    const std::string text = TextOf(parent / "srv/tacitd.toml");
    const std::size_t line = text.find("address = \"" + std::string(test.api) + "\"", text.find("[api]"));
    EXPECT_EQ(text.find('#', line) - line, 30U) << text.substr(line, 60);
  }
}

TEST(Init, CommentsShowTheServersRealDefaults) {
  const TempDirectory parent;
  const auto directory = parent / "srv";
  ASSERT_TRUE(Init(In(directory), kToday).has_value());
  // Every line that is commented out, switched on: nothing may change.
  std::string text = TextOf(directory / "tacitd.toml");
  std::string switched_on;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = text.find('\n', start);
    std::string line = text.substr(start, end - start);
    if (line.starts_with("# ") && line.contains(" = ")) line = line.substr(2);
    switched_on += line + "\n";
    start = end + 1;
  }
  ASSERT_NE(switched_on, text);
  const auto plain = app::ParseConfig(text, "tacitd.toml");
  const auto full = app::ParseConfig(switched_on, "tacitd.toml");
  ASSERT_THAT(plain, IsOk());
  ASSERT_THAT(full, IsOk());
  EXPECT_EQ(full->io_threads, plain->io_threads);
  EXPECT_EQ(full->compute_threads, plain->compute_threads);
  EXPECT_EQ(full->log_level, plain->log_level);
  EXPECT_EQ(full->shutdown_grace, plain->shutdown_grace);
  EXPECT_EQ(full->long_poll, plain->long_poll);
  EXPECT_EQ(full->session_lifetime, plain->session_lifetime);
  EXPECT_EQ(full->failed_handshakes_per_minute_per_source, plain->failed_handshakes_per_minute_per_source);
  EXPECT_EQ(full->enrolment.certificate_lifetime, plain->enrolment.certificate_lifetime);
  EXPECT_EQ(full->enrolment.requests_per_minute_per_source, plain->enrolment.requests_per_minute_per_source);
  EXPECT_EQ(full->enrolment.advertised_host, plain->enrolment.advertised_host);
  EXPECT_EQ(full->agents.max_connections, plain->agents.max_connections);
  EXPECT_EQ(full->enrolment.listener.max_connections, plain->enrolment.listener.max_connections);
  EXPECT_EQ(full->api.max_connections, plain->api.max_connections);
  EXPECT_EQ(full->metrics.max_connections, plain->metrics.max_connections);
  EXPECT_EQ(full->metrics_need_certificate, plain->metrics_need_certificate);
  EXPECT_EQ(full->limits.memory_ceiling, plain->limits.memory_ceiling);
  EXPECT_EQ(full->limits.upload_memory, plain->limits.upload_memory);
  EXPECT_EQ(full->limits.task_memory, plain->limits.task_memory);
  EXPECT_EQ(full->limits.max_update_bytes, plain->limits.max_update_bytes);
  EXPECT_EQ(full->limits.max_parameters, plain->limits.max_parameters);
}

TEST(Init, RefusesToTouchADirectoryWithAnythingInIt) {
  const TempDirectory parent;
  const auto directory = parent / "srv";
  std::filesystem::create_directory(directory);
  std::ofstream(directory / "mine") << "mine";
  const auto refused = Init(In(directory), kToday);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().exit, ExitCode::kRefused);
  EXPECT_THAT(refused.error().error.message, HasSubstr("not overwritten"));
  EXPECT_THAT(NamesIn(parent.path()), UnorderedElementsAre("srv", "srv/mine"));
}

TEST(Init, RefusesToRunTwiceAndKeepsTheFirstKeys) {
  const TempDirectory parent;
  const auto directory = parent / "srv";
  ASSERT_TRUE(Init(In(directory), kToday).has_value());
  const std::string key = TextOf(directory / "pki/ca.key");
  const auto again = Init(In(directory), kToday);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().exit, ExitCode::kRefused);
  EXPECT_EQ(TextOf(directory / "pki/ca.key"), key);
}

TEST(Init, TakesAnEmptyDirectoryAndATrailingSlash) {
  const TempDirectory parent;
  std::filesystem::create_directory(parent / "srv");
  ASSERT_TRUE(Init(In(parent.path() / "srv/"), kToday).has_value());
  EXPECT_TRUE(std::filesystem::exists(parent / "srv/pki/ca.key"));
  EXPECT_EQ(ModeOf(parent / "srv"), 0700U);
}

TEST(Init, RefusesALinkAFileAndWhatItsParentDoesNotAllow) {
  const TempDirectory parent;
  std::filesystem::create_symlink(parent / "nowhere", parent / "link");
  std::ofstream(parent / "file") << "x";
  EXPECT_EQ(Init(In(parent / "link"), kToday).error().exit, ExitCode::kRefused);
  EXPECT_EQ(Init(In(parent / "file"), kToday).error().exit, ExitCode::kRefused);
  EXPECT_EQ(Init(In(parent / "file/below"), kToday).error().exit, ExitCode::kRefused);
  EXPECT_THAT(NamesIn(parent.path()), UnorderedElementsAre("link", "file"));
}

TEST(Init, DoesNotTakeWhatItCannotLookAtForSomethingThatIsThere) {
  const TempDirectory parent;
  // Root may look everywhere; a name that no file system takes, nobody.
  const auto refused = Init(In(parent / std::string(300, 'x')), kToday);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().error.message, HasSubstr("cannot look at"));
  EXPECT_THAT(refused.error().hint, HasSubstr("below a directory that you may write to"));
  const auto empty = Init(In(""), kToday);
  ASSERT_FALSE(empty.has_value());
  EXPECT_EQ(empty.error().exit, ExitCode::kUsage);
  EXPECT_THAT(empty.error().error.message, HasSubstr("--dir is empty"));
}

TEST(Init, RefusesBadNamesBeforeItWritesAnything) {
  const TempDirectory parent;
  for (const InitArguments& bad :
       {InitArguments{parent / "srv", "UPPER", {}}, InitArguments{parent / "srv", "a/b", {}},
        InitArguments{parent / "srv", "t", {"*.example"}}, InitArguments{parent / "srv", "t", {"a b"}},
        InitArguments{parent / "srv", "t", {"http://a"}}}) {
    const auto refused = Init(bad, kToday);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().exit, ExitCode::kUsage) << refused.error().error.message;
  }
  EXPECT_TRUE(NamesIn(parent.path()).empty());
}

TEST(Init, SaysWhatIsWrongWithAHostAndWithWhichOption) {
  const TempDirectory parent;
  for (const auto& [host, says] : std::map<std::string, std::string>{
           {"1.2.3.4:8443", "--host: '1.2.3.4:8443' is neither a host name nor an IP address; give it without a port"},
           {"[::1]", "without brackets"},
           {"0.0.0.0", "--host: 0.0.0.0 stands for every address of this machine"},
           {"::", "--host: :: stands for every address"}}) {
    const auto refused = Init({parent / "srv", "t", {host}}, kToday);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().exit, ExitCode::kUsage);
    EXPECT_THAT(refused.error().error.message, HasSubstr(says));
  }
  EXPECT_TRUE(NamesIn(parent.path()).empty());
}

TEST(Init, ReportsTheFingerprintAndTheNextCommands) {
  const TempDirectory parent;
  const auto report = Init(In(parent / "my srv"), kToday);
  ASSERT_TRUE(report.has_value());
  const std::string fingerprint = crypto::FormatFingerprint(CertificateOf(parent / "my srv/pki/ca.crt").Fingerprint());
  EXPECT_EQ(TextAt(report->data, "ca_fingerprint"), fingerprint);
  EXPECT_THAT(report->text, HasSubstr(fingerprint));
  EXPECT_THAT(report->text, HasSubstr("tacitd --config '" + (parent / "my srv/tacitd.toml").string() + "'"));
  EXPECT_THAT(report->text, ::testing::Not(HasSubstr("PRIVATE")));
}

}  // namespace
}  // namespace tacit::cli
