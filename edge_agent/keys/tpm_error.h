#pragma once

#include <tss2/tss2_common.h>

#include <string_view>

#include "common/base/result.h"

namespace tacit::keys {

/// What an answer of tpm2-tss that is no success means: kUnavailable for what may pass (nothing answers, no room, too
/// many writes), kPermissionDenied for a wrong authorisation, kInvalidArgument for a point off the curve, kDataLoss
/// where what the record names is damaged or gone, kInternal for a command that should not have been sent.
/// Source: TPM 2.0 library, revision 1.59, part 2, section 6.6.
std::unexpected<Error> TpmFailure(TSS2_RC answer, std::string_view doing);

/// Whether the TPM has something at an index that was to be defined.
bool IsDefinedAlready(TSS2_RC answer);

}  // namespace tacit::keys
