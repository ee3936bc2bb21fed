#pragma once

#include "common/crypto/agreement_key.h"

namespace tacit::keys {

/// Whether `peer` is a point of the curve: looked at here, before any hardware sees it, because a key that multiplies a
/// point of another curve gives itself away bit by bit, and not every token looks.
/// Errors: kInvalidArgument. Source: NIST SP 800-56A revision 3, section 5.6.2.3.
Result<void> CheckPeer(const crypto::P256Point& peer);

}  // namespace tacit::keys
