#include "server/telemetry/retry.h"

#include "tests/support/matchers.h"

namespace tacit::telemetry {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;

web::WebResponse Answer(int status) {
  return {.status = status, .body = "why", .headers = {}, .retry_after = std::nullopt};
}

TEST(Backoff, DoublesToItsLimitAndBeginsAnewAfterSuccess) {
  Backoff backoff({.first = Millis(100), .longest = Millis(1'000)}, 1);
  for (const int whole : {100, 200, 400, 800, 1000, 1000})
    EXPECT_THAT(backoff.Next({}), AllOf(Ge(Millis(whole / 2)), Le(Millis(whole))));
  for (int i = 0; i < 100; ++i) EXPECT_LE(backoff.Next({}), Millis(1'000));
  backoff.Succeeded();
  EXPECT_LE(backoff.Next({}), Millis(100));
}

TEST(Backoff, WaitsAsLongAsItIsAskedToWithinReason) {
  Backoff backoff({.first = Millis(100), .longest = Millis(1'000)}, 1);
  EXPECT_EQ(backoff.Next(seconds(7)), Millis(7'000));
  EXPECT_EQ(backoff.Next(seconds(1'000'000'000)), Millis(300'000));
  EXPECT_GT(backoff.Next(seconds(-5)), Millis(0));
}

TEST(Judge, SaysWhichFailuresMayPass) {
  EXPECT_EQ(Judge(Answer(200)).end, Attempt::End::kTaken);
  for (const int status : {429, 502, 503, 504}) EXPECT_EQ(Judge(Answer(status)).end, Attempt::End::kTryAgain) << status;
  for (const int status : {400, 401, 404, 500}) EXPECT_EQ(Judge(Answer(status)).end, Attempt::End::kRefused) << status;
  EXPECT_THAT(Judge(Answer(400)).reason, AllOf(HasSubstr("400"), HasSubstr("why")));
  const auto failed = [](ErrorCode code) { return Judge(Fail(code, "unreachable")); };
  EXPECT_EQ(failed(ErrorCode::kUnavailable).end, Attempt::End::kTryAgain);
  EXPECT_EQ(failed(ErrorCode::kUnauthenticated).end, Attempt::End::kTryAgain);
  EXPECT_EQ(failed(ErrorCode::kInvalidArgument).end, Attempt::End::kRefused);
  web::WebResponse busy = Answer(503);
  busy.retry_after = seconds(9);
  EXPECT_EQ(Judge(busy).retry_after, seconds(9));
}

}  // namespace
}  // namespace tacit::telemetry
