#include "common/bundle/lease.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/unit/bundle/fixtures.h"

namespace tacit::bundle {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::DigestOf;
using testing::Server;

class LeaseOfAModel : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Issue(const LeaseTerms& terms) const {
    return *IssueLease({.terms = terms, .recipient = key_.public_key(), .content_key = server_.content_key},
                       server_.keys);
  }
  /// A lease with part of its text changed, by somebody who can sign.
  [[nodiscard]] std::string Forged(std::string_view from, std::string_view to) const {
    const Envelope envelope = *ParseEnvelope(Issue(terms_));
    std::string payload = envelope.payload;
    const std::size_t at = payload.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return SignEnvelope(envelope.payload_type, payload.replace(at, from.size(), to), server_.keys);
  }
  [[nodiscard]] Lease::Use UseNow() const { return {terms_.device, terms_.manifest, 1, server_.clock.Now()}; }

  Server server_;
  SignerSet signers_ = server_.Trusted();
  crypto::SoftAgreementKey key_ = *crypto::SoftAgreementKey::Generate();
  LeaseTerms terms_ = server_.Terms(server_.MakeManifest(Bytes(5, 1)));
};

TEST_F(LeaseOfAModel, GivesTheContentKeyToItsDevice) {
  const auto lease = Lease::Parse(Issue(terms_), signers_);
  ASSERT_THAT(lease, IsOk());
  EXPECT_EQ(lease->terms().device, terms_.device);
  EXPECT_EQ(lease->terms().manifest, terms_.manifest);
  EXPECT_EQ(lease->terms().key_epoch, 1U);
  EXPECT_EQ(lease->terms().not_before, terms_.not_before);
  EXPECT_EQ(lease->terms().expires, terms_.expires);
  EXPECT_THAT(lease->Check(UseNow()), IsOk());
  const auto content_key = lease->Unwrap(key_);
  ASSERT_THAT(content_key, IsOk());
  EXPECT_TRUE(std::ranges::equal(content_key->bytes(), server_.content_key.bytes()));
}

TEST_F(LeaseOfAModel, HasOneText) {
  const Envelope envelope = *ParseEnvelope(Issue(terms_));
  EXPECT_EQ(envelope.payload_type, "application/vnd.tacit.model-lease.v1+json");
  const std::string expected = R"({"device":"pump-3","expires_ms":1790086400000,"key_epoch":1,"manifest":")" +
                               ToHex(terms_.manifest) + R"(","not_before_ms":1790000000000,"wrapped_key":")";
  EXPECT_EQ(envelope.payload.substr(0, expected.size()), expected);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"{\"device", "{ \"device"},
           {"\"key_epoch\":1", "\"key_epoch\":1.0"},
           {"\"key_epoch\":1", "\"key_epoch\":2,\"key_epoch\":1"},
           {"\"key_epoch\":1", "\"key_epoch\":0"},
           {"\"device\":\"pump-3\"", "\"device\":\"PUMP-3\""},
           {"\"expires_ms\":1790086400000", "\"expires_ms\":1790000000000"},
           {"\"wrapped_key\":\"", "\"wrapped_key\":\"AAAA"},
           {"=\"}", "\"}"},
       }) {
    EXPECT_THAT(Lease::Parse(Forged(from, to), signers_), IsErrorSaying(ErrorCode::kMalformed, "the lease")) << to;
  }
}

TEST_F(LeaseOfAModel, RefusesOtherDevicesBundlesKeysAndTimes) {
  const Lease lease = *Lease::Parse(Issue(terms_), signers_);
  const DeviceId other = *DeviceId::Parse("pump-4");
  const Digest256 other_manifest = DigestOf(9);
  const Lease::Use now = UseNow();
  EXPECT_THAT(lease.Check({other, now.manifest, 1, now.now}),
              IsErrorSaying(ErrorCode::kPermissionDenied, "for device 'pump-3', and this is 'pump-4'"));
  EXPECT_THAT(lease.Check({now.device, now.manifest, 2, now.now}),
              IsErrorSaying(ErrorCode::kPermissionDenied, "for key 1 of this device, which has key 2"));
  EXPECT_THAT(lease.Check({now.device, other_manifest, 1, now.now}), IsError(ErrorCode::kConflict));
  EXPECT_THAT(lease.Check({now.device, now.manifest, 1, terms_.not_before - Millis(1)}),
              IsErrorSaying(ErrorCode::kUnavailable, "2026-09-21T14:13:20.000Z"));
  EXPECT_THAT(lease.Check({now.device, now.manifest, 1, terms_.expires - Millis(1)}), IsOk());
  EXPECT_THAT(lease.Check({now.device, now.manifest, 1, terms_.expires}), IsError(ErrorCode::kGone));
}

TEST_F(LeaseOfAModel, RefusesWhatNobodyTrustedHasSigned) {
  EXPECT_THAT(Lease::Parse(Issue(terms_), Server().Trusted()), IsErrorSaying(ErrorCode::kUnauthenticated, "the lease"));
  const std::string statement = SignManifest(server_.MakeManifest(Bytes(5, 1)), server_.keys);
  EXPECT_THAT(Lease::Parse(statement, signers_), IsErrorSaying(ErrorCode::kMalformed, "application/vnd.in-toto+json"));
}

TEST_F(LeaseOfAModel, RefusesAChangeOfAnyByte) {
  std::string text = Issue(terms_);
  for (std::size_t at = 0; at < text.size(); ++at) {
    text[at] = static_cast<char>(text[at] ^ 1);
    EXPECT_FALSE(Lease::Parse(text, signers_).has_value()) << at;
    text[at] = static_cast<char>(text[at] ^ 1);
  }
}

// Even who can sign leases cannot give a wrapped key other terms than it was wrapped for.
TEST_F(LeaseOfAModel, KeepsAWrappedKeyToItsTerms) {
  const std::string manifest = ToHex(terms_.manifest);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"pump-3", "pump-4"},
           {"\"expires_ms\":17", "\"expires_ms\":18"},
           {"\"not_before_ms\":179", "\"not_before_ms\":178"},
           {"\"key_epoch\":1", "\"key_epoch\":2"},
           {manifest, std::string(64, '0')},
       }) {
    const auto lease = Lease::Parse(Forged(from, to), signers_);
    ASSERT_THAT(lease, IsOk()) << to;
    EXPECT_THAT(lease->Unwrap(key_), IsErrorSaying(ErrorCode::kDataLoss, "the lease's key")) << to;
  }
}

TEST_F(LeaseOfAModel, IsNotIssuedOnTermsThatHoldAtNoTime) {
  const auto issue = [&](const LeaseTerms& terms, const crypto::P256Point& recipient) {
    return IssueLease({.terms = terms, .recipient = recipient, .content_key = server_.content_key}, server_.keys);
  };
  LeaseTerms terms = terms_;
  terms.expires = terms.not_before;
  EXPECT_THAT(issue(terms, key_.public_key()), IsErrorSaying(ErrorCode::kInvalidArgument, "must end after it begins"));
  terms = terms_;
  terms.not_before = WallTime(Millis(-1));
  EXPECT_THAT(issue(terms, key_.public_key()), IsError(ErrorCode::kInvalidArgument));
  terms = terms_;
  terms.key_epoch = 0;
  EXPECT_THAT(issue(terms, key_.public_key()), IsErrorSaying(ErrorCode::kInvalidArgument, "counted from 1"));
  EXPECT_THAT(issue(terms_, crypto::P256Point{}), IsErrorSaying(ErrorCode::kInvalidArgument, "not a point"));
}

}  // namespace
}  // namespace tacit::bundle
