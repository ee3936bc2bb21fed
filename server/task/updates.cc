#include "server/task/updates.h"

#include "server/task/toml_reader.h"

namespace tacit::task {

Updates ReadUpdates(TomlTable& root) {
  TomlTable table = root.Table("updates");
  if (root.Table("privacy").Has("local")) {
    table.Refuse("top_k",
                 "has no place beside [privacy.local]: which parameters a device chose would leave it without noise");
  }
  return {.top_k = table.Real("top_k", {0, 1, Ends::kOpen}, 0.0),
          .takes_zstd = table.Choice("compression", {"none", "zstd"}, 0) == 1};
}

}  // namespace tacit::task
