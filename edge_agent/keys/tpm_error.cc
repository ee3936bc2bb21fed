#include "edge_agent/keys/tpm_error.h"

#include <tss2/tss2_tpm2_types.h>

#include <array>
#include <string>

#include "common/base/bytes.h"

namespace tacit::keys {
namespace {

constexpr TSS2_RC kFormatOneNumber = TPM2_RC_FMT1 | 0x03fU;

struct Meaning {
  ErrorCode code;
  std::string_view text;
};

Meaning MeaningOfFormatOne(TSS2_RC number) {
  switch (number) {
    case TPM2_RC_ECC_POINT:
      return {ErrorCode::kInvalidArgument, "not a point on the curve P-256"};
    case TPM2_RC_INTEGRITY:
      return {ErrorCode::kDataLoss, "the key was not made by this TPM, or its record is damaged"};
    case TPM2_RC_HANDLE:
      return {ErrorCode::kDataLoss, "what is asked for is not in the TPM any more"};
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_BAD_AUTH:
      return {ErrorCode::kPermissionDenied, "the TPM does not take the authorisation"};
    default:
      return {ErrorCode::kInternal, "the TPM refuses the command"};
  }
}

Meaning MeaningOf(TSS2_RC answer) {
  const TSS2_RC layer = answer & TSS2_RC_LAYER_MASK;
  if (layer == TSS2_TCTI_RC_LAYER) return {ErrorCode::kUnavailable, "no TPM answers there"};
  if (answer == TSS2_ESYS_RC_RSP_AUTH_FAILED)
    return {ErrorCode::kUnavailable, "the answer was not signed as a TPM does it: something stands in between"};
  if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
    return {ErrorCode::kUnavailable, "tpm2-tss cannot do it"};
  const TSS2_RC number = answer & ~TSS2_RC_LAYER_MASK;
  if ((number & TPM2_RC_FMT1) != 0) return MeaningOfFormatOne(number & kFormatOneNumber);
  switch (number) {
    case TPM2_RC_OBJECT_MEMORY:
    case TPM2_RC_SESSION_MEMORY:
      return {ErrorCode::kUnavailable,
              "the TPM has no room left: reach it through its resource manager (device:/dev/tpmrm0)"};
    case TPM2_RC_NV_RATE:
      return {ErrorCode::kUnavailable, "the TPM was written to too often, and asks to wait"};
    default:
      return {ErrorCode::kUnavailable, "the TPM cannot do it now"};
  }
}

}  // namespace

std::unexpected<Error> TpmFailure(TSS2_RC answer, std::string_view doing) {
  const std::array<std::uint8_t, 4> bytes{static_cast<std::uint8_t>(answer >> 24U),
                                          static_cast<std::uint8_t>(answer >> 16U),
                                          static_cast<std::uint8_t>(answer >> 8U), static_cast<std::uint8_t>(answer)};
  const Meaning meaning = MeaningOf(answer);
  return Fail(meaning.code, "cannot " + std::string(doing) + ": " + std::string(meaning.text) + " (code 0x" +
                                ToHex(bytes) + ", see tpm2_rc_decode)");
}

bool IsDefinedAlready(TSS2_RC answer) {
  return answer == TPM2_RC_NV_DEFINED;
}

}  // namespace tacit::keys
