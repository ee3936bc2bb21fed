#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "common/base/result.h"

namespace tacit::api {

/// Places for answers that go on for as long as their client stays: so many for one caller and for all together that
/// others still get a connection. Threads: any.
class StreamPlaces {
 public:
  static constexpr std::size_t kMostOfOne = 8;

  /// Of a listener with so many connections: half of them.
  explicit StreamPlaces(std::size_t connections) : most_(connections > 1 ? connections / 2 : 1) {}

  /// Given back when it ends.
  class Place {
   public:
    Place(StreamPlaces& places, std::string who) : places_(&places), who_(std::move(who)) {}
    Place(Place&& other) noexcept : places_(std::exchange(other.places_, nullptr)), who_(std::move(other.who_)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (places_ != nullptr) places_->GiveBack(who_);
    }

   private:
    StreamPlaces* places_;
    std::string who_;
  };

  /// Errors: kRateLimited when `who` has all of theirs, or there are no more.
  Result<Place> Take(const std::string& who);

 private:
  void GiveBack(const std::string& who);

  const std::size_t most_;
  std::mutex mutex_;
  std::map<std::string, std::size_t> taken_;  // by whom; none has 0
  std::size_t in_all_ = 0;
};

}  // namespace tacit::api
