#include "common/net/http_server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/base/check.h"
#include "common/base/rate_limiter.h"
#include "common/net/connection.h"
#include "common/net/http_session.h"
#include "common/net/task_group.h"
#include "common/net/unix_socket.h"

namespace tacit::net {
namespace {

using asio::ip::tcp;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

constexpr int kBacklog = 1024;
constexpr Millis kAcceptRetry{100};
// For handlers that wait for something that cannot be cancelled, such as a computation.
constexpr Millis kPatienceAfterCut{5'000};
constexpr std::size_t kMinHeaderBytes = 1024;
constexpr std::size_t kMaxHeaderBytes = 1024 * 1024;

// Sources whose handshakes failed a moment ago, beside those of the connections there are: a few of them a second are
// remembered for some tenths of a second.
constexpr std::size_t kFailedSources = 10'000;

// Of all connections, those of one source whose handshake has not ended: one part in so many, but not fewer than this.
constexpr std::size_t kShareInHandshakes = 4;
constexpr std::size_t kLeastInHandshakes = 64;

// Two record buffers of a busy TLS session, its state, the socket's and its source's bookkeeping and the session's
// coroutines.
constexpr std::uint64_t kBytesPerConnection = 96 * 1024;

asio::ip::address Unmapped(const asio::ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

// Asio does not set it, and a program started from here would keep the port, or the connection, open.
void CloseOnExec(int socket) {
  ::fcntl(socket, F_SETFD, FD_CLOEXEC);
}

// An IPv4 address, or the /64 that one IPv6 subscriber usually owns.
std::string SourceOf(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  const auto bytes = address.to_v6().to_bytes();
  return ToHex({bytes.data(), 8});
}

Result<void> CheckOptions(const ListenerOptions& options) {
  const bool limits = options.max_connections > 0 && options.max_connections_per_source > 0 &&
                      options.failed_handshakes_per_minute_per_source > 0;
  const bool header = options.max_header_bytes >= kMinHeaderBytes && options.max_header_bytes <= kMaxHeaderBytes;
  const bool times = std::min({options.handshake_timeout, options.header_timeout, options.idle_timeout,
                               options.progress_timeout}) > Millis(0);
  if (!limits) return Fail(ErrorCode::kInvalidArgument, "listener " + options.name + ": a connection limit of 0");
  if (!header) {
    return Fail(ErrorCode::kInvalidArgument, "listener " + options.name + ": max_header_bytes must be 1024 to 1048576");
  }
  if (!times)
    return Fail(ErrorCode::kInvalidArgument, "listener " + options.name + ": every time limit must be above 0");
  return {};
}

Result<Acceptor> ListenAtPort(const asio::any_io_executor& executor, const ListenerOptions& options) {
  boost::system::error_code error;
  const asio::ip::address address = asio::ip::make_address(options.address, error);
  if (error) {
    return Fail(ErrorCode::kInvalidArgument,
                "listener " + options.name + ": '" + options.address + "' is not an IP address");
  }
  const tcp::endpoint endpoint(address, options.port);
  tcp::acceptor acceptor(executor);
  acceptor.open(endpoint.protocol(), error);
  if (!error) CloseOnExec(acceptor.native_handle());
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  // "::" takes IPv4 too, whatever the system's default is: both kinds of address are promised to be served.
  if (!error && address.is_v6()) acceptor.set_option(asio::ip::v6_only(false), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error) {
    return Fail(ErrorCode::kUnavailable, "listener " + options.name + ": cannot listen on " + options.address +
                                             " port " + std::to_string(options.port) + ": " + error.message());
  }
  return Acceptor(std::move(acceptor));
}

Result<Acceptor> ListenAtPath(const asio::any_io_executor& executor, UnixListener& listener) {
  OwnedFd socket = listener.TakeSocket();
  Acceptor acceptor(executor);
  boost::system::error_code error;
  acceptor.assign(asio::generic::stream_protocol(AF_UNIX, 0), socket.get(), error);
  if (!error) std::ignore = socket.Release();  // the acceptor's now
  if (error) return Fail(ErrorCode::kUnavailable, "a socket cannot be listened at: " + error.message());
  return acceptor;
}

std::uint16_t PortOf(const Acceptor& acceptor) {
  boost::system::error_code error;
  const auto local = acceptor.local_endpoint(error);
  tcp::endpoint endpoint;
  std::memcpy(endpoint.data(), local.data(), std::min(local.size(), endpoint.capacity()));
  return endpoint.port();
}

// Who connected, before anything is read; nothing where it is gone again already.
std::optional<PeerIdentity> PeerOf(StreamSocket& socket) {
  boost::system::error_code error;
  const asio::generic::stream_protocol::endpoint remote = socket.remote_endpoint(error);
  if (error) return std::nullopt;
  PeerIdentity peer;
  if (remote.protocol().family() == AF_UNIX) {
    peer.address = "unix";
    peer.unix_user = PeerUser(socket.native_handle());
    return peer.unix_user ? std::optional(std::move(peer)) : std::nullopt;
  }
  tcp::endpoint endpoint;
  if (remote.size() > endpoint.capacity()) return std::nullopt;
  std::memcpy(endpoint.data(), remote.data(), remote.size());
  endpoint.resize(remote.size());
  peer.address = Unmapped(endpoint.address()).to_string();
  return peer;
}

// Whose connections are counted together.
std::string SourceOf(const PeerIdentity& peer) {
  if (peer.unix_user) return "user " + std::to_string(*peer.unix_user);
  boost::system::error_code error;
  const asio::ip::address address = asio::ip::make_address(peer.address, error);
  return error ? peer.address : SourceOf(address);
}

}  // namespace

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  // What one I/O thread owns; touched on that thread only.
  struct Lane {
    Lane(asio::any_io_executor its_executor, TaskGroupOptions tasks)
        : executor(std::move(its_executor)), group(executor, std::move(tasks)) {}
    asio::any_io_executor executor;
    TaskGroup group;
    std::unordered_map<Connection*, TaskGroup::Ticket> connections;
  };

  struct OfSource {
    std::size_t connections = 0;
    std::size_t in_handshakes = 0;  // of them
  };

  // A place among the connections, held from accept to the end of the session.
  class Place {
   public:
    Place(std::shared_ptr<State> state, std::string source, std::size_t lane)
        : state_(std::move(state)), source_(std::move(source)), lane_(lane) {}
    Place(Place&&) noexcept = default;
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (state_) state_->Leave(source_, lane_, in_handshake_);
    }
    [[nodiscard]] const std::shared_ptr<State>& state() const { return state_; }
    [[nodiscard]] Lane& lane() const { return *state_->lanes[lane_]; }
    void ShookHands() {
      if (state_->options.tls) state_->handshakes.GiveBack(source_);
      in_handshake_ = false;
      state_->LeaveHandshake(source_);
    }

   private:
    std::shared_ptr<State> state_;
    std::string source_;
    std::size_t lane_;
    bool in_handshake_ = true;
  };

