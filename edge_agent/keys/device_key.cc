#include "edge_agent/keys/device_key.h"

#include <optional>
#include <string_view>
#include <system_error>
#include <variant>

#include "common/base/check.h"
#include "common/base/files.h"
#include "edge_agent/keys/file_key.h"
#include "edge_agent/keys/key_record.h"
#include "edge_agent/keys/secret_file.h"
#include "edge_agent/keys/token_key.h"
#include "edge_agent/keys/tpm_key.h"

namespace tacit::keys {
namespace {

constexpr std::string_view kCredential = "tacit-device-key";
constexpr std::string_view kForVersions = "tacit device_versions 1";
constexpr std::string_view kForCounter = "tacit device counter 1";

struct KeyFiles {
  explicit KeyFiles(const std::filesystem::path& state)
      : key(state / "device_key"), versions(state / "device_versions"), refused_pin(state / "device_pin_refused") {}
  std::filesystem::path key;
  std::filesystem::path versions;
  std::filesystem::path refused_pin;
};

// What only this key can find: the secret that it agrees on with itself.
Result<crypto::SecretKey> OwnSecret(crypto::AgreementKey& key) {
  const crypto::P256Point own = key.public_key();
  return key.Agree(own);
}

// A new device's, or the one that a record leads to: `record` says which, and is filled in for a new one.
using MaybeRecord = std::optional<KeyRecord>;

Result<std::filesystem::path> SecretFor(const FilePlace& place, const std::filesystem::path& credentials) {
  if (!place.secret.empty() || credentials.empty()) return place.secret;
  std::filesystem::path credential = credentials / kCredential;
  std::error_code error;
  const bool is_there = std::filesystem::exists(std::filesystem::symlink_status(credential, error));
  return is_there ? credential : std::filesystem::path();
}

KeyReport ReportOfFile(const std::filesystem::path& secret) {
  if (secret.empty()) {
    return {.tier = KeyTier::kFile, .gaps = {KeyGap::kReadableFile, KeyGap::kKeyInMemory, KeyGap::kRestorableState}};
  }
  return {.tier = KeyTier::kSealedFile,
          .gaps = {KeyGap::kSecretOnDevice, KeyGap::kKeyInMemory, KeyGap::kRestorableState}};
}

struct Opener {
  const DeviceKeyOptions& options;
  KeyFiles files;
  MaybeRecord& record;

  Result<DeviceKey::Parts> operator()(const FilePlace& place) {
    TACIT_TRY(const std::filesystem::path secret, SecretFor(place, options.credentials));
    DeviceKey::Parts parts{.key = nullptr, .counter = nullptr, .versions = nullptr, .report = ReportOfFile(secret)};
    if (record) {
      TACIT_TRY(parts.key, UseFileKey(*record, secret));
      return Complete(std::move(parts));
    }
    TACIT_TRY(FileKey made, MakeFileKey(secret));
    parts.key = std::move(made.key);
    record = std::move(made.record);
    return Begin(std::move(parts));
  }

  Result<DeviceKey::Parts> operator()(const TpmPlace& place) {
    TACIT_TRY(const TssLibrary tss, TssLibrary::Load());
    const TpmAccess access{.tss = tss, .tcti = place.tcti};
    const bool is_new = !record;
    if (is_new) {
      TACIT_TRY(record, MakeTpmKey(access));
    }
    auto& of_tpm = std::get<TpmKeyRecord>(Present(record, "it was read or made"));
    DeviceKey::Parts parts{.key = UseTpmKey(access, of_tpm),
                           .counter = nullptr,
                           .versions = nullptr,
                           .report = {.tier = KeyTier::kTpm, .gaps = {KeyGap::kUsableByRoot, KeyGap::kNotBoundToBoot}}};
    TACIT_TRY(const crypto::SecretKey own, OwnSecret(*parts.key));
    crypto::SecretKey auth = own.Derive(AsBytes(kForCounter));
    if (is_new) {
      TACIT_TRY(of_tpm.counter, MakeTpmCounter(access, of_tpm, auth));
    }
    parts.counter = UseTpmCounter(access, of_tpm, std::move(auth));
    return is_new ? Begin(std::move(parts)) : Complete(std::move(parts));
  }

