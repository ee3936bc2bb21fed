#include <gmock/gmock.h>

#include "common/model/export.h"
#include "edge_agent/app/arguments.h"
#include "edge_agent/app/chosen_data.h"
#include "edge_agent/app/commands.h"
#include "edge_agent/app/state_lock.h"
#include "edge_agent/data/synthetic.h"
#include "tests/support/matchers.h"
#include "tests/unit/edge_agent/data_files.h"

namespace tacit::agent {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::Gzip;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Npy;
using testing::ScratchDirectory;

std::expected<Invocation, Message> Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "tacit-agent");
  return ParseArguments(static_cast<int>(words.size()), words.data());
}

TEST(Arguments, OfRunAreRead) {
  const auto invocation = Parse({"run", "--state", "/s", "--synthetic", "3/12", "--task", "har", "--rounds-limit", "5",
                                 "--inject-fault", "nan", "--encoding", "float32", "--log-level", "warn"});
  ASSERT_TRUE(invocation.has_value()) << invocation.error().text;
  const auto& run = std::get<RunArguments>(invocation->command);
  EXPECT_EQ(run.loop.state_directory, "/s");
  EXPECT_EQ(run.data.synthetic, "3/12");
  EXPECT_EQ(run.task, "har");
  EXPECT_EQ(run.loop.rounds_limit, 5U);
  EXPECT_EQ(run.loop.fault, Fault::kNan);
  EXPECT_EQ(run.loop.encoding, codec::Encoding::kFloat32);
  EXPECT_EQ(run.log_level, LogLevel::kWarn);
  EXPECT_EQ(run.data.split, data::Split::kTrain);
}

TEST(Arguments, OfJoinTakeEveryKindOfHost) {
  for (const char* host : {"a.example", "127.0.0.1", "::1", "fe80::1:2"}) {
    const auto invocation =
        Parse({"join", "--server", host, "--ca-fingerprint", "f", "--token-file", "t", "--state", "s"});
    ASSERT_TRUE(invocation.has_value()) << invocation.error().text;
    EXPECT_EQ(std::get<JoinArguments>(invocation->command).server, host);
  }
}

TEST(Arguments, OfEvaluateAreReadWithJsonBeforeAndBehind) {
  for (const auto& words :
       {std::vector<const char*>{"--json", "evaluate", "--model", "m", "--data", "d", "--split", "test"},
        std::vector<const char*>{"evaluate", "--model", "m", "--data", "d", "--split", "test", "--json"}}) {
    const auto invocation = Parse(words);
    ASSERT_TRUE(invocation.has_value()) << invocation.error().text;
    EXPECT_EQ(invocation->form, OutputForm::kJson);
    const auto& evaluate = std::get<EvaluateArguments>(invocation->command);
    EXPECT_EQ(evaluate.model, "m");
    EXPECT_EQ(evaluate.data.people, "d");
    EXPECT_EQ(evaluate.data.split, data::Split::kTest);
  }
}