  // Says, for as long as it lives, that connections may still come.
  class AcceptMark {
   public:
    explicit AcceptMark(State& state) : state_(state) { Set(true); }
    ~AcceptMark() { Set(false); }
    AcceptMark(const AcceptMark&) = delete;
    AcceptMark& operator=(const AcceptMark&) = delete;

   private:
    void Set(bool value) {
      const std::scoped_lock lock(state_.mutex);
      state_.accepting = value;
      state_.changed.notify_all();
    }
    State& state_;
  };

  State(ListenerOptions its_options, ServerObserver& its_observer, Acceptor its_acceptor)
      : options(std::move(its_options)),
        observer(its_observer),
        acceptor(std::move(its_acceptor)),
        handshakes({.per_minute = options.failed_handshakes_per_minute_per_source,
                    .max_sources = options.max_connections + kFailedSources},
                   clock),
        accept_retry(acceptor.get_executor()),
        accept_group(acceptor.get_executor(), {1, {}}) {}

  void AddLane(asio::any_io_executor executor);
  static Task<void> Accept(std::shared_ptr<State> state);
  static Task<void> Serve(std::shared_ptr<Connection> connection, Place place);
  void Admit(StreamSocket socket, std::size_t lane);
  std::string_view TakePlace(const std::string& source, std::size_t lane);
  void Leave(const std::string& source, std::size_t lane, bool in_handshake);
  void LeaveHandshake(const std::string& source);
  std::size_t QuietestLane();
  void Start(StreamSocket socket, PeerIdentity peer, Place place);
  void OnEveryLane(const std::function<void(Lane&)>& action);
  bool WaitUntilEmpty(SteadyTime deadline);

  const ListenerOptions options;
  const std::size_t most_in_handshakes = std::max(kLeastInHandshakes, options.max_connections / kShareInHandshakes);
  Handler handler;  // set by Serve, before any thread reads it
  ServerObserver& observer;
  std::uint16_t port = 0;
  const SystemClock clock;
  Acceptor acceptor;                 // on the first lane's thread
  std::optional<UnixListener> path;  // set before any thread reads it
  RateLimiter handshakes;            // under way or failed
  asio::steady_timer accept_retry;   // on the first lane's thread
  TaskGroup accept_group;            // on the first lane's thread
  std::vector<std::unique_ptr<Lane>> lanes;
  std::atomic<bool> stopping = false;

