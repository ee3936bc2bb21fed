#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/crypto/secret.h"
#include "common/graph/graph.h"
#include "server/ownership/channels.h"

namespace tacit::ownership {

/// What was found out about one group of channels of a suspect: which channel of the master stands at each of its
/// places, and by which factor.
struct FoundGroup {
  std::size_t group = 0;  ///< In Channels.
  struct Place {
    std::uint32_t channel = 0;
    double octaves = 0;  ///< log2 of the factor.
  };
  std::vector<std::optional<Place>> places;  ///< Nothing where no channel is like it.
};

/// A suspect beside the master: found once, and then compared with as many devices as there are.
struct Likeness {
  std::vector<FoundGroup> groups;  ///< Those that could be followed from the inputs on.
  std::vector<bool> scales;        ///< Whether each of them does.
  double similarity = 0;           ///< Mean cosine of a channel and the master's channel that is most like it.
};

/// Follows the layers from the inputs on, for as long as the suspect has layers of the master's shapes. Noise, rounding
/// to 8 bits, pruning and fine-tuning leave a channel most like itself; another order and other factors change nothing.
/// Errors: kInvalidArgument where no hidden layer is left to compare; kTooLarge where that would take minutes.
/// Cost: each hidden layer's channels squared, times its inputs.
Result<Likeness> Compare(const graph::GraphView& master, const graph::GraphView& suspect);

/// How well one device's copy explains a suspect. Either of the two codes is enough.
struct Score {
  std::size_t in_order = 0;   ///< Channels that stand where this device's copy has them, of `places`,
  std::size_t at_factor = 0;  ///< and those whose factor is this device's, of `factors`, whatever place they have.
  std::size_t places = 0;
  std::size_t factors = 0;
  /// Upper bound of the logarithm of the chance that the copy of a device that has nothing to do with the suspect is so
  /// much like it. Source: docs/EDGE.md, "Ownership"; the orders' by the moments of fixed points, the factors'
  /// binomial.
  double log_p = 0;

  /// Share of the better of the two codes.
  [[nodiscard]] double match() const;
};

/// Cost: microseconds; linear in the channels.
Score ScoreOf(const Likeness& likeness, const crypto::SecretKey& copy_key);

/// The two devices that explain a suspect best, of all that were told.
class Lineup {
 public:
  void Add(const DeviceId& device, const Score& score);

  struct Entry {
    DeviceId device;
    Score score;
  };
  [[nodiscard]] const std::optional<Entry>& best() const { return best_; }
  [[nodiscard]] const std::optional<Entry>& runner_up() const { return runner_up_; }
  [[nodiscard]] std::uint64_t devices() const { return devices_; }
  /// Upper bound of the chance that any of so many devices would be accused so strongly, if none was the source.
  [[nodiscard]] double FalseAccusation() const;
  /// Whether the best may be named.
  [[nodiscard]] bool Names() const;

 private:
  std::optional<Entry> best_;
  std::optional<Entry> runner_up_;
  std::uint64_t devices_ = 0;
};

/// An accusation with a higher bound of error is none.
inline constexpr double kAccusationLimit = 1e-6;

}  // namespace tacit::ownership
