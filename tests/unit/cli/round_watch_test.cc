#include "cli/round_watch.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fields.h"

namespace tacit::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Json Round(int number, const char* phase, const char* waiting_for = "") {
  return {{"round", static_cast<unsigned>(number)}, {"phase", phase}, {"waiting_for", waiting_for}};
}

std::vector<std::string> Seen(RoundWatch& watch, const Json& rounds, const Json& current) {
  std::vector<std::string> lines;
  for (const Json& change : watch.Observe(rounds, current))
    lines.push_back(TextAt(change, "round") + " " + TextAt(change, "phase"));
  return lines;
}

TEST(RoundWatch, TellsEachStepOnce) {
  RoundWatch watch;
  EXPECT_THAT(Seen(watch, Json::array(), Round(1, "scheduled")), ElementsAre("1 scheduled"));
  EXPECT_THAT(Seen(watch, Json::array({Round(1, "open")}), Round(1, "open")), ElementsAre("1 open"));
  EXPECT_THAT(Seen(watch, Json::array({Round(1, "open")}), Round(1, "open")), IsEmpty());
  EXPECT_THAT(Seen(watch, Json::array({Round(1, "published")}), Round(2, "open")),
              ElementsAre("1 published", "2 open"));
  EXPECT_EQ(watch.after(), 1U);
}

TEST(RoundWatch, TellsRoundsThatPassedBetweenTwoLooksInOrder) {
  RoundWatch watch;
  EXPECT_THAT(Seen(watch, Json::array({Round(1, "published"), Round(2, "abandoned"), Round(3, "published")}), Json()),
              ElementsAre("1 published", "2 abandoned", "3 published"));
  EXPECT_EQ(watch.after(), 3U);
  EXPECT_THAT(Seen(watch, Json::array({Round(3, "published")}), Json()), IsEmpty());
}

TEST(RoundWatch, TellsANewReasonToWaitButNotEachUpdate) {
  RoundWatch watch;
  EXPECT_EQ(Seen(watch, Json::array(), Round(1, "open", "updates: 3 of 21")).size(), 1U);
  EXPECT_THAT(Seen(watch, Json::array(), Round(1, "open", "updates: 17 of 21")), IsEmpty());
  EXPECT_EQ(Seen(watch, Json::array(), Round(1, "open", "the deadline")).size(), 1U);
}

TEST(RoundWatch, WaitsForTheListToTellHowARoundEnded) {
  RoundWatch watch;
  EXPECT_THAT(Seen(watch, Json::array(), Round(1, "published")), IsEmpty());
  EXPECT_THAT(Seen(watch, Json::array({Round(1, "published")}), Round(1, "published")), ElementsAre("1 published"));
}

TEST(RoundWatch, TakesAnyAnswer) {
  RoundWatch watch;
  EXPECT_THAT(watch.Observe(Json(), Json("text")), IsEmpty());
  EXPECT_THAT(watch.Observe(Json::object(), Json::array({1})), IsEmpty());
}

}  // namespace
}  // namespace tacit::cli
