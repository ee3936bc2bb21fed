#include "server/api/compressed_payload.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>

namespace tacit::api {
namespace {

std::unexpected<Error> WrongLength(const char* how) {
  return Fail(ErrorCode::kMalformed, std::string("the compressed payload unpacks to ") + how + " than its header says");
}

}  // namespace

Result<CompressedPayload> CompressedPayload::Create() {
  TACIT_TRY(Decompressor decompressor, Decompressor::Create());
  return CompressedPayload(std::move(decompressor));
}

Result<CompressedPayload::Wants> CompressedPayload::Arrived(ByteSpan& bytes, dp::UpdateIntake& intake,
                                                            Xxh3Stream& digest) {
  static_assert(kPiece % dp::UpdateIntake::kPieceUnit == 0);
  std::size_t unpacked = 0;
  while (!decompressor_.ended()) {
    if (unpacked >= kUnpackedAtOnce) return Wants::kTurn;
    const std::span<std::uint8_t> piece = intake.Rest().first(std::min(kPiece, intake.Rest().size()));
    if (piece.empty()) {
      // The end of the frame may still be outstanding, and nothing else may.
      std::array<std::uint8_t, 1> too_much{};
      TACIT_TRY(const std::size_t written, decompressor_.Unpack(bytes, too_much));
      if (written > 0) return WrongLength("more");
      break;
    }
    TACIT_TRY(const std::size_t written, decompressor_.Unpack(bytes, piece.subspan(filled_)));
    filled_ += written;
    unpacked += written;
    if (filled_ < piece.size()) break;
    digest.Update(piece);
    intake.Received(piece.size());
    filled_ = 0;
  }
  if (bytes.empty()) return Wants::kBytes;
  return Fail(ErrorCode::kMalformed, "something stands behind the end of the compressed payload");
}

Result<void> CompressedPayload::CheckEnd(dp::UpdateIntake& intake) const {
  if (!decompressor_.ended()) return Fail(ErrorCode::kMalformed, "the compressed payload is cut");
  if (!intake.Rest().empty()) return WrongLength("less");
  return {};
}

}  // namespace tacit::api
