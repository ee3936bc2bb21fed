#pragma once

#include "common/base/bytes.h"
#include "common/crypto/aead.h"
#include "common/crypto/agreement_key.h"

// Hybrid public key encryption of one message: mode base, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
// Whoever has the public key can seal, so an opened message says nothing about who wrote it.
namespace tacit::crypto {

/// What both sides must know alike.
struct HpkeBinding {
  ByteSpan info;  ///< What the key is for: at most 1 KiB.
  ByteSpan aad;   ///< What is authenticated with the message.
};

/// By how much a sealed message is longer: the encapsulated key in front and the tag behind.
inline constexpr std::size_t kHpkeOverhead = P256Point{}.size() + Aead::kTagSize;

/// `plaintext` for the owner of `recipient`: the encapsulated key (65 bytes), ciphertext, tag.
/// Errors: kInvalidArgument where `recipient` is no point of the curve. Source: RFC 9180, sections 4.1, 5.1.1 and 6.1.
Result<Bytes> HpkeSeal(const P256Point& recipient, const HpkeBinding& binding, ByteSpan plaintext);

/// What was sealed for `key`; the caller overwrites it after use.
/// Errors: kMalformed for too few bytes to be sealed ones; kInvalidArgument where they do not begin with a point;
/// kDataLoss where they do not open: changed, or sealed for another key or binding; what `key` says.
Result<Bytes> HpkeOpen(AgreementKey& key, const HpkeBinding& binding, ByteSpan sealed);

/// Both with another cipher, and with the ephemeral key given, which must be used once: for the published vectors.
struct HpkeSender {
  AeadKind aead;
  AgreementKey& ephemeral;
};
Result<Bytes> HpkeSealAs(const HpkeSender& sender, const P256Point& recipient, const HpkeBinding& binding,
                         ByteSpan plaintext);
Result<Bytes> HpkeOpenAs(AeadKind aead, AgreementKey& key, const HpkeBinding& binding, ByteSpan sealed);

}  // namespace tacit::crypto
