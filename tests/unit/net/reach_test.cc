#include "common/net/reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::net {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

TEST(HttpDate, IsReadAsServersWriteIt) {
  const auto date = ParseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT");
  ASSERT_THAT(date, IsOk());
  EXPECT_EQ(FormatRfc3339(*date), "1994-11-06T08:49:37.000Z");
  for (const char* bad : {"", "now", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994 08:49:37 GMT+1"})
    EXPECT_THAT(ParseHttpDate(bad), IsError(ErrorCode::kMalformed)) << bad;
}

TEST(Reach, TakesAddressesOnly) {
  EXPECT_THAT(TryListen({"localhost", 1}), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(PlainStatus({"localhost", 1}, "/", Millis(1)), IsError(ErrorCode::kInvalidArgument));
}

TEST(Reach, LeavesAPortFree) {
  EXPECT_THAT(TryListen({"127.0.0.1", 0}), IsOk());
  // An address of the documentation's (RFC 5737), which no machine has.
  EXPECT_THAT(TryListen({"192.0.2.1", 0}), IsError(ErrorCode::kUnavailable));
}

}  // namespace
}  // namespace tacit::net
