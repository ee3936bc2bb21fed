#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"

// How a round went, for those who are told once it has ended.
namespace tacit::round {

/// What a round does, one after the other. Finer than its phases at the end, where nothing waits for devices.
enum class Stage : std::uint8_t {
  kWait,     ///< For enough devices, and for the budget to be reserved.
  kCollect,  ///< Leases are given and updates taken.
  kClose,    ///< The last updates become durable.
  kCharge,   ///< The charge becomes durable.
  kNoise,    ///< The sum is opened, noised and averaged, and the next model made.
  kPublish,  ///< Model and end of the round become durable.
};
std::string_view NameOf(Stage stage);

struct StageSpan {
  Stage stage = Stage::kWait;
  WallTime began;
  WallTime ended;
  std::uint32_t attempts = 1;  ///< More than one where the store refused a step that was made again.
};

/// Times the stages of a round: each begins where the one before it ends. What it gives is in the order of time,
/// whatever is done to the wall clock meanwhile.
class StageTimes {
 public:
  /// Both say when the first stage, kWait, began.
  StageTimes(WallTime wall, SteadyTime steady);
  /// The same stage again is another attempt at it; one that is over does not come back.
  void Begin(Stage stage, SteadyTime now);
  [[nodiscard]] WallTime began() const { return wall_; }
  [[nodiscard]] WallTime At(SteadyTime time) const { return wall_ + (time - steady_); }
  /// All of them, the last one until `now`.
  [[nodiscard]] std::vector<StageSpan> Until(SteadyTime now) const;

 private:
  struct Begun {
    Stage stage = Stage::kWait;
    SteadyTime at;
    std::uint32_t attempts = 1;
  };
  WallTime wall_;
  SteadyTime steady_;
  std::vector<Begun> begun_;
};

/// Privacy: figures of the task, of the ledger and of our own disk, as its answers and metrics tell them; where a coin
/// hides who came, nothing that could depend on it.
struct Story {
  RoundKey key;
  bool published = false;                ///< Otherwise abandoned.
  std::string reason;                    ///< Why it was abandoned; empty behind a coin.
  bool resumed = false;                  ///< It was taken up after a restart: what was before it is missing.
  std::uint64_t cohort_size = 0;         ///< Declared.
  std::optional<std::uint64_t> counted;  ///< Devices in the sum; nothing behind a coin.
  std::optional<double> epsilon_spent;   ///< By the task; nothing without a ledger.
  WallTime began;
  WallTime ended;
  std::vector<StageSpan> stages;  ///< None behind a coin: how long a round closes can depend on who came last.
};

}  // namespace tacit::round
