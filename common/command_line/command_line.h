#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "common/base/result.h"

/// What the programs for people have in common in how they read a command line.
namespace tacit::command_line {

struct WholeRange {
  std::uint64_t least = 0;
  std::uint64_t most = 0;
};

/// Lets only decimal digits of a number in the range through; the complaint says value and range. To be given to
/// `transform`, since CLI11 alone reads -1 as the largest number there is, one that is too large as some other, and 010
/// as eight.
CLI::Validator Whole(WholeRange range);

/// Lets only a number through that `check` takes; its error says value and range. To be given to `transform`, for the
/// same reasons.
CLI::Validator Real(std::function<Result<void>(double)> check);

/// A word of a closed list, and the number that CLI11 reads an enumerator from.
using NumberedWord = std::pair<std::string, std::int64_t>;

/// Lets only one of `words` through, as its number; the complaint lists them in their order, as they are typed. To be
/// given to `transform`: CLI11's own complaint shows its syntax for a set, and takes the numbers as well.
CLI::Validator OneOf(std::vector<NumberedWord> words);

/// Whether `--json` is among the arguments: known even when the rest does not parse.
bool AsksForJson(int argc, const char* const* argv);

/// The deepest subcommand that was named, whose help is the one to show.
const CLI::App& DeepestNamed(const CLI::App& app);

/// `tacit task create`: what is typed to reach it.
std::string WordsOf(const CLI::App& app);

/// What is wrong with the command line. A word that nothing takes is named first, with the option or command that it is
/// nearest to: what else is missing may well be because of it.
std::string Describe(const CLI::Error& error, const CLI::App& app);

}  // namespace tacit::command_line
