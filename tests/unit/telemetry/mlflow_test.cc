#include "server/telemetry/mlflow.h"

#include <nlohmann/json.hpp>

#include "tests/support/matchers.h"

namespace tacit::telemetry {
namespace {

using nlohmann::json;
using ::tacit::testing::IsError;
using ::testing::Contains;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

PublishedRound Round() {
  PublishedRound round{.key = {TaskId::Parse("har").value(), 7},
                       .model_digest = {},
                       .published_at = WallTime(Millis(0)),
                       .mechanism = "gaussian",
                       .epsilon = 0.1,
                       .delta = 1e-6,
                       .cohort = 42,
                       .receipt_digest = Digest256{}};
  round.model_digest.fill(0xab);
  round.receipt_digest->fill(0xcd);
  return round;
}

TEST(TagsOf, AreWhatARoundSpentAndWhatProvesIt) {
  const Tags tags = TagsOf(Round());
  EXPECT_THAT(tags, Contains(Pair("tacit.task", "har")));
  EXPECT_THAT(tags, Contains(Pair("tacit.round", "7")));
  EXPECT_THAT(tags, Contains(Pair("tacit.epsilon", "0.1")));
  EXPECT_THAT(tags, Contains(Pair("tacit.delta", "1e-06")));
  EXPECT_THAT(tags, Contains(Pair("tacit.cohort", "42")));
  EXPECT_THAT(tags, Contains(Pair("tacit.mechanism", "gaussian")));
  EXPECT_EQ(tags.at("tacit.receipt_digest"), ToHex(*Round().receipt_digest));
  EXPECT_EQ(tags.at("tacit.model_digest"), ToHex(Round().model_digest));
}

TEST(TagsOf, LeaveOutWhatIsNotPromisedAndWhatIsHidden) {
  PublishedRound round = Round();
  round.epsilon = round.delta = std::nullopt;
  round.cohort.reset();
  round.receipt_digest.reset();
  for (const char* key : {"tacit.epsilon", "tacit.delta", "tacit.cohort", "tacit.receipt_digest"})
    EXPECT_THAT(TagsOf(round), Not(Contains(Key(key))));
}

TEST(RenderVersion, HasItsTagsWithItSoThatNoneIsEverWithout) {
  const json body = json::parse(RenderVersion("tacit-har", "mlflow-artifacts:/x", Round()));
  EXPECT_EQ(body.at("name"), "tacit-har");
  EXPECT_EQ(body.at("source"), "mlflow-artifacts:/x");
  EXPECT_EQ(body.at("tags").size(), TagsOf(Round()).size());
  EXPECT_THAT(body.at("tags").get<std::vector<json>>(), Contains(json{{"key", "tacit.round"}, {"value", "7"}}));
  EXPECT_EQ(json::parse(RenderModel("tacit-har", Round().key.task)).at("name"), "tacit-har");
}

TEST(SearchQuery, IsEncoded) {
  EXPECT_EQ(SearchQuery("tacit-har", ""),
            "filter=name%3D%27tacit-har%27&max_results=20&order_by=version_number%20DESC");
  EXPECT_TRUE(SearchQuery("m", "a+b=").ends_with("&page_token=a%2Bb%3D"));
}

TEST(ParseVersions, FindsTheHighestRoundAmongVersionsOfAnyMaking) {
  const auto page = ParseVersions(R"({"model_versions":[
      {"version":"9","tags":[{"key":"owner","value":"x"}]},
      {"version":"8","tags":[{"key":"tacit.model_digest","value":"aa"},{"key":"tacit.round","value":"4"}]},
      {"version":"7","tags":[{"key":"tacit.round","value":"5"},{"key":"tacit.model_digest","value":"bb"}]},
      {"version":"6"}, 3, {"tags":[{"key":"tacit.round","value":"six"}]}],"next_page_token":"t"})");
  ASSERT_TRUE(page);
  ASSERT_TRUE(page->newest);
  EXPECT_EQ(page->newest->round, 5U);
  EXPECT_EQ(page->newest->model_digest, "bb");
  EXPECT_EQ(page->next, "t");
  EXPECT_FALSE(ParseVersions("{}").value().newest);
}

TEST(ParseVersions, RefusesWhatIsNoListOfThem) {
  for (const char* body : {"", "<html>", "[]", R"({"model_versions":{}})"})
    EXPECT_THAT(ParseVersions(body), IsError(ErrorCode::kMalformed)) << body;
}

TEST(ErrorCodeOf, IsThatOfMlflowOrNothing) {
  EXPECT_EQ(ErrorCodeOf(R"({"error_code":"RESOURCE_ALREADY_EXISTS","message":"x"})"), "RESOURCE_ALREADY_EXISTS");
  EXPECT_EQ(ErrorCodeOf("<html>"), "");
  EXPECT_EQ(ErrorCodeOf(R"({"error_code":7})"), "");
}

}  // namespace
}  // namespace tacit::telemetry
