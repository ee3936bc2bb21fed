#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/base/keystream.h"
#include "common/base/result.h"
#include "common/base/sealer.h"
#include "dp/token.h"
#include "dp/types.h"

namespace tacit::dp {

class NoiseSamplers;

struct SumOptions {
  RoundKey round;
  Mechanism mechanism;
  GridRadius grid_radius;
  std::size_t parameters;  ///< 1 to kMaxParameters, the coordinate of the bits included.
  /// Above 0: every device also tells whether it was within the clip norm, by one coordinate more (dp/adaptive_clip.h).
  std::uint32_t bit_steps = 0;
  /// Above 0: the devices noised their vectors themselves, so that only this bound on each entry holds, and none on the
  /// norm (dp/local_noise.h). For kNone.
  std::uint32_t entry_bound = 0;

  bool operator==(const SumOptions&) const = default;
};

/// What the bit of a device says of its update.
enum class Fit : std::uint8_t { kWithinClip, kClipped };

/// The exact sum of a round's updates, before noise. Its contents leave it in two ways only: sealed, and through
/// `ReleaseAverage` with a token for this round.
///
/// Guarantee: with a mechanism other than kNone, replacing one contribution by zeros changes the sum by at most
///   `grid_radius` in the mechanism's norm, exactly: every vector is verified here, in integers, whatever was done to
///   it before, and has weight one. Independent of order, threads, batches and restarts, because integer addition is.
///   No entry can overflow: the sum of weights times `grid_radius`, or `entry_bound`, stays below 2^62.
/// Privacy: cannot be copied, printed, logged or serialised in clear; the memory is overwritten at the end.
/// Threads: one at a time.
class UnnoisedSum {
 public:
  /// Errors: kInvalidArgument for a number of parameters out of range.
  static Result<UnnoisedSum> Create(SumOptions options);
  ~UnnoisedSum();
  UnnoisedSum(UnnoisedSum&& other) noexcept;
  UnnoisedSum& operator=(UnnoisedSum&& other) noexcept;
  UnnoisedSum(const UnnoisedSum&) = delete;
  UnnoisedSum& operator=(const UnnoisedSum&) = delete;
  template <typename Stream>
  friend Stream& operator<<(Stream&, const UnnoisedSum&) = delete;

  /// Adds one device's vector with weight one. An error leaves the sum as it was. `grid` must not change during the
  /// call: it is verified and then added. Errors: kInvalidArgument for a wrong length, or a norm above `grid_radius` or
  /// an entry above `entry_bound`;
  /// kTooLarge when the sum could overflow.
  Result<void> Add(std::span<const std::int32_t> grid);

  /// The same, with the device's bit; for sums that were made with `bit_steps`.
  /// Guarantee: together they move the sum by at most sqrt(grid_radius^2 + bit_steps^2), exactly.
  Result<void> Add(std::span<const std::int32_t> grid, Fit fit);

  /// Adds `weight` times the vector; for kNone only, because a weight that a client claims would multiply the
  /// sensitivity.
  /// Errors: as Add; kInvalidArgument for weight 0 and for any mechanism other than kNone.
  Result<void> AddWeighted(std::span<const std::int32_t> grid, std::uint64_t weight);

  /// Adds another partial sum of the same round. An error leaves the sum as it was.
  /// Errors: kConflict when round, mechanism, grid or length differ; kTooLarge when the sum could overflow.
  Result<void> Merge(const UnnoisedSum& other);

  [[nodiscard]] const SumOptions& options() const { return options_; }
  /// Number of vectors added.
  /// Privacy: public, as the relation of docs/PRIVACY.md says.
  [[nodiscard]] std::uint64_t contributions() const { return contributions_; }
  /// Sum of weights; the number of contributions unless kNone.
  [[nodiscard]] std::uint64_t total_weight() const { return total_weight_; }

  /// Errors: those of the sealer.
  [[nodiscard]] Result<Bytes> Seal(const Sealer& sealer, ByteSpan context) const;
  /// Errors: kDataLoss when the bytes do not open, or hold a sum of anything else than `expected`.
  static Result<UnnoisedSum> Unseal(const Sealer& sealer, ByteSpan sealed, ByteSpan context,
                                    const SumOptions& expected);

 private:
  friend Result<std::vector<float>> ReleaseAverage(UnnoisedSum&& sum, ReleaseToken&& token, Keystream& noise_bits,
                                                   NoiseSamplers& samplers);
  explicit UnnoisedSum(SumOptions options);
  Result<void> AddVerified(std::span<const std::int32_t> grid, std::uint64_t weight);
  [[nodiscard]] Result<void> CheckRoom(std::uint64_t weight) const;
  [[nodiscard]] Result<void> CheckBounds() const;
  [[nodiscard]] Bytes Serialise() const;
  Result<void> Parse(ByteSpan plaintext);
  void Wipe();

  SumOptions options_;
  std::uint64_t contributions_ = 0;
  std::uint64_t total_weight_ = 0;
  std::vector<std::int64_t> values_;
};

}  // namespace tacit::dp
