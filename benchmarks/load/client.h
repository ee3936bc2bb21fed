#pragma once

#include <netinet/in.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "benchmarks/load/fleet.h"
#include "common/base/bytes.h"

namespace tacit::load {

using SteadyTime = std::chrono::steady_clock::time_point;
inline SteadyTime Now() {
  return std::chrono::steady_clock::now();
}

/// What a client does wrong with one request.
enum class Mischief : std::uint8_t {
  kNone,
  kAbort,  ///< Goes away after half of the body.
  kDrip,   ///< Sends the body's first 64 KiB in 64 pieces, 5 ms apart.
};

struct Request {
  std::string head;  ///< Of HTTP, the empty line included; and what of the body stands before `body`.
  ByteSpan body;     ///< Not copied.
  Mischief mischief = Mischief::kNone;
};

struct Answer {
  int status = 0;  ///< 0: none; the connection ended first.
  std::string body;
  std::chrono::milliseconds retry_after{0};
};

class Client;

/// What comes back, on the loop's thread.
using OnAnswer = std::function<void(Client&, const Answer&)>;

/// Runs many clients on one thread.
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Until Stop, or `deadline`; whether it was Stop.
  bool RunUntil(SteadyTime deadline);
  void Stop() { stopped_ = true; }
  /// Calls `f` at or soon after `time`.
  void At(SteadyTime time, std::function<void()> f);

 private:
  friend class Client;
  struct Timer {
    SteadyTime time;
    std::uint64_t order;
    std::shared_ptr<std::function<void()>> f;
    bool operator>(const Timer& other) const { return std::tie(time, order) > std::tie(other.time, other.order); }
  };
  void RunTimers();
  [[nodiscard]] int PatienceMs(SteadyTime deadline) const;

  int epoll_;
  bool stopped_ = false;
  std::uint64_t timers_made_ = 0;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
};

struct SslContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslContextDeleter>;

/// TLS 1.3 with the fleet's CA. Errors: kMalformed.
Result<SslContext> ClientContext(const std::string& ca_pem);

/// One device's connection: connects when it must, sends one request at a time and keeps the connection.
class Client {
 public:
  struct Options {
    SSL_CTX* context = nullptr;
    sockaddr_in server{};
    const Identity* identity = nullptr;
  };

  Client(Loop& loop, Options options, std::size_t index);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// One at a time; `on_answer` is called once, never from within.
  void Send(Request request, OnAnswer on_answer);
  /// Connects and shakes hands, and sends nothing; the answer has status 200 when it is done.
  void Connect(OnAnswer on_answer);
  /// Ends the connection without a goodbye.
  void Cut();

  [[nodiscard]] std::size_t index() const { return index_; }

 private:
  friend class Loop;
  enum class State : std::uint8_t { kClosed, kConnecting, kShaking, kIdle, kWriting, kReading };

  void Open();
  void Advance();
  bool Step();
  bool FinishConnect();
  bool Shake();
  bool Write();
  bool Read();
  [[nodiscard]] ByteSpan Unsent() const;
  void Parse();
  void Finish(const Answer& answer);
  bool Wants(int result);

  Loop& loop_;
  Options options_;
  std::size_t index_;
  State state_ = State::kClosed;
  int socket_ = -1;
  SSL* ssl_ = nullptr;
  std::optional<Request> request_;
  std::size_t sent_ = 0;
  SteadyTime not_before_{};
  std::string received_;
  OnAnswer on_answer_;
};

}  // namespace tacit::load
