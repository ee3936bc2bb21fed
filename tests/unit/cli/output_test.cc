#include "cli/output.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "cli/client.h"
#include "cli/failure.h"
#include "cli/fields.h"

namespace tacit::cli {
namespace {

constexpr std::string_view kTask = "/api/v1/tasks/har/rounds?limit=500";

net::ClientResponse Answer(int status, const std::string& body) {
  net::ClientResponse response;
  response.status = status;
  response.body.assign(body.begin(), body.end());
  return response;
}

net::ClientResponse ProblemOf(ErrorCode code) {
  const ErrorCodeTraits& traits = TraitsOf(code);
  return Answer(traits.http_status, Json{{"code", traits.name}, {"detail", "why"}}.dump());
}

TEST(Envelope, IsOneLineWithTheSchema) {
  EXPECT_EQ(DataEnvelope({{"name", "har"}}), "{\"schema\":1,\"data\":{\"name\":\"har\"}}\n");
  const Failure failure{ExitCode::kBudget, {ErrorCode::kBudgetExhausted, "no"}, "tacit privacy show har"};
  EXPECT_EQ(ErrorEnvelope(failure),
            "{\"schema\":1,\"error\":{\"code\":\"budget_exhausted\",\"message\":\"no\","
            "\"hint\":\"tacit privacy show har\"}}\n");
}

TEST(Envelope, StaysOneLineOfUtf8WhateverAServerSends) {
  const std::string line = DataEnvelope({{"name", "a\nb\xff"}});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_TRUE(Json::accept(line));
}

TEST(ExitCode, FollowsTheProblemOfTheServer) {
  EXPECT_EQ(FailureOfAnswer(ProblemOf(ErrorCode::kBudgetExhausted), kTask).exit, ExitCode::kBudget);
  EXPECT_EQ(FailureOfAnswer(ProblemOf(ErrorCode::kConflict), kTask).exit, ExitCode::kRefused);
  EXPECT_EQ(FailureOfAnswer(ProblemOf(ErrorCode::kNotFound), kTask).exit, ExitCode::kRefused);
  EXPECT_EQ(FailureOfAnswer(ProblemOf(ErrorCode::kPermissionDenied), kTask).exit, ExitCode::kRefused);
  EXPECT_EQ(FailureOfAnswer(ProblemOf(ErrorCode::kInvalidArgument), kTask).exit, ExitCode::kRefused);
  EXPECT_EQ(FailureOfAnswer(ProblemOf(ErrorCode::kUnavailable), kTask).exit, ExitCode::kRefused);
  EXPECT_EQ(FailureOfAnswer(ProblemOf(ErrorCode::kUnauthenticated), kTask).exit, ExitCode::kConnect);
  EXPECT_EQ(FailureOfAnswer(ProblemOf(ErrorCode::kDeadlineExceeded), kTask).exit, ExitCode::kTimeOut);
  EXPECT_EQ(FailureOfAnswer(ProblemOf(ErrorCode::kInternal), kTask).exit, ExitCode::kInternal);
}

TEST(ExitCode, FollowsTheWayToTheServer) {
  EXPECT_EQ(ExitCodeOfTransport(ErrorCode::kUnavailable), ExitCode::kConnect);
  EXPECT_EQ(ExitCodeOfTransport(ErrorCode::kUnauthenticated), ExitCode::kConnect);
  EXPECT_EQ(ExitCodeOfTransport(ErrorCode::kMalformed), ExitCode::kConnect);
  EXPECT_EQ(ExitCodeOfTransport(ErrorCode::kDeadlineExceeded), ExitCode::kTimeOut);
  EXPECT_EQ(ExitCodeOfTransport(ErrorCode::kTooLarge), ExitCode::kInternal);
}

TEST(ExitCode, HasTheDocumentedNumbers) {
  EXPECT_EQ(static_cast<int>(ExitCode::kOk), 0);
  EXPECT_EQ(static_cast<int>(ExitCode::kRefused), 1);
  EXPECT_EQ(static_cast<int>(ExitCode::kUsage), 2);
  EXPECT_EQ(static_cast<int>(ExitCode::kConnect), 3);
  EXPECT_EQ(static_cast<int>(ExitCode::kTimeOut), 4);
  EXPECT_EQ(static_cast<int>(ExitCode::kInternal), 5);
  EXPECT_EQ(static_cast<int>(ExitCode::kBudget), 6);
  EXPECT_EQ(static_cast<int>(ExitCode::kViolated), 7);
}

TEST(FailureOfAnswer, TellsTheDetailAndSomethingToTryForEveryCode) {
  for (const ErrorCodeTraits& traits : kErrorCodes) {
    const Failure failure = FailureOfAnswer(ProblemOf(traits.code), kTask);
    EXPECT_EQ(failure.error.code, traits.code);
    EXPECT_EQ(failure.error.message, "why");
    EXPECT_FALSE(failure.hint.empty()) << traits.name;
  }
}

TEST(FailureOfAnswer, HintsAtWhatWasAskedFor) {
  const auto hint = [](ErrorCode code, std::string_view target) {
    return FailureOfAnswer(ProblemOf(code), target).hint;
  };
  EXPECT_EQ(hint(ErrorCode::kBudgetExhausted, "/api/v1/tasks/har:adjust"), "tacit privacy show har");
  EXPECT_EQ(hint(ErrorCode::kBudgetExhausted, "/api/v1/tasks"), "tacit task list");
  EXPECT_EQ(hint(ErrorCode::kChanged, "/api/v1/tasks/har:adjust"), "tacit privacy show har");
  for (const ErrorCode code : {ErrorCode::kNotFound, ErrorCode::kConflict}) {
    EXPECT_EQ(hint(code, "/api/v1/tasks/har:stop"), "tacit task list");
    EXPECT_EQ(hint(code, "/api/v1/devices/pump-3:revoke"), "tacit device list");
    EXPECT_EQ(hint(code, "/api/v1/enrolment/tokens"), "tacit device list");
    EXPECT_EQ(hint(code, "/api/v1/enrolment/tokens/00ff:revoke"), "tacit device token list");
  }
}

TEST(HintForTransport, SuspectsThePortWhereSomethingAnswersWithoutTls) {
  Context context;
  context.directory = "fleet";
  const Error error{ErrorCode::kUnavailable, "the server a:9464 does not answer with TLS: is this the right port?"};
  EXPECT_EQ(HintForTransport(error, context),
            "check the port of --server: operators are served on [api] port, 8444 by default");
}

TEST(HintForTransport, DoesNotSendAnyoneToTheServerWhenItsNameIsNotKnown) {
  Context context;
  context.directory = "fleet";
  context.client.server = {"nowhere.invalid", 8444};
  const Error unknown{ErrorCode::kUnavailable, "cannot resolve the server's name 'nowhere.invalid': unknown"};
  EXPECT_EQ(HintForTransport(unknown, context), "check the host of --server, or of \"server\" in fleet/cli.json");
  const Error refused{ErrorCode::kUnavailable, "connection refused"};
  EXPECT_EQ(HintForTransport(refused, context), "tacitd --config fleet/tacitd.toml");
  context.directory.clear();
  EXPECT_EQ(HintForTransport(unknown, context), "check the host of --server");
}

TEST(FailureOfAnswer, MakesDoWithAnAnswerThatIsNoProblem) {
  EXPECT_EQ(FailureOfAnswer(Answer(502, "<html>bad gateway</html>"), kTask).error.code, ErrorCode::kUnavailable);
  EXPECT_EQ(FailureOfAnswer(Answer(404, ""), kTask).error.code, ErrorCode::kNotFound);
  EXPECT_EQ(FailureOfAnswer(Answer(418, "[1]"), kTask).error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(FailureOfAnswer(Answer(599, "{}"), kTask).exit, ExitCode::kInternal);
}

TEST(Fields, ReadAnyTypeWithoutFailing) {
  const Json object = Json::parse(R"({"text":"a","number":1.5,"count":7,"none":null,"list":[1],"negative":-1})");
  EXPECT_EQ(TextAt(object, "text"), "a");
  EXPECT_EQ(TextAt(object, "number"), "1.5");
  EXPECT_EQ(TextAt(object, "none"), "-");
  EXPECT_EQ(TextAt(object, "list"), "-");
  EXPECT_EQ(TextAt(object, "missing"), "-");
  EXPECT_EQ(TextAt(Json::array(), "text"), "-");
  EXPECT_EQ(CountAt(object, "count"), 7U);
  EXPECT_EQ(CountAt(object, "negative"), 0U);
  EXPECT_EQ(ShortNumberAt(object, "text"), "-");
}

}  // namespace
}  // namespace tacit::cli
