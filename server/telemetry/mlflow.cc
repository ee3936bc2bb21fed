#include "server/telemetry/mlflow.h"

#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "common/web/web_url.h"

namespace tacit::telemetry {
namespace {

using nlohmann::json;

constexpr std::string_view kRoundTag = "tacit.round";
constexpr std::string_view kDigestTag = "tacit.model_digest";
// Other people's tags may be large, and a page of them must fit the bound of an answer.
constexpr std::string_view kPageSize = "20";

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// The member of an object, if it has it as text.
std::string_view TextAt(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return {};
  return found->get_ref<const std::string&>();
}

std::string_view TagOf(const json& version, std::string_view key) {
  if (!version.is_object()) return {};
  const auto tags = version.find("tags");
  if (tags == version.end() || !tags->is_array()) return {};
  for (const json& tag : *tags) {
    if (TextAt(tag, "key") == key) return TextAt(tag, "value");
  }
  return {};
}

json TagList(const Tags& tags) {
  json list = json::array();
  for (const auto& [key, value] : tags) list.push_back({{"key", key}, {"value", value}});
  return list;
}

}  // namespace

Tags TagsOf(const PublishedRound& round) {
  Tags tags = {{"tacit.task", round.key.task.str()},
               {std::string(kRoundTag), std::to_string(round.key.round)},
               {std::string(kDigestTag), ToHex(round.model_digest)},
               {"tacit.published_at", FormatRfc3339(round.published_at)},
               {"tacit.mechanism", round.mechanism}};
  // As JSON writes numbers: all their digits, and as few as that takes.
  if (round.epsilon) tags.emplace("tacit.epsilon", Dump(*round.epsilon));
  if (round.delta) tags.emplace("tacit.delta", Dump(*round.delta));
  if (round.cohort) tags.emplace("tacit.cohort", std::to_string(*round.cohort));
  if (round.receipt_digest) tags.emplace("tacit.receipt_digest", ToHex(*round.receipt_digest));
  return tags;
}

std::string RenderModel(std::string_view name, const TaskId& task) {
  return Dump({{"name", name},
               {"description", "Federated model of the Tacit task " + task.str() + ": one version a published round."},
               {"tags", TagList({{"tacit.task", task.str()}})}});
}

std::string RenderVersion(std::string_view name, std::string_view source, const PublishedRound& round) {
  return Dump({{"name", name},
               {"source", source},
               {"description", "Round " + std::to_string(round.key.round) + " of task " + round.key.task.str()},
               {"tags", TagList(TagsOf(round))}});
}

std::string SearchQuery(std::string_view name, std::string_view page) {
  std::string query = "filter=" + web::PercentEncode("name='" + std::string(name) + "'") +
                      "&max_results=" + std::string(kPageSize) +
                      "&order_by=" + web::PercentEncode("version_number DESC");
  if (!page.empty()) query += "&page_token=" + web::PercentEncode(page);
  return query;
}

Result<VersionPage> ParseVersions(std::string_view body) {
  const json answer = json::parse(body, nullptr, false);
  const auto malformed = [] {
    return Fail(ErrorCode::kMalformed, "the answer is no list of model versions; check that it is an MLflow server");
  };
  if (!answer.is_object()) return malformed();
  VersionPage page;
  page.next = TextAt(answer, "next_page_token");
  const auto versions = answer.find("model_versions");
  if (versions == answer.end()) return page;
  if (!versions->is_array()) return malformed();
  for (const json& version : *versions) {
    const auto round = ParseWhole(TagOf(version, kRoundTag));
    if (!round || (page.newest && page.newest->round >= *round)) continue;
    page.newest = {.round = *round, .model_digest = std::string(TagOf(version, kDigestTag))};
  }
  return page;
}

std::string ErrorCodeOf(std::string_view body) {
  return std::string(TextAt(json::parse(body, nullptr, false), "error_code"));
}

}  // namespace tacit::telemetry
