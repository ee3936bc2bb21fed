#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/net/compute_pool.h"
#include "common/net/http.h"
#include "edge_agent/detect/tally.h"
#include "edge_agent/serving/answers.h"
#include "edge_agent/serving/batcher.h"
#include "edge_agent/serving/detection.h"
#include "edge_agent/serving/infer_request.h"
#include "edge_agent/serving/quotas.h"
#include "edge_agent/serving/served_model.h"
#include "edge_agent/serving/token_gate.h"

namespace tacit::serving {

struct ModelServerOptions {
  std::string model_name;
  InferLimits limits = {};
  std::size_t max_body_bytes = std::size_t{16} * 1024 * 1024;
  std::size_t max_waiting_bytes = std::size_t{64} * 1024 * 1024;  ///< Of all bodies that are in memory at once.
  std::size_t max_waiting = 256;                                  ///< Requests that wait for the worker.
  Millis infer_deadline{30'000};
  QuotaLimits quotas = {};
  BatchLimits batch = {};
  /// Called on any thread; must not call the server.
  Detection::Listener on_detection = [](const DetectionEvent&) {};
};

/// The Open Inference Protocol, version 2, for one model: what a listener's handler answers. Who asks is the user of a
/// Unix domain socket, as the kernel says, or on any other listener the name of a token. Threads: Handle on any I/O
/// thread.
/// Source: Open Inference Protocol, "HTTP/REST".
class ModelServer {
 public:
  /// `model`, `clock` and `tokens` outlive it. Without `tokens`, only a socket's users are answered.
  ModelServer(ModelServerOptions options, ServedModel& model, const Clock& clock, TokenGate* tokens = nullptr);

  net::Task<net::HttpResponse> Handle(net::HttpRequest& request);
  /// What detectors have counted since the server was made, and what became of the model's workers. Threads: any.
  [[nodiscard]] detect::Tally Counted() const;
  /// Waits for what runs; every later question is refused. Threads: none of the listener's.
  void Stop() { pool_.Stop(); }

 private:
  struct Route;
  struct Snapshot;
  [[nodiscard]] Result<std::string> IdentityOf(const net::HttpRequest& request) const;
  [[nodiscard]] Result<Route> RouteOf(std::string_view path) const;
  Result<Snapshot> Look(const Route& route) const;
  net::HttpResponse Show(const Route& route) const;
  net::HttpResponse ShowReady() const;
  net::Task<net::HttpResponse> Infer(net::HttpRequest& request, const Route& route, const std::string& identity);
  net::Task<Result<InferRequest>> ReadRequest(net::HttpRequest& request, const Snapshot& snapshot);
  net::Task<Result<net::HttpResponse>> Ask(const Snapshot& snapshot, InferRequest request, std::string identity);
  [[nodiscard]] Result<net::HttpResponse> Answer(const Snapshot& snapshot, const InferRequest& request,
                                                 const BatchedAnswer& answer, std::string_view parameters) const;

  const ModelServerOptions options_;
  ServedModel& model_;
  TokenGate* const tokens_;
  Quotas quotas_;
  Detection detection_;
  Batcher batcher_;
  std::atomic<std::size_t> waiting_bytes_ = 0;
  net::ComputePool pool_;
};

}  // namespace tacit::serving
