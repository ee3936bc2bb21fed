#include "common/bundle/envelope.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/unit/bundle/fixtures.h"

namespace tacit::bundle {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::Server;

constexpr std::string_view kType = "http://example.com/HelloWorld";
constexpr std::string_view kText = "hello world";

std::vector<crypto::Ed25519PublicKey> PublicKeysOf(std::span<const crypto::SigningKey> keys) {
  std::vector<crypto::Ed25519PublicKey> result;
  for (const crypto::SigningKey& key : keys) result.push_back(key.public_key());
  return result;
}

SignerSet Trusting(std::span<const crypto::SigningKey> keys, std::size_t threshold) {
  return *SignerSet::Create(PublicKeysOf(keys), threshold);
}

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// The example of the specification: DSSE, protocol.md, test vectors.
TEST(PreAuthEncoding, IsWhatTheSpecificationShows) {
  EXPECT_EQ(AsText(PreAuthEncoding(kType, kText)), "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

TEST(Envelope, IsOneTextForWhatItHolds) {
  const auto keys = Server::NewKeys(1);
  const std::string text = SignEnvelope(kType, kText, keys);
  const crypto::Ed25519Signature signature = keys[0].Sign(PreAuthEncoding(kType, kText));
  EXPECT_EQ(text,
            R"({"payload":"aGVsbG8gd29ybGQ=","payloadType":"http://example.com/HelloWorld","signatures":[{"keyid":")" +
                keys[0].key_id() + R"(","sig":")" + ToBase64(signature) + R"("}]})");
  EXPECT_EQ(SignEnvelope(kType, kText, keys), text);
}

TEST(SignerSet, OpensWhatEnoughOfItsKeysHaveSigned) {
  const auto keys = Server::NewKeys(3);
  const std::span<const crypto::SigningKey> all = keys;
  const SignerSet two_of_three = Trusting(keys, 2);
  for (const std::size_t count : {2UL, 3UL}) {
    const auto opened = two_of_three.Open(SignEnvelope(kType, kText, all.first(count)), kType);
    ASSERT_THAT(opened, IsOk());
    EXPECT_EQ(*opened, kText);
  }
  EXPECT_THAT(two_of_three.Open(SignEnvelope(kType, kText, all.first(1)), kType),
              IsErrorSaying(ErrorCode::kUnauthenticated, "signed by 1 trusted key, of 2"));
}

TEST(SignerSet, CountsNoStrangers) {
  const auto keys = Server::NewKeys(2);
  auto mixed = Server::NewKeys(2);
  const SignerSet signers = Trusting(keys, 1);
  EXPECT_THAT(signers.Open(SignEnvelope(kType, kText, mixed), kType),
              IsErrorSaying(ErrorCode::kUnauthenticated, "signed by 0 trusted keys"));
  EXPECT_THAT(signers.Open(*Cosign(SignEnvelope(kType, kText, mixed), keys[1]), kType), IsOk());
}

TEST(SignerSet, RefusesABadSignatureOfItsOwnKeysEvenWhereOthersWouldDo) {
  const auto keys = Server::NewKeys(2);
  const SignerSet signers = Trusting(keys, 1);
  const std::string good = SignEnvelope(kType, kText, keys);
  const std::string other = ToBase64(keys[0].Sign(PreAuthEncoding(kType, "hello worle")));
  const std::string bad = Replaced(good, ToBase64(keys[0].Sign(PreAuthEncoding(kType, kText))), other);
  EXPECT_THAT(signers.Open(bad, kType), IsErrorSaying(ErrorCode::kUnauthenticated, keys[0].key_id()));
}

TEST(SignerSet, TakesASignatureForOneTypeOnly) {
  const auto keys = Server::NewKeys(1);
  const SignerSet signers = Trusting(keys, 1);
  const std::string text = SignEnvelope(kType, kText, keys);
  EXPECT_THAT(signers.Open(text, "http://example.com/HelloWorle"),
              IsErrorSaying(ErrorCode::kMalformed, "holds 'http://example.com/HelloWorld' and not"));
  EXPECT_THAT(signers.Open(Replaced(text, "HelloWorld", "HelloWorle"), "http://example.com/HelloWorle"),
              IsError(ErrorCode::kUnauthenticated));
}

