#include "server/api/kept_answers.h"

#include <string>

#include "common/crypto/digest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"

namespace tacit::api {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using testing::FakeClock;

class KeptAnswersTest : public ::testing::Test {
 protected:
  // Nothing when this was the first such request; then it is answered with `text`.
  std::optional<std::string> Ask(const std::string& key, const std::string& body, const std::string& text) {
    auto found = answers_.Find(key, crypto::Sha256(AsBytes(body)));
    EXPECT_THAT(found, IsOk());
    if (!found) return std::nullopt;
    if (found->answer) return found->answer->body;
    net::HttpResponse answer;
    answer.body = text;
    found->turn->Keep(answer);
    return std::nullopt;
  }

  FakeClock clock_;
  KeptAnswers answers_{{.max_bytes = 100, .max_answers = 3, .lifetime = Millis(60'000)}, clock_};
};

TEST_F(KeptAnswersTest, GivesTheSameAnswerForTheSameKeyUntilItsLifetimeEnds) {
  EXPECT_EQ(Ask("a", "body", "first"), std::nullopt);
  EXPECT_EQ(Ask("a", "body", "second"), "first");
  EXPECT_EQ(Ask("b", "body", "other"), std::nullopt);
  clock_.Advance(Millis(59'999));
  EXPECT_EQ(Ask("a", "body", "third"), "first");
  clock_.Advance(Millis(1));
  EXPECT_EQ(Ask("a", "body", "fourth"), std::nullopt);
}

TEST_F(KeptAnswersTest, RefusesTheKeyForAnotherBodyAndWhileTheFirstIsAnswered) {
  {
    auto first = answers_.Find("a", crypto::Sha256(AsBytes("body")));
    ASSERT_THAT(first, IsOk());
    ASSERT_TRUE(first->turn);
    EXPECT_THAT(answers_.Find("a", crypto::Sha256(AsBytes("body"))), IsError(ErrorCode::kConflict));
    EXPECT_THAT(answers_.Find("a", crypto::Sha256(AsBytes("other"))), IsError(ErrorCode::kInvalidArgument));
  }
  // It failed, so it may be tried again.
  EXPECT_EQ(Ask("a", "body", "done"), std::nullopt);
  EXPECT_THAT(answers_.Find("a", crypto::Sha256(AsBytes("other"))), IsError(ErrorCode::kInvalidArgument));
}

TEST_F(KeptAnswersTest, ForgetsTheOldestBeyondItsBounds) {
  for (const char* key : {"a", "b", "c", "d"}) EXPECT_EQ(Ask(key, "body", key), std::nullopt);
  EXPECT_EQ(Ask("b", "body", ""), "b");
  EXPECT_EQ(Ask("a", "body", "again"), std::nullopt);
  EXPECT_EQ(Ask("large", "body", std::string(99, 'x')), std::nullopt);
  EXPECT_EQ(Ask("d", "body", "again"), std::nullopt);
  EXPECT_EQ(Ask("too large", "body", std::string(101, 'x')), std::nullopt);
  EXPECT_EQ(Ask("too large", "body", "again"), std::nullopt);
}

}  // namespace
}  // namespace tacit::api
