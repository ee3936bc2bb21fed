#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "edge_agent/inference/engine.h"
#include "edge_agent/protect/kernel.h"
#include "edge_agent/protect/protections.h"
#include "edge_agent/protect/weight_watch.h"
#include "edge_agent/worker/channel.h"

namespace tacit::worker {

/// What was in a file, in memory that was taken for it.
struct OpenedModel {
  ByteSpan model;
  ByteSpan detectors = {};     ///< detect::Detectors of the model; empty for none.
  Digest256 calibration = {};  ///< The id that their calibration must have.
};
/// Reads the model in `file` into memory that it takes from `weights`, by means of `opening`, whatever the agent's
/// ModelSource gave. It may use the file's descriptor with read, pread and lseek only, and close it never.
using OpenModel = std::function<Result<OpenedModel>(int file, ByteSpan opening, inference::Memory& weights)>;
/// An engine that keeps in `workspace` what it computes.
using MakeEngine = std::function<std::unique_ptr<inference::Engine>(inference::Memory& workspace)>;

/// What a program brings along to be a worker.
struct WorkerParts {
  OpenModel open;
  MakeEngine make_engine;
  /// Uses for the first time, before the sandbox is entered, what opens files or makes code then.
  std::function<void()> prepare = [] {};
};

struct ServeOptions {
  std::size_t memory = 0;  ///< Most bytes of weights, and again of what an engine computes.
  protect::WeightWatchOptions watch = {};
};

/// What an agent starts as a worker: `arguments` are those of WorkerProcess behind the name of the command. Enters the
/// sandbox, loads one model, answers until it is told to quit, and leaves by the codes of ending.h.
[[noreturn]] void RunWorker(std::span<const char* const> arguments, const WorkerParts& parts, protect::Kernel& kernel);

/// Answers the frames of `channel`, one after the other, and hashes the weights in between. Returns the code to leave
/// with; everything is overwritten then.
int Serve(Channel& channel, const WorkerParts& parts, const ServeOptions& options, protect::Protections protections,
          protect::Kernel& kernel, const Clock& clock);

}  // namespace tacit::worker
