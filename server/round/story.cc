#include "server/round/story.h"

#include <algorithm>

namespace tacit::round {

std::string_view NameOf(Stage stage) {
  switch (stage) {
    case Stage::kWait:
      return "wait";
    case Stage::kCollect:
      return "collect";
    case Stage::kClose:
      return "close";
    case Stage::kCharge:
      return "charge";
    case Stage::kNoise:
      return "noise";
    case Stage::kPublish:
      return "publish";
  }
  return "unknown";
}

StageTimes::StageTimes(WallTime wall, SteadyTime steady)
    : wall_(wall), steady_(steady), begun_{{.stage = Stage::kWait, .at = steady, .attempts = 1}} {}

void StageTimes::Begin(Stage stage, SteadyTime now) {
  Begun& last = begun_.back();
  if (stage < last.stage) return;
  if (stage == last.stage) {
    ++last.attempts;
  } else {
    begun_.push_back({.stage = stage, .at = std::max(now, last.at), .attempts = 1});
  }
}

std::vector<StageSpan> StageTimes::Until(SteadyTime now) const {
  std::vector<StageSpan> spans;
  for (std::size_t i = 0; i < begun_.size(); ++i) {
    const SteadyTime end = i + 1 < begun_.size() ? begun_[i + 1].at : std::max(now, begun_[i].at);
    spans.push_back(
        {.stage = begun_[i].stage, .began = At(begun_[i].at), .ended = At(end), .attempts = begun_[i].attempts});
  }
  return spans;
}

}  // namespace tacit::round
