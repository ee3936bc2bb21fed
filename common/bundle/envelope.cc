#include "common/bundle/envelope.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/bundle/canonical_json.h"

namespace tacit::bundle {
namespace {

constexpr std::string_view kEnvelopeWhat = "the envelope";

std::string ToJson(const Envelope& envelope) {
  std::string signatures;
  for (const EnvelopeSignature& signature : envelope.signatures) {
    ObjectWriter writer;
    writer.Text("keyid", signature.key_id).Text("sig", ToBase64(signature.signature));
    signatures += (signatures.empty() ? "" : ",") + std::move(writer).Take();
  }
  ObjectWriter writer;
  writer.Text("payload", ToBase64(AsBytes(envelope.payload)))
      .Text("payloadType", envelope.payload_type)
      .Json("signatures", '[' + signatures + ']');
  return std::move(writer).Take();
}

void Sign(Envelope& envelope, const crypto::SigningKey& key) {
  auto& all = envelope.signatures;
  auto place = std::ranges::lower_bound(all, key.key_id(), {}, &EnvelopeSignature::key_id);
  if (place == all.end() || place->key_id != key.key_id())
    place = all.insert(place, {.key_id = key.key_id(), .signature = {}});
  place->signature = key.Sign(PreAuthEncoding(envelope.payload_type, envelope.payload));
}

Result<EnvelopeSignature> ReadSignature(const nlohmann::json& json) {
  if (!json.is_object()) return Fail(ErrorCode::kMalformed, "the envelope: a signature is not an object");
  const ObjectReader reader(json, kEnvelopeWhat);
  // Read as a digest, so that it is plain text of one length.
  TACIT_TRY(const Digest256 key_id, reader.Digest("keyid"));
  TACIT_TRY(const std::string text, reader.Text("sig"));
  EnvelopeSignature signature{.key_id = ToHex(key_id), .signature = {}};
  const auto bytes = ParseBase64(text);
  if (!bytes || bytes->size() != signature.signature.size())
    return Fail(ErrorCode::kMalformed, "the envelope: 'sig' must be 64 bytes in base64");
  std::ranges::copy(*bytes, signature.signature.begin());
  return signature;
}

Result<std::vector<EnvelopeSignature>> ReadSignatures(const nlohmann::json& json) {
  if (!json.is_array() || json.empty() || json.size() > kMostSigners)
    return Fail(ErrorCode::kMalformed, "the envelope: 'signatures' must be 1 to " + std::to_string(kMostSigners));
  std::vector<EnvelopeSignature> signatures;
  for (const nlohmann::json& item : json) {
    TACIT_TRY(EnvelopeSignature signature, ReadSignature(item));
    if (!signatures.empty() && signatures.back().key_id >= signature.key_id)
      return Fail(ErrorCode::kMalformed, "the envelope: two signatures by one key, or not in the order of their keys");
    signatures.push_back(std::move(signature));
  }
  return signatures;
}

}  // namespace

Bytes PreAuthEncoding(std::string_view payload_type, std::string_view payload) {
  std::string text = "DSSEv1 " + std::to_string(payload_type.size()) + ' ';
  text += payload_type;
  text += ' ' + std::to_string(payload.size()) + ' ';
  text += payload;
  return {text.begin(), text.end()};
}

std::string SignEnvelope(std::string_view payload_type, std::string_view payload,
                         std::span<const crypto::SigningKey> keys) {
  TACIT_CHECK(!keys.empty() && keys.size() <= kMostSigners, "callers bound who signs");
  Envelope envelope{.payload_type = std::string(payload_type), .payload = std::string(payload), .signatures = {}};
  for (const crypto::SigningKey& key : keys) Sign(envelope, key);
  TACIT_CHECK(envelope.signatures.size() == keys.size(), "keys are all different");
  return ToJson(envelope);
}

Result<std::string> Cosign(std::string_view envelope, const crypto::SigningKey& key) {
  TACIT_TRY(Envelope parsed, ParseEnvelope(envelope));
  Sign(parsed, key);
  if (parsed.signatures.size() > kMostSigners)
    return Fail(ErrorCode::kInvalidArgument, "the envelope holds as many signatures as one may");
  return ToJson(parsed);
}

Result<Envelope> ParseEnvelope(std::string_view text) {
  TACIT_TRY(const nlohmann::json json, ParseObject(text, kEnvelopeWhat, kLongestEnvelope));
  const ObjectReader reader(json, kEnvelopeWhat);
  TACIT_TRY(std::string payload_type, reader.Text("payloadType"));
  TACIT_TRY(const std::string base64, reader.Text("payload"));
  const auto payload = ParseBase64(base64);
  if (!payload) return Annotate(payload.error(), "the envelope: 'payload'");
  if (!IsPlain(payload_type)) return Fail(ErrorCode::kMalformed, "the envelope: 'payloadType' must be plain text");
  const auto found = json.find("signatures");
  TACIT_TRY(auto signatures, ReadSignatures(found == json.end() ? nlohmann::json() : *found));
  Envelope envelope{.payload_type = std::move(payload_type),
                    .payload = std::string(AsText(*payload)),
                    .signatures = std::move(signatures)};
  TACIT_TRY_VOID(CheckCanonical(text, ToJson(envelope), kEnvelopeWhat));
  return envelope;
}

Result<SignerSet> SignerSet::Create(std::vector<crypto::Ed25519PublicKey> keys, std::size_t threshold) {
  if (keys.empty() || keys.size() > kMostSigners) {
    return Fail(ErrorCode::kInvalidArgument,
                "the keys that models are signed with must be 1 to " + std::to_string(kMostSigners));
  }
  if (threshold < 1 || threshold > keys.size()) {
    return Fail(ErrorCode::kInvalidArgument, "of " + Counted(keys.size(), "key") + ", " + std::to_string(threshold) +
                                                 " cannot be how many must have signed");
  }
  std::ranges::sort(keys);
  if (std::ranges::adjacent_find(keys) != keys.end())
    return Fail(ErrorCode::kInvalidArgument, "a key that models are signed with is given twice");
  std::vector<Signer> signers;
  for (const crypto::Ed25519PublicKey& key : keys) signers.push_back({.key_id = crypto::KeyIdOf(key), .key = key});
  return SignerSet(std::move(signers), threshold);
}

Result<void> SignerSet::CheckSignatures(const Envelope& envelope) const {
  const Bytes message = PreAuthEncoding(envelope.payload_type, envelope.payload);
  std::size_t good = 0;
  for (const EnvelopeSignature& signature : envelope.signatures) {
    const auto signer = std::ranges::find(signers_, signature.key_id, &Signer::key_id);
    if (signer == signers_.end()) continue;
    if (!crypto::Verify(signer->key, message, signature.signature))
      return Fail(ErrorCode::kUnauthenticated, "the signature by key " + signature.key_id + " is wrong");
    ++good;
  }
  if (good >= threshold_) return {};
  return Fail(ErrorCode::kUnauthenticated, "signed by " + Counted(good, "trusted key") + ", of " +
                                               std::to_string(threshold_) + " that must have signed");
}

Result<std::string> SignerSet::Open(std::string_view envelope, std::string_view payload_type) const {
  TACIT_TRY(Envelope parsed, ParseEnvelope(envelope));
  if (parsed.payload_type != payload_type) {
    return Fail(ErrorCode::kMalformed,
                "the envelope holds " + Excerpt(parsed.payload_type) + " and not '" + std::string(payload_type) + "'");
  }
  TACIT_TRY_VOID(CheckSignatures(parsed));
  return std::move(parsed.payload);
}

}  // namespace tacit::bundle
