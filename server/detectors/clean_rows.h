#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "common/base/result.h"
#include "common/model/spec.h"

namespace tacit::detectors {

/// Rows that a model is calibrated on. Shape: `x` rows x inputs, finite; `labels` one a row, or none.
struct LoadedRows {
  std::vector<float> x;
  std::vector<std::uint32_t> labels;
};

/// Reads a table of NPY, IDX or CSV, plain or gzip: a column for each input of the model, and perhaps one more behind
/// them, the class from 0. Memory: the rows, and one more. Errors: kNotFound without the file; kMalformed with the
/// place for what is no number, no class, or empty; kInvalidArgument for another number of columns; kTooLarge over
/// task::kMostCleanNumbers.
Result<LoadedRows> LoadCleanRows(const std::filesystem::path& file, const model::ModelSpec& model);

}  // namespace tacit::detectors
