#include "server/app/config.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "common/base/files.h"
#include "common/base/host.h"
#include "common/crypto/spiffe.h"
#include "common/web/web_url.h"
#include "server/identity/token.h"
#include "server/task/toml_reader.h"

namespace tacit::app {

namespace {

using task::TomlFile;
using task::TomlTable;

constexpr std::size_t kMaxConfigBytes = 256 * 1024;
constexpr std::int64_t kMostConnections = 1'000'000;
constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;
constexpr Millis kSecond{1000};
constexpr Millis kMinute{60'000};
constexpr Millis kDay{86'400'000};
constexpr std::array kLogLevels = {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError};

/// In the form of IPv6, in which IPv4 has a place of its own.
using BinaryAddress = std::array<unsigned char, 16>;
constexpr std::size_t kMappedPrefixBytes = 12;
constexpr BinaryAddress kEveryAddress{};
constexpr BinaryAddress kEveryIpv4Address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::optional<BinaryAddress> ParseAddress(const std::string& text) {
  BinaryAddress address = kEveryIpv4Address;
  if (::inet_pton(AF_INET, text.c_str(), address.data() + kMappedPrefixBytes) == 1) return address;
  if (::inet_pton(AF_INET6, text.c_str(), address.data()) == 1) return address;
  return std::nullopt;
}

/// Whether one connection could be meant for either. "::" takes IPv4 as well.
bool Overlap(const BinaryAddress& a, const BinaryAddress& b) {
  const auto covers = [](const BinaryAddress& all, const BinaryAddress& one) {
    return all == kEveryAddress ||
           (all == kEveryIpv4Address && std::equal(all.begin(), all.begin() + kMappedPrefixBytes, one.begin()));
  };
  return a == b || covers(a, b) || covers(b, a);
}

struct ListenerDefaults {
  std::string_view address;
  std::int64_t port;
  std::int64_t max_connections;
};

ListenerConfig ReadListener(TomlTable table, const std::string& name, const ListenerDefaults& defaults) {
  ListenerConfig listener;
  listener.address = table.Text("address", defaults.address);
  listener.port = static_cast<std::uint16_t>(table.Integer("port", {0, 65535}, defaults.port));
  listener.max_connections =
      static_cast<std::uint32_t>(table.Integer("max_connections", {1, kMostConnections}, defaults.max_connections));
  if (table.HasGood("address") && !ParseAddress(listener.address)) {
    table.Complain("address",
                   "'" + name + ".address' must be an IP address such as \"0.0.0.0\", \"127.0.0.1\" or \"::\"");
  }
  return listener;
}

struct NamedListener {
  std::string_view name;
  const ListenerConfig& config;
};

void RefuseClashes(TomlTable& root, std::span<const NamedListener> listeners) {
  for (std::size_t later = 1; later < listeners.size(); ++later) {
    const auto& [name, config] = listeners[later];
    TomlTable table = root.Table(name);
    const auto address = ParseAddress(config.address);
    for (const NamedListener& earlier : listeners.first(later)) {
      const auto other = ParseAddress(earlier.config.address);
      const bool good = address && other && table.Good({"port"}) && root.Table(earlier.name).Good({"port"});
      if (!good || config.port == 0 || config.port != earlier.config.port || !Overlap(*address, *other)) continue;
      table.Complain("port", "'" + std::string(name) + ".port' " + std::to_string(config.port) + " is that of [" +
                                 std::string(earlier.name) + "], which listens on " + earlier.config.address + " too");
    }
  }
}

std::string ReadTrustDomain(TomlTable& table) {
  std::string trust_domain = table.Text("trust_domain");
  if (!table.HasGood("trust_domain")) return trust_domain;
  // The rule has one home: a name is right when it makes a right identity.
  const auto identity = crypto::SpiffeId::Parse("spiffe://" + trust_domain + "/server/x");
  if (!identity || identity->trust_domain != trust_domain) {
    table.Complain("trust_domain", "'server.trust_domain' must be a lower-case name such as \"fleet.example\"");
  }
  return trust_domain;
}

enum class Presence : std::uint8_t { kRequired, kOptional };

/// `name` is section and key. Empty when it is not there.
std::filesystem::path ReadPath(TomlTable& table, const std::string& name, const std::filesystem::path& base,
                               Presence presence = Presence::kRequired) {
  const std::string key = name.substr(name.rfind('.') + 1);
  const std::string text = presence == Presence::kRequired ? table.Text(key) : table.Text(key, "");
  if (!table.HasGood(key)) return {};
  if (text.empty() || text.find('\0') != std::string::npos) {
    table.Complain(key, "'" + name + "' must be a path");
    return {};
  }
  return base / text;  // which is `text` when that is absolute
}

void ReadServer(TomlTable table, const std::filesystem::path& base, ServerConfig& config) {
  constexpr task::IntegerRange kThreads{1, 64};
  config.data_dir = ReadPath(table, "server.data_dir", base);
  config.trust_domain = ReadTrustDomain(table);
  config.io_threads = static_cast<std::uint32_t>(table.Integer("io_threads", kThreads, 2));
  config.compute_threads = static_cast<std::uint32_t>(table.Integer("compute_threads", kThreads, 2));
  config.log_level = kLogLevels[table.Choice("log_level", {"debug", "info", "warn", "error"}, 1)];
  config.shutdown_grace = table.Duration("shutdown_grace", {Millis(0), 600 * kSecond}, 10 * kSecond);
}

EnrolmentConfig ReadEnrolment(TomlTable table) {
  EnrolmentConfig enrolment;
  enrolment.listener = ReadListener(table, "enrolment", {.address = "0.0.0.0", .port = 8445, .max_connections = 256});
  enrolment.certificate_lifetime = table.Duration("certificate_lifetime", {10 * kSecond, 3650 * kDay}, 7 * kDay);
  enrolment.requests_per_minute_per_source =
      static_cast<std::uint32_t>(table.Integer("requests_per_minute_per_source", {1, 100'000}, 30));
  enrolment.advertised_host = table.Text("advertised_host", "");
  const std::string& host = enrolment.advertised_host;
  const bool findable = KindOfHost(host) != HostKind::kNeither && !IsWildcardAddress(host);
  if (table.HasGood("advertised_host") && !host.empty() && !findable) {
    table.Complain("advertised_host",
                   "'enrolment.advertised_host' must be a host name or IP address at which devices find this server, "
                   "without a port");
  }
  return enrolment;
}

constexpr std::size_t kMostRoles = 100;
constexpr std::size_t kLongestText = 1024;

/// Text that is compared with what others send: some, and no more than that.
std::string ReadShortText(TomlTable& table, std::string_view key, std::optional<std::string_view> fallback = {}) {
  std::string text = table.Text(key, fallback);
  if (table.HasGood(key) && (text.empty() || text.size() > kLongestText))
    table.Complain(key, "'api.oidc." + std::string(key) + "' must be a text of 1 to 1024 bytes");
  return text;
}

/// Of an issuer: what answers in plain HTTP could be anybody.
void CheckUrl(TomlTable& table, std::string_view key, const std::string& url) {
  if (!table.HasGood(key)) return;
  if (const auto origin = web::OriginOf(url, web::PlainHttp::kRefused); !origin)
    table.Complain(key, "'api.oidc." + std::string(key) + "' is " + origin.error().message);
}

void ReadRoles(TomlTable& oidc, OidcConfig& config) {
  TomlTable table = oidc.Table("roles");
  const std::vector<std::string> values = table.Keys();
  if (oidc.Good({"roles"}) && (values.empty() || values.size() > kMostRoles)) {
    oidc.Complain("roles",
                  "'api.oidc.roles' must have 1 to 100 values of the role claim, each with its role, such as "
                  "fleet-operators = \"operator\"");
    return;
  }
  for (const std::string& value : values) {
    if (value.empty()) oidc.Complain("roles", "'api.oidc.roles' must not have an empty value");
    const std::size_t role = table.Choice(value, {"viewer", "scientist", "operator", "auditor", "admin"});
    config.roles.emplace(value, store::kRoles.at(role));
  }
}

OidcConfig ReadOidc(TomlTable table, const std::filesystem::path& base) {
  OidcConfig oidc;
  oidc.issuer = ReadShortText(table, "issuer");
  CheckUrl(table, "issuer", oidc.issuer);
  if (table.HasGood("issuer") && oidc.issuer.contains('?'))
    table.Complain("issuer", "'api.oidc.issuer' must be a URL without a query");
  oidc.audience = ReadShortText(table, "audience");
  oidc.ca_file = ReadPath(table, "api.oidc.ca_file", base, Presence::kOptional);
  oidc.jwks_url = ReadShortText(table, "jwks_url", "");
  CheckUrl(table, "jwks_url", oidc.jwks_url);
  oidc.role_claim = ReadShortText(table, "role_claim", "roles");
  if (const auto path = identity::ParseClaimPath(oidc.role_claim); table.HasGood("role_claim") && !path)
    table.Complain("role_claim", "'api.oidc.role_claim' " + path.error().message);
  oidc.leeway = table.Duration("leeway", {Millis(0), identity::kMostLeeway}, 30 * kSecond);
  oidc.max_lifetime = table.Duration("max_lifetime", {kMinute, 30 * kDay}, kDay);
  oidc.refresh = table.Duration("refresh", {kSecond, kDay}, 10 * kMinute);
  oidc.keep = table.Duration("keep", {kSecond, 30 * kDay}, kDay);
  if (table.Good({"refresh", "keep"}) && oidc.keep < oidc.refresh) {
    table.Complain(table.Has("keep") ? "keep" : "refresh",
                   "'api.oidc.keep' must be at least 'api.oidc.refresh': keys that are kept for less are gone before "
                   "they are asked for again");
  }
  ReadRoles(table, oidc);
  return oidc;
}

PkiConfig ReadPki(TomlTable table, const std::filesystem::path& base) {
  PkiConfig pki{.ca_certificate = ReadPath(table, "pki.ca_certificate", base),
                .ca_key = ReadPath(table, "pki.ca_key", base),
                .certificate = ReadPath(table, "pki.certificate", base),
                .private_key = ReadPath(table, "pki.private_key", base),
                .model_key = {}};
  pki.model_key =
      table.Has("model_key") ? ReadPath(table, "pki.model_key", base) : pki.ca_key.parent_path() / "models.key";
  return pki;
}

LimitsConfig ReadLimits(TomlTable table) {
  constexpr task::SizeRange kMemory{kMiB, 1024 * kGiB};
  constexpr std::int64_t kMostParameters = std::int64_t{1} << 28U;
  LimitsConfig limits;
  limits.memory_ceiling = table.Size("memory_ceiling", kMemory, 2 * kGiB);
  limits.upload_memory = table.Size("upload_memory", kMemory, 512 * kMiB);
  limits.task_memory = table.Size("task_memory", kMemory, 256 * kMiB);
  limits.bundle_memory = table.Size("bundle_memory", kMemory, 12 * kMiB);
  limits.max_update_bytes = table.Size("max_update_bytes", {kKiB, 2 * kGiB}, 256 * kMiB);
  limits.max_parameters =
      static_cast<std::uint64_t>(table.Integer("max_parameters", {1, kMostParameters}, kMostParameters));
  if (table.Good({"upload_memory", "max_update_bytes"}) && limits.max_update_bytes > limits.upload_memory) {
    table.Complain(table.Has("upload_memory") ? "upload_memory" : "max_update_bytes",
                   "'limits.upload_memory' must hold at least one update of 'limits.max_update_bytes'");
  }
  return limits;
}

/// `section` is the name of the table, and `key` that of the URL in it.
OutgoingConfig ReadOutgoing(TomlTable& table, const std::string& section, const std::string& key,
                            const std::filesystem::path& base) {
  OutgoingConfig outgoing;
  outgoing.may_be_plain = table.Choice("tls", {"required", "optional"}, 0) == 1;
  outgoing.url = table.Text(key);
  const auto plain = outgoing.may_be_plain ? web::PlainHttp::kAllowed : web::PlainHttp::kToThisMachine;
  const auto origin = web::OriginOf(outgoing.url, plain);
  if (table.HasGood(key) && !origin) {
    table.Complain(key, "'" + section + "." + key + "' is " + origin.error().message);
  } else if (outgoing.url.find('?') != std::string::npos) {
    table.Complain(key, "'" + section + "." + key + "' must have no query: what is asked for is added behind it");
  }
  while (outgoing.url.ends_with('/')) outgoing.url.pop_back();
  if (table.Has("ca_file")) outgoing.ca_file = ReadPath(table, section + ".ca_file", base);
  if (table.Has("headers_file")) outgoing.headers_file = ReadPath(table, section + ".headers_file", base);
  return outgoing;
}

MlflowConfig ReadMlflow(TomlTable table, const std::filesystem::path& base) {
  MlflowConfig mlflow;
  mlflow.server = ReadOutgoing(table, "mlflow", "tracking_uri", base);
  mlflow.takes_artifacts = table.Choice("artifacts", {"proxied", "none"}, 0) == 0;
  mlflow.name_prefix = table.Text("name_prefix", "tacit-");
  // What is in a file name, a URL and a filter of MLflow the same.
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
  const bool good = mlflow.name_prefix.size() <= 64 && std::ranges::all_of(mlflow.name_prefix, fits);
  if (table.HasGood("name_prefix") && !good) {
    table.Complain("name_prefix", "'mlflow.name_prefix' must be at most 64 of a-z, 0-9, '-' and '_'");
  }
  return mlflow;
}

}  // namespace

Result<ServerConfig> ParseConfig(std::string_view toml, std::string_view file_name) {
  TACIT_TRY(TomlFile file, TomlFile::Parse(toml, file_name, kMaxConfigBytes));
  const std::filesystem::path base = std::filesystem::path(file_name).parent_path();
  TomlTable root = file.Root();
  ServerConfig config;
  ReadServer(root.Table("server"), base, config);
  TomlTable agents = root.Table("agents");
  config.agents = ReadListener(agents, "agents", {.address = "0.0.0.0", .port = 8443, .max_connections = 10'000});
  config.long_poll = agents.Duration("long_poll", {Millis(100), 600 * kSecond}, 30 * kSecond);
  // The longest that TLS 1.3 lets a ticket live (RFC 8446, section 4.6.1).
  config.session_lifetime = agents.Duration("session_lifetime", {Millis(0), 7 * kDay}, kDay);
  config.failed_handshakes_per_minute_per_source = static_cast<std::uint32_t>(
      agents.Integer("failed_handshakes_per_minute_per_source", {1, kMostConnections}, 10'000));
  config.enrolment = ReadEnrolment(root.Table("enrolment"));
  TomlTable api = root.Table("api");
  config.api = ReadListener(api, "api", {.address = "127.0.0.1", .port = 8444, .max_connections = 64});
  config.failed_tokens_per_minute_per_source =
      static_cast<std::uint32_t>(api.Integer("failed_tokens_per_minute_per_source", {1, 100'000}, 30));
  // Asked for in any case, so that a table whose name is nearly that is told of it.
  if (const TomlTable oidc = api.Table("oidc"); api.HasGood("oidc")) config.oidc = ReadOidc(oidc, base);
  TomlTable metrics = root.Table("metrics");
  config.metrics = ReadListener(metrics, "metrics", {.address = "127.0.0.1", .port = 9464, .max_connections = 16});
  config.metrics_need_certificate = metrics.Choice("tls", {"none", "mutual"}, 0) == 1;
  RefuseClashes(root, std::array<NamedListener, 4>{{{"agents", config.agents},
                                                    {"enrolment", config.enrolment.listener},
                                                    {"api", config.api},
                                                    {"metrics", config.metrics}}});
  config.pki = ReadPki(root.Table("pki"), base);
  config.limits = ReadLimits(root.Table("limits"));
  if (root.Has("traces")) {
    TomlTable traces = root.Table("traces");
    config.traces = ReadOutgoing(traces, "traces", "endpoint", base);
  }
  if (root.Has("mlflow")) config.mlflow = ReadMlflow(root.Table("mlflow"), base);
  TACIT_TRY_VOID(file.Finish());
  return config;
}

Result<ServerConfig> LoadConfig(const std::filesystem::path& path, WallTime now) {
  TACIT_TRY(const Bytes text, ReadFile(path, kMaxConfigBytes));
  TACIT_TRY(ServerConfig config, ParseConfig(AsText(text), path.string()));
  std::vector<std::string> faults = FindFileFaults(config, now);
  if (auto fits = CheckMemory(config); !fits) faults.push_back(fits.error().message);
  if (faults.empty()) return config;
  std::string all;
  for (const std::string& fault : faults) all += (all.empty() ? "" : "\n") + path.string() + ": " + fault;
  return Fail(ErrorCode::kInvalidArgument, std::move(all));
}

}  // namespace tacit::app
