#include "edge_agent/keys/token_session.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "common/base/bytes.h"
#include "common/crypto/random.h"
#include "edge_agent/keys/secret_file.h"

namespace tacit::keys {
namespace {

constexpr std::size_t kMostSlots = 256;
constexpr std::size_t kLongestPin = 256;
constexpr std::string_view kLabel = "tacit-device-models";
// The object identifier of P-256, in DER. Source: SEC 2 version 2.0, appendix A.2.1.
constexpr std::array<std::uint8_t, 10> kP256{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
// What an uncompressed point of P-256 begins with as an OCTET STRING.
constexpr std::array<std::uint8_t, 2> kOctets65{0x04, 0x41};

// The interface takes what it only reads through pointers that could write.
template <typename Range>
CK_ATTRIBUTE Attribute(CK_ATTRIBUTE_TYPE type, const Range& bytes) {
  return {
      .type = type, .pValue = const_cast<void*>(static_cast<const void*>(bytes.data())), .ulValueLen = bytes.size()};
}

template <typename T>
CK_ATTRIBUTE Plain(CK_ATTRIBUTE_TYPE type, T& value) {
  return {.type = type, .pValue = &value, .ulValueLen = sizeof value};
}

std::string_view LabelOf(const CK_TOKEN_INFO& token) {
  const std::string_view padded(reinterpret_cast<const char*>(token.label), sizeof token.label);
  return padded.substr(0, padded.find_last_not_of(' ') + 1);
}

Result<void> CheckMayTry(CK_FLAGS flags) {
  if ((flags & CKF_USER_PIN_LOCKED) != 0)
    return Fail(ErrorCode::kPermissionDenied, "the token's PIN is locked: unlock it with the token's own tools");
  if ((flags & CKF_USER_PIN_FINAL_TRY) == 0) return {};
  return Fail(ErrorCode::kPermissionDenied,
              "the token locks after one more wrong PIN, so it was not tried: log in with the token's own tools first");
}

}  // namespace

Result<std::unique_ptr<TokenSession>> TokenSession::Open(const TokenPlace& place, const RefusedPin& refused) {
  TACIT_TRY(Cryptoki module, Cryptoki::Load(place));
  std::unique_ptr<TokenSession> session(new TokenSession(std::move(module)));
  TACIT_TRY(const CK_SLOT_ID slot, session->FindSlot(place.token));
  constexpr CK_FLAGS kFlags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
  const CK_RV rv = session->api().C_OpenSession(slot, kFlags, nullptr, nullptr, &session->session_);
  if (rv != CKR_OK) return TokenFailure(rv, "open a session with the token");
  TACIT_TRY_VOID(session->LogIn(slot, place, refused));
  return session;
}

TokenSession::~TokenSession() {
  if (session_ != CK_INVALID_HANDLE) api().C_CloseSession(session_);  // which logs out with the last one
}

Result<CK_SLOT_ID> TokenSession::FindSlot(const std::string& label) const {
  std::array<CK_SLOT_ID, kMostSlots> slots{};
  CK_ULONG count = slots.size();
  if (const CK_RV rv = api().C_GetSlotList(CK_TRUE, slots.data(), &count); rv != CKR_OK)
    return TokenFailure(rv, "list the tokens");
  for (const CK_SLOT_ID slot : std::span(slots).first(std::min<std::size_t>(count, slots.size()))) {
    CK_TOKEN_INFO token{};
    if (api().C_GetTokenInfo(slot, &token) == CKR_OK && LabelOf(token) == label) return slot;
  }
  return Fail(ErrorCode::kUnavailable, "no token with the label '" + label + "' is there");
}

Result<void> TokenSession::LogIn(CK_SLOT_ID slot, const TokenPlace& place, const RefusedPin& refused) {
  TACIT_TRY_VOID(refused.CheckNotRefused());
  CK_TOKEN_INFO token{};
  if (const CK_RV rv = api().C_GetTokenInfo(slot, &token); rv != CKR_OK) return TokenFailure(rv, "look at the token");
  TACIT_TRY_VOID(CheckMayTry(token.flags));
  TACIT_TRY(SecretBytes pin, ReadSecretLine(place.pin_file, kLongestPin));
  const CK_RV rv = api().C_Login(session_, CKU_USER, pin.mutable_bytes().data(), pin.bytes().size());
  if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) {
    refused.Forget();
    return {};
  }
  const auto failure = TokenFailure(rv, "log in to the token with the PIN in " + place.pin_file.string());
  if (failure.error().code == ErrorCode::kPermissionDenied) TACIT_TRY_VOID(refused.Remember());
  return failure;
}

Result<TokenKeyRecord> TokenSession::MakeKey() {
  TokenKeyRecord key{};
  crypto::OsRandom().Fill(key.id);
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  std::array public_template{Attribute(CKA_EC_PARAMS, kP256), Attribute(CKA_ID, key.id), Attribute(CKA_LABEL, kLabel),
                             Plain(CKA_TOKEN, yes),           Plain(CKA_PRIVATE, no),    Plain(CKA_VERIFY, no)};
  std::array private_template{Attribute(CKA_ID, key.id), Attribute(CKA_LABEL, kLabel), Plain(CKA_TOKEN, yes),
                              Plain(CKA_PRIVATE, yes),   Plain(CKA_SENSITIVE, yes),    Plain(CKA_EXTRACTABLE, no),
                              Plain(CKA_DERIVE, yes),    Plain(CKA_SIGN, no),          Plain(CKA_DECRYPT, no)};
  CK_MECHANISM mechanism{.mechanism = CKM_EC_KEY_PAIR_GEN, .pParameter = nullptr, .ulParameterLen = 0};
  CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE private_key = CK_INVALID_HANDLE;
  const CK_RV rv = api().C_GenerateKeyPair(session_, &mechanism, public_template.data(), public_template.size(),
                                           private_template.data(), private_template.size(), &public_key, &private_key);
  if (rv != CKR_OK) return TokenFailure(rv, "make a key in the token");
  TACIT_TRY(key.public_key, PublicKey(public_key));
  return key;
}

Result<crypto::P256Point> TokenSession::PublicKey(CK_OBJECT_HANDLE object) {
  std::array<std::uint8_t, kOctets65.size() + sizeof(crypto::P256Point)> octets{};
  CK_ATTRIBUTE attribute = Attribute(CKA_EC_POINT, octets);
  if (const CK_RV rv = api().C_GetAttributeValue(session_, object, &attribute, 1); rv != CKR_OK)
    return TokenFailure(rv, "read the public key from the token");
  ByteSpan point = ByteSpan(octets).first(std::min<std::size_t>(attribute.ulValueLen, octets.size()));
  // The standard wants DER; some tokens give the bare point.
  if (point.size() == octets.size() && std::ranges::equal(point.first(kOctets65.size()), kOctets65))
    point = point.subspan(kOctets65.size());
  crypto::P256Point key{};
  if (point.size() != key.size()) return Fail(ErrorCode::kUnavailable, "the token gives a point of another curve");
  std::ranges::copy(point, key.begin());
  return key;
}

Result<CK_OBJECT_HANDLE> TokenSession::Find(const TokenKeyRecord& key) {
  CK_OBJECT_CLASS private_key = CKO_PRIVATE_KEY;
  std::array wanted{Plain(CKA_CLASS, private_key), Attribute(CKA_ID, key.id)};
  CK_RV rv = api().C_FindObjectsInit(session_, wanted.data(), wanted.size());
  if (rv != CKR_OK) return TokenFailure(rv, "look for the device's key in the token");
  CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
  CK_ULONG count = 0;
  rv = api().C_FindObjects(session_, &object, 1, &count);
  api().C_FindObjectsFinal(session_);
  if (rv != CKR_OK) return TokenFailure(rv, "look for the device's key in the token");
  if (count == 1) return object;
  return Fail(ErrorCode::kDataLoss, "the token does not hold this device's key any more");
}

Result<crypto::SecretKey> TokenSession::Agree(const TokenKeyRecord& key, const crypto::P256Point& peer) {
  TACIT_TRY(const CK_OBJECT_HANDLE base, Find(key));
  crypto::P256Point point = peer;
  CK_ECDH1_DERIVE_PARAMS parameters{.kdf = CKD_NULL,
                                    .ulSharedDataLen = 0,
                                    .pSharedData = nullptr,
                                    .ulPublicDataLen = point.size(),
                                    .pPublicData = point.data()};
  CK_MECHANISM mechanism{.mechanism = CKM_ECDH1_DERIVE, .pParameter = &parameters, .ulParameterLen = sizeof parameters};
  CK_OBJECT_CLASS secret_class = CKO_SECRET_KEY;
  CK_KEY_TYPE generic = CKK_GENERIC_SECRET;
  CK_ULONG size = crypto::SecretKey::kSize;
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  std::array wanted{Plain(CKA_CLASS, secret_class), Plain(CKA_KEY_TYPE, generic), Plain(CKA_VALUE_LEN, size),
                    Plain(CKA_TOKEN, no),           Plain(CKA_SENSITIVE, no),     Plain(CKA_EXTRACTABLE, yes)};
  CK_OBJECT_HANDLE secret = CK_INVALID_HANDLE;
  const CK_RV rv = api().C_DeriveKey(session_, &mechanism, base, wanted.data(), wanted.size(), &secret);
  if (rv != CKR_OK) return TokenFailure(rv, "agree on a secret in the token");
  auto value = TakeValue(secret);
  api().C_DestroyObject(session_, secret);
  return value;
}

Result<crypto::SecretKey> TokenSession::TakeValue(CK_OBJECT_HANDLE object) {
  std::array<std::uint8_t, crypto::SecretKey::kSize> bytes{};
  CK_ATTRIBUTE attribute = Attribute(CKA_VALUE, bytes);
  const CK_RV rv = api().C_GetAttributeValue(session_, object, &attribute, 1);
  auto secret = crypto::SecretKey::FromBytes(bytes);
  crypto::Zeroise(bytes);
  if (rv != CKR_OK) return TokenFailure(rv, "take the agreed secret from the token");
  if (attribute.ulValueLen != crypto::SecretKey::kSize)
    return Fail(ErrorCode::kUnavailable, "the token agrees on secrets of another size");
  return secret;
}

Result<bool> TokenSession::IsHeld(const TokenKeyRecord& key) {
  TACIT_TRY(const CK_OBJECT_HANDLE object, Find(key));
  CK_BBOOL sensitive = CK_FALSE;
  CK_BBOOL extractable = CK_TRUE;
  std::array wanted{Plain(CKA_SENSITIVE, sensitive), Plain(CKA_EXTRACTABLE, extractable)};
  if (const CK_RV rv = api().C_GetAttributeValue(session_, object, wanted.data(), wanted.size()); rv != CKR_OK)
    return TokenFailure(rv, "ask the token how it holds the key");
  return sensitive == CK_TRUE && extractable == CK_FALSE;
}

}  // namespace tacit::keys
