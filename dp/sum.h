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
#include "dp/update.h"

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

/// What is added to a sum at once.
struct Addend {
  VerifiedUpdate* update;    ///< May be settled by being added.
  std::uint64_t weight = 1;  ///< Other than 1 for kNone only.
};

/// The exact sum of a round's updates, before noise. Its contents leave it in two ways only: sealed, and through
/// `ReleaseAverage` with a token for this round.
///
/// Guarantee: with a mechanism other than kNone, replacing one contribution by zeros changes the sum by at most
///   `grid_radius` in the mechanism's norm, exactly: every vector was verified in integers, here or as a
///   VerifiedUpdate of the same terms, and has weight one. Independent of order, threads, batches and restarts, because
///   integer addition is. No entry can overflow: the sum of weights times `grid_radius`, or `entry_bound`, stays below
///   2^62.
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

  /// Adds updates, and gives what they add up to alone, sealed, in `room`, which is made larger when it is too small:
  /// what can be added again after a restart, or taken back when it did not get to the disk. An error leaves the sum as
  /// it was. Floats are put on the grid on the way, piece by piece; should the integers turn out to be beyond the
  /// bound, nothing was added, and all is added again from settled updates.
  /// Errors: as AddWeighted; kConflict for an update that was verified for other terms than this sum's; those of the
  /// sealer. Cost: one pass over each update and one over the sum; no memory but `room`.
  Result<ByteSpan> AddAndSeal(std::span<const Addend> addends, const Sealer& sealer, ByteSpan context,
                              AlignedBuffer& room);
  /// Errors, for both: kDataLoss when the bytes do not open, hold a sum of anything else than this, or more than their
  /// contributions can have made; kTooLarge when the sum could overflow. An error leaves the sum as it was.
  /// Cost, of both: one pass over the bytes and one over the sum, and no memory.
  Result<void> AddSealed(const Sealer& sealer, ByteSpan sealed, ByteSpan context);
  Result<void> TakeBackSealed(const Sealer& sealer, ByteSpan sealed, ByteSpan context);

  [[nodiscard]] const SumOptions& options() const { return options_; }
  /// Number of vectors added.
  /// Privacy: public, as the relation of docs/PRIVACY.md says.
  [[nodiscard]] std::uint64_t contributions() const { return contributions_; }
  /// Sum of weights; the number of contributions unless kNone.
  [[nodiscard]] std::uint64_t total_weight() const { return total_weight_; }

  /// All of it, as AddSealed takes it, in `room`, which is made larger when it is too small. Errors: those of the
  /// sealer.
  [[nodiscard]] Result<ByteSpan> Seal(const Sealer& sealer, ByteSpan context, AlignedBuffer& room) const;

 private:
  friend Result<std::vector<float>> ReleaseAverage(UnnoisedSum&& sum, ReleaseToken&& token, Keystream& noise_bits,
                                                   NoiseSamplers& samplers);
  explicit UnnoisedSum(SumOptions options);
  Result<void> AddVerified(std::span<const std::int32_t> grid, std::uint64_t weight);
  [[nodiscard]] Result<void> CheckLength(std::size_t size) const;
  [[nodiscard]] Result<void> CheckRoom(std::uint64_t weight) const;
  [[nodiscard]] Result<std::uint64_t> CheckAddends(std::span<const Addend> addends) const;
  [[nodiscard]] std::int64_t BitsOf(std::span<const Addend> addends) const;
  struct Sealing;
  [[nodiscard]] Result<bool> AddAllAndSeal(const Sealing& to, std::span<std::uint8_t> sealed);
  void AddNarrow(std::span<const Addend> addends, std::size_t first, std::span<std::uint8_t> block,
                 std::span<GridMeasure> measures);
  void AddWide(std::span<const Addend> addends, std::size_t first, std::span<std::uint8_t> block,
               std::span<GridMeasure> measures);
  void Subtract(std::span<const Addend> addends);
  /// How much a sealed sum holds, and in how many bytes each entry.
  struct Counts {
    std::uint64_t contributions = 0;
    std::uint64_t total_weight = 0;
    std::size_t width = 0;
  };
  struct Part;
  enum class Direction : std::uint8_t { kIn, kOut };
  [[nodiscard]] Bytes HeadOf(const Counts& counts) const;
  [[nodiscard]] Result<void> Move(const Sealer& sealer, ByteSpan sealed, ByteSpan context, Direction direction);
  [[nodiscard]] Result<void> Begin(Part& part, const Sealer& sealer, ByteSpan block, Direction direction) const;
  [[nodiscard]] Result<void> CheckCounts(const Counts& counts, Direction direction) const;
  [[nodiscard]] Result<void> MoveBlock(Part& part, ByteSpan block, Direction direction);
  void MoveEntries(std::size_t width, std::size_t first, ByteSpan block, Direction direction);
  void MoveBack(const Part& part, const Sealer& sealer, ByteSpan sealed, ByteSpan context, Direction direction);
  void Count(const Counts& counts, Direction direction);
  void Wipe();
  [[nodiscard]] std::span<std::int64_t> values() { return memory_.As<std::int64_t>(); }
  [[nodiscard]] std::span<const std::int64_t> values() const { return memory_.As<std::int64_t>(); }

  SumOptions options_;
  std::uint64_t contributions_ = 0;
  std::uint64_t total_weight_ = 0;
  AlignedBuffer memory_;  ///< Of the entries.
};

}  // namespace tacit::dp
