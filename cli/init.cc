#include "cli/init.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/context.h"
#include "cli/server_config.h"
#include "cli/text.h"
#include "common/base/files.h"
#include "common/base/host.h"
#include "common/base/text.h"
#include "common/crypto/ca.h"
#include "common/crypto/secret.h"
#include "common/crypto/signing.h"
#include "common/crypto/spiffe.h"

namespace tacit::cli {
namespace {

using std::chrono::days;
constexpr days kCaLifetime{3653};
constexpr days kServerLifetime{825};
constexpr days kOperatorLifetime{90};

enum class Access : std::uint8_t { kOwner, kAll };

struct NewFile {
  std::filesystem::path path;  // relative to the directory
  std::string text;
  Access access;
};

// A file tree in memory, so that nothing touches the disk before all of it could be made.
struct Tree {
  std::vector<NewFile> files;
  Digest256 ca_fingerprint{};

  Tree() = default;
  Tree(Tree&&) = default;
  Tree& operator=(Tree&&) = default;
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() {
    for (NewFile& file : files) crypto::Zeroise(file.text);
  }
};

struct Names {
  std::vector<std::string> dns;
  std::vector<std::string> addresses;
};

std::string LowerCase(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

void AddOnce(std::vector<std::string>& list, std::string text) {
  if (std::ranges::find(list, text) == list.end()) list.push_back(std::move(text));
}

Result<void> CheckHost(const std::string& host) {
  if (KindOfHost(host) == HostKind::kNeither) {
    return Fail(ErrorCode::kInvalidArgument, "--host: " + Excerpt(host) +
                                                 " is neither a host name nor an IP address; give it without a port, " +
                                                 "without brackets and without a scheme");
  }
  if (!IsWildcardAddress(host)) return {};
  return Fail(ErrorCode::kInvalidArgument, "--host: " + host +
                                               " stands for every address of this machine, and nobody finds it "
                                               "there; give the name or address that devices use");
}

Names NamesOf(const std::vector<std::string>& hosts) {
  Names names;
  for (const std::string& host : hosts) {
    if (KindOfHost(host) == HostKind::kName) {
      AddOnce(names.dns, LowerCase(host));
    } else {
      AddOnce(names.addresses, host);
    }
  }
  AddOnce(names.dns, "localhost");
  AddOnce(names.addresses, "127.0.0.1");
  AddOnce(names.addresses, "::1");
  return names;
}

std::string UriOf(const std::string& trust_domain, const char* kind, const char* name) {
  return crypto::SpiffeId{trust_domain, kind, name}.ToUri();
}

Result<void> AddServer(Tree& tree, const crypto::CertificateAuthority& ca, const InitArguments& arguments,
                       WallTime now) {
  TACIT_TRY(const crypto::PrivateKey key, crypto::PrivateKey::GenerateP256());
  TACIT_TRY(std::string csr, crypto::MakeCsrPem(key, "tacitd"));
  TACIT_TRY(std::string key_pem, key.ToPem());
  Names names = NamesOf(arguments.hosts);
  TACIT_TRY(const crypto::Certificate certificate,
            ca.IssueServer({.csr_pem = std::move(csr),
                            .dns_names = std::move(names.dns),
                            .ip_addresses = std::move(names.addresses),
                            .spiffe_uri = UriOf(arguments.trust_domain, "server", "tacitd"),
                            .common_name = "tacitd",
                            .now = now,
                            .lifetime = kServerLifetime}));
  tree.files.push_back({"pki/server.key", std::move(key_pem), Access::kOwner});
  tree.files.push_back({"pki/server.crt", certificate.ToPem(), Access::kAll});
  return {};
}

Result<void> AddModelKey(Tree& tree) {
  TACIT_TRY(const crypto::SigningKey key, crypto::SigningKey::Generate());
  TACIT_TRY(std::string pem, key.ToPem());
  tree.files.push_back({"pki/models.key", std::move(pem), Access::kOwner});
  return {};
}

struct Person {
  const char* kind;
  const char* name;
};
constexpr Person kFirstAdmin{"admin", "admin"};
constexpr Person kFirstAuditor{"auditor", "auditor"};
// Reads the metrics listener where that asks for a certificate, and nothing else.
constexpr Person kPrometheus{"monitor", "prometheus"};

Result<void> AddPerson(Tree& tree, const crypto::CertificateAuthority& ca, const InitArguments& arguments,
                       const Person& person, WallTime now) {
  const std::string path = std::string("operators/") + person.name;
  TACIT_TRY(const crypto::PrivateKey key, crypto::PrivateKey::GenerateP256());
  TACIT_TRY(std::string csr, crypto::MakeCsrPem(key, person.name));
  TACIT_TRY(std::string key_pem, key.ToPem());
  TACIT_TRY(const crypto::Certificate certificate,
            ca.IssueClient({.csr_pem = std::move(csr),
                            .spiffe_uri = UriOf(arguments.trust_domain, person.kind, person.name),
                            .common_name = person.name,
                            .now = now,
                            .lifetime = kOperatorLifetime}));
  tree.files.push_back({path + ".key", std::move(key_pem), Access::kOwner});
  tree.files.push_back({path + ".crt", certificate.ToPem(), Access::kAll});
  return {};
}

bool IsOfThisMachine(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> binary{};
  if (::inet_pton(AF_INET, host.c_str(), binary.data()) == 1) return binary[0] == 127;
  if (::inet_pton(AF_INET6, host.c_str(), binary.data()) == 1) {
    return IN6_IS_ADDR_LOOPBACK(reinterpret_cast<const in6_addr*>(binary.data()));
  }
  return LowerCase(host) == "localhost";
}

bool IsIpv6(const std::string& host) {
  return KindOfHost(host) == HostKind::kIpv6;
}

// Who names a host that others can reach wants to be reached from there; else operators are on this machine. Whoever
// gives an IPv6 address is to be found at it, and "::" takes IPv4 as well; else a machine need not have IPv6 at all.
ServerConfigOptions ConfigOptions(const InitArguments& arguments) {
  const char* everywhere = std::ranges::any_of(arguments.hosts, IsIpv6) ? "::" : "0.0.0.0";
  ServerConfigOptions options{.trust_domain = arguments.trust_domain,
                              .devices_address = everywhere,
                              .api_address = everywhere,
                              .api_reach = ApiReach::kNetwork};
  if (!std::ranges::all_of(arguments.hosts, IsOfThisMachine)) return options;
  // The context names the first host, which must be one that is listened at.
  options.api_address = !arguments.hosts.empty() && IsIpv6(arguments.hosts.front()) ? "::1" : "127.0.0.1";
  options.api_reach = ApiReach::kThisMachine;
  return options;
}

std::string FirstHost(const InitArguments& arguments) {
  return arguments.hosts.empty() ? "localhost" : LowerCase(arguments.hosts.front());
}

Result<Tree> MakeTree(const InitArguments& arguments, WallTime now) {
  // First, so that bad names are told as such and not as a fault of the server's certificate.
  TACIT_TRY_VOID(crypto::SpiffeId::Parse(UriOf(arguments.trust_domain, "server", "tacitd")));
  for (const std::string& host : arguments.hosts) TACIT_TRY_VOID(CheckHost(host));
  TACIT_TRY(
      const crypto::CertificateAuthority ca,
      crypto::CertificateAuthority::CreateSelfSigned({.common_name = "Tacit CA", .now = now, .lifetime = kCaLifetime}));
  TACIT_TRY(std::string ca_key, ca.KeyPem());
  Tree tree;
  tree.ca_fingerprint = ca.certificate().Fingerprint();
  tree.files.push_back({"pki/ca.key", std::move(ca_key), Access::kOwner});
  tree.files.push_back({"pki/ca.crt", ca.CertPem(), Access::kAll});
  TACIT_TRY_VOID(AddServer(tree, ca, arguments, now));
  TACIT_TRY_VOID(AddModelKey(tree));
  for (const Person& person : {kFirstAdmin, kFirstAuditor, kPrometheus})
    TACIT_TRY_VOID(AddPerson(tree, ca, arguments, person, now));
  tree.files.push_back({"tacitd.toml", ServerConfigText(ConfigOptions(arguments)), Access::kAll});
  tree.files.push_back({kContextFile, FormatContextFile({FirstHost(arguments), kApiPort}), Access::kAll});
  return tree;
}

Result<void> MakeDirectory(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  return Fail(ErrorCode::kUnavailable, "cannot make " + path.string() + ": " + std::system_category().message(errno));
}

Result<void> WriteTree(const Tree& tree, const std::filesystem::path& root) {
  for (const char* directory : {"pki", "operators"}) TACIT_TRY_VOID(MakeDirectory(root / directory));
  for (const NewFile& file : tree.files) {
    const auto write = file.access == Access::kOwner ? WriteNewSecretFile : WriteNewPublicFile;
    TACIT_TRY_VOID(write(root / file.path, AsBytes(file.text)));
  }
  return SyncDirectory(root);
}

// What stands at the target already, as a reason to refuse; an empty directory is as good as none.
Result<void> CheckTarget(const std::filesystem::path& target) {
  std::error_code failure;
  const auto status = std::filesystem::symlink_status(target, failure);
  if (status.type() == std::filesystem::file_type::not_found) return {};
  if (!std::filesystem::status_known(status)) {
    return Fail(ErrorCode::kPermissionDenied, "cannot look at " + target.string() + ": " + failure.message());
  }
  if (std::filesystem::equivalent(target, std::filesystem::current_path(failure), failure)) {
    return Fail(ErrorCode::kConflict, target.string() + " is the current directory; nothing was written");
  }
  const bool empty =
      status.type() == std::filesystem::file_type::directory && std::filesystem::is_empty(target, failure);
  if (empty && !failure) return {};
  return Fail(ErrorCode::kConflict, target.string() + " is there already and is not overwritten; nothing was written");
}

// Written beside the target and renamed: rename takes the place of an empty directory, but never of one with files in
// it, so that even two inits at once cannot mix.
Result<void> WriteInOneStep(const Tree& tree, const std::filesystem::path& target) {
  std::error_code failure;
  std::filesystem::create_directories(target.parent_path(), failure);
  std::string draft = target.string() + ".XXXXXX";
  if (::mkdtemp(draft.data()) == nullptr) {
    return Fail(ErrorCode::kPermissionDenied,
                "cannot make a directory beside " + target.string() + ": " + std::system_category().message(errno));
  }
  auto written = WriteTree(tree, draft);
  if (written && std::rename(draft.c_str(), target.c_str()) != 0) {
    written = Fail(ErrorCode::kConflict,
                   "cannot put " + target.string() + " in place: " + std::system_category().message(errno));
  }
  if (!written) {
    std::filesystem::remove_all(draft, failure);
    return written;
  }
  return SyncDirectory(target.parent_path());
}

std::vector<std::string> NextCommands(const std::filesystem::path& directory) {
  const std::string quoted = ShellQuote(directory.string());
  return {"tacitd --config " + ShellQuote((directory / "tacitd.toml").string()),
          "tacit --context " + quoted + " device token create --uses 10",
          "tacit --context " + quoted + " task create -f task.toml"};
}

Report MakeReport(const InitArguments& arguments, const std::filesystem::path& directory, const Tree& tree) {
  const std::string fingerprint = crypto::FormatFingerprint(tree.ca_fingerprint);
  Report report;
  Json files = Json::array();
  for (const NewFile& file : tree.files) files.push_back((directory / file.path).string());
  const std::vector<std::string> next = NextCommands(directory);
  const ServerConfigOptions config = ConfigOptions(arguments);
  const bool open = config.api_reach == ApiReach::kNetwork;
  report.data = {{"directory", directory.string()},
                 {"trust_domain", arguments.trust_domain},
                 {"api_address", config.api_address},
                 {"ca_fingerprint", fingerprint},
                 {"files", files},
                 {"next", next}};
  report.text = FormatPairs({{"directory", directory.string()},
                             {"trust domain", arguments.trust_domain},
                             {"CA fingerprint", fingerprint},
                             {"operators' port", FormatEndpoint({config.api_address, kApiPort}) +
                                                     (open ? ", open to the network, for operators' certificates only"
                                                           : ", this machine only")},
                             {"first admin", "operators/admin.crt, good for 90 days"},
                             {"first auditor", "operators/auditor.crt, good for 90 days"},
                             {"for Prometheus", "operators/prometheus.crt, good for 90 days"}});
  report.text +=
      "\nKeep pki/ca.key secret and backed up: whoever has it can make devices and operators.\n"
      "Back up pki/models.key: devices take models that are signed with it, and no others.\nNext:\n";
  for (const std::string& command : next) report.text += "  " + command + "\n";
  return report;
}

Failure Refusal(const Error& error) {
  if (error.code == ErrorCode::kInvalidArgument) return {ExitCode::kUsage, error, "tacit init --help"};
  const bool taken = error.code == ErrorCode::kConflict;
  return {ExitCode::kRefused, error,
          taken ? "tacit init --dir DIR with the name of a directory that is not there yet"
                : "tacit init --dir DIR below a directory that you may write to"};
}

}  // namespace

Outcome<Report> Init(const InitArguments& arguments, WallTime now) {
  if (arguments.directory.empty())
    return std::unexpected(Refusal({ErrorCode::kInvalidArgument, "--dir is empty: it names the directory to make"}));
  std::error_code failure;
  std::filesystem::path target = std::filesystem::absolute(arguments.directory, failure).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  if (auto free = CheckTarget(target); !free) return std::unexpected(Refusal(free.error()));
  auto tree = MakeTree(arguments, now);
  if (!tree) return std::unexpected(Refusal(tree.error()));
  if (auto written = WriteInOneStep(*tree, target); !written) return std::unexpected(Refusal(written.error()));
  return MakeReport(arguments, target, *tree);
}

}  // namespace tacit::cli
