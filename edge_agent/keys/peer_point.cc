#include "edge_agent/keys/peer_point.h"

#include "common/crypto/public_key.h"

namespace tacit::keys {

Result<void> CheckPeer(const crypto::P256Point& peer) {
  constexpr std::uint8_t kUncompressed = 4;  // SEC 1 version 2.0, section 2.3.3
  constexpr std::size_t kCoordinate = 32;
  const ByteSpan coordinates = ByteSpan(peer).subspan(1);
  if (peer.front() != kUncompressed) return Fail(ErrorCode::kInvalidArgument, "not an uncompressed point");
  TACIT_TRY_VOID(
      crypto::PublicKey::FromP256({.x = coordinates.first(kCoordinate), .y = coordinates.last(kCoordinate)}));
  return {};
}

}  // namespace tacit::keys
