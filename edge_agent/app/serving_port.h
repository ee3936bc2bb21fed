#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/net/tls.h"

namespace tacit::agent {

/// An address of this machine alone, and a port of it; 0 takes any that is free.
struct LoopbackPort {
  std::string address;
  std::uint16_t port = 0;
};

/// Reads "127.0.0.1:8446" or "[::1]:8446". Errors: kInvalidArgument, also for an address that others can reach.
Result<LoopbackPort> ParseLoopbackPort(std::string_view text);

/// What `serve` listens with beside its socket. An empty address: it does not.
struct PortOptions {
  LoopbackPort at = {};
  std::filesystem::path tokens = {};
  std::filesystem::path certificate = {};  ///< PEM, leaf first; empty: one of its own.
  std::filesystem::path key = {};          ///< PEM; where there is a certificate.
};

struct PortIdentity {
  std::shared_ptr<net::TlsServerContext> tls;
  std::filesystem::path trust;  ///< What clients have to believe; empty for a certificate that was given.
};

/// The certificate of the options, or the agent's own for localhost, 127.0.0.1 and ::1. That is in
/// `serving` in the state directory: ca.crt for clients, and server.pem with its key, 0600. It is made where there is
/// none, or none that is good for another month. The key of the authority that signed it is kept nowhere, so that
/// ca.crt can be believed for nothing else. Errors: those of net::TlsServerContext::Create and of the disk.
Result<PortIdentity> LoadPortIdentity(const PortOptions& options, const std::filesystem::path& state, WallTime now);

}  // namespace tacit::agent
