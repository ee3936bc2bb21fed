#include "common/web/web_url.h"

#include "tests/support/matchers.h"

namespace tacit::web {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::testing::Not;

constexpr ErrorCode kInvalid = ErrorCode::kInvalidArgument;

TEST(OriginOf, IsSchemeHostAndPortAndNothingThatCouldBeSecret) {
  EXPECT_EQ(OriginOf("https://Collector.example/v1/traces?key=secret", PlainHttp::kRefused).value(),
            "https://Collector.example");
  EXPECT_EQ(OriginOf("https://collector.example:4318", PlainHttp::kRefused).value(), "https://collector.example:4318");
  EXPECT_EQ(OriginOf("https://[2001:db8::1]:5000/mlflow/", PlainHttp::kRefused).value(), "https://[2001:db8::1]:5000");
}

TEST(OriginOf, RefusesWhatIsNoUrlOfAServer) {
  for (const std::string_view text : {"", "collector:4318", "collector.example", "/v1/traces", "https://",
                                      "ftp://collector.example", "file:///etc/passwd", "https://a b.example"})
    EXPECT_THAT(OriginOf(text, PlainHttp::kAllowed), IsError(kInvalid)) << text;
  EXPECT_THAT(OriginOf(std::string_view("https://a.example/\0", 19), PlainHttp::kAllowed), IsError(kInvalid));
  EXPECT_THAT(OriginOf("https://a.example/" + std::string(9000, 'x'), PlainHttp::kAllowed), IsError(kInvalid));
}

TEST(OriginOf, RefusesUsersAndPasswordsWithoutShowingThem) {
  for (const std::string_view text : {"https://user:hunter2@a.example/", "https://hunter2@a.example/"}) {
    const auto origin = OriginOf(text, PlainHttp::kAllowed);
    ASSERT_THAT(origin, IsErrorSaying(kInvalid, "a user or a password"));
    EXPECT_THAT(origin.error().message, Not(::testing::HasSubstr("hunter2")));
  }
}

TEST(OriginOf, TakesPlainHttpAsFarAsItIsTold) {
  EXPECT_THAT(OriginOf("http://127.0.0.1:4318", PlainHttp::kRefused), IsErrorSaying(kInvalid, "use https"));
  for (const std::string_view near : {"http://127.0.0.1:4318", "http://localhost", "http://[::1]:5000/"})
    EXPECT_TRUE(OriginOf(near, PlainHttp::kToThisMachine)) << near;
  for (const std::string_view far : {"http://127.0.0.1.example", "http://10.0.0.1:4318", "http://localhost.example"}) {
    EXPECT_THAT(OriginOf(far, PlainHttp::kToThisMachine), IsErrorSaying(kInvalid, "use https")) << far;
    EXPECT_TRUE(OriginOf(far, PlainHttp::kAllowed)) << far;
  }
}

TEST(PercentEncode, LeavesOnlyWhatNeedsNoEncoding) {
  EXPECT_EQ(PercentEncode("Az09-._~"), "Az09-._~");
  EXPECT_EQ(PercentEncode("a b/c?d&e='f'%"), "a%20b%2Fc%3Fd%26e%3D%27f%27%25");
  EXPECT_EQ(PercentEncode("\xc3\xa9\n"), "%C3%A9%0A");
}

}  // namespace
}  // namespace tacit::web
