#include "common/crypto/hpke.h"

#include <algorithm>
#include <string_view>

#include "common/base/check.h"
#include "common/crypto/soft_agreement_key.h"

namespace tacit::crypto {
namespace {

constexpr std::uint16_t kKem = 0x0010;  // DHKEM(P-256, HKDF-SHA256)
constexpr std::uint16_t kKdf = 0x0001;  // HKDF-SHA256
constexpr std::uint8_t kModeBase = 0;

// The bytes that labelled derivations hash; some of them are secret, so they are overwritten.
class Labelled {
 public:
  Labelled() = default;
  ~Labelled() { Zeroise(bytes_); }
  Labelled(const Labelled&) = delete;
  Labelled& operator=(const Labelled&) = delete;

  Labelled& Number(std::uint16_t value) {  // big-endian
    bytes_.push_back(static_cast<std::uint8_t>(value >> 8U));
    bytes_.push_back(static_cast<std::uint8_t>(value & 255U));
    return *this;
  }
  Labelled& Raw(ByteSpan value) {
    // What a growing vector leaves behind would not be overwritten.
    TACIT_CHECK(bytes_.size() + value.size() <= kMost, "callers bind short things");
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    return *this;
  }
  Labelled& Text(std::string_view value) { return Raw(AsBytes(value)); }
  [[nodiscard]] ByteSpan bytes() const { return bytes_; }

  static constexpr std::size_t kMost = 4096;

 private:
  static Bytes Reserved() {
    Bytes bytes;
    bytes.reserve(kMost);
    return bytes;
  }
  Bytes bytes_ = Reserved();
};

// One of the two algorithms that derive: the KEM, or the whole suite (RFC 9180, sections 4.1 and 5.1). All outputs are
// of 32 bytes at most, which is one block of HKDF-SHA256, so each step is one HMAC.
class Deriver {
 public:
  static Deriver OfKem() { return Deriver(Labelled().Text("KEM").Number(kKem).bytes()); }
  static Deriver OfSuite(AeadKind aead) {
    return Deriver(Labelled().Text("HPKE").Number(kKem).Number(kKdf).Number(static_cast<std::uint16_t>(aead)).bytes());
  }

  // RFC 9180, section 4, LabeledExtract; RFC 5869, section 2.2.
  [[nodiscard]] SecretKey Extract(const SecretKey& salt, std::string_view label, ByteSpan secret) const {
    Labelled input;
    input.Text("HPKE-v1").Raw(id_).Text(label).Raw(secret);
    return salt.Derive(input.bytes());
  }
  // RFC 9180, section 4, LabeledExpand; RFC 5869, section 2.3. Shorter outputs are the first bytes of the block.
  [[nodiscard]] SecretKey Expand(const SecretKey& key, std::string_view label, ByteSpan info,
                                 std::uint16_t length) const {
    constexpr std::array<std::uint8_t, 1> kFirstBlock{1};
    Labelled input;
    input.Number(length).Text("HPKE-v1").Raw(id_).Text(label).Raw(info).Raw(kFirstBlock);
    return key.Derive(input.bytes());
  }

 private:
  explicit Deriver(ByteSpan id) : id_(id.begin(), id.end()) {}
  Bytes id_;
};

// No salt: HMAC pads a key with zeros, so an empty one and one of zeros are the same.
SecretKey NoSalt() {
  constexpr std::array<std::uint8_t, SecretKey::kSize> kZeros{};
  auto key = SecretKey::FromBytes(kZeros);
  TACIT_CHECK(key.has_value(), "of the right size");
  return *std::move(key);
}

// RFC 9180, section 4.1: ExtractAndExpand over the agreed secret.
SecretKey SharedSecret(const SecretKey& agreed, const P256Point& encapsulated, const P256Point& recipient) {
  Labelled context;
  context.Raw(encapsulated).Raw(recipient);
  const Deriver kem = Deriver::OfKem();
  const SecretKey extracted = kem.Extract(NoSalt(), "eae_prk", agreed.bytes());
  return kem.Expand(extracted, "shared_secret", context.bytes(), SecretKey::kSize);
}

struct MessageKey {
  Aead aead;
  Aead::Nonce nonce;
};

std::uint16_t KeySizeOf(AeadKind aead) {
  return aead == AeadKind::kAes128Gcm ? 16 : 32;
}

// RFC 9180, section 5.1, KeySchedule without a pre-shared key. The nonce of the first message is the base nonce.
MessageKey Schedule(AeadKind aead, const SecretKey& shared, ByteSpan info) {
  const Deriver suite = Deriver::OfSuite(aead);
  Labelled context;
  context.Raw(std::array<std::uint8_t, 1>{kModeBase})
      .Raw(suite.Extract(NoSalt(), "psk_id_hash", {}).bytes())
      .Raw(suite.Extract(NoSalt(), "info_hash", info).bytes());
  const SecretKey secret = suite.Extract(shared, "secret", {});
  const SecretKey nonce = suite.Expand(secret, "base_nonce", context.bytes(), Aead::Nonce{}.size());
  MessageKey key{.aead = Aead(aead, suite.Expand(secret, "key", context.bytes(), KeySizeOf(aead))), .nonce = {}};
  std::ranges::copy(nonce.bytes().first(key.nonce.size()), key.nonce.begin());
  return key;
}

}  // namespace

Result<Bytes> HpkeSealAs(const HpkeSender& sender, const P256Point& recipient, const HpkeBinding& binding,
                         ByteSpan plaintext) {
  const P256Point& encapsulated = sender.ephemeral.public_key();
  TACIT_TRY(const SecretKey agreed, sender.ephemeral.Agree(recipient));
  MessageKey key = Schedule(sender.aead, SharedSecret(agreed, encapsulated, recipient), binding.info);
  Bytes sealed(kHpkeOverhead + plaintext.size());
  std::ranges::copy(encapsulated, sealed.begin());
  key.aead.Seal({.nonce = key.nonce, .associated = binding.aad}, plaintext,
                std::span(sealed).subspan(encapsulated.size()));
  return sealed;
}

Result<Bytes> HpkeOpenAs(AeadKind aead, AgreementKey& key, const HpkeBinding& binding, ByteSpan sealed) {
  if (sealed.size() < kHpkeOverhead)
    return Fail(ErrorCode::kMalformed, "too few bytes to hold an encapsulated key and a tag");
  P256Point encapsulated{};
  std::ranges::copy(sealed.first(encapsulated.size()), encapsulated.begin());
  TACIT_TRY(const SecretKey agreed, key.Agree(encapsulated));
  MessageKey message = Schedule(aead, SharedSecret(agreed, encapsulated, key.public_key()), binding.info);
  Bytes plaintext(sealed.size() - kHpkeOverhead);
  TACIT_TRY_VOID(message.aead.Open({.nonce = message.nonce, .associated = binding.aad},
                                   sealed.subspan(encapsulated.size()), plaintext));
  return plaintext;
}

Result<Bytes> HpkeSeal(const P256Point& recipient, const HpkeBinding& binding, ByteSpan plaintext) {
  TACIT_TRY(SoftAgreementKey ephemeral, SoftAgreementKey::Generate());
  return HpkeSealAs({.aead = AeadKind::kAes256Gcm, .ephemeral = ephemeral}, recipient, binding, plaintext);
}

Result<Bytes> HpkeOpen(AgreementKey& key, const HpkeBinding& binding, ByteSpan sealed) {
  return HpkeOpenAs(AeadKind::kAes256Gcm, key, binding, sealed);
}

}  // namespace tacit::crypto