TEST(Arguments, AreRefusedWithTheReasonAndExitCodeTwo) {
  const std::vector<std::pair<std::vector<const char*>, std::string>> cases = {
      {{}, "subcommand"},
      {{"dance"}, "'dance' is not a command of 'tacit-agent'"},
      {{"run", "--cfg", "data.toml"}, "unknown option '--cfg'"},
      {{"run", "--synthetic", "0/1"}, "--state"},
      {{"run", "--state", "/s"}, "data"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--data", "d"}, "data"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--task", "Not A Name"}, "a task name"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--inject-fault", "fire"}, "fire"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--rounds-limit", "many"}, "many"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--rounds-limit", "-1"}, "'-1' is not a whole number from 1 to"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--rounds-limit", "0"}, "'0' is not a whole number from 1 to"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--memory-limit-mib", "0"}, "from 1 to 1048576"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--seed", "-1"}, "from 0 to 18446744073709551615"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--max-local-epsilon", "0"}, "--max-local-epsilon: epsilon is 0"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--local-delta", "1"}, "--local-delta: delta is 1"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--log-level", "loud"},
       "--log-level: 'loud' is none of debug, info, warn, error"},
      {{"run", "--state", "/s", "--synthetic", "0/1", "--encoding", "f"},
       "--encoding: 'f' is none of grid, int16, int8, float32"},
      {{"shape", "--data", "d", "--split", "all"}, "--split: 'all' is none of train, test"},
      {{"shape", "--data", "d", "--subject", "-1"}, "from 0 to 4294967295"},
      {{"shape", "--synthetic", "0/2", "--subject", "3"}, "--subject requires --data"},
      {{"run", "--state", "/s", "--config", "c", "--subject", "3"}, "--subject requires --data"},
      {{"evaluate", "--model", "m", "--config", "c", "--split", "test"}, "--split excludes --config"},
      {{"run", "--state", "", "--synthetic", "0/1"}, "--state: a directory must be named"},
      {{"privacy", "--state", ""}, "--state: a directory must be named"},
      {{"join", "--server", "h", "--state", ""}, "--state: a directory must be named"},
      {{"join", "--server", "h", "--enrolment-port", "0"}, "from 1 to 65535"},
      {{"join", "--server", "127.0.0.1:8445"}, "'127.0.0.1:8445' is more than a host"},
      {{"join", "--server", "[::1]:8445"}, "the port of the enrolment listener with --enrolment-port"},
      {{"join", "--server", "h"}, "required"}};
  for (const auto& [words, reason] : cases) {
    const auto invocation = Parse(words);
    ASSERT_FALSE(invocation.has_value()) << reason;
    EXPECT_EQ(invocation.error().exit, ExitCode::kUsage) << reason;
    EXPECT_THAT(invocation.error().text, HasSubstr(reason));
    EXPECT_THAT(invocation.error().hint, AllOf(HasSubstr("tacit-agent"), HasSubstr("--help"))) << reason;
  }
}

TEST(Arguments, HelpSaysThatFaultsAreForDemonstrationsAndListsTheExitCodes) {
  const auto run = Parse({"run", "--help"});
  ASSERT_FALSE(run.has_value());
  EXPECT_EQ(run.error().exit, ExitCode::kOk);
  EXPECT_THAT(run.error().text, HasSubstr("FOR DEMONSTRATIONS ONLY"));
  EXPECT_THAT(Parse({"--help"}).error().text, HasSubstr("Exit codes"));
}

TEST(Arguments, TellTheVersionInOneFormHoweverItIsAsked) {
  const auto asked = Parse({"--version"});
  ASSERT_FALSE(asked.has_value());
  EXPECT_EQ(asked.error().text, Execute(VersionArguments{})->text);
}

TEST(FleetPlace, IsAnIndexBelowACount) {
  EXPECT_EQ(ParseFleetPlace("3/12")->index, 3U);
  EXPECT_EQ(ParseFleetPlace("3/12")->count, 12U);
  for (const char* bad : {"", "3", "12/12", "-1/3", "1/", "/3", "1/3x", "1/0"}) {
    EXPECT_THAT(ParseFleetPlace(bad), IsErrorSaying(ErrorCode::kInvalidArgument, "INDEX/COUNT")) << bad;
  }
}

