#include "edge_agent/keys/file_key.h"

#include <string_view>
#include <utility>

#include "common/crypto/random.h"
#include "common/crypto/sealer.h"
#include "common/crypto/soft_agreement_key.h"

namespace tacit::keys {
namespace {

constexpr std::size_t kLargestSecret = 4096;
constexpr std::size_t kSmallestSecret = 16;
constexpr std::string_view kSealedFor = "tacit device_key 1";

Result<crypto::Aes256GcmSealer> SealerOf(const std::filesystem::path& secret_file, const crypto::PassPhraseSalt& salt) {
  TACIT_TRY(const SecretBytes secret, ReadSecretLine(secret_file, kLargestSecret));
  if (secret.bytes().size() < kSmallestSecret) {
    return Fail(ErrorCode::kInvalidArgument, secret_file.string() +
                                                 " has under 16 bytes, which can be guessed: put "
                                                 "'openssl rand -base64 32' into it");
  }
  return crypto::Aes256GcmSealer::Create(crypto::KeyFromPassPhrase(secret.bytes(), salt));
}

Result<KeyRecord> SealRecord(const SecretBytes& pkcs8, const std::filesystem::path& secret) {
  SealedKey key{};
  crypto::OsRandom().Fill(key.salt);
  TACIT_TRY(const crypto::Aes256GcmSealer sealer, SealerOf(secret, key.salt));
  TACIT_TRY(key.sealed, sealer.Seal(pkcs8.bytes(), AsBytes(kSealedFor)));
  return key;
}

Result<SecretBytes> OpenRecord(const SealedKey& key, const std::filesystem::path& secret) {
  if (secret.empty()) {
    return Fail(ErrorCode::kPermissionDenied,
                "this device's key is sealed: name the file with the secret, as 'file?secret=PATH', or run with the "
                "systemd credential that it was sealed under");
  }
  TACIT_TRY(const crypto::Aes256GcmSealer sealer, SealerOf(secret, key.salt));
  auto pkcs8 = sealer.Open(key.sealed, AsBytes(kSealedFor));
  if (pkcs8) return SecretBytes(*std::move(pkcs8));
  return Fail(ErrorCode::kDataLoss,
              "this device's key was not sealed under the secret in " + secret.string() + ", or was changed since");
}

Result<std::unique_ptr<crypto::AgreementKey>> ReadPkcs8(const SecretBytes& pkcs8) {
  auto key = crypto::SoftAgreementKey::FromPkcs8(pkcs8.bytes());
  if (!key) return Fail(ErrorCode::kDataLoss, "this device's key is damaged: " + key.error().message);
  return std::make_unique<crypto::SoftAgreementKey>(*std::move(key));
}

}  // namespace

Result<FileKey> MakeFileKey(const std::filesystem::path& secret) {
  TACIT_TRY(auto key, crypto::SoftAgreementKey::Generate());
  SecretBytes pkcs8(key.ToPkcs8());
  auto owned = std::make_unique<crypto::SoftAgreementKey>(std::move(key));
  if (secret.empty()) return FileKey{.key = std::move(owned), .record = ClearKey{std::move(pkcs8)}};
  TACIT_TRY(KeyRecord record, SealRecord(pkcs8, secret));
  return FileKey{.key = std::move(owned), .record = std::move(record)};
}

Result<std::unique_ptr<crypto::AgreementKey>> UseFileKey(const KeyRecord& record, const std::filesystem::path& secret) {
  if (const auto* const sealed = std::get_if<SealedKey>(&record)) {
    TACIT_TRY(const SecretBytes pkcs8, OpenRecord(*sealed, secret));
    return ReadPkcs8(pkcs8);
  }
  const auto* const clear = std::get_if<ClearKey>(&record);
  TACIT_CHECK(clear != nullptr, "the caller looked at the place");
  if (secret.empty()) return ReadPkcs8(clear->pkcs8);
  return Fail(ErrorCode::kConflict,
              "this device's key was kept in clear, which sealing it now would not undo: move it away and join again "
              "for a key that is sealed from the start, or run without the secret");
}

}  // namespace tacit::keys
