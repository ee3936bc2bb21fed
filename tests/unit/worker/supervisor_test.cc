#include "edge_agent/worker/supervisor.h"

#include <atomic>
#include <thread>

#include "tests/support/matchers.h"
#include "tests/unit/worker/served_model.h"

namespace tacit::worker {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::Attempt;
using testing::ConfinedWorker;
using ::testing::HasSubstr;
using ::testing::Optional;
using testing::Soon;
using testing::Supervised;

// Questions again and again until one is answered: a worker that ended is being replaced.
float AskUntilServed(Supervised& supervised, float x) {
  for (;;) {
    const auto answer = supervised.Ask(Attempt::kNone, x);
    if (answer) return *answer;
    EXPECT_THAT(answer, IsError(ErrorCode::kUnavailable));
    std::this_thread::sleep_for(Millis(5));
  }
}

TEST(Supervisor, AnswersForTheModelThatItServes) {
  Supervised supervised;
  EXPECT_THAT(supervised.Ask(Attempt::kNone), IsError(ErrorCode::kUnavailable));
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(7)), IsOk());
  EXPECT_THAT(supervised.Ask(Attempt::kNone, 0.5), IsOk());
  EXPECT_EQ(*supervised.Ask(Attempt::kNone, 0.5), 7.5F);

  const SupervisorStatus status = supervised.supervisor.status();
  EXPECT_TRUE(status.serving);
  EXPECT_EQ(status.version, "7");
  ASSERT_TRUE(status.model.has_value());
  EXPECT_EQ(status.model->signature.inputs.at(0).name, "x");
  EXPECT_EQ(status.model->signature.outputs.at(0).shape, (graph::Shape{graph::kRows, 1}));
}

TEST(Supervisor, AnswersManyRowsAtOnce) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  constexpr std::size_t kRows = 10'000;
  std::vector<float> rows(kRows * testing::kInputs);
  for (std::size_t i = 0; i < kRows; ++i) rows[i * testing::kInputs + 1] = static_cast<float>(i);
  const ByteSpan input = AsBytes(std::span<const float>(rows));
  const auto answer = supervised.supervisor.Infer(kRows, std::span(&input, 1), Soon());
  ASSERT_THAT(answer, IsOk());
  ASSERT_EQ(answer->outputs.at(0).size(), kRows * sizeof(float));
  for (std::size_t i = 0; i < kRows; ++i) {
    float y = 0;
    std::memcpy(&y, answer->outputs[0].data() + i * sizeof y, sizeof y);
    ASSERT_EQ(y, static_cast<float>(i) + 1);
  }
}

TEST(Supervisor, GivesTheGradient) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  const std::vector<float> input = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<std::uint32_t> classes = {10, 20};
  const auto answer = supervised.supervisor.Gradient(input, classes, Soon());
  ASSERT_THAT(answer, IsOk());
  float last = 0;
  std::memcpy(&last, answer->outputs.at(0).data() + 7 * sizeof last, sizeof last);
  EXPECT_EQ(last, 2 * 8 + 20);
}

TEST(Supervisor, PassesOnWhatTheEngineRefuses) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  const Bytes short_input(12);
  const ByteSpan input = short_input;
  EXPECT_THAT(supervised.supervisor.Infer(1, std::span(&input, 1), Soon()),
              IsErrorSaying(ErrorCode::kInvalidArgument, "input 'x'"));
  const Bytes large_input(std::size_t{2} << 20U);
  const ByteSpan too_large = large_input;
  EXPECT_THAT(supervised.supervisor.Infer(1, std::span(&too_large, 1), Soon()), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(supervised.Ask(Attempt::kNone), IsOk()) << "a wrong question costs no worker";
  EXPECT_EQ(supervised.supervisor.status().restarts, 0U);
}

