#include "server/telemetry/otlp.h"

#include <algorithm>
#include <array>
#include <set>

#include <nlohmann/json.hpp>

#include "tests/support/matchers.h"

namespace tacit::telemetry {
namespace {

using nlohmann::json;
using ::tacit::testing::IsError;

constexpr WallTime kNoon{Millis(1'700'000'000'123)};

/// Counts up, from a byte of zeroes on.
class CountingBits final : public BitSource {
 public:
  void Fill(std::span<std::uint8_t> out) override {
    std::ranges::fill(out, next_);
    ++next_;
  }

 private:
  std::uint8_t next_ = 0;
};

round::Story Published() {
  return {
      .key = {TaskId::Parse("har").value(), 7},
      .published = true,
      .reason = {},
      .resumed = false,
      .cohort_size = 10,
      .counted = 9,
      .epsilon_spent = 1.25,
      .began = kNoon,
      .ended = kNoon + Millis(30),
      .stages = {
          {.stage = round::Stage::kWait, .began = kNoon, .ended = kNoon + Millis(20), .attempts = 1},
          {.stage = round::Stage::kCharge, .began = kNoon + Millis(20), .ended = kNoon + Millis(30), .attempts = 3}}};
}

json SpansOf(const std::vector<round::Story>& stories) {
  CountingBits bits;
  const json request = json::parse(RenderTraces(stories, "1.2.3", bits));
  EXPECT_EQ(request.at("resourceSpans").size(), 1U);
  return request.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans");
}

/// The value of an attribute, null without it.
json AttributeOf(const json& span, std::string_view key) {
  for (const json& each : span.at("attributes")) {
    if (each.at("key") == key) return each.at("value");
  }
  return nullptr;
}

TEST(RenderTraces, MakesATraceOfARoundWithItsStagesAsChildren) {
  const json spans = SpansOf({Published()});
  ASSERT_EQ(spans.size(), 3U);
  const json& root = spans[0];
  EXPECT_EQ(root.at("name"), "round");
  EXPECT_FALSE(root.contains("parentSpanId"));
  EXPECT_EQ(root.at("startTimeUnixNano"), "1700000000123000000");
  EXPECT_EQ(root.at("endTimeUnixNano"), "1700000000153000000");
  EXPECT_FALSE(root.contains("status"));
  EXPECT_EQ(spans[1].at("name"), "wait");
  EXPECT_EQ(spans[2].at("name"), "charge");
  EXPECT_EQ(AttributeOf(spans[2], "tacit.stage.attempts"), (json{{"intValue", "3"}}));
  std::set<std::string> ids;
  for (const json& span : spans) {
    EXPECT_EQ(span.at("traceId"), root.at("traceId"));
    EXPECT_EQ(span.at("kind"), 1);
    ids.insert(span.at("spanId"));
  }
  EXPECT_EQ(ids.size(), 3U);
  for (const json& child : {spans[1], spans[2]}) EXPECT_EQ(child.at("parentSpanId"), root.at("spanId"));
}

TEST(RenderTraces, WritesIdsInHexAndNeverAllZero) {
  const json root = SpansOf({Published()})[0];
  EXPECT_EQ(root.at("traceId"), "01010101010101010101010101010101");
  EXPECT_EQ(root.at("spanId"), "0202020202020202");
}

TEST(RenderTraces, TellsWhatAnswersTellOfARound) {
  const json root = SpansOf({Published()})[0];
  EXPECT_EQ(AttributeOf(root, "tacit.task"), (json{{"stringValue", "har"}}));
  EXPECT_EQ(AttributeOf(root, "tacit.round"), (json{{"intValue", "7"}}));
  EXPECT_EQ(AttributeOf(root, "tacit.outcome"), (json{{"stringValue", "published"}}));
  EXPECT_EQ(AttributeOf(root, "tacit.cohort.size"), (json{{"intValue", "10"}}));
  EXPECT_EQ(AttributeOf(root, "tacit.cohort.counted"), (json{{"intValue", "9"}}));
  EXPECT_EQ(AttributeOf(root, "tacit.epsilon_spent"), (json{{"doubleValue", 1.25}}));
  EXPECT_EQ(AttributeOf(root, "tacit.resumed"), (json{{"boolValue", false}}));
}

TEST(RenderTraces, LeavesOutWhatAStoryDoesNotSay) {
  round::Story story = Published();
  story.counted.reset();
  story.epsilon_spent.reset();
  story.stages.clear();
  const json spans = SpansOf({story});
  ASSERT_EQ(spans.size(), 1U);
  EXPECT_EQ(AttributeOf(spans[0], "tacit.cohort.counted"), nullptr);
  EXPECT_EQ(AttributeOf(spans[0], "tacit.epsilon_spent"), nullptr);
}

TEST(RenderTraces, MarksAnAbandonedRoundAsAnErrorAndSurvivesAnyReason) {
  round::Story story = Published();
  story.published = false;
  story.reason = "only \"1\" of 2\n\xff";
  const json spans = SpansOf({Published(), story});
  ASSERT_EQ(spans.size(), 6U);
  EXPECT_EQ(spans[3].at("status").at("code"), 2);
  EXPECT_NE(spans[3].at("traceId"), spans[0].at("traceId"));
}

TEST(ParseExportAnswer, TakesEveryFormOfAllBeingTaken) {
  for (const char* body : {"", "{}", R"({"partialSuccess":{}})", R"({"partialSuccess":null})",
                           R"({"partialSuccess":{"rejectedSpans":"0"}})"})
    EXPECT_EQ(ParseExportAnswer(body).value().rejected_spans, 0U) << body;
}

TEST(ParseExportAnswer, CountsRejectedSpansAsTextOrNumber) {
  const auto said = ParseExportAnswer(R"({"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old\u001b"}})");
  EXPECT_EQ(said.value().rejected_spans, 3U);
  EXPECT_EQ(said.value().message, "'too old?'");
  EXPECT_EQ(ParseExportAnswer(R"({"partialSuccess":{"rejectedSpans":3}})").value().rejected_spans, 3U);
}

TEST(ParseExportAnswer, RefusesWhatNoCollectorSays) {
  for (const char* body : {"<html>", "[]", "7", R"({"partialSuccess":[]})",
                           R"({"partialSuccess":{"rejectedSpans":-1}})", R"({"partialSuccess":{"rejectedSpans":"x"}})"})
    EXPECT_THAT(ParseExportAnswer(body), IsError(ErrorCode::kMalformed)) << body;
}

}  // namespace
}  // namespace tacit::telemetry
