#pragma once

#include <cstddef>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/compression/zstd.h"
#include "dp/update.h"

namespace tacit::api {

/// A compressed payload on its way to where it stays: what arrives is unpacked there, and goes on in the pieces in
/// which it would have arrived as it is. Guarantee: takes kMemoryBytes and the intake's memory, whatever arrives; more
/// than the intake has room for, less, a
///   frame that is damaged or cut, and anything behind its end are refused.
class CompressedPayload {
 public:
  static constexpr std::size_t kPiece = std::size_t{64} * 1024;
  /// What a reader reads at once.
  static constexpr std::size_t kArrivesAtOnce = std::size_t{16} * 1024;
  static constexpr std::size_t kMemoryBytes = Decompressor::kMemoryBytes + kArrivesAtOnce;

  /// Errors: as Decompressor::Create.
  static Result<CompressedPayload> Create();

  /// Shape: the first has four bytes at least, unless it is all. Errors: kMalformed.
  /// Cost: what comes out can be ten thousand times as much: not for an I/O thread.
  Result<void> Arrived(ByteSpan bytes, dp::UpdateIntake& intake, Xxh3Stream& digest);
  /// Once all has arrived. Errors: kMalformed when it was not what the intake waits for.
  [[nodiscard]] Result<void> CheckEnd(dp::UpdateIntake& intake) const;

 private:
  explicit CompressedPayload(Decompressor decompressor) : decompressor_(std::move(decompressor)) {}
  Decompressor decompressor_;
  std::size_t filled_ = 0;  // of the piece that is next
};

}  // namespace tacit::api
