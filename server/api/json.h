#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/net/http.h"
#include "server/coordinator/device_registry.h"
#include "server/coordinator/views.h"

namespace tacit::api {

using Json = nlohmann::ordered_json;

/// The resources of the REST API as JSON. Each field is a release: what is shown of a task is a function of its public
/// parameters, of how many rounds it ran and of how many devices came, never of a sum (docs/PRIVACY.md).
Json ToJson(const coordinator::TaskView& view, WallTime now);
Json ToJson(const store::RoundRecord& round, const std::optional<store::ModelRecord>& model,
            const task::TaskSpec& spec);
/// How exactly it is told when a device was here: a drawn device is heard of at other times than one that waits.
enum class LastSeen : std::uint8_t { kExact, kDay };
Json ToJson(const store::DeviceRecord& device, LastSeen precision);
Json ToJson(const store::DeviceKeyRecord& key);
Json ToJson(const store::ModelLeaseRecord& lease, LastSeen precision);
/// The fleet as a whole, as the metrics have it: counts of all devices, the same whatever any coin said.
Json FleetJson(const coordinator::DeviceRegistry& devices, WallTime now);
/// One entry of a task's privacy ledger, as `tacit privacy verify` reads it.
Json ToJson(const dp::LedgerEntry& entry);
/// As it is hashed.
Json ToJson(const store::AuditRecord& record);
/// What the ledger is kept under, and what its first entry follows.
Json ToJson(const dp::BudgetPolicy& policy);
Json ToJson(const dp::Adjustment& adjustment);
/// Privacy: of one device; only for auditors.
Json ToJson(const coordinator::DeviceSpendView& spend);
Json PrivacyJson(const coordinator::TaskView& view);
/// The dry run of a task: what it would cost and what it would be worth.
Json PlanJson(const task::TaskSpec& spec);

net::HttpResponse JsonResponse(const Json& body, int status = 200);

}  // namespace tacit::api
