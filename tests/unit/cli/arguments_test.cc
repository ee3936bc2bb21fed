#include "cli/arguments.h"

#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tacit::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Outcome<std::variant<Invocation, HelpText>> Parse(std::initializer_list<const char*> words) {
  std::vector<const char*> argv = {"tacit"};
  argv.insert(argv.end(), words);
  return ParseArguments(static_cast<int>(argv.size()), argv.data());
}

Invocation Good(std::initializer_list<const char*> words) {
  auto parsed = Parse(words);
  EXPECT_TRUE(parsed.has_value()) << parsed.error().error.message;
  return std::get<Invocation>(*std::move(parsed));
}

template <typename Arguments>
Arguments Command(std::initializer_list<const char*> words) {
  return std::get<Arguments>(Good(words).command);
}

Failure Bad(std::initializer_list<const char*> words) {
  auto parsed = Parse(words);
  EXPECT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().exit, ExitCode::kUsage);
  EXPECT_FALSE(parsed.error().hint.empty());
  return parsed.error();
}

TEST(Arguments, ReadInit) {
  const auto init = Command<InitArguments>({"init", "--dir", "/srv/t", "--host", "a.example", "--host", "10.0.0.1"});
  EXPECT_EQ(init.directory, "/srv/t");
  EXPECT_EQ(init.trust_domain, "tacit");
  EXPECT_THAT(init.hosts, ElementsAre("a.example", "10.0.0.1"));
}