TEST(Supervisor, StartsAnotherWorkerForOneThatCrashed) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(3)), IsOk());
  EXPECT_THAT(supervised.Ask(Attempt::kCrash), IsError(ErrorCode::kUnavailable));
  const Event ended = supervised.events.Next(EventKind::kEnded);
  ASSERT_TRUE(ended.ending.has_value());
  EXPECT_EQ(ended.ending->cause, EndCause::kCrashed);
  EXPECT_EQ(AskUntilServed(supervised, 1), 4);
  EXPECT_EQ(supervised.supervisor.status().restarts, 1U);
}

TEST(Supervisor, KillsAWorkerThatIsStuckAtItsDeadline) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(3)), IsOk());
  const auto deadline = std::chrono::steady_clock::now() + Millis(300);
  EXPECT_THAT(supervised.Ask(Attempt::kHang, 0, deadline), IsError(ErrorCode::kDeadlineExceeded));
  EXPECT_EQ(supervised.events.Next(EventKind::kEnded).ending->cause, EndCause::kStuck);
  EXPECT_EQ(AskUntilServed(supervised, 1), 4);
}

TEST(Supervisor, DoesNotWaitForAWorkerThatClosedItsLastWords) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(3)), IsOk());
  EXPECT_THAT(supervised.Ask(Attempt::kCloseWords), IsError(ErrorCode::kUnavailable));
  supervised.events.Next(EventKind::kEnded);
  EXPECT_EQ(AskUntilServed(supervised, 1), 4);
}

TEST(Supervisor, BelievesNoFrameThatIsNone) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(3)), IsOk());
  EXPECT_THAT(supervised.Ask(Attempt::kLie), IsError(ErrorCode::kMalformed));
  supervised.events.Next(EventKind::kEnded);
  EXPECT_EQ(AskUntilServed(supervised, 1), 4);
}

TEST(Supervisor, SwapsVersionsWithoutAQuestionThatFails) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::thread asking([&] {
    float before = 0;
    while (!stop) {
      const auto answer = supervised.Ask(Attempt::kNone);
      if (!answer || *answer < before) ++wrong;
      before = answer.value_or(before);
    }
  });
  for (const std::uint32_t version : {2U, 3U, 4U}) {
    EXPECT_THAT(supervised.supervisor.Serve(supervised.Source(version)), IsOk());
  }
  stop = true;
  asking.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(*supervised.Ask(Attempt::kNone), 4);
}

TEST(Supervisor, KeepsTheLastGoodVersion) {
  Supervised supervised;
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  EXPECT_THAT(supervised.supervisor.Serve(supervised.Source(testing::kBrokenVersion)),
              IsErrorSaying(ErrorCode::kDataLoss, "not finite"));
  EXPECT_EQ(supervised.events.Next(EventKind::kRefused).version, "666");

  const auto cut = supervised.Source(2);
  std::filesystem::resize_file(cut->path(), 1000);
  EXPECT_THAT(supervised.supervisor.Serve(cut), IsErrorSaying(ErrorCode::kDataLoss, "too short"));
  const auto missing = supervised.Source(3);
  std::filesystem::remove(missing->path());
  EXPECT_THAT(supervised.supervisor.Serve(missing), IsError(ErrorCode::kNotFound));

  EXPECT_EQ(*supervised.Ask(Attempt::kNone, 1), 2);
  EXPECT_EQ(supervised.supervisor.status().version, "1");
}

TEST(Supervisor, TriesAgainAfterAStartThatFailed) {
  Supervised supervised;
  const auto source = supervised.Source(5);
  ASSERT_THAT(supervised.supervisor.Serve(source), IsOk());
  std::filesystem::rename(source->path(), source->path().string() + ".away");
  EXPECT_FALSE(supervised.Ask(Attempt::kCrash).has_value());
  const Event failed = supervised.events.Next(EventKind::kStartFailed);
  EXPECT_GE(supervised.events.Next(EventKind::kStartFailed).retry, failed.retry);
  EXPECT_THAT(supervised.Ask(Attempt::kNone), IsError(ErrorCode::kUnavailable));
  std::filesystem::rename(source->path().string() + ".away", source->path());
  EXPECT_EQ(AskUntilServed(supervised, 0), 5);
}

