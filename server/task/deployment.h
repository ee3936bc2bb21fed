#pragma once

#include <optional>

#include "common/base/clock.h"

namespace tacit::task {

class TomlTable;

/// How devices get the models of a task to use them: sealed for each (docs/EDGE.md, section Delivery).
struct Deployment {
  Millis lease{};          ///< For how long a device may use a version before it has to ask again.
  bool obfuscate = false;  ///< Whether each device gets a copy of its own.
};

/// The table [deployment] of a task file, where it has one; problems are noted in it.
std::optional<Deployment> ReadDeployment(TomlTable& root);

}  // namespace tacit::task
