#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "proto/codec/enrolment.h"
#include "server/api/dashboard_api.h"
#include "server/api/enrolment_api.h"
#include "server/api/json.h"
#include "server/api/request_parts.h"
#include "server/api/router.h"

namespace tacit::api {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

TEST(MatchPath, TakesTheNamedPartsInOrder) {
  PathArguments arguments;
  EXPECT_TRUE(MatchPath("/v1/tasks/{task}/rounds/{round}/update", "/v1/tasks/har/rounds/7/update", arguments));
  EXPECT_THAT(arguments, ElementsAre("har", "7"));
  EXPECT_TRUE(MatchPath("/a/{device}:revoke", "/a/pump-3:revoke", arguments));
  EXPECT_THAT(arguments, ElementsAre("pump-3"));
}

TEST(MatchPath, RefusesMoreLessAndOther) {
  PathArguments arguments;
  for (const char* path : {"/v1/tasks", "/v1/tasks/", "/v1/tasks/a/b", "/v1/tasks/a/", "/v2/tasks/a", "v1/tasks/a", "",
                           "/", "/v1//a", "/v1/tasks/a:revoke"}) {
    EXPECT_FALSE(MatchPath("/v1/tasks/{task}", path, arguments)) << path;
  }
  EXPECT_FALSE(MatchPath("/a/{device}:revoke", "/a/:revoke", arguments));
}

TEST(EnrolmentToken, CarriesTheOnlyNameItIsFor) {
  EXPECT_THAT(MakeToken(std::nullopt), MatchesRegex("tct_[0-9a-f]{32}"));
  EXPECT_NE(MakeToken(std::nullopt), MakeToken(std::nullopt));
  const std::string named = MakeToken(*DeviceId::Parse("pump-3"));
  EXPECT_THAT(named, MatchesRegex("tct_[0-9a-f]{32}\\.pump-3"));
  EXPECT_EQ(codec::NameInToken(named), *DeviceId::Parse("pump-3"));
}

TEST(TakesGzip, IsForThoseWhoSayThatTheyDo) {
  for (const char* taken : {"gzip", "GZIP", "x-gzip", "br, gzip", "gzip, deflate, br, zstd", "gzip;q=0.5", "gzip ; q=1",
                            "*", "identity;q=0.5, *;q=0.1", "br;q=0, gzip;q=0.001"}) {
    EXPECT_TRUE(TakesGzip(taken)) << taken;
  }
  for (const char* refused : {"", "br", "identity", "gzip;q=0", "gzip; Q=0.000", "*;q=0", "gzip;q=0, *", "gzipped",
                              "*, gzip;q=0", ",,;", "q=1"}) {
    EXPECT_FALSE(TakesGzip(refused)) << refused;
  }
}

TEST(DashboardRoutes, AreTheEntryAndWhatItNames) {
  const std::vector<Route> routes = DashboardRoutes();
  ASSERT_EQ(routes.size(), 3U);
  EXPECT_EQ(routes[0].pattern, "/");
  for (const Route& route : routes) EXPECT_EQ(route.method, "GET");
  EXPECT_THAT(std::string(routes[1].pattern), MatchesRegex("/assets/dashboard\\.[0-9a-f]{12}\\.js"));
  EXPECT_THAT(std::string(routes[2].pattern), MatchesRegex("/assets/dashboard\\.[0-9a-f]{12}\\.css"));
}

TEST(PointerTo, EscapesWhatAPointerAndAUriGiveAMeaning) {
  EXPECT_EQ(PointerTo("uses"), "#/uses");
  EXPECT_EQ(PointerTo("a/b~c d"), "#/a~1b~0c%20d");
  EXPECT_EQ(PointerTo("\xc3\xa9%"), "#/%C3%A9%25");
}

TEST(JsonResponse, NeverFailsBecauseOfAName) {
  const net::HttpResponse response = JsonResponse({{"name", "\xff\xfe"}});
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, ::testing::HasSubstr("\xef\xbf\xbd"));
}

}  // namespace
}  // namespace tacit::api
