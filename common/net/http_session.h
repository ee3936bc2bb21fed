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

/// Handshake, then requests one after the other until one side has had enough. Ends early, by an exception, when the
/// task is cancelled.
Task<void> ServeConnection(std::shared_ptr<Connection> connection, SessionEnvironment environment);

}  // namespace tacit::net