TEST(Arguments, ReadASimulation) {
  const auto plain = Command<SimulateArguments>({"simulate", "-f", "t.toml", "--devices", "2100"});
  EXPECT_EQ(plain.file, "t.toml");
  EXPECT_EQ(plain.devices, 2'100U);
  EXPECT_GE(plain.threads, 1U);
  EXPECT_EQ(plain.repeat, 1U);
  EXPECT_TRUE(plain.axes.empty());
  const auto full = Command<SimulateArguments>(
      {"simulate",       "-f",        "t.toml",   "--devices", "10", "--data",   "har",   "--sweep",
       "epsilon=1,none", "--sweep",   "cohort=5", "--seed",    "0",  "--repeat", "3",     "--dropout",
       "0.25",           "--threads", "2",        "--rounds",  "7",  "--csv",    "a.csv", "--json-file",
       "a.json",         "--html",    "a.html"});
  ASSERT_EQ(full.axes.size(), 2U);
  EXPECT_THAT(full.axes[0].values, ElementsAre(1.0, std::nullopt));
  EXPECT_EQ(full.dropout, 0.25);
  EXPECT_EQ(full.rounds, 7U);
  EXPECT_EQ(full.json_file, "a.json");
}

TEST(Arguments, RefuseASimulationThatCannotBe) {
  const auto says = [](std::initializer_list<const char*> more, const char* part) {
    std::vector<const char*> argv = {"tacit", "simulate", "-f", "t.toml", "--devices", "10"};
    argv.insert(argv.end(), more);
    const auto parsed = ParseArguments(static_cast<int>(argv.size()), argv.data());
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(parsed.error().exit, ExitCode::kUsage);
    EXPECT_THAT(parsed.error().error.message, HasSubstr(part));
  };
  says({"--sweep", "noise=1"}, "there is no 'noise' to vary");
  says({"--dropout", "1"}, "must be 0 or more, below 1");
  says({"--repeat", "0"}, "--repeat");
  says({"--threads", "1000"}, "--threads");
  Bad({"simulate", "-f", "t.toml"});
  Bad({"simulate", "--devices", "3"});
}

TEST(Arguments, ReadTaskCommands) {
  EXPECT_FALSE(Command<TaskCreateArguments>({"task", "create", "-f", "t.toml"}).dry_run);
  EXPECT_TRUE(Command<TaskCreateArguments>({"task", "create", "--dry-run", "-f", "t.toml"}).dry_run);
  EXPECT_EQ(Command<TaskShowArguments>({"task", "show", "har"}).task.str(), "har");
  EXPECT_EQ(Command<TaskRoundsArguments>({"task", "rounds", "har"}).task.str(), "har");
  EXPECT_EQ(Command<TaskWatchArguments>({"task", "watch", "har"}).timeout, std::nullopt);
  EXPECT_EQ(Command<TaskWatchArguments>({"task", "watch", "har", "--timeout", "2m"}).timeout,
            std::chrono::seconds(120));
  EXPECT_EQ(Command<PrivacyShowArguments>({"privacy", "show", "har"}).task.str(), "har");
  Command<TaskListArguments>({"task", "list"});
}

TEST(Arguments, TakeAModelThatWasFoundAndWhoseItMayBe) {
  const auto trace = Command<ModelTraceArguments>({"model", "trace", "found.bin", "--task", "har"});
  EXPECT_EQ(trace.file, "found.bin");
  EXPECT_EQ(trace.task.str(), "har");
  EXPECT_EQ(trace.version, "latest");
  const auto claim =
      Command<ModelClaimArguments>({"model", "claim", "f", "--task", "har", "--version", "3", "-o", "evidence.json"});
  EXPECT_EQ(claim.version, "3");
  EXPECT_EQ(claim.output, "evidence.json");
  EXPECT_TRUE(Command<ModelClaimArguments>({"model", "claim", "f", "--task", "har"}).output.empty());
  EXPECT_EQ(Command<ModelVerifyArguments>({"model", "verify", "f", "evidence.json"}).evidence, "evidence.json");
  EXPECT_THAT(Bad({"model", "claim", "f", "--task", "har", "--version", "1&x"}).error.message,
              HasSubstr("'latest' or a number"));
  Bad({"model", "claim", "f"});
  Bad({"model", "trace", "f", "--task", "../x"});
}

TEST(Arguments, TakeTheModelFormatFromTheFileNameUnlessToldOtherwise) {
  EXPECT_EQ(Command<ModelGetArguments>({"model", "get", "har"}).format, "safetensors");
  EXPECT_EQ(Command<ModelGetArguments>({"model", "get", "har"}).version, "latest");
  EXPECT_EQ(Command<ModelGetArguments>({"model", "get", "har", "-o", "m.npz"}).format, "npz");
  EXPECT_EQ(Command<ModelGetArguments>({"model", "get", "har", "-o", "m.npz", "--format", "safetensors"}).format,
            "safetensors");
  EXPECT_EQ(Command<ModelGetArguments>({"model", "get", "har", "--version", "12"}).version, "12");
  EXPECT_THAT(Bad({"model", "get", "har", "--version", "1/../x"}).error.message, HasSubstr("'latest' or a number"));
  Bad({"model", "get", "har", "--format", "onnx"});
}

TEST(Arguments, ReadDeviceCommands) {
  const auto token = Command<TokenCreateArguments>({"device", "token", "create", "--uses", "50", "--ttl", "7d"});
  EXPECT_EQ(token.uses, 50U);
  EXPECT_EQ(token.lifetime, std::chrono::hours(168));
  const auto named = Command<TokenCreateArguments>({"device", "token", "create", "--name", "phone-7"});
  EXPECT_EQ(named.uses, 1U);
  EXPECT_EQ(named.lifetime, std::chrono::hours(24));
  EXPECT_EQ(named.device->str(), "phone-7");
  EXPECT_EQ(Command<DeviceRevokeArguments>({"device", "revoke", "phone-7"}).device.str(), "phone-7");
  Bad({"device", "token", "create", "--name", "phone-7", "--uses", "2"});
  Bad({"device", "token", "create", "--uses", "0"});
  Bad({"device", "token", "create", "--uses", "-1"});
  Bad({"device", "token", "create", "--ttl", "soon"});
}

TEST(Arguments, RefuseNamesThatWouldLeaveTheirPlaceInAnAddress) {
  for (const char* bad : {"a/b", "..", "A", "", "a?x", "a b"}) {
    Bad({"task", "show", bad});
    Bad({"device", "revoke", bad});
  }
}

TEST(Arguments, TakeGlobalOptionsBeforeAndAfterTheCommand) {
  EXPECT_EQ(Good({"--json", "task", "list"}).form, OutputForm::kJson);
  EXPECT_EQ(Good({"task", "list", "--json"}).form, OutputForm::kJson);
  EXPECT_EQ(Good({"task", "list"}).form, OutputForm::kText);
  EXPECT_EQ(Good({"device", "token", "create", "--context", "d"}).connection.context, "d");
  const Invocation flags =
      Good({"task", "list", "--server", "h:1", "--ca", "ca.crt", "--cert", "me.crt", "--key", "me.key"});
  EXPECT_EQ(flags.connection.server, "h:1");
  EXPECT_EQ(flags.connection.ca, "ca.crt");
  EXPECT_EQ(flags.connection.certificate, "me.crt");
  EXPECT_EQ(flags.connection.key, "me.key");
}

TEST(Arguments, TakeTheContextFromTheEnvironmentUnlessGiven) {
  ::setenv("TACIT_CONTEXT", "/from/environment", 1);
  EXPECT_EQ(Good({"task", "list"}).connection.context, "/from/environment");
  EXPECT_EQ(Good({"task", "list", "--context", "/given"}).connection.context, "/given");
  ::unsetenv("TACIT_CONTEXT");
  EXPECT_EQ(Good({"task", "list"}).connection.context, "");
}

TEST(Arguments, SayWhichHelpToReadWhenTheyAreWrong) {
  EXPECT_EQ(Bad({"task", "create"}).hint, "tacit task create --help");
  EXPECT_EQ(Bad({"task"}).hint, "tacit task --help");
  EXPECT_EQ(Bad({}).hint, "tacit --help");
  EXPECT_EQ(Bad({"tusk"}).hint, "tacit --help");
  EXPECT_EQ(Bad({"task", "list", "--frobnicate"}).hint, "tacit task list --help");
  EXPECT_EQ(Bad({"task", "lst"}).error.message, "'lst' is not a command of 'tacit task' (did you mean 'list'?)");
  EXPECT_EQ(Bad({"privacy", "epsilon", "--noise", "1"}).error.message,
            "unknown option '--noise' (did you mean '--noise-multiplier'?); --delta is required");
  EXPECT_EQ(Bad({"task", "create", "task.toml"}).error.message, "'task.toml' is not expected here; --file is required");
  EXPECT_EQ(Bad({"task", "list", "a", "b"}).error.message, "'a' and 'b' are not expected here");
  EXPECT_THAT(Bad({"task", "adjust", "har", "--noise-multiplier", "nan"}).error.message,
              HasSubstr("above 0 and at most 131072"));
}

TEST(Arguments, TakeNothingButAHashForTheHeadOfALedger) {
  const std::string head(64, 'a');
  EXPECT_EQ(Command<PrivacyVerifyArguments>({"privacy", "verify", "l.json", "--head", head.c_str()}).head, head);
  for (const std::string& bad : {std::string("00"), std::string(64, 'g'), std::string(66, 'a')}) {
    EXPECT_THAT(Bad({"privacy", "verify", "l.json", "--head", bad.c_str()}).error.message,
                HasSubstr("is not the 64 hexadecimal digits of a hash"));
  }
}

TEST(Arguments, ReadWhatIsAboutTheCommandItself) {
  EXPECT_EQ(Command<DoctorArguments>({"doctor"}).config, "");
  EXPECT_EQ(Command<DoctorArguments>({"doctor", "--config", "t.toml"}).config, "t.toml");
  EXPECT_EQ(Command<CompletionArguments>({"completion", "fish"}).shell, "fish");
  Bad({"completion", "tcsh"});
  EXPECT_EQ(Command<ContextAddArguments>({"context", "add", "prod", "--server", "h:1"}).name, "prod");
  EXPECT_EQ(Command<ContextUseArguments>({"context", "use", "prod"}).name, "prod");
  EXPECT_EQ(Command<ContextRemoveArguments>({"context", "remove", "prod"}).name, "prod");
  Command<ContextListArguments>({"context", "list"});
  EXPECT_THAT(Bad({"context", "add", "../x"}).error.message, HasSubstr("'../x' is not a name"));
  EXPECT_EQ(Command<VersionArguments>({"version"}).of, VersionArguments::Of::kBoth);
  EXPECT_EQ(Command<VersionArguments>({"--version"}).of, VersionArguments::Of::kThisCommand);
}

TEST(Arguments, DoNotParseALineThatIsToBeCompleted) {
  EXPECT_THAT(Command<CompleteArguments>({"__complete", "task", "--json", "--no-such", ""}).words,
              ElementsAre("task", "--json", "--no-such", ""));
  EXPECT_TRUE(Command<CompleteArguments>({"__complete"}).words.empty());
}

TEST(Arguments, KnowWhereTheContextsAre) {
  ::setenv("XDG_CONFIG_HOME", "/x", 1);
  EXPECT_EQ(Good({"whoami"}).connection.known, "/x/tacit/contexts.json");
  ::unsetenv("XDG_CONFIG_HOME");
}

TEST(Arguments, ShowTheHelpOfWhatWasNamedWithTheExitCodes) {
  const auto top = Parse({"--help"});
  ASSERT_TRUE(top.has_value());
  EXPECT_THAT(std::get<HelpText>(*top).text, HasSubstr("6  the privacy budget is exhausted"));
  const auto create = Parse({"task", "create", "--help"});
  ASSERT_TRUE(create.has_value());
  EXPECT_THAT(std::get<HelpText>(*create).text, HasSubstr("Usage: tacit task create [OPTIONS]"));
}

TEST(WantedForm, IsKnownEvenWhenTheRestIsWrong) {
  const char* const words[] = {"tacit", "tusk", "--json"};
  EXPECT_EQ(WantedForm(3, words), OutputForm::kJson);
  EXPECT_EQ(WantedForm(2, words), OutputForm::kText);
}

}  // namespace
}  // namespace tacit::cli
