#include "cli/server_config.h"

#include <algorithm>
#include <string_view>

namespace tacit::cli {
namespace {

constexpr std::string_view kText =
    R"(# Configuration of tacitd, made by 'tacit init'. Check it with: tacitd --check-config tacitd.toml
# Paths are taken from the directory of this file. A key that is commented out has the value shown.

[server]
data_dir = "data"             # database, models, sealed partial sums; made at the first start
trust_domain = "@TRUST_DOMAIN@"
# io_threads = 2              # threads that move bytes
# compute_threads = 2         # threads that clip, check and add up updates
# log_level = "info"          # debug, info, warn, error
# shutdown_grace = "10s"      # after SIGTERM: for answers that are under way

[agents]                      # devices: TLS 1.3 with a device certificate
address = "@DEVICES_ADDRESS@"
port = 8443
# max_connections = 10000
# long_poll = "30s"           # how long a check-in may wait for work
# session_lifetime = "1d"     # how long a device may come back without its certificate being proved anew; "0s": never
# failed_handshakes_per_minute_per_source = 10000

[enrolment]                   # new devices: TLS 1.3 and a one-time token
address = "@DEVICES_ADDRESS@"
port = 8445
# max_connections = 256
# certificate_lifetime = "7d" # of a device, which renews it itself from half of that on
# requests_per_minute_per_source = 30
# advertised_host = ""        # where devices find [agents]; empty: at the host they enrolled at

[api]                         # people: TLS 1.3 with a certificate that names a role, or an access token
@API_ADDRESS_AND_REACH@
port = @API_PORT@                   # cli.json beside this file says the same: change both
# max_connections = 64
# failed_tokens_per_minute_per_source = 30
# Identity tokens of an OpenID Connect issuer are taken with a table [api.oidc]: docs/OPERATING.md, "Identity tokens"

[metrics]                     # /metrics, /healthz, /readyz, in clear: keep it on this machine or in a trusted network
address = "127.0.0.1"
port = 9464
# tls = "none"                # "mutual": TLS 1.3 with operators/prometheus.crt, for a Prometheus elsewhere
# max_connections = 16

[pki]
ca_certificate = "pki/ca.crt"
ca_key = "pki/ca.key"
certificate = "pki/server.crt"
private_key = "pki/server.key"
# model_key = "pki/models.key" # signs the models that devices get to use; made when it is not there

[limits]                      # tacitd does not start when the limits together could need more than memory_ceiling
# memory_ceiling = "2GiB"
# upload_memory = "512MiB"    # all updates on their way in; a device that finds no room is asked to come back
# task_memory = "256MiB"      # all active tasks: 64 bytes a parameter, and what asynchronous ones remember
# bundle_memory = "12MiB"     # models made ready for devices, which takes 12 bytes a parameter: raise it for large ones
# max_update_bytes = "256MiB" # one update
# max_parameters = 268435456  # of one model
)";

void Replace(std::string& text, std::string_view place, std::string_view value) {
  text.replace(text.find(place), place.size(), value);
}

// The place of the comments of that section.
constexpr std::size_t kCommentColumn = 30;

std::string ApiAddressLine(const ServerConfigOptions& options) {
  const bool is_ipv6 = options.api_address.contains(':');
  const std::string here = is_ipv6 ? "\"::1\"" : "\"127.0.0.1\"";
  const std::string everywhere = is_ipv6 ? "\"::\"" : "\"0.0.0.0\"";
  std::string line = "address = \"" + options.api_address + "\"";
  line.resize(std::max(line.size() + 1, kCommentColumn), ' ');
  return line + (options.api_reach == ApiReach::kNetwork
                     ? "# open to the network, for the --host of 'tacit init'; " + here + " closes it"
                     : "# this machine only; " + everywhere + " opens it to the network");
}

}  // namespace

std::string ServerConfigText(const ServerConfigOptions& options) {
  std::string text(kText);
  Replace(text, "@TRUST_DOMAIN@", options.trust_domain);
  for (int section = 0; section < 2; ++section) Replace(text, "@DEVICES_ADDRESS@", options.devices_address);
  Replace(text, "@API_ADDRESS_AND_REACH@", ApiAddressLine(options));
  Replace(text, "@API_PORT@", std::to_string(kApiPort));
  return text;
}

}  // namespace tacit::cli
