#pragma once

#include <string>
#include <string_view>

namespace tacit::testing {

/// The text of a task with a linear model of nine parameters. `rest` is what tests differ in: from `[rounds]` on.
inline std::string SmallTask(std::string_view name, std::string_view rest) {
  return "name = \"" + std::string(name) + R"("
[model]
kind = "softmax"
inputs = 2
classes = 3
[training]
learning_rate = 0.1
)" + std::string(rest);
}

}  // namespace tacit::testing
