#include "server/task/deployment.h"

#include "server/task/toml_reader.h"

namespace tacit::task {

namespace {

constexpr Millis kSecond{1000};
constexpr Millis kDay{86'400'000};

}  // namespace

std::optional<Deployment> ReadDeployment(TomlTable& root) {
  TomlTable table = root.Table("deployment");  // asked for also when absent, so that its name is suggested
  if (!root.Has("deployment")) return std::nullopt;
  return Deployment{.lease = table.Duration("lease", {10 * kSecond, 365 * kDay}, 7 * kDay),
                    .obfuscate = table.Choice("copies", {"shared", "own"}, 0) == 1};
}

}  // namespace tacit::task
