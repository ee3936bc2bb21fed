#pragma once

#include <filesystem>
#include <functional>
#include <mutex>
#include <string>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/owned_fd.h"
#include "common/base/result.h"
#include "common/bundle/byte_source.h"
#include "common/bundle/open_bundle.h"
#include "edge_agent/inference/engine.h"
#include "edge_agent/worker/serve.h"
#include "edge_agent/worker/supervisor.h"

namespace tacit::worker {

/// A model in a bundle, as its agent opens it: asks who signed it, and for whom, and what the lease says, and gives the
/// worker the key of the payload alone. The agent never sees a byte of the model. The file is opened once, and stays
/// what it was then: a worker that is started again has the same, whatever took its place.
/// Threads: as ModelSource.
class BundleSource final : public ModelSource {
 public:
  /// Opens what it is given to read, with a lease of its own; called at each start of a worker, on its thread.
  using Opener = std::function<Result<bundle::OpenedBundle>(bundle::ByteSource&)>;
  /// `clock`, and all that `opener` refers to, outlive it.
  BundleSource(std::filesystem::path file, Opener opener, const Clock& clock);

  /// Errors: those of the opener; kNotFound without the file.
  Result<Opened> Open() override;
  /// Of the manifest that was opened last; the name of the file before.
  [[nodiscard]] std::string version() const override;

 private:
  std::filesystem::path path_;
  Opener opener_;
  const Clock& clock_;
  OwnedFd bundle_;            // open from the first Open on
  mutable std::mutex mutex_;  // guards version_
  std::string version_;
};

/// The other half, in the worker: an OpenModel, whose `opening` is a bundle::PayloadTicket.
/// Errors: as bundle::ReadPayload; kUnavailable for a model that is larger than the worker's memory.
Result<OpenedModel> OpenBundledModel(int file, ByteSpan opening, inference::Memory& weights);

}  // namespace tacit::worker
