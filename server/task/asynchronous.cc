#include "server/task/asynchronous.h"

#include <algorithm>
#include <array>
#include <string>

#include "server/task/toml_reader.h"

namespace tacit::task {
namespace {

constexpr std::int64_t kMaxConcurrency = 10 << 20;
/// Of an asynchronous task: size * (max_staleness + 1). A server remembers so many updates by their digests.
constexpr std::uint64_t kMaxRemembered = 1U << 21U;
constexpr std::array kDiscounts = {dp::StalenessDiscount::kNone, dp::StalenessDiscount::kInverseSqrt,
                                   dp::StalenessDiscount::kInverse};

}  // namespace

std::optional<Asynchronous> ReadAsynchronous(TomlTable& root, std::uint32_t buffer) {
  TomlTable table = root.Table("asynchronous");  // asked for also when absent, so that its name is suggested
  if (!root.Has("asynchronous")) return std::nullopt;
  Asynchronous read;
  read.max_staleness = static_cast<std::uint32_t>(table.Integer("max_staleness", {1, dp::kMaxStaleness}));
  read.discount = kDiscounts[table.Choice("discount", {"none", "inverse_sqrt", "inverse"}, 1)];
  const std::int64_t as_many = std::max<std::int64_t>(buffer, 1);
  read.concurrency = static_cast<std::uint32_t>(table.Integer("concurrency", {1, kMaxConcurrency}, as_many));
  read.lease_lifetime = table.Duration("lease_lifetime", {Millis(1'000), Millis(7 * 86'400'000LL)}, Millis(600'000));
  const std::uint64_t remembered = (std::uint64_t{read.max_staleness} + 1) * buffer;
  if (table.HasGood("max_staleness") && remembered > kMaxRemembered) {
    table.Complain("max_staleness", "cohort.size * (max_staleness + 1) is " + std::to_string(remembered) +
                                        " and may be at most " + std::to_string(kMaxRemembered) +
                                        ": so many updates are remembered, so that none is counted twice");
  }
  return read;
}

}  // namespace tacit::task
