#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/base/ids.h"
#include "common/net/executor.h"
#include "server/coordinator/coordinator.h"

namespace tacit::api {

/// Which forecast: of a task at a moment, so many rounds on.
struct ForecastKey {
  TaskId task;
  coordinator::PrivacyMoment moment;
  std::uint64_t rounds = 0;

  bool operator==(const ForecastKey&) const = default;
};

/// What is told of each task's privacy, rendered when its figures change and not when they are asked for.
/// Threads: any.
class PrivacyPages {
 public:
  struct Page {
    coordinator::PrivacyMoment moment;
    std::string text;  ///< The body of `GET .../privacy`.
  };

  /// Errors: kNotFound.
  net::Task<Result<std::shared_ptr<const Page>>> Get(coordinator::Coordinator& coordinator, TaskId task);

  /// The latest of each task is kept.
  [[nodiscard]] std::optional<std::string> FindForecast(const ForecastKey& key);
  void KeepForecast(const ForecastKey& key, std::string text);

 private:
  struct Forecast {
    ForecastKey key;
    std::string text;
  };

  [[nodiscard]] std::shared_ptr<const Page> Find(const TaskId& task, const coordinator::PrivacyMoment& moment);

  std::mutex mutex_;
  std::map<TaskId, std::shared_ptr<const Page>> pages_;  // a task is for ever, so they are as many, as are the next
  std::map<TaskId, Forecast> forecasts_;
};

}  // namespace tacit::api
