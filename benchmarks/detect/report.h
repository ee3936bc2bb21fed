#pragma once

#include <optional>
#include <string>

namespace tacit::benchmark {

/// One row of the table.
struct Row {
  std::string name;
  double value = 0;
  std::string unit;
  std::optional<double> goal = std::nullopt;
  std::optional<bool> holds = std::nullopt;  ///< As the goal says where it is not set: at least it.
};

/// Prints a row as one line of JSON.
void Print(const Row& row);

/// Prints why a measurement failed, and ends the process.
[[noreturn]] void Give(const std::string& up);

}  // namespace tacit::benchmark
