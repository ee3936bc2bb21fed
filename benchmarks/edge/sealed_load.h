#pragma once

#include <filesystem>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace tacit::benchmark {

/// CPU seconds from a file to an engine that can run: medians of loads that took turns.
struct LoadTimes {
  double plain = 0;   ///< A graph file, read as it is.
  double hashed = 0;  ///< The same, and its SHA-256.
  double sealed = 0;  ///< A bundle: its signature verified, each chunk decrypted, and the SHA-256 of the plaintext.
};

/// `graph_file` is read from, and sealed into, `directory`. Errors: of the files, and of the model.
Result<LoadTimes> MeasureLoads(ByteSpan graph_file, const std::filesystem::path& directory);

}  // namespace tacit::benchmark
