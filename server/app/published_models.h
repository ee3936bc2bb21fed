#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/model/spec.h"
#include "common/net/executor.h"
#include "server/coordinator/coordinator.h"
#include "server/telemetry/model_pusher.h"

namespace tacit::app {

/// The published rounds of a running server, for who pushes them elsewhere.
class ServerModels final : public telemetry::PublishedModels {
 public:
  /// Both outlive it; `control` runs what is asked.
  ServerModels(coordinator::Coordinator& coordinator, net::asio::any_io_executor control)
      : coordinator_(coordinator), control_(std::move(control)) {}

  Result<std::vector<telemetry::PublishedTask>> Tasks() override;
  Result<std::vector<telemetry::PublishedRound>> After(const TaskId& task, RoundNumber after,
                                                       std::size_t limit) override;
  Result<telemetry::ModelFile> File(const telemetry::PublishedRound& round) override;

 private:
  /// What of a task no round changes, and how far its ledger was read.
  struct Facts {
    model::ModelSpec model;
    std::string mechanism;
    std::optional<double> delta;
    std::optional<double> epsilon_of_device;  ///< With noise of the devices: at most.
    bool has_ledger = false;
    bool cohort_is_secret = false;
    RoundNumber charged_round = 0;  ///< Whose charge stands at `charged_at`.
    std::uint64_t charged_at = 0;
  };
  Result<std::vector<telemetry::PublishedRound>> Read(store::Store& store, const TaskId& task, RoundNumber after,
                                                      std::size_t limit);
  /// Hashes of the charges of published rounds.
  Result<void> AddReceipts(store::Store& store, const TaskId& task, std::vector<telemetry::PublishedRound>& rounds);
  static Facts FactsOf(const coordinator::TaskView& view);
  Result<Facts*> Find(const TaskId& task);

  coordinator::Coordinator& coordinator_;
  net::asio::any_io_executor control_;
  std::map<TaskId, Facts> facts_;
};

}  // namespace tacit::app
