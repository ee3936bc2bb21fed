#include "common/bundle/open_bundle.h"

#include <string>
#include <utility>

#include "common/bundle/payload.h"

namespace tacit::bundle {
namespace {

Result<void> CheckVersion(std::uint64_t version, const Opening& opening) {
  if (version < opening.minimum_version) {
    return Fail(ErrorCode::kGone, "version " + std::to_string(version) + " was withdrawn: a signed manifest asks for " +
                                      std::to_string(opening.minimum_version) + " at least");
  }
  TACIT_TRY(const std::uint64_t highest, opening.guard.Highest());
  if (version > highest || (version == highest && opening.purpose == Purpose::kLoad)) return {};
  return Fail(ErrorCode::kConflict, "version " + std::to_string(version) + " cannot follow version " +
                                        std::to_string(highest) + ", which was in use here");
}

}  // namespace

OpenedBundle::OpenedBundle(ByteSource& source, BundleHead head, LeaseTerms terms, crypto::SecretKey payload_key)
    : source_(source), head_(std::move(head)), terms_(std::move(terms)), payload_key_(std::move(payload_key)) {}

PayloadTicket OpenedBundle::Ticket() && {
  const ManifestFields& fields = head_.manifest.fields();
  return {.key = std::move(payload_key_),
          .manifest = head_.manifest.digest(),
          .plaintext_digest = fields.plaintext_digest,
          .plaintext_size = fields.plaintext_size,
          .offset = head_.size,
          .detectors_size = fields.detectors_size,
          .calibration = fields.detector_calibration.value_or(Digest256{})};
}

Result<void> OpenedBundle::ReadInto(std::span<std::uint8_t> memory) && {
  return ReadPayload(source_, std::move(*this).Ticket(), memory);
}

Result<void> OpenedBundle::Verify() && {
  return VerifyPayload(source_, std::move(*this).Ticket());
}

Result<void> CheckAdmissible(const Manifest& manifest, const Opening& opening) {
  const ManifestFields& fields = manifest.fields();
  if (fields.model != opening.model) {
    return Fail(ErrorCode::kInvalidArgument,
                "the bundle is of model '" + fields.model.str() + "', and not of '" + opening.model.str() + "'");
  }
  if (fields.device && *fields.device != opening.device) {
    return Fail(ErrorCode::kPermissionDenied, "the bundle was made for device '" + fields.device->str() +
                                                  "', and this is '" + opening.device.str() + "'");
  }
  return CheckVersion(fields.version, opening);
}

Result<OpenedBundle> OpenBundle(ByteSource& source, std::string_view lease, const Opening& opening) {
  TACIT_TRY(BundleHead head, ReadHead(source, opening.bundle_signers));
  TACIT_TRY_VOID(CheckAdmissible(head.manifest, opening));
  TACIT_TRY(const Lease parsed, Lease::Parse(lease, opening.lease_signers));
  TACIT_TRY_VOID(parsed.Check({.device = opening.device,
                               .manifest = head.manifest.digest(),
                               .key_epoch = opening.key_epoch,
                               .now = opening.clock.Now()}));
  TACIT_TRY(const crypto::SecretKey content_key, parsed.Unwrap(opening.key));
  if (ContentKeyId(content_key) != head.manifest.fields().content_key)
    return Fail(ErrorCode::kDataLoss, "the lease holds another key than the one that the bundle was sealed with");
  crypto::SecretKey payload_key = PayloadKey(content_key, head.digest);
  return OpenedBundle(source, std::move(head), parsed.terms(), std::move(payload_key));
}

}  // namespace tacit::bundle
