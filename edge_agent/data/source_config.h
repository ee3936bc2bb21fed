#pragma once

#include <filesystem>
#include <string_view>

#include "common/base/result.h"
#include "edge_agent/data/dataset.h"

namespace tacit::data {

/// Reads the description of a device's data:
///
///     [data]
///     features = "train.csv.gz"          # NPY, IDX or CSV, plain or gzip; paths are relative to this file
///     label_column = "class"             # a name, or a number counted from 1; or: labels = "train_y.npy"
///     classes = ["walking", "sitting"]   # rows of other labels are left out; or: classes = 6 with first_label = 1
///     ignore_columns = ["user"]          # optional
///     scale = 0.5                        # optional: every feature is multiplied by it
///     missing = 0.0                      # optional: stands for an empty field
///     header = true                      # optional: whether the first line of a CSV names the columns
///     [data.rows]                        # optional: which rows belong to this device
///     column = "user"                    # of the features' table, or of `file` beside it
///     value = "33"
///     # or: list = "partition.npy" with client = 3: the rows whose numbers are in row 3 of it
///
/// Errors: kInvalidArgument with all that is wrong, each as `file:line:column: what`. Paths start from `base`.
Result<DataSource> ParseDataSource(std::string_view toml, std::string_view file_name,
                                   const std::filesystem::path& base);

/// The same for a file of at most 64 KiB. Errors: kNotFound, kTooLarge too.
Result<DataSource> LoadDataSource(const std::filesystem::path& file);

}  // namespace tacit::data
