#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "server/store/records.h"

namespace tacit::app {

/// One listening socket. Port 0 takes any free port.
struct ListenerConfig {
  std::string address;
  std::uint16_t port = 0;
  std::uint32_t max_connections = 0;
};

struct EnrolmentConfig {
  ListenerConfig listener;
  Millis certificate_lifetime{};
  std::uint32_t requests_per_minute_per_source = 0;
  std::string advertised_host;  ///< Told to enrolled devices; empty: the host they asked.
};

/// The OpenID Connect issuer whose identity tokens are taken.
struct OidcConfig {
  std::string issuer;
  std::string audience;
  std::filesystem::path ca_file;  ///< PEM of what its certificate is checked with; empty: the system's.
  std::string jwks_url;           ///< Empty: where the issuer says.
  std::string role_claim;
  std::map<std::string, store::Role, std::less<>> roles;  ///< By value of that claim.
  Millis leeway{};
  Millis max_lifetime{};  ///< Of a token.
  Millis refresh{};       ///< How often keys are asked for.
  Millis keep{};          ///< How long they are good while none come.
};

/// Files in PEM.
struct PkiConfig {
  std::filesystem::path ca_certificate;
  std::filesystem::path ca_key;
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  std::filesystem::path model_key;  ///< Signs models; made at the start that finds none.
};

/// A server of somebody else that is told something.
struct OutgoingConfig {
  std::string url;                     ///< Without a slash at its end.
  std::filesystem::path ca_file;       ///< Empty: the system's roots.
  std::filesystem::path headers_file;  ///< Empty: none.
  bool may_be_plain = false;           ///< Whether plain HTTP may leave this machine.
};

struct MlflowConfig {
  OutgoingConfig server;
  std::string name_prefix;
  bool takes_artifacts = true;
};

/// Units: bytes, unless named otherwise.
struct LimitsConfig {
  std::uint64_t memory_ceiling = 0;    ///< What the worst case of everything below must fit into.
  std::uint64_t upload_memory = 0;     ///< All updates in flight together.
  std::uint64_t task_memory = 0;       ///< All active tasks together, see `coordinator::kTaskBytesPerParameter`.
  std::uint64_t bundle_memory = 0;     ///< All bundles of models that are made or sent, together.
  std::uint64_t max_update_bytes = 0;  ///< One update.
  std::uint64_t max_parameters = 0;    ///< Parameters of one task's model.
};

/// A server's configuration: docs/OPERATING.md, section Configuration. Paths are absolute, or relative to the working
/// directory when the configuration file was named so.
struct ServerConfig {
  std::filesystem::path data_dir;
  std::string trust_domain;
  std::uint32_t io_threads = 0;
  std::uint32_t compute_threads = 0;
  LogLevel log_level = LogLevel::kInfo;
  Millis shutdown_grace{};
  ListenerConfig agents;
  Millis long_poll{};
  Millis session_lifetime{};  ///< Of a device's TLS session since its certificate was proved; 0: none is resumed.
  std::uint32_t failed_handshakes_per_minute_per_source = 0;  ///< Of devices.
  EnrolmentConfig enrolment;
  ListenerConfig api;
  std::uint32_t failed_tokens_per_minute_per_source = 0;  ///< Wrong access and identity tokens.
  std::optional<OidcConfig> oidc;
  ListenerConfig metrics;
  bool metrics_need_certificate = false;  ///< Mutual TLS instead of plain HTTP.
  PkiConfig pki;
  LimitsConfig limits;
  std::optional<OutgoingConfig> traces;
  std::optional<MlflowConfig> mlflow;
};

/// Parses a configuration. `file_name` appears in messages; paths in the text are taken from its directory.
/// Errors: kInvalidArgument with every problem of the file, one a line, each `file:line:column: what`; kTooLarge.
Result<ServerConfig> ParseConfig(std::string_view toml, std::string_view file_name);

/// Reads and parses a configuration file, and checks what it says: that its limits fit its memory ceiling, that the
/// files it names are there and go together at `now`, and that its data directory can be used or made. Changes nothing,
/// and takes no port.
/// Errors: those of ParseConfig and of reading the file; kInvalidArgument with everything else that is wrong, one a
/// line.
Result<ServerConfig> LoadConfig(const std::filesystem::path& path, WallTime now);

/// What keeps a server from using the files that its configuration names; empty when nothing does.
std::vector<std::string> FindFileFaults(const ServerConfig& config, WallTime now);

/// The most memory that a server with these limits can take, by what takes it. Units: bytes.
struct MemoryPlan {
  std::uint64_t uploads = 0;
  std::uint64_t tasks = 0;
  std::uint64_t bundles = 0;
  std::uint64_t connections = 0;  ///< Of all four listeners.
  std::uint64_t sessions = 0;     ///< That devices may resume.
  std::uint64_t program = 0;      ///< Code, threads, SQLite's cache, registries of devices and rounds.

  [[nodiscard]] std::uint64_t total() const { return uploads + tasks + bundles + connections + sessions + program; }
};
/// What the sessions that devices may resume may take. Units: bytes.
std::uint64_t SessionMemory(const ServerConfig& config);
MemoryPlan WorstCaseMemory(const ServerConfig& config);

/// Errors: kInvalidArgument when the worst case is above `limits.memory_ceiling`: it says what takes how much, and
/// which limits to lower.
Result<void> CheckMemory(const ServerConfig& config);

/// How many files a server with these limits may have open at once: one a connection, and its own.
std::uint64_t FilesNeeded(const ServerConfig& config);

/// Lets this process have as many files open as its system allows it to.
/// Errors: kInvalidArgument when those are fewer than FilesNeeded: it says how many, and what to change.
Result<void> MakeRoomForFiles(const ServerConfig& config);

}  // namespace tacit::app
