#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>

#include "common/base/result.h"
#include "server/delivery/make_bundle.h"

namespace tacit::delivery {

/// Bundles in memory: those that are being made, sent, or were asked for lately. Together never more than the limit.
class BundleCache {
 public:
  using Held = std::shared_ptr<const MadeBundle>;

  /// Units: bytes.
  explicit BundleCache(std::uint64_t limit) : limit_(limit), live_(std::make_shared<std::atomic<std::uint64_t>>(0)) {}

  /// Null where it is not here. Threads: any.
  [[nodiscard]] Held Find(const BundleName& name);

  /// The bundle, by `make` where it is not here, once `peak` bytes are free for it: what nobody holds goes for that,
  /// the one that was asked for longest ago first. Errors: kUnavailable when too much is held; those of `make`.
  /// Threads: one at a time.
  Result<Held> FindOrMake(const BundleName& name, std::uint64_t peak, const std::function<Result<MadeBundle>()>& make);

  /// What all of them take, in bytes. Threads: any.
  [[nodiscard]] std::uint64_t used() const { return *live_; }

 private:
  struct Entry {
    Held bundle;
    std::list<BundleName>::iterator place;
  };
  /// Lets go of what nobody else holds until `bytes` more fit.
  void MakeRoom(std::uint64_t bytes);
  [[nodiscard]] Held Count(MadeBundle bundle) const;

  const std::uint64_t limit_;
  std::shared_ptr<std::atomic<std::uint64_t>> live_;  // also of bundles that outlive this
  std::mutex mutex_;
  std::map<BundleName, Entry> entries_;
  std::list<BundleName> order_;  // the one that was asked for last is at the end
};

}  // namespace tacit::delivery
