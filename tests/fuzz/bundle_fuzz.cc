#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "common/bundle/head.h"
#include "common/bundle/lease.h"
#include "common/bundle/payload.h"
#include "common/crypto/soft_agreement_key.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace tacit::bundle;
using tacit::AsBytes;
using tacit::AsText;

// RFC 8032, section 7.1, test 3: what a search could not sign itself is signed here.
constexpr std::string_view kSigner =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIMWqjfQ/n4N77bdELzHct7Fm04U1B28JS4XOOi4LRFj3\n"
    "-----END PRIVATE KEY-----\n";

const std::vector<tacit::crypto::SigningKey>& Keys() {
  static const auto keys = [] {
    std::vector<tacit::crypto::SigningKey> made;
    made.push_back(*tacit::crypto::SigningKey::FromPem(kSigner));
    return made;
  }();
  return keys;
}

const SignerSet& Signers() {
  static const SignerSet signers = *SignerSet::Create({Keys().front().public_key()}, 1);
  return signers;
}

template <typename T>
bool Taken(const tacit::Result<T>& result) {
  TACIT_CHECK(result.has_value() || !result.error().message.empty(), "a refusal says why");
  return result.has_value();
}

void CheckFields(const Manifest& manifest) {
  const ManifestFields& fields = manifest.fields();
  TACIT_CHECK(fields.version >= 1 && fields.minimum_version <= fields.version, "versions in order");
  TACIT_CHECK(fields.plaintext_size >= 1 && fields.plaintext_size <= kMostPlaintext, "a bounded plaintext");
  TACIT_CHECK(SealedSizeOf(fields.plaintext_size) > fields.plaintext_size, "sizes that do not wrap");
  TACIT_CHECK(fields.detectors_size < fields.plaintext_size && fields.detectors_size <= kMostDetectors, "a model");
}

void CheckManifest(std::string_view text) {
  const auto manifest = Manifest::Parse(text);
  if (!Taken(manifest)) return;
  CheckFields(*manifest);
  TACIT_CHECK(manifest->json() == text, "one text");
}

void CheckStatement(std::string_view text) {
  const auto manifest = ParseStatement(text);
  if (!Taken(manifest)) return;
  CheckFields(*manifest);
  TACIT_CHECK(ToStatement(*manifest) == text, "one text");
}

void CheckEnvelope(std::string_view text) {
  const auto envelope = ParseEnvelope(text);
  (void)Taken(Signers().Open(text, kBundleType));
  if (!Taken(envelope)) return;
  TACIT_CHECK(text.size() <= kLongestEnvelope && envelope->signatures.size() <= kMostSigners, "bounded");
  const auto cosigned = Cosign(text, Keys().front());
  if (!Taken(cosigned)) return;
  TACIT_CHECK(Signers().Open(*cosigned, envelope->payload_type) == envelope->payload, "what was signed comes back");
}

void CheckHead(std::string_view text) {
  MemorySource source(AsBytes(text));
  const auto head = ReadHead(source, Signers());
  if (!Taken(head)) return;
  CheckFields(head->manifest);
  TACIT_CHECK(head->size <= text.size() && head->FileSize() > head->size, "what was read, and what is to come");
}

void CheckLease(std::string_view text) {
  const auto lease = Lease::Parse(text, Signers());
  if (!Taken(lease)) return;
  const LeaseTerms& terms = lease->terms();
  TACIT_CHECK(terms.not_before < terms.expires && terms.key_epoch >= 1, "terms that hold at some time");
  static auto key = *tacit::crypto::SoftAgreementKey::Generate();
  TACIT_CHECK(!lease->Unwrap(key), "nobody wrapped anything for this key");
}

void CheckSignedStatement(std::string_view text) {
  const std::string envelope = SignEnvelope(kBundleType, text, Keys());
  const auto made = MakeHead(envelope);
  if (!Taken(made)) return;
  MemorySource source(made->bytes);
  const auto head = ReadHead(source, Signers());
  TACIT_CHECK(head && head->digest == made->head.digest && head->size == made->bytes.size(), "what was made is read");
}

void CheckSignedLease(std::string_view text) {
  CheckLease(SignEnvelope(kLeaseType, text, Keys()));
}

// Nobody who has not the key makes a chunk that opens.
void CheckChunk(std::string_view text) {
  static const auto manifest = *Manifest::Create({.model = *ModelName::Parse("m"),
                                                  .task = *tacit::TaskId::Parse("t"),
                                                  .version = 1,
                                                  .minimum_version = 1,
                                                  .engine_format = 1,
                                                  .plaintext_size = 20,
                                                  .plaintext_digest = {},
                                                  .schema_digest = {},
                                                  .content_key = {},
                                                  .predecessor = std::nullopt,
                                                  .receipt = std::nullopt,
                                                  .detector_calibration = std::nullopt,
                                                  .watermark_commitment = std::nullopt,
                                                  .device = std::nullopt,
                                                  .made_at = {}});
  static const auto key = tacit::crypto::SecretKey::Random();
  tacit::Bytes sealed(36);
  std::ranges::copy(text.substr(0, sealed.size()), sealed.begin());
  tacit::Bytes plaintext(20, 1);
  TACIT_CHECK(!PayloadCipher(key, manifest).Open(0, sealed, plaintext), "forged");
  TACIT_CHECK(plaintext == tacit::Bytes(20, 0), "nothing is left of what did not open");
}

}  // namespace

/// A bundle and a lease as something in the server's place would send them, and their parts behind a good signature.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr void (*kChecks[])(std::string_view) = {&CheckManifest,    &CheckStatement, &CheckEnvelope,
                                                   &CheckHead,        &CheckLease,     &CheckSignedStatement,
                                                   &CheckSignedLease, &CheckChunk};
  kChecks[data[0] % std::size(kChecks)](AsText({data + 1, size - 1}));
  return 0;
}
