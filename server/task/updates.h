#pragma once

namespace tacit::task {

class TomlTable;

/// What else devices may send than a number for each parameter (docs/adr/0017).
struct Updates {
  double top_k = 0;  ///< The share of the parameters that a sparse update has; 0: none are taken. Not with local noise.
  bool takes_zstd = false;  ///< Compressed ones, whose size on the network depends on the data.
};

/// The table [updates] of a task file; problems are noted in it.
Updates ReadUpdates(TomlTable& root);

}  // namespace tacit::task
