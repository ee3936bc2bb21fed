#include "server/identity/strict_json.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tacit::identity {
namespace {

using Event = nlohmann::json::parse_event_t;

constexpr int kMostLevels = 16;

// Watches a text being parsed. The library takes the last of two members of one name, others take the first.
class Watcher {
 public:
  bool operator()(int depth, Event event, const nlohmann::json& parsed) {
    if (depth > kMostLevels) fault_ = "more than 16 levels";
    if (event == Event::object_start) open_.emplace_back();
    if (event == Event::object_end && !open_.empty()) open_.pop_back();
    if (event == Event::key && !open_.empty() && !open_.back().insert(parsed.get_ref<const std::string&>()).second)
      fault_ = "two members of one name";
    return true;
  }
  [[nodiscard]] std::string_view fault() const { return fault_; }

 private:
  std::vector<std::set<std::string>> open_;  // the names in each object that has not ended
  std::string_view fault_;
};

}  // namespace

Result<nlohmann::json> ParseStrictObject(std::string_view text, std::string_view what, std::size_t max_bytes) {
  if (text.size() > max_bytes)
    return Fail(ErrorCode::kTooLarge, std::string(what) + " of more than " + std::to_string(max_bytes) + " bytes");
  Watcher watcher;
  const auto watch = [&watcher](int depth, Event event, const nlohmann::json& parsed) {
    return watcher(depth, event, parsed);
  };
  nlohmann::json json = nlohmann::json::parse(text, watch, /*allow_exceptions=*/false);
  if (!json.is_object()) return Fail(ErrorCode::kMalformed, std::string(what) + " that is not a JSON object");
  if (!watcher.fault().empty())
    return Fail(ErrorCode::kMalformed, std::string(what) + " with " + std::string(watcher.fault()));
  return json;
}

const std::string* TextMember(const nlohmann::json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

}  // namespace tacit::identity
