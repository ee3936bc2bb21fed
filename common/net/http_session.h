#pragma once

#include <memory>

#include "common/net/connection.h"
#include "common/net/executor.h"
#include "common/net/http.h"
#include "common/net/http_server.h"

// What a server does on one connection. Private to common/net.
namespace tacit::net {

/// What all sessions of a listener share; it outlives them.
struct SessionEnvironment {
  const ListenerOptions& options;
  const Handler& handler;
  ServerObserver& observer;
};

/// The handshake, where the listener has one. Where it fails, false, and the connection is closed.
Task<bool> ShakeHands(std::shared_ptr<Connection> connection, SessionEnvironment environment);

/// Requests one after the other until one side has had enough. Ends early, as ShakeHands, by an exception, when the
/// task is cancelled.
Task<void> ServeRequests(std::shared_ptr<Connection> connection, SessionEnvironment environment);

}  // namespace tacit::net
