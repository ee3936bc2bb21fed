#include "server/api/stream_places.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::api {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsOk;

TEST(StreamPlaces, OneCallerHasSomeAndAllTogetherHaveHalfOfTheConnections) {
  StreamPlaces places(20);
  std::vector<StreamPlaces::Place> held;
  for (std::size_t i = 0; i < StreamPlaces::kMostOfOne; ++i) {
    auto place = places.Take("ada");
    ASSERT_THAT(place, IsOk());
    held.push_back(*std::move(place));
  }
  EXPECT_THAT(places.Take("ada"), IsError(ErrorCode::kRateLimited));
  for (const char* who : {"bob", "bob"}) {
    auto place = places.Take(who);
    ASSERT_THAT(place, IsOk());
    held.push_back(*std::move(place));
  }
  EXPECT_THAT(places.Take("eve"), IsError(ErrorCode::kRateLimited));
  held.pop_back();
  EXPECT_THAT(places.Take("eve"), IsOk());
  held.clear();
  EXPECT_THAT(places.Take("ada"), IsOk());
}

TEST(StreamPlaces, ThereIsOneHoweverFewConnectionsThereAre) {
  StreamPlaces places(1);
  const auto place = places.Take("ada");
  ASSERT_THAT(place, IsOk());
  EXPECT_THAT(places.Take("bob"), IsError(ErrorCode::kRateLimited));
}

}  // namespace
}  // namespace tacit::api
