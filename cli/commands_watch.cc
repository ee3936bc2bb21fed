#include <algorithm>
#include <thread>

#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/fields.h"
#include "cli/round_watch.h"

namespace tacit::cli {
namespace {

constexpr Millis kPollInterval{1000};
constexpr Millis kLongestAbsence{60'000};

struct Observation {
  Json task;
  Json rounds;
};

// The task first: a round that ends between the two answers is then seen as ended, and not missed.
Outcome<Observation> Ask(const TaskId& task, std::uint64_t after, ApiClient& client) {
  const std::string path = "/api/v1/tasks/" + task.str();
  TACIT_CLI_TRY(Json state, client.Get(path));
  TACIT_CLI_TRY(const Json page, client.Get(path + "/rounds?after=" + std::to_string(after) + "&limit=500"));
  return Observation{std::move(state), MemberAt(page, "items")};
}

bool MayPass(const Failure& failure) {
  return failure.error.code == ErrorCode::kUnavailable || failure.error.code == ErrorCode::kDeadlineExceeded ||
         failure.error.code == ErrorCode::kRateLimited;
}

Failure TimedOut(const TaskWatchArguments& arguments) {
  return {ExitCode::kTimeOut,
          {ErrorCode::kDeadlineExceeded, "task " + arguments.task.str() + " was still active when the time was over"},
          "tacit task show " + arguments.task.str()};
}

ExitCode ExitOf(const std::string& state) {
  if (state == "finished") return ExitCode::kOk;
  return state == "budget_exhausted" ? ExitCode::kBudget : ExitCode::kRefused;
}

}  // namespace

Outcome<ExitCode> Watch(const TaskWatchArguments& arguments, ApiClient& client, const Output& output,
                        const Clock& clock) {
  const SteadyTime start = clock.SteadyNow();
  SteadyTime last_answer = start;
  RoundWatch watch;
  while (true) {
    auto seen = Ask(arguments.task, watch.after(), client);
    const SteadyTime now = clock.SteadyNow();
    if (seen) {
      last_answer = now;
      for (const Json& change : watch.Observe(seen->rounds, MemberAt(seen->task, "current_round"))) {
        output.Show(Report{change, DescribeRound(change), {}});
      }
      const std::string state = TextAt(seen->task, "state");
      if (state != "active") {
        output.Show(Report{seen->task, DescribeTask(seen->task), {}});
        return ExitOf(state);
      }
    } else if (!MayPass(seen.error()) || now - last_answer > kLongestAbsence) {
      return std::unexpected(std::move(seen).error());
    } else {
      output.Note(seen.error().error.message + "; trying again");
    }
    if (arguments.timeout && now - start >= *arguments.timeout) return std::unexpected(TimedOut(arguments));
    std::this_thread::sleep_for(kPollInterval);
  }
}

}  // namespace tacit::cli
