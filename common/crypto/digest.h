#pragma once

#include <memory>

#include "common/base/bytes.h"

struct evp_md_ctx_st;

namespace tacit::crypto {

/// SHA-256. Source: FIPS 180-4.
Digest256 Sha256(ByteSpan bytes);

/// SHA-256 of bytes that arrive in parts.
class Sha256Stream {
 public:
  Sha256Stream();
  void Update(ByteSpan bytes);
  /// The digest of all bytes so far; the stream may not be used again.
  [[nodiscard]] Digest256 Finish();

 private:
  struct ContextDeleter {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, ContextDeleter> context_;
};

/// Whether `a` and `b` are the same bytes, in time that depends on their sizes only: for tokens, tags and fingerprints.
bool ConstantTimeEqual(ByteSpan a, ByteSpan b);

}  // namespace tacit::crypto
