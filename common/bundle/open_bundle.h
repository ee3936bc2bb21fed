#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/rollback_guard.h"
#include "common/bundle/byte_source.h"
#include "common/bundle/envelope.h"
#include "common/bundle/head.h"
#include "common/bundle/lease.h"
#include "common/bundle/ticket.h"
#include "common/crypto/agreement_key.h"

namespace tacit::bundle {

/// What a bundle is opened for.
enum class Purpose : std::uint8_t {
  kInstall,  ///< To take the place of another version: it must be above all that were in use.
  kLoad,     ///< To be used, again or for the first time: the highest that was in use, or one above it.
};

/// What a device knows that decides whether it takes a bundle. All that is referred to outlives the opening.
struct Opening {
  const DeviceId& device;
  const ModelName& model;           ///< Which one the guard guards.
  const SignerSet& bundle_signers;  ///< Who may sign manifests.
  const SignerSet& lease_signers;   ///< Who may sign leases.
  RollbackGuard& guard;             ///< Is asked only: the caller records the version once it is in use.
  const Clock& clock;
  crypto::AgreementKey& key;
  std::uint64_t key_epoch;        ///< The number of `key`.
  std::uint64_t minimum_version;  ///< The highest that any manifest believed so far named; 0 for none.
  Purpose purpose;
};

/// A bundle that this device may use now, of which no chunk has been read yet. Threads: one.
class OpenedBundle {
 public:
  [[nodiscard]] const Manifest& manifest() const { return head_.manifest; }
  /// When the key has to be forgotten.
  [[nodiscard]] const LeaseTerms& lease() const { return terms_; }

  /// What another process needs to do what ReadInto does. Instead of it, and once only.
  [[nodiscard]] PayloadTicket Ticket() &&;
  /// Writes the plaintext into `memory`, of exactly the size that the manifest names, and nowhere else: one chunk of
  /// ciphertext is all that it takes beside. Each chunk is verified before the next is read; until all of them are, and
  /// the plaintext's digest with them, nothing in `memory` may be used, and on failure it holds zeros. Once only.
  /// Errors: kDataLoss where a chunk was changed, is of another place or bundle, where bytes are missing or too many,
  /// or where the plaintext is not the one that was signed; what the source says. Cost: about 0.9 ns a byte, two thirds
  /// of it for the digest.
  Result<void> ReadInto(std::span<std::uint8_t> memory) &&;

 private:
  friend Result<OpenedBundle> OpenBundle(ByteSource& source, std::string_view lease, const Opening& opening);
  OpenedBundle(ByteSource& source, BundleHead head, LeaseTerms terms, crypto::SecretKey payload_key);

  ByteSource& source_;
  BundleHead head_;
  LeaseTerms terms_;
  crypto::SecretKey payload_key_;
};

/// Whether this device may take the model that a believed manifest describes. Errors: kPermissionDenied for a bundle
/// that was made for another device; kInvalidArgument for another model; kConflict for a version that may not follow
/// what was in use; kGone for one below `minimum_version`; what the guard says.
Result<void> CheckAdmissible(const Manifest& manifest, const Opening& opening);

/// Reads the head of a bundle from `source`, which outlives the result, and asks, in this order: who signed it
/// (ReadHead), whether this device may take it (CheckAdmissible), who signed the lease (Lease::Parse), whether that is
/// for this device, bundle and moment (Lease::Check), and whether its key is the bundle's.
/// Errors: those of each; kDataLoss where the lease holds another content key.
Result<OpenedBundle> OpenBundle(ByteSource& source, std::string_view lease, const Opening& opening);

}  // namespace tacit::bundle
