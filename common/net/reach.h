#pragma once

#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/net/https_client.h"

// For finding out why two sides do not meet: neither sends anything over TLS.
namespace tacit::net {

/// Whether an address of this machine could be listened at: somebody else's listener is in the way, or the right to
/// this port is missing. Nothing listens there afterwards. Errors: kUnavailable, kPermissionDenied, kInvalidArgument.
Result<void> TryListen(const Endpoint& address);

/// The status with which a server answers a GET in plain HTTP. Errors: kUnavailable when it is not reached;
/// kDeadlineExceeded; kMalformed.
Result<int> PlainStatus(const Endpoint& server, std::string_view target, Millis timeout);

/// When `text`, the value of a Date header, was: `Sun, 06 Nov 1994 08:49:37 GMT`. Errors: kMalformed.
Result<WallTime> ParseHttpDate(std::string_view text);

}  // namespace tacit::net
