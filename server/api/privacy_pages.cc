#include "server/api/privacy_pages.h"

#include <utility>

#include "server/api/json.h"

namespace tacit::api {

std::shared_ptr<const PrivacyPages::Page> PrivacyPages::Find(const TaskId& task,
                                                             const coordinator::PrivacyMoment& moment) {
  const std::scoped_lock lock(mutex_);
  const auto found = pages_.find(task);
  return found != pages_.end() && found->second->moment == moment ? found->second : nullptr;
}

net::Task<Result<std::shared_ptr<const PrivacyPages::Page>>> PrivacyPages::Get(coordinator::Coordinator& coordinator,
                                                                               TaskId task) {
  TACIT_CO_TRY(const coordinator::PrivacyMoment moment, co_await coordinator.MomentOf(task));
  if (auto page = Find(task, moment)) co_return page;
  TACIT_CO_TRY(const coordinator::TaskView view, co_await coordinator.Task(task));
  auto page = std::make_shared<const Page>(Page{view.moment, JsonResponse(PrivacyJson(view)).body});
  const std::scoped_lock lock(mutex_);
  pages_.insert_or_assign(std::move(task), page);
  co_return page;
}

std::optional<std::string> PrivacyPages::FindForecast(const ForecastKey& key) {
  const std::scoped_lock lock(mutex_);
  const auto found = forecasts_.find(key.task);
  if (found == forecasts_.end() || found->second.key != key) return std::nullopt;
  return found->second.text;
}

void PrivacyPages::KeepForecast(const ForecastKey& key, std::string text) {
  const std::scoped_lock lock(mutex_);
  forecasts_.insert_or_assign(key.task, Forecast{key, std::move(text)});
}

}  // namespace tacit::api
