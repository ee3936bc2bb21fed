#include "edge_agent/keys/tpm_session.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/crypto/random.h"
#include "edge_agent/keys/tpm_error.h"

namespace tacit::keys {
namespace {

// An answer that the library allocated.
template <typename T>
using Answer = std::unique_ptr<T, decltype(Esys_Free)*>;

constexpr TPMA_SESSION kKeep = TPMA_SESSION_CONTINUESESSION;
constexpr TPMA_SESSION kHideArgument = TPMA_SESSION_DECRYPT;  // as the TPM sees it
constexpr TPMA_SESSION kHideAnswer = TPMA_SESSION_ENCRYPT;
// Indices that belong to the owner. Source: TCG registry of reserved TPM 2.0 handles, table 5.
constexpr std::uint32_t kFirstIndex = 0x01800000;
constexpr std::uint32_t kIndexMask = 0x003fffff;
constexpr int kDefineAttempts = 16;
constexpr UINT16 kCounterBytes = 8;
constexpr std::uint8_t kUncompressedPoint = 4;
constexpr std::size_t kCoordinateBytes = 32;

TPM2B_PUBLIC KeyOf(TPMA_OBJECT attributes, const TPMT_SYM_DEF_OBJECT& symmetric) {
  TPM2B_PUBLIC key{};
  key.publicArea.type = TPM2_ALG_ECC;
  key.publicArea.nameAlg = TPM2_ALG_SHA256;
  key.publicArea.objectAttributes = attributes | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                                    TPMA_OBJECT_DECRYPT;
  TPMS_ECC_PARMS& parameters = key.publicArea.parameters.eccDetail;
  parameters.symmetric = symmetric;
  parameters.scheme.scheme = TPM2_ALG_NULL;
  parameters.curveID = TPM2_ECC_NIST_P256;
  parameters.kdf.scheme = TPM2_ALG_NULL;
  return key;
}

TPM2B_PUBLIC StorageTemplate() {
  TPMT_SYM_DEF_OBJECT aes{};
  aes.algorithm = TPM2_ALG_AES;
  aes.keyBits.aes = 128;
  aes.mode.aes = TPM2_ALG_CFB;
  return KeyOf(TPMA_OBJECT_RESTRICTED, aes);
}

TPM2B_PUBLIC AgreementTemplate() {
  TPMT_SYM_DEF_OBJECT none{};
  none.algorithm = TPM2_ALG_NULL;
  return KeyOf(0, none);
}

TPM2B_AUTH AuthOf(const crypto::SecretKey& secret) {
  TPM2B_AUTH auth{};
  auth.size = crypto::SecretKey::kSize;
  std::ranges::copy(secret.bytes(), auth.buffer);
  return auth;
}

template <typename T>
void Overwrite(T& value) {
  crypto::Zeroise({reinterpret_cast<std::uint8_t*>(&value), sizeof value});
}

// A coordinate may come without its leading zeros.
bool CopyCoordinate(const TPM2B_ECC_PARAMETER& from, std::span<std::uint8_t> to) {
  if (from.size > to.size()) return false;
  std::ranges::fill(to, std::uint8_t{0});
  std::copy_n(from.buffer, from.size, to.end() - from.size);
  return true;
}

std::unexpected<Error> OddAnswer() {
  return Fail(ErrorCode::kUnavailable, "the TPM answered with a point of another curve");
}

Result<crypto::P256Point> PointOf(const TPMS_ECC_POINT& from) {
  crypto::P256Point point{kUncompressedPoint};
  const std::span<std::uint8_t> coordinates = std::span(point).subspan(1);
  if (CopyCoordinate(from.x, coordinates.first(kCoordinateBytes)) &&
      CopyCoordinate(from.y, coordinates.last(kCoordinateBytes)))
    return point;
  return OddAnswer();
}

TPM2B_ECC_POINT PointFrom(const crypto::P256Point& point) {
  TPM2B_ECC_POINT to{};
  to.point.x.size = kCoordinateBytes;
  to.point.y.size = kCoordinateBytes;
  std::copy_n(point.begin() + 1, kCoordinateBytes, to.point.x.buffer);
  std::copy_n(point.begin() + 1 + kCoordinateBytes, kCoordinateBytes, to.point.y.buffer);
  return to;
}

template <typename T>
Result<Bytes> Marshalled(const T& value, TSS2_RC (*marshal)(const T*, uint8_t*, size_t, size_t*)) {
  Bytes bytes(kLargestTpmArea);
  std::size_t size = 0;
  if (const TSS2_RC rc = marshal(&value, bytes.data(), bytes.size(), &size); rc != TSS2_RC_SUCCESS)
    return TpmFailure(rc, "write down what the TPM made");
  bytes.resize(size);
  return bytes;
}

template <typename T>
Result<T> Unmarshalled(ByteSpan bytes, TSS2_RC (*unmarshal)(const uint8_t*, size_t, size_t*, T*)) {
  T value{};
  std::size_t size = 0;
  const TSS2_RC rc = unmarshal(bytes.data(), bytes.size(), &size, &value);
  if (rc == TSS2_RC_SUCCESS && size == bytes.size()) return value;
  return Fail(ErrorCode::kDataLoss, "the record of the TPM's key is damaged");
}

}  // namespace

Result<std::unique_ptr<TpmSession>> TpmSession::Open(const TssLibrary& tss, const std::string& tcti,
                                                     const std::optional<TpmName>& parent) {
  std::unique_ptr<TpmSession> session(new TpmSession(tss));
  TACIT_TRY_VOID(session->Connect(tcti));
  TACIT_TRY_VOID(session->MakeParent());
  if (parent) {
    TACIT_TRY(const TpmName name, session->Parent());
    if (name != *parent) {
      return Fail(ErrorCode::kDataLoss, "the TPM at " + tcti +
                                            " is not the one that this device's key was made in, or "
                                            "it was cleared since: move the key away and join again");
    }
  }
  TACIT_TRY_VOID(session->StartSession());
  return session;
}

TpmSession::~TpmSession() {
  for (const ESYS_TR handle : loaded_) tss_.flush_context(context_, handle);
  if (session_ != ESYS_TR_NONE) tss_.flush_context(context_, session_);
  if (parent_ != ESYS_TR_NONE) tss_.flush_context(context_, parent_);
  if (context_ != nullptr) tss_.finalize(&context_);
  if (tcti_ != nullptr) tss_.tcti_finalize(&tcti_);
}

Result<void> TpmSession::Connect(const std::string& tcti) {
  if (const TSS2_RC rc = tss_.tcti_initialize(tcti.c_str(), &tcti_); rc != TSS2_RC_SUCCESS)
    return TpmFailure(rc, "reach the TPM at " + tcti);
  if (const TSS2_RC rc = tss_.initialize(&context_, tcti_, nullptr); rc != TSS2_RC_SUCCESS)
    return TpmFailure(rc, "reach the TPM at " + tcti);
  return {};
}

Result<void> TpmSession::MakeParent() {
  const TPM2B_SENSITIVE_CREATE sensitive{};
  const TPM2B_PUBLIC wanted = StorageTemplate();
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION pcrs{};
  const TSS2_RC rc =
      tss_.create_primary(context_, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &wanted,
                          &outside, &pcrs, &parent_, nullptr, nullptr, nullptr, nullptr);
  if (rc == TSS2_RC_SUCCESS) return {};
  parent_ = ESYS_TR_NONE;
  return TpmFailure(rc, "make the storage key, for which the owner's authorisation must be empty");
}

Result<TpmName> TpmSession::Parent() const {
  TPM2B_NAME* out = nullptr;
  if (const TSS2_RC rc = tss_.get_name(context_, parent_, &out); rc != TSS2_RC_SUCCESS)
    return TpmFailure(rc, "name the storage key");
  const Answer<TPM2B_NAME> owned(out, tss_.free);
  TpmName name{};
  if (owned->size != name.size()) return OddAnswer();
  std::copy_n(owned->name, name.size(), name.begin());
  return name;
}

Result<void> TpmSession::StartSession() {
  TPMT_SYM_DEF aes{};
  aes.algorithm = TPM2_ALG_AES;
  aes.keyBits.aes = 128;
  aes.mode.aes = TPM2_ALG_CFB;
  const TSS2_RC rc = tss_.start_auth_session(context_, parent_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                             nullptr, TPM2_SE_HMAC, &aes, TPM2_ALG_SHA256, &session_);
  if (rc == TSS2_RC_SUCCESS) return {};
  session_ = ESYS_TR_NONE;
  return TpmFailure(rc, "start a session with the TPM");
}

Result<void> TpmSession::Use(TPMA_SESSION attributes) {
  constexpr TPMA_SESSION kEvery = kKeep | kHideArgument | kHideAnswer;
  if (const TSS2_RC rc = tss_.set_attributes(context_, session_, kKeep | attributes, kEvery); rc != TSS2_RC_SUCCESS)
    return TpmFailure(rc, "encrypt what goes to the TPM");
  return {};
}

Result<TpmKeyRecord> TpmSession::MakeKey() {
  TACIT_TRY_VOID(Use(kHideArgument | kHideAnswer));
  const TPM2B_SENSITIVE_CREATE sensitive{};
  const TPM2B_PUBLIC wanted = AgreementTemplate();
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION pcrs{};
  TPM2B_PRIVATE* private_out = nullptr;
  TPM2B_PUBLIC* public_out = nullptr;
  const TSS2_RC rc = tss_.create(context_, parent_, session_, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &wanted, &outside,
                                 &pcrs, &private_out, &public_out, nullptr, nullptr, nullptr);
  if (rc != TSS2_RC_SUCCESS) return TpmFailure(rc, "make a key in the TPM");
  const Answer<TPM2B_PRIVATE> private_area(private_out, tss_.free);
  const Answer<TPM2B_PUBLIC> public_area(public_out, tss_.free);
  TpmKeyRecord key{};
  TACIT_TRY(key.public_area, Marshalled(*public_area, tss_.marshal_public));
  TACIT_TRY(key.private_area, Marshalled(*private_area, tss_.marshal_private));
  TACIT_TRY(key.parent, Parent());
  TACIT_TRY(key.public_key, PointOf(public_area->publicArea.unique.ecc));
  return key;
}

Result<ESYS_TR> TpmSession::Load(const TpmKeyRecord& key) {
  TACIT_TRY(const TPM2B_PUBLIC public_area, Unmarshalled(key.public_area, tss_.unmarshal_public));
  TACIT_TRY(const TPM2B_PRIVATE private_area, Unmarshalled(key.private_area, tss_.unmarshal_private));
  TACIT_TRY_VOID(Use(kHideArgument | kHideAnswer));
  ESYS_TR handle = ESYS_TR_NONE;
  const TSS2_RC rc =
      tss_.load(context_, parent_, session_, ESYS_TR_NONE, ESYS_TR_NONE, &private_area, &public_area, &handle);
  if (rc != TSS2_RC_SUCCESS) return TpmFailure(rc, "load the device's key into the TPM");
  loaded_.push_back(handle);
  return handle;
}

Result<crypto::SecretKey> TpmSession::Agree(const TpmKeyRecord& key, const crypto::P256Point& peer) {
  TACIT_TRY(const ESYS_TR handle, Load(key));
  TACIT_TRY_VOID(Use(kHideArgument | kHideAnswer));
  const TPM2B_ECC_POINT point = PointFrom(peer);
  TPM2B_ECC_POINT* out = nullptr;
  const TSS2_RC rc = tss_.ecdh_zgen(context_, handle, session_, ESYS_TR_NONE, ESYS_TR_NONE, &point, &out);
  if (rc != TSS2_RC_SUCCESS) return TpmFailure(rc, "agree on a secret in the TPM");
  const Answer<TPM2B_ECC_POINT> owned(out, tss_.free);
  std::array<std::uint8_t, kCoordinateBytes> x{};
  const bool fits = CopyCoordinate(owned->point.x, x);
  Overwrite(*owned);
  auto secret = crypto::SecretKey::FromBytes(x);
  crypto::Zeroise(x);
  if (!fits) return OddAnswer();
  return secret;
}

Result<std::uint32_t> TpmSession::DefineCounter(const crypto::SecretKey& auth) {
  for (int attempt = 0; attempt < kDefineAttempts; ++attempt) {
    std::array<std::uint8_t, 4> random{};
    crypto::OsRandom().Fill(random);
    const std::uint32_t drawn = random[0] | (std::uint32_t{random[1]} << 8U) | (std::uint32_t{random[2]} << 16U);
    const std::uint32_t index = kFirstIndex + (drawn & kIndexMask);
    const auto defined = TryDefine(index, auth);
    if (!defined && defined.error().code == ErrorCode::kConflict) continue;
    if (!defined) return std::unexpected(defined.error());
    TACIT_TRY_VOID(IncrementCounter(index, auth));  // it has no value before
    return index;
  }
  return Fail(ErrorCode::kUnavailable, "every index of the TPM that was tried is taken");
}

Result<void> TpmSession::TryDefine(std::uint32_t index, const crypto::SecretKey& auth) {
  TACIT_TRY_VOID(Use(kHideArgument));
  TPM2B_NV_PUBLIC wanted{};
  wanted.nvPublic.nvIndex = index;
  wanted.nvPublic.nameAlg = TPM2_ALG_SHA256;
  wanted.nvPublic.attributes =
      TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA | (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT);
  wanted.nvPublic.dataSize = kCounterBytes;
  TPM2B_AUTH value = AuthOf(auth);
  ESYS_TR handle = ESYS_TR_NONE;
  const TSS2_RC rc =
      tss_.nv_define_space(context_, ESYS_TR_RH_OWNER, session_, ESYS_TR_NONE, ESYS_TR_NONE, &value, &wanted, &handle);
  Overwrite(value);
  if (IsDefinedAlready(rc)) return Fail(ErrorCode::kConflict, "an index of the TPM is taken");
  if (rc != TSS2_RC_SUCCESS) return TpmFailure(rc, "make a counter in the TPM");
  tss_.close(context_, &handle);
  return {};
}

Result<ESYS_TR> TpmSession::FindCounter(std::uint32_t index, const crypto::SecretKey& auth) {
  ESYS_TR handle = ESYS_TR_NONE;
  TSS2_RC rc = tss_.from_tpm_public(context_, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &handle);
  if (rc != TSS2_RC_SUCCESS) return TpmFailure(rc, "find the rollback counter in the TPM");
  TPM2B_AUTH value = AuthOf(auth);
  rc = tss_.set_auth(context_, handle, &value);
  Overwrite(value);
  if (rc != TSS2_RC_SUCCESS) return TpmFailure(rc, "use the rollback counter of the TPM");
  return handle;
}

Result<std::uint64_t> TpmSession::ReadCounter(std::uint32_t index, const crypto::SecretKey& auth) {
  TACIT_TRY(const ESYS_TR handle, FindCounter(index, auth));
  TACIT_TRY_VOID(Use(kHideAnswer));
  TPM2B_MAX_NV_BUFFER* out = nullptr;
  const TSS2_RC rc =
      tss_.nv_read(context_, handle, handle, session_, ESYS_TR_NONE, ESYS_TR_NONE, kCounterBytes, 0, &out);
  if (rc != TSS2_RC_SUCCESS) return TpmFailure(rc, "read the rollback counter of the TPM");
  const Answer<TPM2B_MAX_NV_BUFFER> owned(out, tss_.free);
  if (owned->size != kCounterBytes) return Fail(ErrorCode::kUnavailable, "the TPM answered with another size");
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < kCounterBytes; ++i) count = (count << 8U) | owned->buffer[i];
  return count;
}

Result<void> TpmSession::IncrementCounter(std::uint32_t index, const crypto::SecretKey& auth) {
  TACIT_TRY(const ESYS_TR handle, FindCounter(index, auth));
  TACIT_TRY_VOID(Use(0));
  const TSS2_RC rc = tss_.nv_increment(context_, handle, handle, session_, ESYS_TR_NONE, ESYS_TR_NONE);
  if (rc != TSS2_RC_SUCCESS) return TpmFailure(rc, "increase the rollback counter of the TPM");
  return {};
}

}  // namespace tacit::keys