TEST(ChosenData, IsOfExactlyOneKind) {
  EXPECT_THAT(LoadChosenData({}), IsErrorSaying(ErrorCode::kInvalidArgument, "exactly one"));
  EXPECT_THAT(LoadChosenData({.people = "/d", .synthetic = "0/2"}), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(LoadChosenData({.people = "/nonexistent"}), IsErrorSaying(ErrorCode::kNotFound, "/nonexistent/train_x"));
}

TEST(ChosenData, SyntheticTestRowsAreTheSameForEveryDevice) {
  const auto one = LoadChosenData({.synthetic = "0/3", .split = data::Split::kTest});
  const auto other = LoadChosenData({.synthetic = "2/3", .split = data::Split::kTest});
  ASSERT_THAT(one, IsOk());
  EXPECT_EQ(one->x, other->x);
  EXPECT_EQ(one->rows, 2'000U);
  EXPECT_NE(LoadChosenData({.synthetic = "0/3"})->x, LoadChosenData({.synthetic = "2/3"})->x);
}

TEST(ChosenData, ComesFromAConfiguration) {
  const ScratchDirectory directory;
  directory.Write("t.csv", "a,b,class\n1,2,x\n3,4,y\n");
  const auto config =
      directory.Write("agent.toml", "[data]\nfeatures = 't.csv'\nlabel_column = 'class'\nclasses = ['x', 'y']\n");
  const auto dataset = LoadChosenData({.config = config});
  ASSERT_THAT(dataset, IsOk());
  EXPECT_THAT(dataset->x, ElementsAre(1, 2, 3, 4));
}

class Recordings : public ::testing::Test {
 protected:
  Recordings() {
    directory_.Write("test_x.i8.npy.gz", Gzip(Npy<std::int8_t>("|i1", "4, 2", {127, 0, 0, 127, 127, 0, 0, 127})));
    directory_.Write("test_y.u8.npy", Npy<std::uint8_t>("|u1", "4,", {1, 2, 1, 1}));
    directory_.Write("test_subject.u8.npy", Npy<std::uint8_t>("|u1", "4,", {9, 9, 4, 4}));
  }
  ScratchDirectory directory_;
};

TEST_F(Recordings, ListTheirPeopleInOrder) {
  EXPECT_THAT(*ListSubjects(directory_.path(), data::Split::kTest), ElementsAre(4, 9));
  EXPECT_THAT(ListSubjects(directory_.path(), data::Split::kTrain), IsError(ErrorCode::kNotFound));
}

TEST_F(Recordings, EvaluateAModelWhoseShapeComesFromItsFile) {
  const auto spec = *model::ModelSpec::Create({.inputs = 2, .hidden = {}, .classes = 6});
  // Class 0 for the first feature, class 1 for the second: right for three rows of four.
  std::vector<float> parameters(spec.ParameterCount());
  parameters[0] = parameters[3] = 20;
  const auto file = directory_.Write("m.safetensors", model::ToSafetensors(spec, parameters, {}));
  const DataArguments data{.people = directory_.path(), .split = data::Split::kTest};
  const auto report = Execute(EvaluateArguments{.data = data, .model = file});
  ASSERT_THAT(report, IsOk());
  EXPECT_DOUBLE_EQ(report->data.at("accuracy"), 0.75);
  EXPECT_NEAR(report->data.at("loss").get<double>(), 20.0 / 4, 1e-3);
  EXPECT_EQ(report->data.at("rows"), 4);
  EXPECT_THAT(report->text, HasSubstr("accuracy 75.00 %"));
}

TEST_F(Recordings, EvaluateNamesTheFileThatIsNoModel) {
  const auto file = directory_.Write("m.safetensors", "this is no model at all");
  EXPECT_THAT(Execute(EvaluateArguments{.data = {.people = directory_.path()}, .model = file}),
              IsErrorSaying(ErrorCode::kMalformed, "m.safetensors: safetensors"));
}

TEST_F(Recordings, ShapeIsWhatATaskNeeds) {
  const auto report = Execute(ShapeArguments{{.people = directory_.path(), .split = data::Split::kTest}});
  ASSERT_THAT(report, IsOk());
  EXPECT_EQ(report->data.at("inputs"), 2);
  EXPECT_EQ(report->data.at("classes"), 6);
  EXPECT_EQ(report->data.at("rows"), 4);
  EXPECT_EQ(report->data.at("rows_by_class").at(0), nlohmann::ordered_json({{"label", "1"}, {"rows", 3}}));
  EXPECT_EQ(report->data.at("rows_by_class").at(5), nlohmann::ordered_json({{"label", "6"}, {"rows", 0}}));
  EXPECT_EQ(report->data.at("left_out").at("rows"), 0);
  EXPECT_THAT(report->text, Not(HasSubstr("left out")));
}

TEST(Shape, ShowsAMisspeltClassByTheRowsThatItLeavesOut) {
  const ScratchDirectory directory;
  directory.Write("t.csv", "a,class\n1,recovered\n2,readmitted\n3,readmitted\n");
  const auto config = directory.Write("agent.toml",
                                      "[data]\nfeatures = 't.csv'\nlabel_column = 'class'\n"
                                      "classes = ['recovered', 'readmited']\n");
  const auto report = Execute(ShapeArguments{{.config = config}});
  ASSERT_THAT(report, IsOk());
  EXPECT_THAT(report->text,
              AllOf(HasSubstr("rows of class 'recovered': 1\n"), HasSubstr("rows of class 'readmited': 0\n"),
                    HasSubstr("rows left out: 2, with labels that are none of the classes: 'readmitted'\n")));
  EXPECT_EQ(report->data.at("left_out"),
            nlohmann::ordered_json({{"rows", 2}, {"labels", std::vector<std::string>{"readmitted"}}}));
}

TEST(ExitCodes, AreOneOfUseForFilesAndOneOfStateForWhatThisDeviceKeeps) {
  const ScratchDirectory directory;
  // Its first page is mapped by no program: it can be opened and not be read, by root either.
  const auto config =
      directory.Write("agent.toml", "[data]\nfeatures = 'd.csv'\nlabel_column = 'class'\nclasses = ['x', 'y']\n");
  std::filesystem::create_symlink("/proc/self/mem", directory.path() / "d.csv");
  const auto unreadable = Execute(ShapeArguments{{.config = config}});
  ASSERT_FALSE(unreadable);
  EXPECT_EQ(ExitCodeOf(unreadable.error().code), ExitCode::kUsage);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kDataLoss), ExitCode::kRefused) << "a damaged file is no fault of the program";
}

