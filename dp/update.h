#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/bytes.h"
#include "common/base/result.h"
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

/// A device's vector on the integer grid.
///
/// Guarantee: `terms()` hold for `grid()` exactly, checked in integers; nobody can change it any more.
/// Privacy: one device's data in clear.
class VerifiedUpdate {
 public:
  [[nodiscard]] std::span<const std::int32_t> grid() const { return grid_; }
  [[nodiscard]] const UpdateTerms& terms() const { return terms_; }
  [[nodiscard]] Fit fit() const { return fit_; }

 private:
  friend class UpdateIntake;
  VerifiedUpdate(AlignedBuffer memory, std::span<const std::int32_t> grid, UpdateTerms terms, Fit fit)
      : memory_(std::move(memory)), grid_(grid), terms_(terms), fit_(fit) {}

  AlignedBuffer memory_;
  std::span<const std::int32_t> grid_;
  UpdateTerms terms_;
  Fit fit_;
};

/// Takes a device's vector in as it arrives, piece by piece, measures each piece while it is in the cache, and makes it
/// a VerifiedUpdate in the memory it came to.
/// Shape: as many entries as `memory` has room for in 4 bytes each, however wide they travel; at most kMaxParameters.
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

  /// `shift` is at most LargestShift of the entries' width.
  UpdateIntake(AlignedBuffer memory, Entries entries, UpdateTerms terms, std::uint32_t shift = 0);

  /// Where the bytes that have not come yet belong.
  [[nodiscard]] std::span<std::uint8_t> Rest() { return memory_.bytes().subspan(begin_ + received_); }
  /// The first `bytes` of Rest are there.
  void Received(std::size_t bytes);

  /// Floats: clips them and puts them on the grid, as ClipToGrid. Errors: as ClipToGrid.
  Result<VerifiedUpdate> Clip(ClipNorm clip_norm) &&;
  /// Integers: checks that the terms hold; `told` is what the device says of the clip.
  /// Errors: as VerifyGrid, or where there is an entry bound as VerifyEntries.
  Result<VerifiedUpdate> Verify(Fit told) &&;

 private:
  VerifiedUpdate Seal(Fit fit) &&;
  [[nodiscard]] std::span<std::int32_t> grid();
  [[nodiscard]] Width width() const;
  void Widen(std::size_t first, std::size_t count);
  [[nodiscard]] Norm norm() const { return NormOf(terms_.mechanism); }

  AlignedBuffer memory_;
  Entries entries_;
  UpdateTerms terms_;
  std::uint32_t shift_;
  std::size_t begin_;  // of what travels, in memory_: narrow entries stand at its end until they are widened
  std::size_t received_ = 0;
  FloatMeasure floats_;
  GridMeasure integers_;
};

}  // namespace tacit::dp
