#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/load/client.h"
#include "benchmarks/load/scenarios.h"

namespace tacit::load {

using Duration = std::chrono::duration<double>;
/// For whatever all clients are to do together.
inline constexpr std::chrono::seconds kPatience{900};
/// How long a check-in asks to be held.
inline constexpr std::chrono::milliseconds kLongPoll{30'000};
/// Before a client tries again that was turned away without being told for how long.
inline constexpr std::chrono::milliseconds kAfterRefusal{200};

/// Connections that are being made at the same time, where nothing is measured by them.
inline constexpr std::size_t kAtOnce = 128;

/// The clients of a scene on one loop.
class Fleet {
 public:
  static Result<Fleet> Create(const Scene& scene, std::uint16_t port);

  [[nodiscard]] std::vector<std::unique_ptr<Client>>& clients() { return clients_; }
  [[nodiscard]] Loop& loop() { return *loop_; }

  /// Connects all, kAtOnce at a time: each of these clients stands for a machine of its own, but one thread does all of
  /// their handshakes. Errors: as Each.
  Result<void> Connect(std::chrono::seconds patience);
  /// Calls `start` with every client and runs until Done was called as often as there are clients.
  /// Errors: kDeadlineExceeded after `patience`; what Failed was called with.
  Result<void> Each(const std::function<void(Client&)>& start, std::chrono::seconds patience);
  void Done();
  void Failed(std::string why);

 private:
  Fleet() = default;
  void ConnectNext(std::size_t index);
  std::unique_ptr<Loop> loop_;
  SslContext context_;
  std::vector<Identity> identities_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::size_t done_ = 0;
  std::string failure_;
};

/// A check-in that may be held for `wait`.
Request CheckIn(const std::string& task, std::chrono::milliseconds wait);

/// Of values that are not sorted yet. Units: those of the values.
double Quantile(std::vector<double> values, double share);

}  // namespace tacit::load