TEST(Supervisor, StopsServingWhenTheTimeOfAModelIsOver) {
  Supervised supervised;
  const auto source = supervised.Source(5);
  source->until = std::chrono::steady_clock::now() + Millis(300);
  ASSERT_THAT(supervised.supervisor.Serve(source), IsOk());
  supervised.events.Next(EventKind::kExpired);
  EXPECT_THAT(supervised.Ask(Attempt::kNone), IsError(ErrorCode::kUnavailable));
  EXPECT_FALSE(supervised.supervisor.status().serving);
  source->until = std::nullopt;
  ASSERT_THAT(supervised.supervisor.Serve(source), IsOk());
  EXPECT_EQ(*supervised.Ask(Attempt::kNone), 5);
}

TEST(Supervisor, RefusesAProgramThatIsNoWorker) {
  WorkerProcessOptions process = ConfinedWorker();
  process.program = "/bin/true";
  Supervised supervised(process);
  EXPECT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsError(ErrorCode::kUnavailable));
  process.program = "/nothing/there";
  Supervised nothing(process);
  EXPECT_THAT(nothing.supervisor.Serve(nothing.Source(1)), IsErrorSaying(ErrorCode::kUnavailable, "started"));
}

// Sealed or not: the write goes through a second mapping of the pages, as by code that took the worker over.
TEST(Supervisor, StopsServingWeightsThatWereTamperedWith) {
  WorkerProcessOptions process = ConfinedWorker();
  process.watch_interval = Millis(50);
  Supervised supervised(process);
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  EXPECT_THAT(supervised.Ask(Attempt::kTamper), IsOk());
  EXPECT_EQ(supervised.events.Next(EventKind::kEnded).ending->cause, EndCause::kTampered);
  EXPECT_EQ(AskUntilServed(supervised, 1), 2) << "with the weights of the file";
}

TEST(Supervisor, SaysHowOftenTheWeightsWereLookedAt) {
  WorkerProcessOptions process = ConfinedWorker();
  process.watch_interval = Millis(20);
  Supervised supervised(process);
  ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk());
  const auto deadline = Soon();
  while (supervised.supervisor.status().watch_passes < 2 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(Millis(20));
  }
  EXPECT_GE(supervised.supervisor.status().watch_passes, 2U);
}

TEST(Supervisor, SaysWhatTheKernelDoesNotHaveAndServesAllTheSame) {
  for (const char* const lacking :
       {"secret_pages", "sealed_pages", "pages_not_dumped", "pages_not_forked", "few_calls", "no_files", "limits",
        "not_dumpable", "no_core_file", "no_write_execute", "dies_with_agent"}) {
    Supervised supervised{ConfinedWorker(lacking)};
    ASSERT_THAT(supervised.supervisor.Serve(supervised.Source(1)), IsOk()) << lacking;
    EXPECT_THAT(supervised.events.Next(EventKind::kServing).detail, HasSubstr(lacking));
    EXPECT_EQ(*supervised.Ask(Attempt::kNone, 1), 2);
  }
}

TEST(Supervisor, RefusesAWorkerWithoutWhatIsRequired) {
  const std::vector<protect::Measure> required = {protect::Measure::kFewCalls};
  Supervised without{ConfinedWorker("few_calls"), required};
  EXPECT_THAT(without.supervisor.Serve(without.Source(1)), IsErrorSaying(ErrorCode::kUnavailable, "few_calls"));
  Supervised with{ConfinedWorker(), required};
  EXPECT_THAT(with.supervisor.Serve(with.Source(1)), IsOk());
}

}  // namespace
}  // namespace tacit::worker
