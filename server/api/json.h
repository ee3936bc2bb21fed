#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/net/http.h"
#include "server/coordinator/views.h"

namespace tacit::api {

using Json = nlohmann::ordered_json;

/// The resources of the REST API as JSON. Each field is a release: what is shown of a task is a function of its public
/// parameters, of how many rounds it ran and of how many devices came, never of a sum (docs/PRIVACY.md).
Json ToJson(const coordinator::TaskView& view, WallTime now);
Json ToJson(const store::RoundRecord& round, const std::optional<store::ModelRecord>& model);
Json ToJson(const store::DeviceRecord& device);
Json PrivacyJson(const coordinator::TaskView& view);
/// The dry run of a task: what it would cost and what it would be worth.
Json PlanJson(const task::TaskSpec& spec);

net::HttpResponse JsonResponse(const Json& body, int status = 200);

}  // namespace tacit::api