  Result<DeviceKey::Parts> operator()(const TokenPlace& place) {
    auto key = std::make_unique<TokenKey>(place, files.refused_pin);
    const bool is_new = !record;
    if (is_new) {
      TACIT_TRY(record, key->Make());
    }
    key->Use(std::get<TokenKeyRecord>(Present(record, "it was read or made")));
    KeyReport report{.tier = KeyTier::kToken,
                     .gaps = {KeyGap::kUsableByRoot, KeyGap::kPinOnDisk, KeyGap::kRestorableState}};
    if (!place.module_sha256) report.gaps.push_back(KeyGap::kUnpinnedModule);
    TACIT_TRY(const bool held, key->IsHeld());
    if (!held) report.gaps.push_back(KeyGap::kExtractableKey);
    DeviceKey::Parts parts{.key = std::move(key), .counter = nullptr, .versions = nullptr, .report = std::move(report)};
    return is_new ? Begin(std::move(parts)) : Complete(std::move(parts));
  }

  // The record is written last: without it nothing of a key that was being made is ever used.
  Result<DeviceKey::Parts> Begin(DeviceKey::Parts parts) {
    TACIT_TRY(const crypto::SecretKey own, OwnSecret(*parts.key));
    TACIT_TRY_VOID(VersionStore::Initialise(files.versions, own.Derive(AsBytes(kForVersions)), parts.counter.get()));
    const SecretBytes bytes = FormatKeyRecord(Present(record, "it was made"));
    TACIT_TRY_VOID(WriteFileAtomic(files.key, bytes.bytes(), kOwnerOnly));
    return Complete(std::move(parts));
  }

  Result<DeviceKey::Parts> Complete(DeviceKey::Parts parts) {
    TACIT_TRY(const crypto::SecretKey own, OwnSecret(*parts.key));
    parts.versions =
        std::make_unique<VersionStore>(files.versions, own.Derive(AsBytes(kForVersions)), parts.counter.get());
    TACIT_TRY_VOID(parts.versions->Check());
    return parts;
  }
};

std::string_view PlaceOf(const KeyPlace& place) {
  if (std::holds_alternative<TpmPlace>(place)) return "tpm2";
  return std::holds_alternative<TokenPlace>(place) ? "pkcs11" : "file";
}

Result<MaybeRecord> ReadRecord(const DeviceKeyOptions& options, const std::filesystem::path& file) {
  const auto bytes = ReadSecretFile(file, kLargestKeyRecord);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) {
    if (options.if_missing == IfMissing::kMake) return std::nullopt;
    return Fail(ErrorCode::kNotFound, "this device has no key for models: " + file.string() + " is not there");
  }
  if (!bytes) return std::unexpected(bytes.error());
  auto record = ParseKeyRecord(bytes->bytes());
  if (!record) {
    return Fail(ErrorCode::kDataLoss,
                file.string() + " " + record.error().message + ": restore it, or move it away and join again");
  }
  if (PlaceOf(*record) == PlaceOf(options.place)) return record;
  return Fail(ErrorCode::kConflict, "the key of " + file.string() + " is kept in '" + std::string(PlaceOf(*record)) +
                                        "', and '" + std::string(PlaceOf(options.place)) +
                                        "' is configured: configure what it was made with, or move it away and join "
                                        "again for a new key");
}

}  // namespace

Result<DeviceKey> OpenDeviceKey(const DeviceKeyOptions& options) {
  const KeyFiles files(options.state);
  TACIT_TRY(MaybeRecord record, ReadRecord(options, files.key));
  TACIT_TRY(DeviceKey::Parts parts,
            std::visit(Opener{.options = options, .files = files, .record = record}, options.place));
  return DeviceKey(std::move(parts));
}

}  // namespace tacit::keys
