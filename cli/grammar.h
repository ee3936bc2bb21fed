#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/arguments.h"

// The table that the command line is parsed by, that --help prints, and that completion reads. Private to the files
// that write it.
namespace tacit::cli {

/// What CLI11 fills in, before it is checked and becomes an Invocation.
struct RawArguments {
  ConnectionArguments connection;
  bool json = false;
  std::string directory;
  std::string trust_domain = "tacit";
  std::vector<std::string> hosts;
  std::string file;
  bool dry_run = false;
  std::string task;
  std::string device;
  std::string timeout;
  std::string reason;
  std::string version = "latest";
  std::uint64_t round = 0;
  std::optional<std::uint64_t> rounds;
  std::string if_match;
  std::string metric;
  std::string format;
  std::string output;
  std::uint32_t uses = 1;
  std::string lifetime = "24h";
  std::string mechanism = "gaussian";
  std::optional<double> noise_multiplier;
  double sampling_probability = 1;
  std::optional<std::uint64_t> steps;
  std::optional<std::uint64_t> cohort;
  double delta = 0;
  double epsilon = 0;
  std::optional<double> budget;
  std::string neighbouring = "add-or-remove-one";
  std::string accountant = "tightest";
  std::string head;
  double clip_norm = 1;
  std::uint32_t grid_radius = std::uint32_t{1} << 20U;
  double confidence = 0.999;
  std::uint64_t trials = 100'000;
  std::uint64_t canaries = 4000;
  std::string name;
  std::string role;
  std::string access_lifetime = "90d";
  std::vector<std::string> tasks;
  std::string id;
  std::uint64_t after = 0;
  std::string context_name;
  std::string shell;
  std::string config;
  std::uint64_t devices = 0;
  std::string data;
  std::string held_out;
  std::string partition;
  std::optional<std::uint64_t> threads;
  std::uint64_t seed = 1;
  std::uint64_t repeat = 1;
  double dropout = 0;
  std::vector<std::string> sweeps;
  std::string csv;
  std::string json_file;
  std::string evidence;
  std::string html;
};

using MakeCommand = std::function<Outcome<Command>(const RawArguments&)>;

/// The subcommands, each with what turns the raw arguments into its command.
struct Grammar {
  RawArguments raw;
  std::vector<std::pair<CLI::App*, MakeCommand>> leaves;
};

template <typename Arguments>
Outcome<Command> MakePlain(const RawArguments& /*raw*/) {
  return Arguments{};
}

/// A command that is only there for its subcommands.
CLI::App& AddGroup(CLI::App& app, const char* name, const char* what);
CLI::App& AddLeaf(Grammar& grammar, CLI::App& group, const char* name, const char* what, MakeCommand make);

/// The server as a whole: `audit`, `alerts`, `metrics`.
void DescribeOperations(Grammar& grammar, CLI::App& app);

/// `model trace`, `claim` and `verify`.
void DescribeOwnership(Grammar& grammar, CLI::App& model);

/// `simulate`.
void DescribeSimulate(Grammar& grammar, CLI::App& app);

/// What is about this command itself: `context`, `doctor`, `completion`, `version`.
void DescribeOwn(Grammar& grammar, CLI::App& app);

}  // namespace tacit::cli
