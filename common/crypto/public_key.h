#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "common/base/bytes.h"

struct evp_pkey_st;

namespace tacit::crypto {

/// How the tokens of an issuer are signed. Source: RFC 7518, sections 3.3 and 3.4.
enum class TokenSignature : std::uint8_t {
  kRs256,  ///< RSASSA-PKCS1-v1_5 with SHA-256.
  kEs256,  ///< ECDSA on P-256 with SHA-256; 32 bytes of r and 32 of s.
};
/// `RS256` or `ES256`.
std::string_view NameOf(TokenSignature signature);

/// The public key of somebody else who signs. A key is for one kind of signature only, so that what is signed can never
/// choose how it is checked (RFC 8725, section 3.1). Threads: any; copies share the key.
class PublicKey {
 public:
  /// Big-endian, as in a JSON Web Key. Source: RFC 7518, section 6.3.1.
  struct RsaNumbers {
    ByteSpan modulus;
    ByteSpan exponent;
  };
  /// Errors: kInvalidArgument for a modulus that is even or not of 2048 to 8192 bits, or an exponent that is even,
  /// below 65537 or longer than 8 bytes (FIPS 186-5, appendix A.1.1; larger ones only make a check slow).
  static Result<PublicKey> FromRsa(const RsaNumbers& numbers);

  /// Source: RFC 7518, section 6.2.1.
  struct Point {
    ByteSpan x;
    ByteSpan y;
  };
  /// Errors: kInvalidArgument for coordinates that are not of 32 bytes, or for a point that is not on the curve.
  static Result<PublicKey> FromP256(const Point& point);

  /// The only kind of signature that the key checks.
  [[nodiscard]] TokenSignature signature() const { return signature_; }
  /// Whether the owner of the key has signed `message`. Cost: 20 to 100 us, and 0.5 ms for the longest RSA keys.
  [[nodiscard]] bool Verify(ByteSpan message, ByteSpan signature) const;

 private:
  PublicKey(evp_pkey_st* owned, TokenSignature signature);

  std::shared_ptr<evp_pkey_st> key_;
  TokenSignature signature_;
};

}  // namespace tacit::crypto