  std::mutex mutex;
  std::condition_variable changed;
  bool accepting = false;                                 // guarded by mutex
  std::size_t connections = 0;                            // guarded by mutex
  std::vector<std::size_t> lane_connections;              // guarded by mutex
  std::unordered_map<std::string, OfSource> from_source;  // guarded by mutex
};

void HttpServer::State::AddLane(asio::any_io_executor executor) {
  lanes.push_back(std::make_unique<Lane>(std::move(executor), TaskGroupOptions{options.max_connections, {}}));
  lane_connections.push_back(0);
}

std::size_t HttpServer::State::QuietestLane() {
  const std::scoped_lock lock(mutex);
  return static_cast<std::size_t>(std::ranges::min_element(lane_connections) - lane_connections.begin());
}

// The refusal's name, or nothing when the connection has been counted in.
std::string_view HttpServer::State::TakePlace(const std::string& source, std::size_t lane) {
  const std::scoped_lock lock(mutex);
  if (connections >= options.max_connections) return kConnectionRefusals[0];
  OfSource& of_source = from_source[source];
  if (of_source.connections >= options.max_connections_per_source) return kConnectionRefusals[1];
  if (options.tls && of_source.in_handshakes >= most_in_handshakes) return kConnectionRefusals[3];
  if (options.tls && !handshakes.Allow(source)) {
    if (of_source.connections == 0) from_source.erase(source);
    return kConnectionRefusals[2];
  }
  ++of_source.connections;
  ++of_source.in_handshakes;
  ++connections;
  ++lane_connections[lane];
  return {};
}

void HttpServer::State::LeaveHandshake(const std::string& source) {
  const std::scoped_lock lock(mutex);
  --from_source.at(source).in_handshakes;
}

void HttpServer::State::Leave(const std::string& source, std::size_t lane, bool in_handshake) {
  observer.OnConnectionClosed(options.name);
  const std::scoped_lock lock(mutex);
  --connections;
  --lane_connections[lane];
  const auto found = from_source.find(source);
  if (in_handshake) --found->second.in_handshakes;
  if (--found->second.connections == 0) from_source.erase(found);
  changed.notify_all();
}

void HttpServer::State::Admit(StreamSocket socket, std::size_t lane) {
  CloseOnExec(socket.native_handle());
  std::optional<PeerIdentity> peer = PeerOf(socket);
  if (!peer) return;
  std::string source = SourceOf(*peer);
  if (const std::string_view refusal = TakePlace(source, lane); !refusal.empty()) {
    observer.OnConnectionRefused(options.name, refusal, peer->address);
    return;
  }
  observer.OnConnectionOpened(options.name);
  Place place(shared_from_this(), std::move(source), lane);
  asio::post(lanes[lane]->executor,
             [place = std::move(place), socket = std::move(socket), peer = *std::move(peer)]() mutable {
               // Held here too: the session may end, and give its place back, within the call.
               const std::shared_ptr<State> state = place.state();
               if (!state->stopping) state->Start(std::move(socket), std::move(peer), std::move(place));
             });
}

Task<void> HttpServer::State::Accept(std::shared_ptr<State> state) {
  const AcceptMark mark(*state);
  while (!state->stopping) {
    const std::size_t lane = state->QuietestLane();
    auto [error, socket] = co_await state->acceptor.async_accept(state->lanes[lane]->executor, kNoThrow);
    if (state->stopping) co_return;
    if (!error) {
      state->Admit(std::move(socket), lane);
    } else if (error != asio::error::connection_aborted) {
      // Out of descriptors or of memory: what is connected goes on, and ends, meanwhile.
      state->accept_retry.expires_after(kAcceptRetry);
      co_await state->accept_retry.async_wait(kNoThrow);
    }
  }
}

Task<void> HttpServer::State::Serve(std::shared_ptr<Connection> connection, Place place) {
  struct Registration {
    Lane& lane;
    Connection* connection;
    ~Registration() { lane.connections.erase(connection); }
  } const registration{place.lane(), connection.get()};
  const State& state = *place.state();
  std::string defect;
  try {
    const SessionEnvironment environment{state.options, state.handler, state.observer};
    if (co_await ShakeHands(connection, environment)) {
      place.ShookHands();
      co_await ServeRequests(connection, environment);
    }
  } catch (const std::exception& caught) {
    defect = caught.what();
  }
  // A cut connection ends by an exception out of its wait: that is no defect.
  if (!defect.empty() && !connection->aborted()) state.observer.OnHandlerException(state.options.name, "", defect);
}

void HttpServer::State::Start(StreamSocket socket, PeerIdentity peer, Place place) {
  Lane& lane = place.lane();
  auto connection = std::make_shared<Connection>(std::move(socket), std::move(peer));
  lane.connections.emplace(connection.get(), 0);
  const auto ticket = lane.group.Spawn(Serve(connection, std::move(place)));
  const auto found = lane.connections.find(connection.get());
  if (found == lane.connections.end()) return;  // Over already.
  if (ticket) {
    found->second = *ticket;
  } else {
    lane.connections.erase(found);
  }
}

void HttpServer::State::OnEveryLane(const std::function<void(Lane&)>& action) {
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    asio::post(lanes[i]->executor, [self = shared_from_this(), i, action] { action(*self->lanes[i]); });
  }
}

