#include "server/telemetry/otlp.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/bytes.h"
#include "common/base/text.h"

namespace tacit::telemetry {
namespace {

using nlohmann::json;

constexpr int kSpanKindInternal = 1;
constexpr int kStatusError = 2;

template <std::size_t kSize>
std::string RandomId(BitSource& random) {
  std::array<std::uint8_t, kSize> id{};
  // All zero is no id (W3C Trace Context, section 3.2.2.3).
  while (std::ranges::all_of(id, [](std::uint8_t byte) { return byte == 0; })) random.Fill(id);
  return ToHex(id);
}

// 64-bit numbers are texts in the JSON of Protobuf.
std::string Nanos(WallTime time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

json Attribute(std::string_view key, json value) {
  return {{"key", key}, {"value", std::move(value)}};
}
json TextAttribute(std::string_view key, std::string_view value) {
  return Attribute(key, {{"stringValue", value}});
}
json NumberAttribute(std::string_view key, std::uint64_t value) {
  return Attribute(key, {{"intValue", std::to_string(value)}});
}

json RoundAttributes(const round::Story& story) {
  json attributes =
      json::array({TextAttribute("tacit.task", story.key.task.str()), NumberAttribute("tacit.round", story.key.round),
                   TextAttribute("tacit.outcome", story.published ? "published" : "abandoned"),
                   NumberAttribute("tacit.cohort.size", story.cohort_size),
                   Attribute("tacit.resumed", {{"boolValue", story.resumed}})});
  if (story.counted) attributes.push_back(NumberAttribute("tacit.cohort.counted", *story.counted));
  if (story.epsilon_spent)
    attributes.push_back(Attribute("tacit.epsilon_spent", {{"doubleValue", *story.epsilon_spent}}));
  return attributes;
}

void AddTrace(const round::Story& story, BitSource& random, json& spans) {
  const std::string trace = RandomId<16>(random);
  const std::string root = RandomId<8>(random);
  json span = {{"traceId", trace},
               {"spanId", root},
               {"name", "round"},
               {"kind", kSpanKindInternal},
               {"startTimeUnixNano", Nanos(story.began)},
               {"endTimeUnixNano", Nanos(story.ended)},
               {"attributes", RoundAttributes(story)}};
  if (!story.published) span["status"] = {{"code", kStatusError}, {"message", story.reason}};
  spans.push_back(std::move(span));
  for (const round::StageSpan& stage : story.stages) {
    spans.push_back({{"traceId", trace},
                     {"spanId", RandomId<8>(random)},
                     {"parentSpanId", root},
                     {"name", round::NameOf(stage.stage)},
                     {"kind", kSpanKindInternal},
                     {"startTimeUnixNano", Nanos(stage.began)},
                     {"endTimeUnixNano", Nanos(stage.ended)},
                     {"attributes", json::array({NumberAttribute("tacit.stage.attempts", stage.attempts)})}});
  }
}

std::unexpected<Error> NoAnswer() {
  return Fail(ErrorCode::kMalformed, "the answer is no ExportTraceServiceResponse; check that it is an OTLP collector");
}

}  // namespace

std::string RenderTraces(std::span<const round::Story> stories, std::string_view version, BitSource& random) {
  json spans = json::array();
  for (const round::Story& story : stories) AddTrace(story, random, spans);
  const json resource = {{"attributes", json::array({TextAttribute("service.name", "tacitd"),
                                                     TextAttribute("service.version", version)})}};
  const json scope = {{"scope", {{"name", "tacit.round"}, {"version", version}}}, {"spans", std::move(spans)}};
  const json request = {
      {"resourceSpans", json::array({{{"resource", resource}, {"scopeSpans", json::array({scope})}}})}};
  return request.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<ExportAnswer> ParseExportAnswer(std::string_view body) {
  // Nothing at all is the message with nothing in it, to some.
  if (body.empty()) return ExportAnswer{};
  const json answer = json::parse(body, nullptr, false);
  if (!answer.is_object()) return NoAnswer();
  const auto partial = answer.find("partialSuccess");
  if (partial == answer.end() || partial->is_null()) return ExportAnswer{};
  if (!partial->is_object()) return NoAnswer();
  ExportAnswer said;
  if (const auto message = partial->find("errorMessage"); message != partial->end() && message->is_string())
    said.message = Excerpt(message->get_ref<const std::string&>());
  const auto rejected = partial->find("rejectedSpans");
  if (rejected == partial->end() || rejected->is_null()) return said;
  // A text by the mapping, and a number by some.
  std::optional<std::uint64_t> number;
  if (rejected->is_string()) number = ParseWhole(rejected->get_ref<const std::string&>());
  if (rejected->is_number_unsigned()) number = rejected->get<std::uint64_t>();
  if (!number) return NoAnswer();
  said.rejected_spans = *number;
  return said;
}

}  // namespace tacit::telemetry
