#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "proto/codec/limits.h"

/// How a device gets a model to use: the messages of POST /v1/tasks/{task}/lease.
namespace tacit::codec {

/// A device asks for the right to use the newest model.
struct ModelLeaseRequest {
  std::array<std::uint8_t, 65> device_key{};  ///< Whether it is a point of the curve is not looked at here.
  std::uint64_t highest_version = 0;          ///< That it ever used; 0: none.
  std::string key_tier;                       ///< Printable ASCII without spaces, at most kMaxKeyTierBytes.
  bool operator==(const ModelLeaseRequest&) const = default;
};

struct ModelLeaseReply {
  std::uint64_t version = 1;
  Digest256 manifest_digest{};
  std::uint64_t bundle_bytes = 1;
  std::string lease;                      ///< Its text: printable ASCII, at most kMaxModelLeaseBytes.
  std::uint64_t key_epoch = 1;            ///< How many keys the device has had.
  Millis renew_after{0};                  ///< From now: when to ask for the next lease.
  std::array<std::uint8_t, 32> signer{};  ///< Ed25519: who signed bundle and lease.
  bool operator==(const ModelLeaseReply&) const = default;
};

Bytes Encode(const ModelLeaseRequest& request);
Bytes Encode(const ModelLeaseReply& reply);

/// Errors, for both: kTooLarge over the message's limit; kMalformed for bytes that are no such message;
/// kInvalidArgument, naming the field, for a value outside its range.
Result<ModelLeaseRequest> ParseModelLeaseRequest(ByteSpan bytes);
Result<ModelLeaseReply> ParseModelLeaseReply(ByteSpan bytes);

}  // namespace tacit::codec
