#pragma once

#include <cstdint>
#include <optional>

#include "common/base/clock.h"
#include "dp/staleness.h"

namespace tacit::task {

class TomlTable;

/// Devices work at their own pace, and a round is a buffer of their updates (docs/adr/0016).
struct Asynchronous {
  std::uint32_t max_staleness = 0;  ///< Models published since the one that an update was trained from; 1 or more.
  dp::StalenessDiscount discount = dp::StalenessDiscount::kInverseSqrt;
  std::uint32_t concurrency = 0;  ///< Devices at work at a time.
  Millis lease_lifetime{};        ///< How long the place of one that does not answer is held.
};

/// The table [asynchronous] of a task file, where it has one, for buffers of so many updates; problems are noted in it.
std::optional<Asynchronous> ReadAsynchronous(TomlTable& root, std::uint32_t buffer);

}  // namespace tacit::task
