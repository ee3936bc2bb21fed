#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "proto/codec/limits.h"

/// How a device gets its certificate and keeps it fresh. The private key never leaves the device.
namespace tacit::codec {

/// A new device shows its one-time token.
struct EnrolRequest {
  std::string token;              ///< Printable ASCII without spaces, 1 to kMaxTokenBytes.
  std::string csr_pem;            ///< Names asked for in it are ignored.
  std::optional<DeviceId> label;  ///< A wish for the device name.
  bool operator==(const EnrolRequest&) const = default;
};

struct EnrolReply {
  DeviceId device;
  std::string certificate_chain_pem;
  std::string ca_pem;
  std::string agents_host;  ///< Of the agents' listener; empty: the host that was asked.
  std::uint16_t agents_port = 0;
  bool operator==(const EnrolReply&) const = default;
};

/// A fresh certificate for the identity of the connection it is asked on.
struct RenewRequest {
  std::string csr_pem;
  bool operator==(const RenewRequest&) const = default;
};

struct RenewReply {
  std::string certificate_chain_pem;
  bool operator==(const RenewReply&) const = default;
};

/// The only device name that a token can admit, when it carries one: what stands behind its dot.
std::optional<DeviceId> NameInToken(std::string_view token);

Bytes Encode(const EnrolRequest& request);
Bytes Encode(const EnrolReply& reply);
Bytes Encode(const RenewRequest& request);
Bytes Encode(const RenewReply& reply);

/// Errors, for all below: kTooLarge over the message's limit; kMalformed for bytes that are no such message;
/// kInvalidArgument, naming the field, for a value outside its range.
Result<EnrolRequest> ParseEnrolRequest(ByteSpan bytes);
Result<EnrolReply> ParseEnrolReply(ByteSpan bytes);
Result<RenewRequest> ParseRenewRequest(ByteSpan bytes);
Result<RenewReply> ParseRenewReply(ByteSpan bytes);

}  // namespace tacit::codec
