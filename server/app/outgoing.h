#pragma once

#include <memory>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "server/app/config.h"
#include "server/metrics/metrics.h"
#include "server/round/story.h"
#include "server/telemetry/model_pusher.h"
#include "server/telemetry/trace_sender.h"

namespace tacit::app {

/// What a configuration tells this server to tell others; nothing, as a rule.
class Outgoing {
 public:
  /// Errors: what is wrong with a file that the configuration names.
  static Result<std::unique_ptr<Outgoing>> Create(const ServerConfig& config, metrics::Metrics& metrics, Logger& log);

  /// Never waits. Threads: any.
  void RoundEnded(const round::Story& story);
  /// From now on published models are pushed, those of earlier runs included. `models` lives until Stop.
  void Start(telemetry::PublishedModels& models);
  /// Gives traces at most `grace`, and no more than two seconds of it. Can be repeated.
  void Stop(Millis grace);

 private:
  std::unique_ptr<telemetry::TraceSender> traces_;
  std::unique_ptr<telemetry::ModelPusher> models_;
};

}  // namespace tacit::app
