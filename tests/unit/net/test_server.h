#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/check.h"
#include "common/net/executor.h"
#include "common/net/http_server.h"

namespace tacit::net::testing {

inline SteadyTime In(Millis span) {
  return std::chrono::floor<Millis>(std::chrono::steady_clock::now()) + span;
}

/// Keeps all it is told, and lets a test wait for it.
class RecordingObserver final : public ServerObserver {
 public:
  struct Request {
    std::string route;
    std::string method;
    int status = 0;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
  };

  void OnConnectionOpened(std::string_view) override {
    Note([&] { ++opened; });
  }
  void OnConnectionClosed(std::string_view) override {
    Note([&] { ++closed; });
  }
  void OnConnectionRefused(std::string_view, std::string_view reason, std::string_view) override {
    Note([&] { refusals.emplace_back(reason); });
  }
  void OnHandshake(std::string_view, std::string_view kind) override {
    Note([&] { handshakes.emplace_back(kind); });
  }
  void OnHandshakeFailed(std::string_view, std::string_view reason, std::string_view,
                         std::string_view detail) override {
    Note([&] {
      failures.emplace_back(reason);
      details.emplace_back(detail);
    });
  }
  void OnRequest(const RequestRecord& record) override {
    Note([&] {
      requests.push_back(
          {std::string(record.route), std::string(record.method), record.status, record.bytes_in, record.bytes_out});
    });
  }
  void OnHandlerException(std::string_view, std::string_view, std::string_view what) override {
    Note([&] { exceptions.emplace_back(what); });
  }

  /// A request's head was read, and its handler begins.
  void OnHandlerEntered() {
    Note([&] { ++entered; });
  }

  /// Whether `condition`, looked at under the lock, comes true within ten seconds.
  bool Wait(const std::function<bool(const RecordingObserver&)>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return condition(*this); });
  }

  // Read inside Wait, or when the server is drained.
  int opened = 0;
  int closed = 0;
  int entered = 0;
  std::vector<std::string> refusals;
  std::vector<std::string> handshakes;
  std::vector<std::string> failures;
  std::vector<std::string> details;
  std::vector<Request> requests;
  std::vector<std::string> exceptions;

 private:
  template <typename F>
  void Note(F change) {
    const std::scoped_lock lock(mutex_);
    change();
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
};

/// A server on 127.0.0.1, or the address that was asked for, on any free port, stopped in the right order.
class TestServer {
 public:
  TestServer(ListenerOptions options, Handler handler, std::size_t threads = 1)
      : threads_(IoThreads::Create(threads).value()) {
    options.name = "test";
    if (options.address == ListenerOptions().address) options.address = "127.0.0.1";
    auto server = HttpServer::Create(*threads_, std::move(options), observer);
    TACIT_CHECK(server, "a free port can be listened on");
    server_ = *std::move(server);
    server_->Serve([this, handler = std::move(handler)](HttpRequest& request) {
      observer.OnHandlerEntered();
      return handler(request);
    });
    threads_->Start();
  }
  ~TestServer() {
    server_.reset();
    threads_->StopAndJoin();
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  [[nodiscard]] std::string port() const { return std::to_string(server_->port()); }
  [[nodiscard]] HttpServer& server() { return *server_; }
  [[nodiscard]] IoThreads& threads() { return *threads_; }

  RecordingObserver observer;

 private:
  std::unique_ptr<IoThreads> threads_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace tacit::net::testing