bool HttpServer::State::WaitUntilEmpty(SteadyTime deadline) {
  std::unique_lock lock(mutex);
  return changed.wait_until(lock, deadline, [this] { return connections == 0 && !accepting; });
}

Result<std::unique_ptr<HttpServer>> HttpServer::Create(IoThreads& threads, ListenerOptions options,
                                                       ServerObserver& observer) {
  TACIT_TRY_VOID(CheckOptions(options));
  std::optional<UnixListener> path;
  if (!options.unix_path.empty()) {
    auto listener = UnixListener::Listen(options.unix_path, options.unix_mode);
    if (!listener) return Annotate(listener.error(), "listener " + options.name);
    path.emplace(*std::move(listener));
  }
  TACIT_TRY(Acceptor acceptor,
            path ? ListenAtPath(threads.executor(0), *path) : ListenAtPort(threads.executor(0), options));
  const std::uint16_t port = path ? std::uint16_t{0} : PortOf(acceptor);
  auto state = std::make_shared<State>(std::move(options), observer, std::move(acceptor));
  state->port = port;
  state->path = std::move(path);
  for (std::size_t i = 0; i < threads.size(); ++i) state->AddLane(threads.executor(i));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

void HttpServer::Serve(Handler handler) {
  TACIT_CHECK(!state_->handler, "a listener is served once");
  state_->handler = std::move(handler);
  asio::post(state_->acceptor.get_executor(), [state = state_] {
    if (!state->accept_group.Spawn(State::Accept(state)))
      state->observer.OnHandlerException(state->options.name, "", "");
  });
}

HttpServer::HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
HttpServer::~HttpServer() {
  Drain(SteadyTime());
}

std::uint16_t HttpServer::port() const {
  return state_->port;
}

std::size_t HttpServer::connections() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->connections;
}

void HttpServer::StopAccepting() {
  state_->stopping = true;
  asio::post(state_->acceptor.get_executor(), [state = state_] {
    boost::system::error_code ignored;
    state->acceptor.close(ignored);
    if (state->path) state->path->Remove();
    state->accept_retry.cancel();
  });
}

std::size_t HttpServer::Drain(SteadyTime deadline) {
  StopAccepting();
  state_->OnEveryLane([](State::Lane& lane) {
    for (const auto& [connection, ticket] : lane.connections) connection->Retire();
  });
  if (state_->WaitUntilEmpty(deadline)) return 0;
  const std::size_t left = connections();
  state_->OnEveryLane([](State::Lane& lane) {
    for (const auto& [connection, ticket] : lane.connections) connection->Abort();
    lane.group.CancelAll();
  });
  state_->WaitUntilEmpty(std::chrono::floor<Millis>(std::chrono::steady_clock::now()) + kPatienceAfterCut);
  return left;
}

void HttpServer::ClosePeers(std::function<bool(const PeerIdentity&)> matches) {
  if (state_->options.tls) state_->options.tls->ForgetSessions(matches);
  state_->OnEveryLane([matches = std::move(matches)](State::Lane& lane) {
    for (const auto& [connection, ticket] : lane.connections) {
      if (!matches(connection->peer())) continue;
      connection->Abort();
      lane.group.Cancel(ticket);
    }
  });
}

std::uint64_t HttpServer::WorstCaseBytes(const ListenerOptions& options) {
  return options.max_connections * (kBytesPerConnection + options.max_header_bytes);
}

}  // namespace tacit::net
