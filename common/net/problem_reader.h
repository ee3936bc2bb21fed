#pragma once

#include "common/base/result.h"
#include "common/net/https_client.h"

namespace tacit::net {

/// The error in an answer whose status is not a success: the reverse of `Problem`. The code is that of the problem
/// document, or the nearest to the HTTP status when there is none; the message is the document's detail, cut to 1 KiB
/// and without control characters other than line ends, so that a server cannot steer the terminal that shows it.
Error ReadProblem(const ClientResponse& response);

/// The answer's body when its status is 2xx, else the error in it.
Result<Bytes> BodyOrProblem(Result<ClientResponse> response);

}  // namespace tacit::net
