#pragma once

#include <filesystem>
#include <memory>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "edge_agent/inference/engine.h"

namespace tacit::inference {

struct OrtOptions {
  std::filesystem::path library;  ///< libonnxruntime.so.1, of version 1.27.0.
  Digest256 sha256 = {};          ///< Of its bytes.
};

/// ONNX Runtime as an engine: loads ONNX models, for graphs that the built-in engine refuses. It computes on one thread
/// and has no derivatives. Its own memory holds copies of the weights, which it frees and does not overwrite: keep what
/// must not be read out of this process in the built-in engine. The library is loaded once and stays for the process.
/// Shape: nobody but its owner may write the library, which is the one whose digest was computed only until it is
/// written. Errors: kPermissionDenied for a library of another digest; those of OpenToRead; kUnavailable for one that
/// cannot be loaded, or has not the functions.
/// Privacy: sets ORT_DISABLE_TELEMETRY, which later versions than the pinned one need to stay silent.
/// Threads: not beside others that read or set the environment.
Result<std::unique_ptr<Engine>> MakeOrtEngine(const OrtOptions& options);

}  // namespace tacit::inference
