#include "common/crypto/spiffe.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::crypto {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

TEST(SpiffeId, RoundTripsEachKind) {
  for (const std::string uri :
       {"spiffe://tacit.test/device/phone-7", "spiffe://t/server/tacitd", "spiffe://t/monitor/prometheus",
        "spiffe://tacit.test/viewer/ada", "spiffe://tacit.test/scientist/ada", "spiffe://tacit.test/operator/ada",
        "spiffe://tacit.test/auditor/ada", "spiffe://tacit.test/admin/ada"}) {
    const auto id = SpiffeId::Parse(uri);
    ASSERT_THAT(id, IsOk()) << uri;
    EXPECT_EQ(id->ToUri(), uri);
  }
  const auto id = SpiffeId::Parse("spiffe://tacit.test/device/phone-7");
  EXPECT_EQ(*id, (SpiffeId{"tacit.test", "device", "phone-7"}));
}

TEST(SpiffeId, RefusesEverythingThatIsNotExactlyItsForm) {
  using namespace std::string_literals;
  for (const std::string& bad : {""s,
                                 "spiffe://"s,
                                 "spiffe:///device/a"s,
                                 "spiffe://t"s,
                                 "spiffe://t/"s,
                                 "spiffe://t/device"s,
                                 "spiffe://t/device/"s,
                                 "spiffe://t/device/a/"s,
                                 "spiffe://t/device/a/b"s,
                                 "spiffe://t//a"s,
                                 "spiffe://t/root/a"s,
                                 "spiffe://t/Device/a"s,
                                 "SPIFFE://t/device/a"s,
                                 "spiffe://T/device/a"s,
                                 "spiffe://t/device/A"s,
                                 "spiffe://t/device/-a"s,
                                 "spiffe://t/device/a?x=1"s,
                                 "spiffe://t/device/a#f"s,
                                 "spiffe://t/device/a%2e"s,
                                 "spiffe://t/device/.."s,
                                 "spiffe://u@t/device/a"s,
                                 "spiffe://t:1/device/a"s,
                                 " spiffe://t/device/a"s,
                                 "spiffe://t/device/a "s,
                                 "spiffe://t/device/a\n"s,
                                 "spiffe://t/device/a\0"s,
                                 "spiffe://t\0/device/a"s,
                                 "https://t/device/a"s}) {
    EXPECT_THAT(SpiffeId::Parse(bad), IsError(ErrorCode::kInvalidArgument)) << bad;
  }
  EXPECT_THAT(SpiffeId::Parse("spiffe://" + std::string(256, 'a') + "/device/a"), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(SpiffeId::Parse("spiffe://t/device/" + std::string(64, 'a')), IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::crypto
