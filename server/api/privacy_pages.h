#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/base/ids.h"
#include "common/net/executor.h"
#include "server/coordinator/coordinator.h"

namespace tacit::api {

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

 private:
  [[nodiscard]] std::shared_ptr<const Page> Find(const TaskId& task, const coordinator::PrivacyMoment& moment);

  std::mutex mutex_;
  std::map<TaskId, std::shared_ptr<const Page>> pages_;  // a task is for ever, so they are as many
};

}  // namespace tacit::api