TEST(Join, RefusesAnEmptyTokenAndABadFingerprintBeforeItConnects) {
  const ScratchDirectory directory;
  const SystemClock clock;
  JoinArguments join{.server = "127.0.0.1",
                     .enrolment_port = 1,
                     .ca_fingerprint = "sha256:" + std::string(64, '0'),
                     .token_file = directory.Write("token", " \n"),
                     .label = {},
                     .state = directory.path() / "state"};
  EXPECT_THAT(Execute(join, clock), IsErrorSaying(ErrorCode::kInvalidArgument, "holds no token"));
  join.ca_fingerprint = "sha256:12";
  EXPECT_THAT(Execute(join, clock), IsError(ErrorCode::kInvalidArgument));
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "state"));
}

TEST(Join, CannotUseAStateThatIsNoDirectory) {
  const ScratchDirectory directory;
  const SystemClock clock;
  const auto joined = Execute(JoinArguments{.server = "127.0.0.1",
                                            .enrolment_port = 1,
                                            .ca_fingerprint = "sha256:" + std::string(64, '0'),
                                            .token_file = directory.Write("token", "tct_x"),
                                            .label = {},
                                            .state = directory.Write("state", "a file")},
                              clock);
  ASSERT_THAT(joined, IsErrorSaying(ErrorCode::kInvalidArgument, "cannot make the directory"));
  EXPECT_EQ(ExitCodeOf(joined.error().code), ExitCode::kUsage);
}

TEST(StateLock, KeepsASecondAgentOffUntilTheFirstIsGone) {
  const ScratchDirectory directory;
  {
    const auto first = StateLock::Take(directory.path());
    ASSERT_THAT(first, IsOk());
    EXPECT_THAT(StateLock::Take(directory.path(), Millis(0)),
                IsErrorSaying(ErrorCode::kConflict, "another tacit-agent"));
  }
  EXPECT_THAT(StateLock::Take(directory.path()), IsOk());
  EXPECT_THAT(StateLock::Take(directory.path() / "absent"), IsError(ErrorCode::kNotFound));
}

}  // namespace
}  // namespace tacit::agent
