#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/compression/zstd.h"
#include "dp/update.h"

namespace tacit::api {

/// A compressed payload on its way to where it stays: what arrives is unpacked there, and goes on in the pieces in
/// which it would have arrived as it is.
/// Guarantee: takes kMemoryBytes and the intake's memory, whatever arrives; more than the intake has room for, less, a
///   frame that is damaged or cut, and anything behind its end are refused.
class CompressedPayload {
 public:
  /// In which any payload is digested and measured, while it is in the cache.
  static constexpr std::size_t kPiece = std::size_t{64} * 1024;
  /// What a reader reads at once.
  static constexpr std::size_t kArrivesAtOnce = std::size_t{16} * 1024;
  static constexpr std::size_t kMemoryBytes = Decompressor::kMemoryBytes + kArrivesAtOnce;
  /// What is unpacked in one turn, give or take a piece.
  static constexpr std::size_t kUnpackedAtOnce = std::size_t{1} << 20U;

  /// Errors: as Decompressor::Create.
  static Result<CompressedPayload> Create();

  enum class Wants : std::uint8_t {
    kBytes,  ///< All that arrived is used up.
    kTurn,   ///< To be called again with what is left, which may be nothing: there is more to unpack.
  };
  /// Takes from the front of `bytes`, which moves on. Shape: the first has four bytes at least, unless it is all.
  /// Errors: kMalformed. Cost: what comes out can be ten thousand times as much, kUnpackedAtOnce of it a call: not for
  /// an I/O thread.
  Result<Wants> Arrived(ByteSpan& bytes, dp::UpdateIntake& intake, Xxh3Stream& digest);
  /// Once all has arrived. Errors: kMalformed when it was not what the intake waits for.
  [[nodiscard]] Result<void> CheckEnd(dp::UpdateIntake& intake) const;

 private:
  explicit CompressedPayload(Decompressor decompressor) : decompressor_(std::move(decompressor)) {}
  Decompressor decompressor_;
  std::size_t filled_ = 0;  // of the piece that is next
};

}  // namespace tacit::api
