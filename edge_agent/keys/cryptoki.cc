#include "edge_agent/keys/cryptoki.h"

#include <string>
#include <utility>

#include "common/base/files.h"
#include "common/crypto/digest.h"
#include "edge_agent/keys/shared_library.h"

namespace tacit::keys {
namespace {

constexpr std::size_t kLargestModule = 64UL * 1024 * 1024;

Result<void> CheckModule(const TokenPlace& place) {
  if (!place.module_sha256) return {};
  TACIT_TRY(const Bytes module, ReadFile(place.module, kLargestModule));
  const Digest256 digest = crypto::Sha256(module);
  if (digest == *place.module_sha256) return {};
  return Fail(ErrorCode::kPermissionDenied, place.module.string() + " has the SHA-256 " + ToHex(digest) +
                                                ", not the one that is configured, and was not loaded");
}

struct TokenMeaning {
  ErrorCode code;
  std::string_view text;
};

TokenMeaning MeaningOfAnswer(CK_RV answer) {
  switch (answer) {
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
      return {ErrorCode::kPermissionDenied, "the token does not take the PIN"};
    case CKR_PIN_LOCKED:
      return {ErrorCode::kPermissionDenied, "the PIN is locked: unlock it with the token's own tools"};
    case CKR_USER_PIN_NOT_INITIALIZED:
      return {ErrorCode::kPermissionDenied, "the token has no PIN yet"};
    case CKR_MECHANISM_INVALID:
      return {ErrorCode::kUnavailable, "the token does not know how (CKM_ECDH1_DERIVE, CKM_EC_KEY_PAIR_GEN)"};
    case CKR_MECHANISM_PARAM_INVALID:
      return {ErrorCode::kInvalidArgument, "the token does not take this point"};
    case CKR_DEVICE_REMOVED:
    case CKR_TOKEN_NOT_PRESENT:
      return {ErrorCode::kUnavailable, "the token is gone"};
    default:
      return {ErrorCode::kUnavailable, "the token cannot do it now"};
  }
}

}  // namespace

Result<Cryptoki> Cryptoki::Load(const TokenPlace& place) {
  TACIT_TRY_VOID(CheckModule(place));
  TACIT_TRY(const SharedLibrary library, SharedLibrary::Load(place.module.string()));
  decltype(C_GetFunctionList)* get_functions = nullptr;
  TACIT_TRY_VOID(library.Find("C_GetFunctionList", get_functions));
  CK_FUNCTION_LIST* functions = nullptr;
  if (const CK_RV rv = get_functions(&functions); rv != CKR_OK || functions == nullptr)
    return TokenFailure(rv, "use " + place.module.string());
  Cryptoki module(functions);
  TACIT_TRY_VOID(module.Initialise());
  return module;
}

Result<void> Cryptoki::Initialise() {
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  const CK_RV rv = functions_->C_Initialize(&arguments);
  finalise_ = rv == CKR_OK;
  if (rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) return {};
  return TokenFailure(rv, "initialise the PKCS #11 module");
}

Cryptoki::Cryptoki(Cryptoki&& other) noexcept
    : functions_(other.functions_), finalise_(std::exchange(other.finalise_, false)) {}

Cryptoki::~Cryptoki() {
  if (finalise_) functions_->C_Finalize(nullptr);
}

std::unexpected<Error> TokenFailure(CK_RV answer, std::string_view doing) {
  const auto code = static_cast<std::uint32_t>(answer);
  const std::array<std::uint8_t, 4> bytes{static_cast<std::uint8_t>(code >> 24U),
                                          static_cast<std::uint8_t>(code >> 16U), static_cast<std::uint8_t>(code >> 8U),
                                          static_cast<std::uint8_t>(code)};
  const TokenMeaning meaning = MeaningOfAnswer(answer);
  return Fail(meaning.code,
              "cannot " + std::string(doing) + ": " + std::string(meaning.text) + " (CKR 0x" + ToHex(bytes) + ")");
}

}  // namespace tacit::keys
