#pragma once

#include <cstdint>
#include <string_view>

namespace tacit {

enum class HostKind : std::uint8_t { kNeither, kName, kIpv4, kIpv6 };

/// What a host is given as: an IP address, a DNS name of either case, or neither. A name's labels are letters, digits
/// and hyphens between them, and its last label is no number: "1.2.3" is a mistyped address.
HostKind KindOfHost(std::string_view text);

/// Whether it is an IP address, of either kind.
bool IsAddress(std::string_view text);

/// Whether it is the address that stands for all of a machine's own: one listens there, nobody is found there.
bool IsWildcardAddress(std::string_view text);

}  // namespace tacit
