#include "server/app/config.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include <gmock/gmock.h>

#include "common/crypto/ca.h"
#include "common/crypto/keys.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::app {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

/// Only what has no default.
constexpr std::string_view kMinimal = R"([server]
data_dir = "data"
trust_domain = "fleet.example"
[pki]
ca_certificate = "ca.pem"
ca_key = "/secret/ca.key"
certificate = "server.pem"
private_key = "keys/server.key"
)";

Result<ServerConfig> Parse(std::string_view text) {
  return ParseConfig(text, "/etc/tacit/tacitd.toml");
}

/// The minimal file with a table added at its end.
std::string With(std::string_view table) {
  return std::string(kMinimal) + std::string(table);
}

std::string Replaced(std::string_view from, std::string_view to) {
  std::string text(kMinimal);
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(ParseConfig, FillsInTheDocumentedDefaults) {
  const auto config = Parse(kMinimal);
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->io_threads, 2U);
  EXPECT_EQ(config->compute_threads, 2U);
  EXPECT_EQ(config->log_level, LogLevel::kInfo);
  EXPECT_EQ(config->shutdown_grace, Millis(10'000));
  EXPECT_EQ(config->agents.address, "0.0.0.0");
  EXPECT_EQ(config->agents.port, 8443);
  EXPECT_EQ(config->agents.max_connections, 10'000U);
  EXPECT_EQ(config->long_poll, Millis(30'000));
  EXPECT_EQ(config->session_lifetime, Millis(86'400'000));
  EXPECT_EQ(config->failed_handshakes_per_minute_per_source, 10'000U);
  EXPECT_EQ(config->enrolment.listener.port, 8445);
  EXPECT_EQ(config->enrolment.certificate_lifetime, Millis(7LL * 86'400'000));
  EXPECT_EQ(config->enrolment.requests_per_minute_per_source, 30U);
  EXPECT_EQ(config->enrolment.advertised_host, "");
  EXPECT_EQ(config->api.address, "127.0.0.1");
  EXPECT_EQ(config->api.port, 8444);
  EXPECT_EQ(config->metrics.address, "127.0.0.1");
  EXPECT_EQ(config->metrics.port, 9464);
  EXPECT_FALSE(config->metrics_need_certificate);
  EXPECT_EQ(config->limits.memory_ceiling, 2ULL << 30U);
  EXPECT_EQ(config->limits.upload_memory, 512ULL << 20U);
  EXPECT_EQ(config->limits.task_memory, 256ULL << 20U);
  EXPECT_EQ(config->limits.bundle_memory, 12ULL << 20U);
  EXPECT_EQ(config->limits.max_update_bytes, 256ULL << 20U);
  EXPECT_EQ(config->pki.model_key, config->pki.ca_key.parent_path() / "models.key");
  EXPECT_EQ(config->limits.max_parameters, 1ULL << 28U);
}

TEST(ParseConfig, TellsNobodyAnythingUnlessItIsAsked) {
  const auto config = Parse(kMinimal);
  ASSERT_THAT(config, IsOk());
  EXPECT_FALSE(config->traces);
  EXPECT_FALSE(config->mlflow);
}

TEST(ParseConfig, ReadsWhereTracesAndModelsGo) {
  const auto config =
      Parse(With("[traces]\nendpoint = 'https://c.example:4318/'\nheaders_file = 'h'\n"
                 "[mlflow]\ntracking_uri = 'http://127.0.0.1:5000'\nartifacts = 'none'\n"));
  ASSERT_THAT(config, IsOk());
  ASSERT_TRUE(config->traces && config->mlflow);
  EXPECT_EQ(config->traces->url, "https://c.example:4318");
  EXPECT_EQ(config->traces->headers_file, "/etc/tacit/h");
  EXPECT_EQ(config->traces->ca_file, "");
  EXPECT_EQ(config->mlflow->server.url, "http://127.0.0.1:5000");
  EXPECT_EQ(config->mlflow->name_prefix, "tacit-");
  EXPECT_FALSE(config->mlflow->takes_artifacts);
}

TEST(ParseConfig, RefusesUrlsThatWouldShowSecretsOrGoInTheClear) {
  const auto endpoint = [](std::string_view url) {
    return Parse(With("[traces]\nendpoint = '" + std::string(url) + "'\n"));
  };
  constexpr ErrorCode kInvalid = ErrorCode::kInvalidArgument;
  EXPECT_THAT(endpoint("http://c.example:4318"), IsErrorSaying(kInvalid, "tacitd.toml:10:12: 'traces.endpoint' is"));
  EXPECT_THAT(endpoint("https://me:pw@c.example"), IsErrorSaying(kInvalid, "put it into a file"));
  EXPECT_THAT(endpoint("https://c.example/?key=1"), IsErrorSaying(kInvalid, "no query"));
  EXPECT_THAT(endpoint("c.example"), IsErrorSaying(kInvalid, "not a URL"));
  EXPECT_THAT(Parse(With("[traces]\nca_file = 'x'\n")), IsErrorSaying(kInvalid, "traces.endpoint"));
  EXPECT_THAT(Parse(With("[traces]\nendpoint = 'http://c.example'\ntls = 'optional'\n")), IsOk());
  EXPECT_THAT(Parse(With("[mlflow]\ntracking_uri = 'https://m.example'\nname_prefix = \"a'b\"\n")),
              IsErrorSaying(kInvalid, "mlflow.name_prefix"));
}

TEST(ParseConfig, TakesRelativePathsFromTheDirectoryOfTheFile) {
  const auto config = Parse(kMinimal);
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->data_dir, "/etc/tacit/data");
  EXPECT_EQ(config->pki.ca_certificate, "/etc/tacit/ca.pem");
  EXPECT_EQ(config->pki.ca_key, "/secret/ca.key");
  EXPECT_EQ(config->pki.private_key, "/etc/tacit/keys/server.key");
  const auto beside = ParseConfig(kMinimal, "tacitd.toml");
  ASSERT_THAT(beside, IsOk());
  EXPECT_EQ(beside->data_dir, "data");
}

TEST(ParseConfig, ReadsEveryKey) {
  const auto config = Parse(R"([server]
data_dir = "/var/lib/tacit"
trust_domain = "a-b.c_d"
io_threads = 8
compute_threads = 16
log_level = "debug"
shutdown_grace = "0s"
[agents]
address = "::"
port = 0
max_connections = 7
long_poll = "500ms"
session_lifetime = "2h"
failed_handshakes_per_minute_per_source = 3
[enrolment]
address = "10.0.0.1"
port = 1
max_connections = 8
certificate_lifetime = "12h"
requests_per_minute_per_source = 5
advertised_host = "tacit.example"
[api]
address = "::1"
port = 65535
max_connections = 9
[metrics]
address = "0.0.0.0"
port = 2
max_connections = 10
tls = "mutual"
[pki]
ca_certificate = "a"
ca_key = "b"
certificate = "c"
private_key = "d"
[limits]
memory_ceiling = "3GiB"
upload_memory = "65MiB"
task_memory = "66MiB"
max_update_bytes = "64MiB"
max_parameters = 1000
)");
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->data_dir, "/var/lib/tacit");
  EXPECT_EQ(config->trust_domain, "a-b.c_d");
  EXPECT_EQ(config->io_threads, 8U);
  EXPECT_EQ(config->compute_threads, 16U);
  EXPECT_EQ(config->log_level, LogLevel::kDebug);
  EXPECT_EQ(config->shutdown_grace, Millis(0));
  EXPECT_EQ(config->agents.address, "::");
  EXPECT_EQ(config->agents.port, 0);
  EXPECT_EQ(config->agents.max_connections, 7U);
  EXPECT_EQ(config->long_poll, Millis(500));
  EXPECT_TRUE(config->session_lifetime == 2h && config->failed_handshakes_per_minute_per_source == 3);
  EXPECT_EQ(config->enrolment.listener.address, "10.0.0.1");
  EXPECT_EQ(config->enrolment.listener.max_connections, 8U);
  EXPECT_EQ(config->enrolment.certificate_lifetime, Millis(12LL * 3'600'000));
  EXPECT_EQ(config->enrolment.requests_per_minute_per_source, 5U);
  EXPECT_EQ(config->enrolment.advertised_host, "tacit.example");
  EXPECT_EQ(config->api.address, "::1");
  EXPECT_TRUE(config->api.port == 65535 && config->api.max_connections == 9);
  EXPECT_TRUE(config->metrics.port == 2 && config->metrics_need_certificate);
  EXPECT_EQ(config->metrics.max_connections, 10U);
  EXPECT_EQ(config->limits.memory_ceiling, 3ULL << 30U);
  EXPECT_EQ(config->limits.upload_memory, 65ULL << 20U);
  EXPECT_EQ(config->limits.task_memory, 66ULL << 20U);
  EXPECT_EQ(config->limits.max_update_bytes, 64ULL << 20U);
  EXPECT_EQ(config->limits.max_parameters, 1000U);
}

TEST(ParseConfig, RefusesEveryBadValueWithItsPlaceAndReason) {
  const struct {
    std::string text;
    std::string_view says;
  } cases[] = {
      {Replaced("data_dir = \"data\"\n", ""), "missing key 'server.data_dir'"},
      {Replaced("data_dir = \"data\"", "data_dir = ''"), ":2:12: 'server.data_dir' must be a path"},
      {Replaced("data_dir = \"data\"", "data_dir = \"a\\u0000b\""), "'server.data_dir' must be a path"},
      {Replaced("trust_domain = \"fleet.example\"\n", ""), "missing key 'server.trust_domain'"},
      {Replaced("fleet.example", "Fleet Example"), ":3:16: 'server.trust_domain' must be a lower-case name"},
      {Replaced("fleet.example", "a/device"), "'server.trust_domain' must be"},
      {Replaced("fleet.example", ""), "'server.trust_domain' must be"},
      {Replaced("ca_key = \"/secret/ca.key\"\n", ""), "missing key 'pki.ca_key'"},
      {Replaced("[pki]", "[pkl]"), "unknown key 'pkl' (did you mean 'pki'?)"},
      {Replaced("data_dir = \"data\"", "data_dir = 'd'\nio_threads = 0"), "'server.io_threads' must be 1 to 64, got 0"},
      {Replaced("data_dir = \"data\"", "data_dir = 'd'\ncompute_threads = 65"),
       "'server.compute_threads' must be 1 to 64"},
      {Replaced("data_dir = \"data\"", "data_dir = 'd'\nlog_level = 'loud'"),
       "'debug', 'info', 'warn', 'error', got 'loud'"},
      {Replaced("data_dir = \"data\"", "data_dir = 'd'\nshutdown_grace = '11m'"), "must be 0ms to 10m, got '11m'"},
      {With("[agents]\nport = 65536\n"), "'agents.port' must be 0 to 65535, got 65536"},
      {With("[agents]\nport = '8443'\n"), "'agents.port' must be an integer, got a string"},
      {With("[agents]\naddress = 'localhost'\n"), "'agents.address' must be an IP address"},
      {With("[agents]\nmax_connections = 0\n"), "'agents.max_connections' must be 1 to 1000000"},
      {With("[agents]\nlong_poll = '30'\n"), "'agents.long_poll' must be a duration"},
      {With("[agents]\nsession_lifetime = '8d'\n"), "must be 0ms to 7d, got '8d'"},
      {With("[agents]\nfailed_handshakes_per_minute_per_source = 0\n"), "must be 1 to 1000000, got 0"},
      {With("[agents]\nlong-poll = '30s'\n"), "unknown key 'agents.long-poll' (did you mean 'long_poll'?)"},
      {With("[enrolment]\ncertificate_lifetime = '1s'\n"), "must be 10s to 3650d, got '1s'"},
      {With("[enrolment]\nrequests_per_minute_per_source = 0\n"), "must be 1 to 100000"},
      {With("[enrolment]\nadvertised_host = 'a b'\n"), "'enrolment.advertised_host' must be a host name"},
      {With("[enrolment]\nadvertised_host = '127.0.0.1:8443'\n"), "'enrolment.advertised_host' must be a host name"},
      {With("[enrolment]\nadvertised_host = 'a..b'\n"), "'enrolment.advertised_host' must be a host name"},
      {With("[enrolment]\nadvertised_host = '::'\n"), "at which devices find this server"},
      {Replaced("ca_key = \"/secret/ca.key\"", "ca_key = ''"), "'pki.ca_key' must be a path"},
      {With("[enrolment]\naddress = 'x'\n"), "'enrolment.address' must be an IP address"},
      {With("[metrics]\naddress = ''\n"), "'metrics.address' must be an IP address"},
      {With("[api]\naddress = '1.2.3'\n"), "'api.address' must be an IP address"},
      {With("[metrics]\nport = -1\n"), "'metrics.port' must be 0 to 65535"},
      {With("[limits]\nmemory_ceiling = 1024\n"), "'limits.memory_ceiling' must be a size such as \"64MiB\""},
      {With("[limits]\nmax_parameters = 0\n"), "'limits.max_parameters' must be 1 to 268435456"},
      {With("[limits]\nupload_memory = '100MiB'\n"), "'limits.upload_memory' must hold at least one update"},
      {With("[limits]\nmax_update_bytes = '600MiB'\n"), "'limits.upload_memory' must hold at least one update"},
  };
  for (const auto& test : cases) {
    const auto parsed = Parse(test.text);
    EXPECT_THAT(parsed, IsErrorSaying(ErrorCode::kInvalidArgument, std::string(test.says))) << test.text;
    EXPECT_THAT(parsed, IsErrorSaying(ErrorCode::kInvalidArgument, "/etc/tacit/tacitd.toml:")) << test.text;
  }
}

/// The minimal file with an issuer, and more of its table.
std::string WithIssuer(std::string_view more = "", std::string_view roles = "fleet-operators = 'operator'\n") {
  return With("[api.oidc]\nissuer = 'https://issuer.example/fleet'\naudience = 'tacit'\n" + std::string(more) +
              "[api.oidc.roles]\n" + std::string(roles));
}

TEST(ParseConfig, TakesNoIdentityTokensUnlessAnIssuerIsConfigured) {
  EXPECT_FALSE(Parse(kMinimal)->oidc.has_value());
  const auto config = Parse(WithIssuer());
  ASSERT_THAT(config, IsOk());
  ASSERT_TRUE(config->oidc.has_value());
  const OidcConfig& oidc = *config->oidc;
  EXPECT_EQ(oidc.issuer, "https://issuer.example/fleet");
  EXPECT_EQ(oidc.audience, "tacit");
  EXPECT_TRUE(oidc.ca_file.empty() && oidc.jwks_url.empty());
  EXPECT_EQ(oidc.role_claim, "roles");
  EXPECT_EQ(oidc.leeway, 30s);
  EXPECT_EQ(oidc.max_lifetime, 24h);
  EXPECT_EQ(oidc.refresh, 10min);
  EXPECT_EQ(oidc.keep, 24h);
  EXPECT_THAT(oidc.roles, ::testing::ElementsAre(::testing::Pair("fleet-operators", store::Role::kOperator)));
}

TEST(ParseConfig, ReadsEveryKeyOfAnIssuer) {
  const auto config = Parse(
      WithIssuer("ca_file = 'idp.pem'\njwks_url = 'https://keys.example/a?b=c'\nrole_claim = 'realm_access.roles'\n"
                 "leeway = '0s'\nmax_lifetime = '1h'\nrefresh = '1s'\nkeep = '2s'\n",
                 "\"https://example.com/a.b c\" = 'viewer'\nb = 'auditor'\nc = 'admin'\nd = 'scientist'\n"));
  ASSERT_THAT(config, IsOk());
  const OidcConfig& oidc = *config->oidc;
  EXPECT_EQ(oidc.ca_file, "/etc/tacit/idp.pem");
  EXPECT_EQ(oidc.jwks_url, "https://keys.example/a?b=c");
  EXPECT_EQ(oidc.role_claim, "realm_access.roles");
  EXPECT_TRUE(oidc.leeway == 0s && oidc.max_lifetime == 1h && oidc.refresh == 1s && oidc.keep == 2s);
  EXPECT_EQ(oidc.roles.size(), 4U);
  EXPECT_EQ(oidc.roles.at("https://example.com/a.b c"), store::Role::kViewer);
  EXPECT_EQ(oidc.roles.at("c"), store::Role::kAdmin);
}

TEST(ParseConfig, RefusesEveryBadValueOfAnIssuerWithItsPlaceAndReason) {
  const auto replaced = [](std::string_view from, std::string_view to) {
    std::string text = WithIssuer();
    return text.replace(text.find(from), from.size(), to);
  };
  std::string many;
  for (int i = 0; i < 101; ++i) many += "r" + std::to_string(i) + " = 'viewer'\n";
  const struct {
    std::string text;
    std::string_view says;
  } cases[] = {
      {With("[api]\noidc = 1\n"), ":10:8: 'api.oidc' must be a table, got an integer"},
      {With("[api.oidk]\n"), "unknown key 'api.oidk' (did you mean 'oidc'?)"},
      {With("[api.oidc]\n"), ":9:1: missing key 'api.oidc.issuer'"},
      {replaced("audience = 'tacit'\n", ""), "missing key 'api.oidc.audience'"},
      {replaced("'tacit'", "''"), ":11:12: 'api.oidc.audience' must be a text of 1 to 1024 bytes"},
      {replaced("https://issuer", "http://issuer"), ":10:10: 'api.oidc.issuer' is a URL in plain http"},
      {replaced("https://issuer.example/fleet", "issuer.example"), "'api.oidc.issuer' is "},
      {replaced("/fleet", "/fleet?a=b"), "'api.oidc.issuer' must be a URL without a query"},
      {replaced("/fleet", "/fleet#a"), "'api.oidc.issuer' is a URL with a fragment"},
      {WithIssuer("jwks_url = 'http://keys.example'\n"), ":12:12: 'api.oidc.jwks_url' is a URL in plain http"},
      {WithIssuer("ca_file = ''\n"), "'api.oidc.ca_file' must be a path"},
      {WithIssuer("role_claim = 'a..b'\n"), ":12:14: 'api.oidc.role_claim' must name a claim"},
      {WithIssuer("leeway = '61s'\n"), "'api.oidc.leeway' must be 0ms to 1m, got '61s'"},
      {WithIssuer("max_lifetime = '59s'\n"), "'api.oidc.max_lifetime' must be 1m to 30d"},
      {WithIssuer("refresh = '0s'\n"), "'api.oidc.refresh' must be 1s to 1d"},
      {WithIssuer("keep = '5m'\n"), ":12:8: 'api.oidc.keep' must be at least 'api.oidc.refresh'"},
      {WithIssuer("secret = 'x'\n"), "unknown key 'api.oidc.secret'"},
      {WithIssuer("", ""), "'api.oidc.roles' must have 1 to 100 values"},
      {WithIssuer("", many), "'api.oidc.roles' must have 1 to 100 values"},
      {WithIssuer("", "a = 'root'\n"), ":13:5: 'api.oidc.roles.a' must be one of 'viewer'"},
      {WithIssuer("", "a.b = 'viewer'\n"), "'api.oidc.roles.a' must be one of 'viewer'"},
      {WithIssuer("", "'' = 'viewer'\n"), "'api.oidc.roles' must not have an empty value"},
      {WithIssuer("", "\"\\u001b[2J\" = 1\n"), "'api.oidc.roles.?[2J' must be one of"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(Parse(test.text), IsErrorSaying(ErrorCode::kInvalidArgument, std::string(test.says))) << test.text;
  }
}

TEST(ParseConfig, TellsAllProblemsOfAFileAtOnce) {
  const auto parsed = Parse(With("[agents]\nport = 'x'\n[limits]\nceiling = 1\n[typo]\n"));
  ASSERT_FALSE(parsed);
  EXPECT_EQ(std::count(parsed.error().message.begin(), parsed.error().message.end(), '\n'), 2)
      << parsed.error().message;
}

TEST(ParseConfig, ReadsNoMoreThanItsLimit) {
  EXPECT_THAT(Parse(std::string(256 * 1024 + 1, '#')), IsError(ErrorCode::kTooLarge));
}

TEST(WorstCaseMemory, OfTheDefaultsFitsTheDefaultCeiling) {
  const auto config = Parse(kMinimal);
  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(CheckMemory(*config), IsOk());
  const MemoryPlan plan = WorstCaseMemory(*config);
  EXPECT_EQ(plan.uploads, config->limits.upload_memory);
  EXPECT_EQ(plan.tasks, config->limits.task_memory);
  EXPECT_GT(plan.connections, 10'000ULL * 64 * 1024) << "a busy TLS connection holds at least its record buffers";
  EXPECT_GE(plan.sessions, 10'000ULL * 1024) << "a session holds at least a certificate";
  EXPECT_EQ(plan.bundles, config->limits.bundle_memory);
  EXPECT_EQ(plan.total(), plan.uploads + plan.tasks + plan.bundles + plan.connections + plan.sessions + plan.program);
}

TEST(WorstCaseMemory, HoldsNoSessionsWhereNoneIsResumed) {
  ServerConfig config = *Parse(With("[agents]\nsession_lifetime = '0s'\n"));
  EXPECT_EQ(SessionMemory(config), 0U);
  EXPECT_EQ(WorstCaseMemory(config).sessions, 0U);
}

TEST(WorstCaseMemory, GrowsWithEveryLimit) {
  const ServerConfig base = *Parse(kMinimal);
  const auto grows = [&](auto change) {
    ServerConfig config = base;
    change(config);
    return WorstCaseMemory(config).total() > WorstCaseMemory(base).total();
  };
  EXPECT_TRUE(grows([](ServerConfig& c) { c.limits.upload_memory += 1; }));
  EXPECT_TRUE(grows([](ServerConfig& c) { c.limits.task_memory += 1; }));
  EXPECT_TRUE(grows([](ServerConfig& c) { c.limits.bundle_memory += 1; }));
  EXPECT_TRUE(grows([](ServerConfig& c) { c.agents.max_connections += 1; }));
  EXPECT_TRUE(grows([](ServerConfig& c) { c.enrolment.listener.max_connections += 1; }));
  EXPECT_TRUE(grows([](ServerConfig& c) { c.api.max_connections += 1; }));
  EXPECT_TRUE(grows([](ServerConfig& c) { c.metrics.max_connections += 1; }));
}

TEST(CheckMemory, FailsOneByteAboveTheCeilingAndSaysWhatToLower) {
  ServerConfig config = *Parse(kMinimal);
  config.limits.memory_ceiling = WorstCaseMemory(config).total();
  EXPECT_THAT(CheckMemory(config), IsOk());
  config.limits.memory_ceiling -= 1;
  for (const std::string_view part :
       {"limits.memory_ceiling", "limits.upload_memory (512 MiB)", "limits.task_memory (256 MiB)",
        "limits.bundle_memory (12 MiB)", "agents.max_connections"}) {
    EXPECT_THAT(CheckMemory(config), IsErrorSaying(ErrorCode::kInvalidArgument, std::string(part)));
  }
}

TEST(ParseConfig, RefusesTwoListenersOnOnePort) {
  const struct {
    std::string_view agents;
    std::string_view api;
    bool clash;
  } cases[] = {
      {"127.0.0.1", "127.0.0.1", true}, {"0.0.0.0", "127.0.0.1", true}, {"10.0.0.1", "0.0.0.0", true},
      {"::", "127.0.0.1", true},        {"::", "0.0.0.0", true},        {"::1", "0:0:0:0:0:0:0:1", true},
      {"127.0.0.1", "10.0.0.1", false}, {"0.0.0.0", "::1", false},
  };
  for (const auto& test : cases) {
    const auto parsed = Parse(With("[agents]\naddress = '" + std::string(test.agents) + "'\n[api]\naddress = '" +
                                   std::string(test.api) + "'\nport = 8443\n"));
    EXPECT_EQ(parsed.has_value(), !test.clash) << test.agents << " and " << test.api;
    if (test.clash) {
      EXPECT_THAT(parsed, IsErrorSaying(ErrorCode::kInvalidArgument, ":13:8: 'api.port' 8443 is that of [agents]"));
    }
  }
  EXPECT_THAT(Parse(With("[agents]\nport = 0\n[enrolment]\nport = 0\n")), IsOk()) << "any free port, twice";
  EXPECT_THAT(Parse(With("[agents]\nport = 8445\n")), IsError(ErrorCode::kInvalidArgument))
      << "a default is a port, too";
}

TEST(FilesNeeded, IsOneForEachConnectionAndTheServersOwn) {
  ServerConfig config = *Parse(kMinimal);
  const std::uint64_t of_defaults = FilesNeeded(config);
  EXPECT_GT(of_defaults, 10'000U + 256 + 64 + 16);
  EXPECT_LT(of_defaults, 10'000U + 256 + 64 + 16 + 1'000);
  for (std::uint32_t* const most : {&config.agents.max_connections, &config.enrolment.listener.max_connections,
                                    &config.api.max_connections, &config.metrics.max_connections})
    *most += 100;
  EXPECT_EQ(FilesNeeded(config), of_defaults + 400);
}

constexpr WallTime kNow{Millis(1'790'000'000'000)};

class LoadConfigTest : public ::testing::Test {
 protected:
  LoadConfigTest() : ca_(MakeAuthority()) {
    Write("ca.pem", ca_.CertPem());
    Write("ca.key", *ca_.KeyPem());
    MakeServer(ca_, "spiffe://fleet.example/server/tacitd", kNow);
    WriteConfig();
  }

  static crypto::CertificateAuthority MakeAuthority() {
    return *crypto::CertificateAuthority::CreateSelfSigned(
        {.common_name = "CA", .now = kNow, .lifetime = std::chrono::hours(1000)});
  }
  void MakeServer(const crypto::CertificateAuthority& ca, std::string uri, WallTime now) {
    const auto key = *crypto::PrivateKey::GenerateP256();
    const auto certificate = ca.IssueServer({.csr_pem = *crypto::MakeCsrPem(key, "x"),
                                             .dns_names = {"localhost"},
                                             .ip_addresses = {},
                                             .spiffe_uri = std::move(uri),
                                             .common_name = "x",
                                             .now = now,
                                             .lifetime = std::chrono::hours(24)});
    Write("server.pem", certificate->ToPem());
    Write("server.key", *key.ToPem());
  }
  void Write(std::string_view name, std::string_view text) const {
    std::ofstream(directory_.path() / name) << text;
    if (name.ends_with(".key")) Permit(name, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  void Permit(std::string_view name, std::filesystem::perms permissions) const {
    std::filesystem::permissions(directory_.path() / name, permissions);
  }
  void WriteConfig(std::string_view more = "", std::string_view data_dir = "data") const {
    Write("tacitd.toml", "[server]\ndata_dir = '" + std::string(data_dir) + "'\ntrust_domain = 'fleet.example'\n" +
                             "[pki]\nca_certificate = 'ca.pem'\nca_key = 'ca.key'\ncertificate = 'server.pem'\n"
                             "private_key = 'server.key'\n" +
                             std::string(more));
  }
  [[nodiscard]] Result<ServerConfig> Load(WallTime now = kNow) const {
    return LoadConfig(directory_.path() / "tacitd.toml", now);
  }
  void ExpectFault(std::string_view says, WallTime now = kNow) const {
    EXPECT_THAT(Load(now), IsErrorSaying(ErrorCode::kInvalidArgument, std::string(says)));
  }

  const testing::TempDirectory directory_;
  crypto::CertificateAuthority ca_;
};

TEST_F(LoadConfigTest, ReadsAFileAndChecksItsMemory) {
  const auto config = Load();
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->data_dir, directory_.path() / "data");
  EXPECT_FALSE(std::filesystem::exists(config->data_dir));
  WriteConfig("[limits]\nmemory_ceiling = '1GiB'\n");
  ExpectFault("lower limits.upload_memory");
  EXPECT_THAT(LoadConfig(directory_.path() / "none.toml", kNow), IsError(ErrorCode::kNotFound));
}

TEST_F(LoadConfigTest, RefusesKeysThatAreOpenToEveryUser) {
  using std::filesystem::perms;
  Permit("ca.key", perms{0640});
  EXPECT_THAT(Load(), IsOk()) << "its group is its owner's choice";
  Permit("ca.key", perms{0644});
  Permit("server.key", perms{0604});
  ExpectFault("'pki.ca_key' " + (directory_.path() / "ca.key").string() + " is open to every user");
  ExpectFault("'pki.private_key' " + (directory_.path() / "server.key").string() + " is open to every user");
}

TEST_F(LoadConfigTest, TellsEverythingThatIsWrongWithItsFilesAtOnce) {
  for (const char* name : {"ca.pem", "server.pem"}) std::filesystem::remove(directory_.path() / name);
  Write("ca.key", "no key");
  Write("server.key", "");
  WriteConfig("[limits]\nmemory_ceiling = '1GiB'\n", "no/such/data");
  const auto loaded = Load();
  ASSERT_FALSE(loaded);
  for (const std::string_view key : {"'pki.ca_certificate' ", "'pki.ca_key' ", "'pki.certificate' ",
                                     "'pki.private_key' ", "'server.data_dir' ", "limits.memory_ceiling"}) {
    EXPECT_THAT(loaded.error().message, HasSubstr(key));
  }
  EXPECT_EQ(std::count(loaded.error().message.begin(), loaded.error().message.end(), '\n'), 5);
}

TEST_F(LoadConfigTest, LooksAtTheRootsOfTheIssuer) {
  const auto with = [](std::string_view file) {
    return "[api.oidc]\nissuer = 'https://issuer.example'\naudience = 'tacit'\nca_file = '" + std::string(file) +
           "'\n[api.oidc.roles]\na = 'viewer'\n";
  };
  WriteConfig(with("ca.pem"));
  EXPECT_THAT(Load(), IsOk());
  WriteConfig(with("none.pem"));
  ExpectFault("'api.oidc.ca_file' ");
  WriteConfig(with("ca.key"));
  ExpectFault("'api.oidc.ca_file' ");
}

TEST_F(LoadConfigTest, RefusesFilesThatDoNotGoTogether) {
  Write("ca.key", *MakeAuthority().KeyPem());
  ExpectFault("ca.key is not the key of 'pki.ca_certificate'");
  Write("ca.key", *ca_.KeyPem());
  Write("server.key", *crypto::PrivateKey::GenerateP256()->ToPem());
  ExpectFault("server.key is not the key of 'pki.certificate'");
  MakeServer(ca_, "spiffe://other.example/server/tacitd", kNow);
  ExpectFault("'server.trust_domain' is 'fleet.example', but 'pki.certificate'");
  MakeServer(MakeAuthority(), "spiffe://fleet.example/server/tacitd", kNow);
  ExpectFault("server.pem cannot be believed");
  MakeServer(ca_, "", kNow);
  EXPECT_THAT(Load(), IsOk()) << "a certificate need not name a trust domain";
  // A chain may end with the root, so that a joining device finds its fingerprint there.
  std::ofstream(directory_.path() / "server.pem", std::ios::app) << ca_.CertPem();
  EXPECT_THAT(Load(), IsOk());
  // The CA's certificate in the server's place, and the other way round.
  Write("server.pem", ca_.CertPem());
  Write("server.key", *ca_.KeyPem());
  ExpectFault("server.pem cannot be believed");
  MakeServer(ca_, "", kNow);
  std::filesystem::copy_file(directory_.path() / "server.pem", directory_.path() / "ca.pem",
                             std::filesystem::copy_options::overwrite_existing);
  ExpectFault("ca.pem is not the certificate of a CA");
}

TEST_F(LoadConfigTest, RefusesCertificatesOutOfTheirTime) {
  ExpectFault("server.pem is valid from", kNow + std::chrono::hours(25));
  ExpectFault("ca.pem is valid from", kNow + std::chrono::hours(2000));
  ExpectFault("ca.pem is valid from", kNow - std::chrono::hours(1));
  MakeServer(ca_, "spiffe://fleet.example/server/tacitd", kNow + std::chrono::hours(2));
  ExpectFault("server.pem is valid from");
}

TEST_F(LoadConfigTest, LooksAtTheFilesOfWhatIsToldElsewhere) {
  Write("headers", "Authorization: Bearer x\n");
  WriteConfig("[traces]\nendpoint = 'https://c.example'\nca_file = 'ca.pem'\nheaders_file = 'headers'\n");
  std::filesystem::permissions(directory_.path() / "headers", std::filesystem::perms(0600));
  EXPECT_THAT(Load(), IsOk());
  std::filesystem::permissions(directory_.path() / "headers", std::filesystem::perms(0644));
  ExpectFault("'traces.headers_file'");
  WriteConfig("[mlflow]\ntracking_uri = 'https://m.example'\nca_file = 'ca.key'\n");
  ExpectFault("'mlflow.ca_file'");
}

TEST_F(LoadConfigTest, RefusesADataDirectoryThatIsNone) {
  WriteConfig("", "ca.pem");
  ExpectFault("ca.pem is not a directory");
  WriteConfig("", "ca.pem/data");
  ExpectFault("cannot be made in");
  WriteConfig("", "data/");
  EXPECT_THAT(Load(), IsOk());
}

}  // namespace
}  // namespace tacit::app
