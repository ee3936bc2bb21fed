#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "dp/staleness.h"
#include "dp/types.h"
#include "dp/vector_kernels.h"

namespace tacit::dp {

/// What the bit of a device says of its update.
enum class Fit : std::uint8_t { kWithinClip, kClipped };

/// The bound that holds for one device's vector: the norm of NormOf(`mechanism`) within `grid_radius`, or where
/// `entry_bound` is above 0 no entry beyond that.
struct UpdateTerms {
  Mechanism mechanism;
  GridRadius grid_radius;
  std::uint32_t entry_bound = 0;

  bool operator==(const UpdateTerms&) const = default;
};

/// A device's vector for the integer grid: integers on it, or floats with the factor that puts them there, which is
/// done where they are added, so that a large vector goes through memory once less.
///
/// Guarantee: nobody can change it any more, but by Shrink, which takes every entry toward zero. Of integers `terms()`
///   hold exactly. Floats are finite, and `terms()` hold for what `Settle` makes of them; that they hold for the pieces
///   as well is what `Holds` says, in integers.
/// Privacy: one device's data in clear.
class VerifiedUpdate {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const UpdateTerms& terms() const { return terms_; }
  [[nodiscard]] Fit fit() const { return fit_; }

  /// The entries from `first` on, as many as `scratch` has room for: where they stand, or in `scratch` while they are
  /// floats. `measure` goes on with what the latter add up to.
  [[nodiscard]] std::span<const std::int32_t> Piece(std::size_t first, std::span<std::int32_t> scratch,
                                                    GridMeasure& measure) const;
  /// Whether pieces that added up to `measure`, all of them, are within the bound. They are not where floating point
  /// could not see how long a vector is: when its squares are too small for it.
  [[nodiscard]] bool Holds(const GridMeasure& measure) const;
  /// Puts it on the grid for good, within the bound, as ClipToGrid does. Cost: one pass, when it is not there.
  std::span<const std::int32_t> Settle();
  /// Only this share of the update is left, every entry on the grid and rounded toward zero. Cost: Settle, and one pass
  /// over it.
  void Shrink(Share share);

 private:
  friend class UpdateIntake;
  VerifiedUpdate(AlignedBuffer memory, std::size_t size, UpdateTerms terms, Fit fit, double factor)
      : memory_(std::move(memory)), size_(size), terms_(terms), fit_(fit), factor_(factor) {}
  [[nodiscard]] bool settled() const { return factor_ == 0; }

  AlignedBuffer memory_;
  std::size_t size_;  // entries, which may be less than there is memory for
  UpdateTerms terms_;
  Fit fit_;
  double factor_;  // 0 on the grid
};

/// A vector of which only some entries travel, the others being zero: first the values, in the order of their entries,
/// then a bit for each entry, the lowest of a byte first, that is one where the entry has a value.
struct Sparse {
  std::size_t parameters;
  std::size_t values;  ///< From 1 to `parameters`.

  [[nodiscard]] std::size_t BitmapBytes() const { return (parameters + 7) / 8; }
  /// What UpdateIntake needs of it.
  [[nodiscard]] std::size_t MemoryBytes() const { return parameters * sizeof(std::int32_t) + BitmapBytes(); }
};

/// Takes a device's vector in as it arrives, piece by piece, measures each piece while it is in the cache, and makes it
/// a VerifiedUpdate in the memory it came to.
/// Shape: as many entries as `memory` has room for in 4 bytes each, however wide they travel; at most kMaxParameters.
/// Of a sparse vector exactly Sparse::MemoryBytes.
class UpdateIntake {
 public:
  enum class Entries : std::uint8_t {
    kFloats,  ///< float32, not clipped.
    kGrid,    ///< Integers that the device clipped, and noised where there is an entry bound.
    kGrid16,  ///< The same in 16 bits, in units of 2^shift grid steps.
    kGrid8,   ///< In 8 bits.
  };
  /// All pieces but the last are whole multiples of this. Units: bytes.
  static constexpr std::size_t kPieceUnit = FloatMeasure::kLanes * sizeof(float);

  /// `shift` is at most LargestShift of the entries' width. A sparse vector is one of integers.
  UpdateIntake(AlignedBuffer memory, Entries entries, UpdateTerms terms, std::uint32_t shift = 0,
               std::optional<Sparse> sparse = std::nullopt);

  /// Where the bytes that have not come yet belong.
  [[nodiscard]] std::span<std::uint8_t> Rest() { return memory_.bytes().subspan(begin_ + received_); }
  /// The first `bytes` of Rest are there.
  void Received(std::size_t bytes);
  /// Of what travels. Units: bytes.
  [[nodiscard]] std::size_t received() const { return received_; }

  /// Gives the memory away for a while; nothing but GiveMemory may be called until it is back, with what was in it.
  AlignedBuffer LendMemory() { return std::move(memory_); }
  void GiveMemory(AlignedBuffer memory) { memory_ = std::move(memory); }

  /// Floats: finds how they are clipped and put on the grid, as ClipToGrid. Errors: as ClipToGrid.
  Result<VerifiedUpdate> Clip(ClipNorm clip_norm) &&;
  /// Integers: checks that the terms hold; `told` is what the device says of the clip.
  /// Errors: as VerifyGrid, or where there is an entry bound as VerifyEntries; kMalformed for a sparse vector whose
  /// bits are not as many ones as values, or go on behind its last entry. Cost: nothing to speak of, but of a sparse
  /// vector one pass over the memory of all entries.
  Result<VerifiedUpdate> Verify(Fit told) &&;

 private:
  VerifiedUpdate Seal(Fit fit, double factor) &&;
  [[nodiscard]] std::size_t parameters() const;
  [[nodiscard]] std::span<std::int32_t> grid();
  [[nodiscard]] Width width() const;
  void Widen(std::size_t first, std::size_t count, std::int32_t* wide) const;
  [[nodiscard]] Result<void> CheckBitmap() const;
  void Spread();
  [[nodiscard]] Norm norm() const { return NormOf(terms_.mechanism); }

  AlignedBuffer memory_;
  Entries entries_;
  UpdateTerms terms_;
  std::uint32_t shift_;
  std::optional<Sparse> sparse_;
  std::size_t begin_ = 0;  // of what travels, in memory_: narrow entries end where the widened ones will
  std::size_t received_ = 0;
  FloatMeasure floats_;
  GridMeasure integers_;
};

}  // namespace tacit::dp
