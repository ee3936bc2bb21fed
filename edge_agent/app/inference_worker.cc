#include "edge_agent/app/inference_worker.h"

#include <cstddef>

#include "edge_agent/inference/builtin_engine.h"
#include "edge_agent/protect/kernel.h"
#include "edge_agent/worker/bundle_model.h"
#include "edge_agent/worker/serve.h"

namespace tacit::agent {

void BecomeInferenceWorker(int argc, const char* const* argv) {
  if (argc < 2 || argv[1] != kInferenceWorker) return;
  const worker::WorkerParts parts{.open = worker::OpenBundledModel, .make_engine = [](inference::Memory& workspace) {
                                    return inference::MakeBuiltinEngine(workspace);
                                  }};
  protect::SystemKernel kernel;
  worker::RunWorker({argv + 2, static_cast<std::size_t>(argc - 2)}, parts, kernel);
}

}  // namespace tacit::agent