TEST(SignerSet, IsMadeOfDifferentKeysAndAThresholdThatTheyCanMeet) {
  const auto keys = PublicKeysOf(Server::NewKeys(2));
  EXPECT_THAT(SignerSet::Create(keys, 2), IsOk());
  EXPECT_THAT(SignerSet::Create(keys, 3), IsErrorSaying(ErrorCode::kInvalidArgument, "of 2 keys, 3 cannot be"));
  EXPECT_THAT(SignerSet::Create(keys, 0), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(SignerSet::Create({}, 1), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(SignerSet::Create({keys[0], keys[0]}, 1), IsErrorSaying(ErrorCode::kInvalidArgument, "given twice"));
  EXPECT_THAT(SignerSet::Create(PublicKeysOf(Server::NewKeys(kMostSigners + 1)), 1),
              IsError(ErrorCode::kInvalidArgument));
}

TEST(Cosign, AddsASignatureOnce) {
  const auto keys = Server::NewKeys(2);
  const std::string both = SignEnvelope(kType, kText, keys);
  const std::string one = SignEnvelope(kType, kText, std::span(keys).first(1));
  EXPECT_EQ(*Cosign(one, keys[1]), both);
  EXPECT_EQ(*Cosign(both, keys[1]), both);
  EXPECT_THAT(Cosign("{}", keys[1]), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(Cosign(SignEnvelope(kType, kText, Server::NewKeys(kMostSigners)), keys[1]),
              IsError(ErrorCode::kInvalidArgument));
}

TEST(ParseEnvelope, RefusesEveryOtherTextOfTheSame) {
  const auto keys = Server::NewKeys(2);
  const std::string good = SignEnvelope(kType, kText, keys);
  ASSERT_THAT(ParseEnvelope(good), IsOk());
  const std::string id = std::min(keys[0].key_id(), keys[1].key_id());
  for (const auto& [from, to] : std::map<std::string, std::string>{
           {R"({"payload":)", R"({ "payload":)"},
           {R"({"payload":)", R"({"a":1,"payload":)"},
           {R"({"payload":)", R"({"payload":"","payload":)"},
           {R"("payloadType":"http)", R"("payloadType":"\u0068ttp)"},
           {"aGVsbG8gd29ybGQ=", "aGVsbG8gd29ybGQ"},
           {"aGVsbG8gd29ybGQ=", "aGVsbG8gd29ybGR="},
           {"aGVsbG8gd29ybGQ=", "aGVsbG8gd2 9ybGQ="},
           {"]}", "]}\n"},
           {"}]", "},{}]"},
           {id, "00"},
           {id, std::string(64, 'f')},
           {R"(,"sig":)", R"(,"sig":"",sig":)"},
       }) {
    EXPECT_THAT(ParseEnvelope(Replaced(good, from, to)), IsError(ErrorCode::kMalformed)) << to;
  }
  EXPECT_THAT(ParseEnvelope(""), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ParseEnvelope("[]"), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ParseEnvelope(good + std::string(kLongestEnvelope, ' ')), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(ParseEnvelope(std::string(kLongestEnvelope, '[')), IsError(ErrorCode::kMalformed));
}

TEST(ParseEnvelope, RefusesTwoSignaturesByOneKey) {
  const auto keys = Server::NewKeys(1);
  const std::string good = SignEnvelope(kType, kText, keys);
  const std::size_t begin = good.find("{\"keyid");
  const std::string signature = good.substr(begin, good.size() - begin - 2);
  EXPECT_THAT(ParseEnvelope(Replaced(good, signature, signature + "," + signature)),
              IsErrorSaying(ErrorCode::kMalformed, "two signatures by one key"));
}

}  // namespace
}  // namespace tacit::bundle
