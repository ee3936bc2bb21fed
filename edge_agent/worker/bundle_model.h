#pragma once

#include <filesystem>
#include <mutex>
#include <string>

#include "common/base/bytes.h"
#include "common/base/owned_fd.h"
#include "common/base/result.h"
#include "common/bundle/open_bundle.h"
#include "edge_agent/inference/engine.h"
#include "edge_agent/worker/supervisor.h"

namespace tacit::worker {

/// A model in a bundle, as its agent opens it: asks who signed it, and for whom, and what the lease says, and gives the
/// worker the key of the payload alone. The agent never sees a byte of the model. The files are read when it is opened
/// first, and stay what they were then: a worker that is started again has the same, whatever took their place.
/// Threads: as ModelSource.
class BundleSource final : public ModelSource {
 public:
  struct Files {
    std::filesystem::path bundle;
    std::filesystem::path lease;
  };
  /// All that `opening` refers to must outlive the source, and be used by nobody else while a worker is started.
  BundleSource(Files files, const bundle::Opening& opening);

  /// Errors: as bundle::OpenBundle and ReadFile.
  Result<Opened> Open() override;
  /// Of the manifest that was opened last; the name of the file before.
  [[nodiscard]] std::string version() const override;

 private:
  Result<void> ReadFiles();

  Files files_;
  bundle::Opening opening_;
  OwnedFd bundle_;  // open from the first Open on
  Bytes lease_;
  mutable std::mutex mutex_;  // guards version_
  std::string version_;
};

/// The other half, in the worker: an OpenModel, whose `opening` is a bundle::PayloadTicket.
/// Errors: as bundle::ReadPayload; kUnavailable for a model that is larger than the worker's memory.
Result<ByteSpan> OpenBundledModel(int file, ByteSpan opening, inference::Memory& weights);

}  // namespace tacit::worker
