#include "proto/codec/delivery.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tacit/v1/agent.pb.h"
#include "tests/support/matchers.h"
#include "tests/unit/codec/edited.h"

namespace tacit::codec {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

ModelLeaseRequest SomeWish() {
  ModelLeaseRequest wish{.device_key = {}, .highest_version = 3, .key_tier = "tpm"};
  wish.device_key.fill(4);
  return wish;
}

ModelLeaseReply SomeModelLease() {
  ModelLeaseReply reply{.version = 4,
                        .manifest_digest = {},
                        .bundle_bytes = 14'000,
                        .lease = R"({"payload":""})",
                        .key_epoch = 2,
                        .renew_after = Millis(300'000),
                        .signer = {}};
  reply.manifest_digest.fill(1);
  reply.signer.fill(2);
  return reply;
}

TEST(ModelLease, ComesBackAsItWasSent) {
  EXPECT_EQ(ParseModelLeaseRequest(Encode(SomeWish())), SomeWish());
  EXPECT_EQ(ParseModelLeaseReply(Encode(SomeModelLease())), SomeModelLease());
}

TEST(ModelLease, RefusesAWishThatIsNotOne) {
  const auto refused = [](const char* field, const std::function<void(v1::ModelLeaseRequest&)>& edit) {
    EXPECT_THAT(ParseModelLeaseRequest(Edited<v1::ModelLeaseRequest>(SomeWish(), edit)),
                IsErrorSaying(ErrorCode::kInvalidArgument, field));
  };
  refused("device_key", [](auto& m) { m.set_device_key(std::string(64, 'k')); });
  refused("device_key", [](auto& m) { m.clear_device_key(); });
  refused("highest_version", [](auto& m) { m.set_highest_version(1ULL << 53U); });
  refused("key_tier", [](auto& m) { m.set_key_tier(std::string(33, 't')); });
  refused("key_tier", [](auto& m) { m.set_key_tier("a b"); });
  EXPECT_THAT(ParseModelLeaseRequest(Bytes(kMaxModelLeaseRequestBytes + 1)), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(ParseModelLeaseRequest(Bytes(3, 0xff)), IsError(ErrorCode::kMalformed));
}

TEST(ModelLease, RefusesALeaseThatIsNotOne) {
  const auto refused = [](const char* field, const std::function<void(v1::ModelLeaseResponse&)>& edit) {
    EXPECT_THAT(ParseModelLeaseReply(Edited<v1::ModelLeaseResponse>(SomeModelLease(), edit)),
                IsErrorSaying(ErrorCode::kInvalidArgument, field));
  };
  refused("version", [](auto& m) { m.set_version(0); });
  refused("manifest_digest", [](auto& m) { m.set_manifest_digest("short"); });
  refused("bundle_bytes", [](auto& m) { m.set_bundle_bytes(kMaxBundleBytes + 1); });
  refused("bundle_bytes", [](auto& m) { m.set_bundle_bytes(0); });
  refused("lease", [](auto& m) { m.clear_lease(); });
  refused("lease", [](auto& m) { m.set_lease(std::string(kMaxModelLeaseBytes + 1, '{')); });
  refused("key_epoch", [](auto& m) { m.set_key_epoch(0); });
  refused("renew_after_ms", [](auto& m) { m.set_renew_after_ms(~0ULL); });
  refused("signer", [](auto& m) { m.set_signer(std::string(33, 's')); });
  EXPECT_THAT(ParseModelLeaseReply(Bytes(kMaxModelLeaseReplyBytes + 1)), IsError(ErrorCode::kTooLarge));
}

}  // namespace
}  // namespace tacit::codec
