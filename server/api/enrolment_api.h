#pragma once

#include <vector>

#include "server/api/context.h"
#include "server/api/router.h"

namespace tacit::api {

/// The enrolment listener: the CA to compare a fingerprint with, and a certificate for a one-time token.
std::vector<Route> EnrolmentRoutes(Context& context);

/// A fresh enrolment token: `tct_` and 32 hexadecimal digits, and, for a token that can enrol one device name only, a
/// dot and that name, as codec::NameInToken reads it. The server keeps its SHA-256.
std::string MakeToken(const std::optional<DeviceId>& fixed_name);

}  // namespace tacit::api
