#pragma once

#include "common/base/bytes.h"

namespace tacit {

/// Turns bytes into authenticated ciphertext and back; lets pure code be stored at rest without ever showing itself in
/// clear. Implemented by `crypto::Aes256GcmSealer`.
class Sealer {
 public:
  virtual ~Sealer() = default;
  /// `context` is authenticated with the ciphertext and must be given again to open it.
  virtual Result<Bytes> Seal(ByteSpan plaintext, ByteSpan context) const = 0;
  /// Errors: kDataLoss when the bytes were changed, cut, or sealed under another key or context.
  virtual Result<Bytes> Open(ByteSpan sealed, ByteSpan context) const = 0;
};

}  // namespace tacit
