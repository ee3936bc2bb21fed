#include "server/delivery/bundle_cache.h"

#include <iterator>
#include <utility>

namespace tacit::delivery {

BundleCache::Held BundleCache::Find(const BundleName& name) {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return nullptr;
  order_.splice(order_.end(), order_, found->second.place);
  return found->second.bundle;
}

Result<BundleCache::Held> BundleCache::FindOrMake(const BundleName& name, std::uint64_t peak,
                                                  const std::function<Result<MadeBundle>()>& make) {
  if (Held found = Find(name)) return found;
  MakeRoom(peak);
  if (*live_ + peak > limit_) {
    return Fail(ErrorCode::kUnavailable, "all memory for bundles is in use; come back");
  }
  *live_ += peak;
  auto made = make();
  *live_ -= peak;
  if (!made) return std::unexpected(std::move(made).error());
  Held bundle = Count(*std::move(made));
  const std::scoped_lock lock(mutex_);
  const auto place = order_.insert(order_.end(), name);
  entries_.emplace(name, Entry{.bundle = bundle, .place = place});
  return bundle;
}

void BundleCache::MakeRoom(std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  for (auto name = order_.begin(); name != order_.end() && *live_ + bytes > limit_;) {
    const auto entry = entries_.find(*name);
    // Who holds it has it from here: with the lock held, nobody else can begin to.
    if (entry->second.bundle.use_count() > 1) {
      ++name;
      continue;
    }
    entries_.erase(entry);
    name = order_.erase(name);
  }
}

BundleCache::Held BundleCache::Count(MadeBundle bundle) const {
  const std::uint64_t bytes = bundle.file.size();
  *live_ += bytes;
  return {new MadeBundle(std::move(bundle)), [live = live_, bytes](const MadeBundle* gone) {
            delete gone;
            *live -= bytes;
          }};
}

}  // namespace tacit::delivery
