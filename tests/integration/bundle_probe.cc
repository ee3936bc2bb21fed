// Makes a model bundle with its lease and opens one, as a server and a device do, for the test that reads and writes
// the same files without this code.
//   bundle_probe seal DIRECTORY   reads plaintext; writes device.der, signer.pub, model.tacit and lease.json
//   bundle_probe open DIRECTORY   reads device.der, signer.pub, model.tacit and lease.json; writes opened

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/files.h"
#include "common/bundle/open_bundle.h"
#include "common/bundle/sealed_bundle.h"
#include "common/crypto/digest.h"
#include "common/crypto/soft_agreement_key.h"

namespace {

using namespace tacit;
using std::filesystem::path;

constexpr std::size_t kLargestFile = std::size_t{64} << 20U;

class FirstUse final : public RollbackGuard {
 public:
  Result<std::uint64_t> Highest() override { return 0; }
  Result<void> Record(std::uint64_t /*version*/) override { return {}; }
};

Result<void> Write(const path& file, ByteSpan bytes) {
  return WriteFileAtomic(file, bytes, kOwnerOnly);
}

Result<bundle::Manifest> ManifestOf(ByteSpan plaintext, const crypto::SecretKey& content_key) {
  TACIT_TRY(bundle::ModelName model, bundle::ModelName::Parse("har"));
  TACIT_TRY(TaskId task, TaskId::Parse("har-2"));
  const Digest256 some = crypto::Sha256(AsBytes("some"));
  return bundle::Manifest::Create({.model = std::move(model),
                                   .task = std::move(task),
                                   .version = 7,
                                   .minimum_version = 2,
                                   .engine_format = 1,
                                   .plaintext_size = plaintext.size(),
                                   .plaintext_digest = crypto::Sha256(plaintext),
                                   .schema_digest = some,
                                   .content_key = bundle::ContentKeyId(content_key),
                                   .predecessor = some,
                                   .receipt = some,
                                   .detector_calibration = std::nullopt,
                                   .watermark_commitment = some,
                                   .device = std::nullopt,
                                   .made_at = SystemClock().Now()});
}

Result<std::string> LeaseOf(const bundle::Manifest& manifest, const crypto::P256Point& recipient,
                            const crypto::SecretKey& content_key, const std::vector<crypto::SigningKey>& signers) {
  TACIT_TRY(DeviceId device, DeviceId::Parse("pump-3"));
  const WallTime now = SystemClock().Now();
  const bundle::LeaseTerms terms{.device = std::move(device),
                                 .manifest = manifest.digest(),
                                 .key_epoch = 4,
                                 .not_before = now,
                                 .expires = now + std::chrono::hours(24)};
  return bundle::IssueLease({.terms = terms, .recipient = recipient, .content_key = content_key}, signers);
}

Result<void> Seal(const path& directory) {
  TACIT_TRY(Bytes plaintext, ReadFile(directory / "plaintext", kLargestFile));
  TACIT_TRY(const auto device_key, crypto::SoftAgreementKey::Generate());
  TACIT_TRY(auto signer, crypto::SigningKey::Generate());
  const auto content_key = crypto::SecretKey::Random();
  TACIT_TRY_VOID(Write(directory / "device.der", device_key.ToPkcs8()));
  TACIT_TRY_VOID(Write(directory / "signer.pub", signer.public_key()));
  std::vector<crypto::SigningKey> signers;
  signers.push_back(std::move(signer));
  TACIT_TRY(const bundle::Manifest manifest, ManifestOf(plaintext, content_key));
  TACIT_TRY(const std::string lease, LeaseOf(manifest, device_key.public_key(), content_key, signers));
  TACIT_TRY_VOID(Write(directory / "lease.json", AsBytes(lease)));
  TACIT_TRY(const auto sealed, bundle::SealedBundle::Create(bundle::SignManifest(manifest, signers), content_key,
                                                            SharedBytes::Of(std::move(plaintext))));
  Bytes file(sealed.size());
  sealed.Read(0, file);
  return Write(directory / "model.tacit", file);
}

Result<void> Open(const path& directory) {
  TACIT_TRY(const Bytes der, ReadFile(directory / "device.der", 4096));
  TACIT_TRY(auto key, crypto::SoftAgreementKey::FromPkcs8(der));
  crypto::Ed25519PublicKey signer{};
  TACIT_TRY_VOID(ReadFileInto(directory / "signer.pub", signer));
  TACIT_TRY(const auto signers, bundle::SignerSet::Create({signer}, 1));
  TACIT_TRY(const DeviceId device, DeviceId::Parse("pump-3"));
  TACIT_TRY(const bundle::ModelName model, bundle::ModelName::Parse("har"));
  TACIT_TRY(const Bytes lease, ReadFile(directory / "lease.json", bundle::Lease::kLongest));
  TACIT_TRY(auto source, bundle::FileSource::Open(directory / "model.tacit"));
  FirstUse guard;
  const SystemClock clock;
  TACIT_TRY(auto opened, bundle::OpenBundle(source, AsText(lease),
                                            {.device = device,
                                             .model = model,
                                             .bundle_signers = signers,
                                             .lease_signers = signers,
                                             .guard = guard,
                                             .clock = clock,
                                             .key = key,
                                             .key_epoch = 4,
                                             .minimum_version = 0,
                                             .purpose = bundle::Purpose::kInstall}));
  Bytes plaintext(opened.manifest().fields().plaintext_size);
  TACIT_TRY_VOID(std::move(opened).ReadInto(plaintext));
  return Write(directory / "opened", plaintext);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const std::string_view what = arguments[1];
  const Result<void> done = what == "seal"   ? Seal(arguments[2])
                            : what == "open" ? Open(arguments[2])
                                             : Fail(ErrorCode::kInvalidArgument, "seal or open");
  if (done) return 0;
  std::fprintf(stderr, "%s\n", done.error().message.c_str());
  return 1;
}
