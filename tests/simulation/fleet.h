#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "common/base/clock.h"
#include "common/net/task_group.h"
#include "server/coordinator/coordinator.h"
#include "tests/simulation/history.h"

namespace tacit::simulation {

/// Devices that outlive every process of the server: each keeps its update until it is answered. They are slow, lose
/// answers, send twice, and now and then try to send a second update.
class Fleet {
 public:
  using Random = std::mt19937_64;

  Fleet(std::size_t devices, History& history, Random& random, const Clock& clock);

  /// Every device that the store does not know yet.
  [[nodiscard]] Result<void> Enrol(store::Store& store) const;
  /// Devices ask a server for as long as its group runs them.
  void Meet(coordinator::Coordinator& server, net::TaskGroup& group);

 private:
  struct Update {
    coordinator::LeaseView lease;
    Digest128 digest{};
    Grid grid{};
  };
  struct Device {
    DeviceId id;
    Digest256 key{};
    std::optional<Update> kept;
  };
  struct Server {
    coordinator::Coordinator& coordinator;
    net::TaskGroup& group;
  };

  net::Task<void> Live(Device& device, Server server);
  net::Task<void> Ask(Device& device, Server server);
  net::Task<void> Send(Device& device, Server server);
  net::Task<void> SendOnceMore(Device& device, Server server, Update sent);
  net::Task<void> SendUnheard(Device& device, Server server, Update update);
  net::Task<Result<void>> Submit(Device& device, Server server, const Update& update);
  net::Task<void> Pause(Millis most);
  [[nodiscard]] Update Train(coordinator::LeaseView lease);
  [[nodiscard]] bool Chance(double probability);

  History& history_;
  Random& random_;
  const Clock& clock_;
  std::vector<Device> devices_;
};

}  // namespace tacit::simulation
