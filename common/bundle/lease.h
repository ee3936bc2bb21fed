#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/bundle/envelope.h"
#include "common/crypto/agreement_key.h"
#include "common/crypto/secret.h"

namespace tacit::bundle {

/// The type that the envelope of a lease names.
inline constexpr std::string_view kLeaseType = "application/vnd.tacit.model-lease.v1+json";

/// Who may open which bundle, and from when to when.
struct LeaseTerms {
  DeviceId device;
  Digest256 manifest;       ///< Manifest::digest of the bundle.
  std::uint64_t key_epoch;  ///< How many keys to agree with the device has had, from 1.
  WallTime not_before;
  WallTime expires;  ///< From then on the lease opens nothing.
};

/// A content key for one device, wrapped for the key that it agrees with, and signed: until its end it opens one
/// bundle there. Threads: const members from any. Source: docs/MODEL_FILES.md.
class Lease {
 public:
  /// The longest text of a lease.
  static constexpr std::size_t kLongest = kLongestEnvelope;

  /// Errors: as SignerSet::Open; kMalformed where the text is not the canonical one of a lease.
  static Result<Lease> Parse(std::string_view text, const SignerSet& signers);

  [[nodiscard]] const LeaseTerms& terms() const { return terms_; }

  /// Who asks for the key, of which bundle, and when.
  struct Use {
    const DeviceId& device;
    const Digest256& manifest;
    std::uint64_t key_epoch;
    WallTime now;
  };
  /// Errors: kPermissionDenied for another device, or another key of this device; kConflict for another bundle;
  /// kUnavailable before the lease begins, and kGone from its end on.
  [[nodiscard]] Result<void> Check(const Use& use) const;

  /// The content key. Errors: kDataLoss where it was wrapped for another key, or on other terms; what `key` says.
  [[nodiscard]] Result<crypto::SecretKey> Unwrap(crypto::AgreementKey& key) const;

 private:
  Lease(LeaseTerms terms, Bytes wrapped) : terms_(std::move(terms)), wrapped_(std::move(wrapped)) {}

  LeaseTerms terms_;
  Bytes wrapped_;
};

/// To whom a lease goes, and what it opens.
struct LeaseOrder {
  const LeaseTerms& terms;
  const crypto::P256Point& recipient;
  const crypto::SecretKey& content_key;
};
/// The text of a lease, signed by each of `keys`.
/// Errors: kInvalidArgument for terms that hold at no time, for an epoch of 0, or a recipient that is no point.
Result<std::string> IssueLease(const LeaseOrder& order, std::span<const crypto::SigningKey> keys);

}  // namespace tacit::bundle
