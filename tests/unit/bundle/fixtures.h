#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/rollback_guard.h"
#include "common/bundle/lease.h"
#include "common/bundle/open_bundle.h"
#include "common/bundle/sealed_bundle.h"
#include "common/crypto/digest.h"
#include "common/crypto/soft_agreement_key.h"
#include "tests/support/fake_clock.h"

// A server that makes bundles and leases, and a device that opens them.
namespace tacit::bundle::testing {

inline Digest256 DigestOf(std::uint8_t byte) {
  Digest256 digest;
  digest.fill(byte);
  return digest;
}

class FakeGuard final : public RollbackGuard {
 public:
  explicit FakeGuard(Result<std::uint64_t> highest = 0) : highest_(std::move(highest)) {}
  Result<std::uint64_t> Highest() override { return highest_; }
  Result<void> Record(std::uint64_t version) override {
    highest_ = version;
    return {};
  }

 private:
  Result<std::uint64_t> highest_;
};

class Server {
 public:
  using Change = std::function<void(ManifestFields&)>;

  [[nodiscard]] ManifestFields Fields(ByteSpan plaintext) const {
    return {.model = *ModelName::Parse("har"),
            .task = *TaskId::Parse("har-2"),
            .version = 7,
            .minimum_version = 1,
            .engine_format = 1,
            .plaintext_size = plaintext.size(),
            .plaintext_digest = crypto::Sha256(plaintext),
            .schema_digest = DigestOf(1),
            .content_key = ContentKeyId(content_key),
            .predecessor = std::nullopt,
            .receipt = DigestOf(2),
            .detector_calibration = std::nullopt,
            .watermark_commitment = std::nullopt,
            .device = std::nullopt,
            .made_at = WallTime(Millis(1'790'000'000'000))};
  }
  [[nodiscard]] Manifest MakeManifest(ByteSpan plaintext, const Change& change = {}) const {
    ManifestFields fields = Fields(plaintext);
    if (change) change(fields);
    return *Manifest::Create(std::move(fields));
  }
  [[nodiscard]] SealedBundle Seal(const Bytes& plaintext, const Change& change = {}) const {
    return *SealedBundle::Create(SignManifest(MakeManifest(plaintext, change), keys), content_key,
                                 SharedBytes::Of(plaintext));
  }
  [[nodiscard]] SignerSet Trusted() const {
    std::vector<crypto::Ed25519PublicKey> trusted;
    for (const crypto::SigningKey& key : keys) trusted.push_back(key.public_key());
    return *SignerSet::Create(std::move(trusted), keys.size());
  }
  [[nodiscard]] LeaseTerms Terms(const Manifest& manifest) const {
    const WallTime now = clock.Now();
    return {.device = *DeviceId::Parse("pump-3"),
            .manifest = manifest.digest(),
            .key_epoch = 1,
            .not_before = now,
            .expires = now + std::chrono::hours(24)};
  }

  static std::vector<crypto::SigningKey> NewKeys(std::size_t count) {
    std::vector<crypto::SigningKey> keys;
    for (std::size_t i = 0; i < count; ++i) keys.push_back(*crypto::SigningKey::Generate());
    return keys;
  }

  std::vector<crypto::SigningKey> keys = NewKeys(1);
  crypto::SecretKey content_key = crypto::SecretKey::Random();
  ::tacit::testing::FakeClock clock;
};

inline Bytes BytesOf(const SealedBundle& bundle) {
  Bytes bytes(bundle.size());
  bundle.Read(0, bytes);
  return bytes;
}

/// Not all the same, and the same each time.
inline Bytes SomePlaintext(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(1 + (i * i + i / 251) % 255);
  return bytes;
}

}  // namespace tacit::bundle::testing
