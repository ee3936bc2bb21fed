#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "edge_agent/detect/watch.h"
#include "edge_agent/worker/supervisor.h"

namespace tacit::serving {

/// What answers for a model. Threads: any.
class ServedModel {
 public:
  virtual ~ServedModel() = default;
  /// As worker::Supervisor::Infer.
  virtual Result<worker::Answer> Infer(std::size_t rows, std::span<const ByteSpan> inputs,
                                       std::span<const detect::Asker> askers, SteadyPoint deadline) = 0;
  [[nodiscard]] virtual worker::SupervisorStatus status() const = 0;
};

/// A model in a worker. Threads: as Supervisor.
class SupervisedModel final : public ServedModel {
 public:
  explicit SupervisedModel(worker::SupervisorOptions options) : supervisor_(std::move(options)) {}
  Result<worker::Answer> Infer(std::size_t rows, std::span<const ByteSpan> inputs,
                               std::span<const detect::Asker> askers, SteadyPoint deadline) override {
    return supervisor_.Infer(rows, inputs, askers, deadline);
  }
  [[nodiscard]] worker::SupervisorStatus status() const override { return supervisor_.status(); }
  /// As worker::Supervisor::Serve.
  Result<void> Serve(std::shared_ptr<worker::ModelSource> source) { return supervisor_.Serve(std::move(source)); }

 private:
  worker::Supervisor supervisor_;
};

}  // namespace tacit::serving
