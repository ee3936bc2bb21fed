#include <algorithm>
#include <thread>
#include <utility>

#include "cli/grammar.h"
#include "cli/text.h"
#include "common/command_line/command_line.h"
#include "server/simulate/run.h"

namespace tacit::cli {
namespace {

constexpr std::uint64_t kMostThreads = 64;
constexpr std::uint64_t kMostRepeats = 100;
// As many as [rounds] count of a task takes.
constexpr std::uint64_t kMostRounds = 1'000'000;
constexpr std::uint64_t kLargestSeed = std::uint64_t{1} << 53U;  // whole in every reader of JSON

Result<void> CheckDropout(double value) {
  if (value >= 0 && value < 1) return {};
  return Fail(ErrorCode::kInvalidArgument, "the dropout is " + FormatNumber(value) + " and must be 0 or more, below 1");
}

Outcome<Command> MakeSimulate(const RawArguments& raw) {
  SimulateArguments arguments{
      .file = raw.file,
      .devices = raw.devices,
      .data = raw.data,
      .held_out = raw.held_out,
      .partition = raw.partition,
      .rounds = raw.rounds,
      .threads = raw.threads.value_or(std::clamp<std::uint64_t>(std::thread::hardware_concurrency(), 1, kMostThreads)),
      .seed = raw.seed,
      .repeat = raw.repeat,
      .dropout = raw.dropout,
      .axes = {},
      .csv = raw.csv,
      .json_file = raw.json_file,
      .html = raw.html};
  for (const std::string& sweep : raw.sweeps) {
    auto axis = simulate::ParseAxis(sweep);
    if (!axis) return UsageFailure(axis.error(), "tacit simulate --help");
    arguments.axes.push_back(*std::move(axis));
  }
  return arguments;
}

void DescribeExamples(RawArguments& raw, CLI::App& simulate) {
  simulate
      .add_option("--data", raw.data,
                  "What devices train on: a directory of people or of images, or a description of data as a device has "
                  "one (default: synthetic)")
      ->type_name("FILE_OR_DIR");
  simulate
      .add_option("--held-out", raw.held_out, "Description of the data to measure on (default: a fifth of the rows)")
      ->type_name("FILE");
  simulate.add_option("--partition", raw.partition, "Which rows each device has: an array with a row for each device")
      ->type_name("FILE");
}

void DescribeFiles(RawArguments& raw, CLI::App& simulate) {
  simulate.add_option("--csv", raw.csv, "Also write every round of every run to this file")->type_name("FILE");
  simulate.add_option("--json-file", raw.json_file, "Also write what --json says to this file")->type_name("FILE");
  simulate.add_option("--html", raw.html, "Also write a page with plots to this file")->type_name("FILE");
}

}  // namespace

void DescribeSimulate(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& simulate =
      AddLeaf(grammar, app, "simulate",
              "Run a task on simulated devices, to choose its privacy parameters; asks no server", MakeSimulate);
  simulate.add_option("-f,--file", raw.file, "Description of the task, TOML")->required()->type_name("FILE");
  simulate.add_option("--devices", raw.devices, "How many devices the fleet has")
      ->required()
      ->transform(command_line::Whole({1, simulate::kMostDevices}))
      ->type_name("N");
  DescribeExamples(raw, simulate);
  simulate
      .add_option(
          "--sweep", raw.sweeps,
          "noise_multiplier, epsilon, clip_norm, cohort, rounds, learning_rate or epochs, and the values to try "
          "(repeatable: all combinations)")
      ->type_name("KEY=V,V")
      ->expected(1, 16);
  simulate.add_option("--rounds", raw.rounds, "Rounds, in place of the task's")
      ->transform(command_line::Whole({1, kMostRounds}))
      ->type_name("N");
  simulate.add_option("--dropout", raw.dropout, "Share of the leases that are never answered")
      ->transform(command_line::Real(CheckDropout))
      ->type_name("P")
      ->capture_default_str();
  simulate.add_option("--repeat", raw.repeat, "Runs of each combination, with other seeds")
      ->transform(command_line::Whole({1, kMostRepeats}))
      ->type_name("N")
      ->capture_default_str();
  simulate.add_option("--seed", raw.seed, "Of the first run: the same seed gives the same models")
      ->transform(command_line::Whole({0, kLargestSeed}))
      ->type_name("S")
      ->capture_default_str();
  simulate.add_option("--threads", raw.threads, "Threads that train (default: as many as there are processors)")
      ->transform(command_line::Whole({1, kMostThreads}))
      ->type_name("T");
  DescribeFiles(raw, simulate);
}

}  // namespace tacit::cli
