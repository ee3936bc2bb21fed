#include "common/base/sealer.h"

#include <algorithm>

namespace tacit {

Result<Bytes> Sealer::Seal(ByteSpan plaintext, ByteSpan context) const {
  Bytes sealed(SealedSize(plaintext.size()));
  const auto copy = [&](std::size_t at, std::span<std::uint8_t> block) {
    std::ranges::copy(plaintext.subspan(at, block.size()), block.begin());
  };
  TACIT_TRY_VOID(Seal(plaintext.size(), copy, context, sealed));
  return sealed;
}

Result<Bytes> Sealer::Open(ByteSpan sealed, ByteSpan context) const {
  Bytes plaintext;
  TACIT_TRY_VOID(Open(sealed, context, [&](std::size_t /*at*/, ByteSpan block) {
    plaintext.insert(plaintext.end(), block.begin(), block.end());
  }));
  return plaintext;
}

}  // namespace tacit
