#pragma once

#include <optional>

#include "common/model/spec.h"
#include "server/task/task_spec.h"

namespace tacit::task {

class TomlTable;

/// The table [model] of a task file, but for its seed: widths, or layers over a signal or an image. Problems are noted
/// in it, and nothing comes back then.
std::optional<model::ModelSpec> ReadModel(TomlTable table);

/// The table [training]; problems are noted in it.
Training ReadTraining(TomlTable table);

}  // namespace tacit::task
