#include "server/api/stream_places.h"

namespace tacit::api {

Result<StreamPlaces::Place> StreamPlaces::Take(const std::string& who) {
  const std::scoped_lock lock(mutex_);
  const auto found = taken_.find(who);
  if (found != taken_.end() && found->second >= kMostOfOne) {
    return Fail(ErrorCode::kRateLimited,
                "you have " + std::to_string(kMostOfOne) + " streams open, as many as one caller may; close one");
  }
  if (in_all_ >= most_) {
    return Fail(ErrorCode::kRateLimited, "all " + std::to_string(most_) +
                                             " streams of this server are in use; ask for the task again and again");
  }
  ++taken_[who];
  ++in_all_;
  return Place(*this, who);
}

void StreamPlaces::GiveBack(const std::string& who) {
  const std::scoped_lock lock(mutex_);
  const auto found = taken_.find(who);
  if (--found->second == 0) taken_.erase(found);
  --in_all_;
}

}  // namespace tacit::api
