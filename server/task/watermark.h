#pragma once

#include <cstdint>
#include <optional>

#include "common/model/spec.h"

namespace tacit::task {

class TomlTable;

/// What the server teaches every model that it publishes, so that its owner can recognise a copy: answers to inputs
/// that no device ever had (docs/EDGE.md).
struct Watermark {
  std::uint32_t triggers = 0;  ///< Inputs with a secret answer each.
  double input_min = 0;        ///< Each feature of a trigger is one of these two.
  double input_max = 1;
  std::uint32_t steps = 0;  ///< Gradient steps after a round, at most.
  /// The most that one step moves a parameter by, about.
  double learning_rate = 0;
};

/// The table [watermark] of a task file, where it has one; problems are noted in it.
std::optional<Watermark> ReadWatermark(TomlTable& root, const std::optional<model::ModelSpec>& model);

}  // namespace tacit::task
