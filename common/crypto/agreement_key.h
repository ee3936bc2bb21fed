#pragma once

#include <array>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/secret.h"

namespace tacit::crypto {

/// A point of P-256 that is not at infinity, uncompressed. Source: SEC 1 version 2.0, section 2.3.3.
using P256Point = std::array<std::uint8_t, 65>;

/// The private half of a P-256 key that only agrees on secrets, wherever it is kept: it need not be in this process.
/// Threads: one at a time.
class AgreementKey {
 public:
  virtual ~AgreementKey() = default;

  [[nodiscard]] virtual const P256Point& public_key() const = 0;

  /// The x coordinate of this key times `peer`. Errors: kInvalidArgument where `peer` is no point of the curve;
  /// kUnavailable where what keeps the key does not answer. Source: NIST SP 800-56A revision 3, section 5.7.1.2.
  virtual Result<SecretKey> Agree(const P256Point& peer) = 0;
};

}  // namespace tacit::crypto
