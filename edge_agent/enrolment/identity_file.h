#pragma once

#include <string>
#include <string_view>

#include "common/base/ids.h"
#include "common/net/https_client.h"

namespace tacit::enrolment {

/// What identity.json holds.
struct IdentityRecord {
  DeviceId device;
  std::string trust_domain;
  net::Endpoint agents;
};

std::string FormatIdentityRecord(const IdentityRecord& record);
/// Errors: kMalformed, kInvalidArgument.
Result<IdentityRecord> ParseIdentityRecord(std::string_view text);

}  // namespace tacit::enrolment
