#include "edge_agent/worker/bundle_model.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "common/base/files.h"

namespace tacit::worker {
namespace {

// A file that is open already, from some place on. Its descriptor is somebody else's, and may be shared: no position of
// its own is used.
class DescriptorSource final : public bundle::ByteSource {
 public:
  DescriptorSource(int file, std::uint64_t offset) : file_(file), offset_(offset) {}

  Result<std::size_t> Read(std::span<std::uint8_t> into) override {
    std::size_t filled = 0;
    while (filled < into.size()) {
      const ssize_t got =
          ::pread(file_, into.data() + filled, into.size() - filled, static_cast<off_t>(offset_ + filled));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        return Fail(ErrorCode::kUnavailable, "cannot read a bundle: " + std::generic_category().message(errno));
      }
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
    }
    offset_ += filled;
    return filled;
  }

 private:
  int file_;
  std::uint64_t offset_;
};

}  // namespace

BundleSource::BundleSource(std::filesystem::path file, Opener opener, const Clock& clock)
    : path_(std::move(file)), opener_(std::move(opener)), clock_(clock), version_(path_.filename().string()) {}

Result<ModelSource::Opened> BundleSource::Open() {
  if (!bundle_) {
    TACIT_TRY(const int descriptor, OpenToRead(path_));
    bundle_ = OwnedFd(descriptor);
  }
  OwnedFd file(::fcntl(bundle_.get(), F_DUPFD_CLOEXEC, 0));
  if (!file) return Fail(ErrorCode::kUnavailable, "no descriptor is left for a bundle");
  DescriptorSource source(file.get(), 0);
  TACIT_TRY(bundle::OpenedBundle opened, opener_(source));
  const auto left = opened.lease().expires - clock_.Now();
  {
    const std::scoped_lock lock(mutex_);
    version_ = std::to_string(opened.manifest().fields().version);
  }
  return Opened{.file = std::move(file),
                .opening = std::move(opened).Ticket().Encode(),
                .until = std::chrono::steady_clock::now() + left};
}

std::string BundleSource::version() const {
  const std::scoped_lock lock(mutex_);
  return version_;
}

Result<OpenedModel> OpenBundledModel(int file, ByteSpan opening, inference::Memory& weights) {
  TACIT_TRY(const bundle::PayloadTicket ticket, bundle::PayloadTicket::Parse(opening));
  TACIT_TRY(const std::span<std::uint8_t> model, weights.Take(ticket.plaintext_size));
  DescriptorSource source(file, ticket.offset);
  TACIT_TRY_VOID(bundle::ReadPayload(source, ticket, model));
  const ByteSpan all(model);
  const std::size_t detectors = ticket.detectors_size;
  return OpenedModel{
      .model = all.first(all.size() - detectors), .detectors = all.last(detectors), .calibration = ticket.calibration};
}

}  // namespace tacit::worker
