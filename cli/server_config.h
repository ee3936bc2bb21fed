#pragma once

#include <cstdint>
#include <string>

namespace tacit::cli {

/// The port of the api listener in a new configuration.
inline constexpr std::uint16_t kApiPort = 8444;

/// From where operators can reach the api listener.
enum class ApiReach : std::uint8_t { kThisMachine, kNetwork };

struct ServerConfigOptions {
  std::string trust_domain;     ///< Must be one: it is not quoted.
  std::string devices_address;  ///< An IP address to listen at, for devices that come and those that are new.
  std::string api_address;      ///< An IP address to listen at.
  ApiReach api_reach;           ///< What that address means.
};

/// A new server's tacitd.toml: every key of server/app/config, what it does, and its default.
std::string ServerConfigText(const ServerConfigOptions& options);

}  // namespace tacit::cli
