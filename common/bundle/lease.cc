#include "common/bundle/lease.h"

#include <utility>

#include "common/bundle/canonical_json.h"
#include "common/crypto/hpke.h"

namespace tacit::bundle {
namespace {

constexpr std::string_view kLeaseWhat = "the lease";
constexpr std::size_t kWrappedSize = crypto::SecretKey::kSize + crypto::kHpkeOverhead;

std::uint64_t MillisOf(WallTime time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

Result<void> CheckTerms(const LeaseTerms& terms) {
  if (terms.key_epoch < 1 || terms.key_epoch > kMostWhole)
    return Fail(ErrorCode::kInvalidArgument, "the lease: keys of a device are counted from 1");
  // A time before 1970 is a number over all others here.
  if (MillisOf(terms.not_before) >= MillisOf(terms.expires) || MillisOf(terms.expires) > kMostWhole)
    return Fail(ErrorCode::kInvalidArgument, "the lease must end after it begins");
  return {};
}

std::string JsonOf(const LeaseTerms& terms, ByteSpan wrapped) {
  ObjectWriter writer;
  writer.Text("device", terms.device.str())
      .Whole("expires_ms", MillisOf(terms.expires))
      .Whole("key_epoch", terms.key_epoch)
      .Digest("manifest", terms.manifest)
      .Whole("not_before_ms", MillisOf(terms.not_before))
      .Text("wrapped_key", ToBase64(wrapped));
  return std::move(writer).Take();
}

// What the wrap is bound to: all the terms, so that nobody can put a wrapped key under others, signed or not.
Bytes WrapInfo(const LeaseTerms& terms) {
  return ByteWriter()
      .Text("tacit.dev/model-lease/v1")
      .Raw(terms.manifest)
      .Text(terms.device.str())
      .U64(terms.key_epoch)
      .U64(MillisOf(terms.not_before))
      .U64(MillisOf(terms.expires))
      .bytes();
}

WallTime TimeOf(std::uint64_t millis) {
  return WallTime(Millis(static_cast<std::int64_t>(millis)));
}

Result<LeaseTerms> ReadTerms(const ObjectReader& reader) {
  TACIT_TRY(const std::string name, reader.Text("device"));
  auto device = DeviceId::Parse(name);
  if (!device) return Fail(ErrorCode::kMalformed, std::string(kLeaseWhat) + ": " + device.error().message);
  TACIT_TRY(const Digest256 manifest, reader.Digest("manifest"));
  TACIT_TRY(const std::uint64_t key_epoch, reader.Whole("key_epoch"));
  TACIT_TRY(const std::uint64_t not_before, reader.Whole("not_before_ms"));
  TACIT_TRY(const std::uint64_t expires, reader.Whole("expires_ms"));
  LeaseTerms terms{.device = *std::move(device),
                   .manifest = manifest,
                   .key_epoch = key_epoch,
                   .not_before = TimeOf(not_before),
                   .expires = TimeOf(expires)};
  if (const auto good = CheckTerms(terms); !good) return Fail(ErrorCode::kMalformed, good.error().message);
  return terms;
}

}  // namespace

Result<Lease> Lease::Parse(std::string_view text, const SignerSet& signers) {
  auto payload = signers.Open(text, kLeaseType);
  if (!payload) return Annotate(payload.error(), kLeaseWhat);
  TACIT_TRY(const nlohmann::json json, ParseObject(*payload, kLeaseWhat, kLongest));
  const ObjectReader reader(json, kLeaseWhat);
  TACIT_TRY(LeaseTerms terms, ReadTerms(reader));
  TACIT_TRY(const std::string base64, reader.Text("wrapped_key"));
  auto wrapped = ParseBase64(base64);
  if (!wrapped || wrapped->size() != kWrappedSize) {
    return Fail(ErrorCode::kMalformed,
                "the lease: 'wrapped_key' must be " + std::to_string(kWrappedSize) + " bytes in base64");
  }
  TACIT_TRY_VOID(CheckCanonical(*payload, JsonOf(terms, *wrapped), kLeaseWhat));
  return Lease(std::move(terms), *std::move(wrapped));
}

Result<void> Lease::Check(const Use& use) const {
  if (terms_.device != use.device) {
    return Fail(ErrorCode::kPermissionDenied,
                "the lease is for device '" + terms_.device.str() + "', and this is '" + use.device.str() + "'");
  }
  if (terms_.key_epoch != use.key_epoch) {
    return Fail(ErrorCode::kPermissionDenied, "the lease is for key " + std::to_string(terms_.key_epoch) +
                                                  " of this device, which has key " + std::to_string(use.key_epoch) +
                                                  " now: fetch another");
  }
  if (terms_.manifest != use.manifest) {
    return Fail(ErrorCode::kConflict, "the lease is for the bundle with manifest " + ToHex(terms_.manifest) +
                                          ", and this one has " + ToHex(use.manifest));
  }
  if (use.now < terms_.not_before) {
    return Fail(ErrorCode::kUnavailable, "the lease begins at " + FormatRfc3339(terms_.not_before) +
                                             ", and the clock shows " + FormatRfc3339(use.now));
  }
  if (use.now >= terms_.expires) {
    return Fail(ErrorCode::kGone, "the lease ended at " + FormatRfc3339(terms_.expires) + ", and the clock shows " +
                                      FormatRfc3339(use.now) + ": fetch another");
  }
  return {};
}

Result<crypto::SecretKey> Lease::Unwrap(crypto::AgreementKey& key) const {
  auto bytes = crypto::HpkeOpen(key, {.info = WrapInfo(terms_), .aad = {}}, wrapped_);
  if (!bytes) return Annotate(bytes.error(), "the lease's key");
  auto content_key = crypto::SecretKey::FromBytes(*bytes);
  crypto::Zeroise(*bytes);
  return content_key;
}

Result<std::string> IssueLease(const LeaseOrder& order, std::span<const crypto::SigningKey> keys) {
  TACIT_TRY_VOID(CheckTerms(order.terms));
  TACIT_TRY(const Bytes wrapped,
            crypto::HpkeSeal(order.recipient, {.info = WrapInfo(order.terms), .aad = {}}, order.content_key.bytes()));
  return SignEnvelope(kLeaseType, JsonOf(order.terms, wrapped), keys);
}

}  // namespace tacit::bundle
