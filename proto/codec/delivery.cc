#include "proto/codec/delivery.h"

#include <utility>

#include "proto/codec/fields.h"
#include "proto/codec/wire.h"
#include "tacit/v1/agent.pb.h"

namespace tacit::codec {

Bytes Encode(const ModelLeaseRequest& request) {
  v1::ModelLeaseRequest message;
  message.set_device_key(request.device_key.data(), request.device_key.size());
  message.set_highest_version(request.highest_version);
  message.set_key_tier(request.key_tier);
  return SerializeMessage(message);
}

Bytes Encode(const ModelLeaseReply& reply) {
  v1::ModelLeaseResponse message;
  message.set_version(reply.version);
  message.set_manifest_digest(reply.manifest_digest.data(), reply.manifest_digest.size());
  message.set_bundle_bytes(reply.bundle_bytes);
  message.set_lease(reply.lease);
  message.set_key_epoch(reply.key_epoch);
  message.set_renew_after_ms(static_cast<std::uint64_t>(reply.renew_after.count()));
  message.set_signer(reply.signer.data(), reply.signer.size());
  return SerializeMessage(message);
}

Result<ModelLeaseRequest> ParseModelLeaseRequest(ByteSpan bytes) {
  v1::ModelLeaseRequest message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxModelLeaseRequestBytes, "a request for a model's lease", message));
  ModelLeaseRequest request{.device_key = {},
                            .highest_version = message.highest_version(),
                            .key_tier = std::move(*message.mutable_key_tier())};
  TACIT_TRY(request.device_key, ParseDigest<decltype(request.device_key)>("device_key", message.device_key()));
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("highest_version", request.highest_version, 0, kMaxBundleVersion));
  TACIT_TRY_VOID(
      CheckText("key_tier", request.key_tier, {.max_bytes = kMaxKeyTierBytes, .token_characters_only = true}));
  return request;
}

Result<ModelLeaseReply> ParseModelLeaseReply(ByteSpan bytes) {
  v1::ModelLeaseResponse message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxModelLeaseReplyBytes, "a model's lease", message));
  ModelLeaseReply reply{.version = message.version(),
                        .bundle_bytes = message.bundle_bytes(),
                        .lease = std::move(*message.mutable_lease()),
                        .key_epoch = message.key_epoch()};
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("version", reply.version, 1, kMaxBundleVersion));
  TACIT_TRY(reply.manifest_digest, ParseDigest<Digest256>("manifest_digest", message.manifest_digest()));
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("bundle_bytes", reply.bundle_bytes, 1, kMaxBundleBytes));
  TACIT_TRY_VOID(CheckText("lease", reply.lease, {.min_bytes = 1, .max_bytes = kMaxModelLeaseBytes}));
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("key_epoch", reply.key_epoch, 1, kMaxBundleVersion));
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("renew_after_ms", message.renew_after_ms(), 0,
                                           static_cast<std::uint64_t>(kMaxRenewAfter.count())));
  reply.renew_after = Millis(static_cast<std::int64_t>(message.renew_after_ms()));
  TACIT_TRY(reply.signer, ParseDigest<decltype(reply.signer)>("signer", message.signer()));
  return reply;
}

}  // namespace tacit::codec
