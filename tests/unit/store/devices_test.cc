#include <array>
#include <string>

#include "tests/unit/store/fixtures.h"

namespace tacit::store {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::At;
using testing::Device;
using ::testing::ElementsAre;
using testing::NewDevice;
using ::testing::SizeIs;
using testing::StoreTest;

using Devices = StoreTest;

Digest256 Hash(std::uint8_t byte) {
  Digest256 hash;
  hash.fill(byte);
  return hash;
}

TokenRecord::Id IdOf(const Digest256& hash) {
  return *ParseTokenId(ToHex(hash).substr(0, 16));
}

class Tokens : public StoreTest {
 protected:
  void Token(std::uint64_t uses, std::optional<DeviceId> name = {}) {
    ASSERT_THAT(Create(Hash(7), uses, std::move(name)), IsOk());
  }
  Result<TokenPurpose> Create(const Digest256& hash, std::uint64_t uses, std::optional<DeviceId> name) {
    return store().CreateToken(
        {.hash = hash, .uses_left = uses, .expires_at = At(100), .fixed_name = std::move(name), .created_at = At(0)});
  }
  Result<Redemption> Redeem(const DeviceRecord& device, WallTime now = At(50)) {
    return store().RedeemToken(Hash(7), now, device);
  }
};

TEST_F(Devices, ComeBackAsTheyWereAddedAfterARestart) {
  DeviceRecord device = NewDevice("phone", 3);
  device.token_hash_hex = "abcd";
  ASSERT_THAT(store().AddDevice(device), IsOk());
  Open();
  const auto read = store().Device(Device("phone"));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->id, Device("phone"));
  EXPECT_EQ(read->state, DeviceState::kActive);
  EXPECT_EQ(read->public_key_sha256, Hash(3));
  EXPECT_EQ(read->certificate_serial, "0a1b");
  EXPECT_EQ(read->certificate_not_after, At(1000));
  EXPECT_EQ(read->enrolled_at, At(1));
  EXPECT_EQ(read->last_seen, std::nullopt);
  EXPECT_EQ(read->token_hash_hex, "abcd");
}

TEST_F(Devices, KeepTheirNameEvenWhenRevoked) {
  ASSERT_THAT(store().AddDevice(NewDevice("phone")), IsOk());
  EXPECT_THAT(store().AddDevice(NewDevice("phone", 2)), IsErrorSaying(ErrorCode::kConflict, "'phone' is taken"));
  ASSERT_THAT(store().RevokeDevice(Device("phone")), IsOk());
  ASSERT_THAT(store().RevokeDevice(Device("phone")), IsOk()) << "it can be repeated";
  EXPECT_THAT(store().AddDevice(NewDevice("phone", 2)), IsError(ErrorCode::kConflict));
  EXPECT_EQ(store().Device(Device("phone"))->state, DeviceState::kRevoked);
}

TEST_F(Devices, ThatAreUnknownAreNotFound) {
  EXPECT_THAT(store().Device(Device("nobody")), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(store().RevokeDevice(Device("nobody")), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(store().UpdateDeviceCertificate(Device("nobody"), {}), IsError(ErrorCode::kNotFound));
}

TEST_F(Devices, ArePagedByNameAndCountedByState) {
  for (const char* name : {"c", "a", "d", "b"}) ASSERT_THAT(store().AddDevice(NewDevice(name)), IsOk());
  ASSERT_THAT(store().RevokeDevice(Device("c")), IsOk());
  const auto page = store().Devices({}, 2);
  ASSERT_THAT(*page, SizeIs(2));
  EXPECT_EQ((*page)[1].id, Device("b"));
  const auto rest = store().Devices(Device("b"), 10);
  ASSERT_THAT(*rest, SizeIs(2));
  EXPECT_EQ((*rest)[0].id, Device("c"));
  EXPECT_EQ(store().CountDevices()->active, 3U);
  EXPECT_EQ(store().CountDevices()->revoked, 1U);
}

TEST_F(Devices, RenewTheirCertificateUnlessRevoked) {
  ASSERT_THAT(store().AddDevice(NewDevice("phone")), IsOk());
  ASSERT_THAT(store().UpdateDeviceCertificate(Device("phone"), {Hash(1), "ff", At(5000)}), IsOk());
  const auto renewed = store().Device(Device("phone"));
  EXPECT_EQ(renewed->certificate_serial, "ff");
  EXPECT_EQ(renewed->certificate_not_after, At(5000));
  ASSERT_THAT(store().RevokeDevice(Device("phone")), IsOk());
  EXPECT_THAT(store().UpdateDeviceCertificate(Device("phone"), {Hash(1), "00", At(9000)}),
              IsError(ErrorCode::kPermissionDenied));
  EXPECT_EQ(store().Device(Device("phone"))->certificate_serial, "ff");
}

// A renewal that a new admission overtook must not bring the replaced key back.
TEST_F(Devices, RenewTheirCertificateForNoOtherKey) {
  ASSERT_THAT(store().AddDevice(NewDevice("phone", 1)), IsOk());
  EXPECT_THAT(store().UpdateDeviceCertificate(Device("phone"), {Hash(9), "ff", At(5000)}),
              IsErrorSaying(ErrorCode::kPermissionDenied, "another key"));
  EXPECT_EQ(store().Device(Device("phone"))->public_key_sha256, Hash(1));
  EXPECT_EQ(store().Device(Device("phone"))->certificate_serial, "0a1b");
}

TEST_F(Devices, AreSeenLaterButNeverEarlier) {
  ASSERT_THAT(store().AddDevice(NewDevice("a")), IsOk());
  ASSERT_THAT(store().AddDevice(NewDevice("b")), IsOk());
  ASSERT_THAT(store().TouchDevices(std::array<DeviceSighting, 3>{
                  {{Device("a"), At(10)}, {Device("stranger"), At(10)}, {Device("b"), At(20)}}}),
              IsOk());
  ASSERT_THAT(store().TouchDevices(std::array<DeviceSighting, 2>{{{Device("a"), At(30)}, {Device("b"), At(5)}}}),
              IsOk());
  EXPECT_EQ(store().Device(Device("a"))->last_seen, At(30));
  EXPECT_EQ(store().Device(Device("b"))->last_seen, At(20));
  EXPECT_EQ(store().CountDevices()->active, 2U) << "a sighting adds no device";
}

TEST_F(Tokens, AdmitAsManyDevicesAsTheyHaveUses) {
  Token(2);
  EXPECT_EQ(*Redeem(NewDevice("a", 1)), Redemption::kFirst);
  Open();
  EXPECT_EQ(*Redeem(NewDevice("b", 2)), Redemption::kFirst);
  EXPECT_THAT(Redeem(NewDevice("c", 3)), IsErrorSaying(ErrorCode::kUnauthenticated, "used up"));
  EXPECT_EQ(store().Device(Device("a"))->token_hash_hex, ToHex(Hash(7)));
  EXPECT_THAT(store().Device(Device("c")), IsError(ErrorCode::kNotFound));
}

TEST_F(Tokens, ThatAreUnknownOrExpiredAdmitNobody) {
  EXPECT_THAT(Redeem(NewDevice("a")), IsErrorSaying(ErrorCode::kUnauthenticated, "not known"));
  Token(1);
  EXPECT_THAT(Redeem(NewDevice("a"), At(100)), IsErrorSaying(ErrorCode::kUnauthenticated, "expired at 2026-"));
  EXPECT_EQ(*Redeem(NewDevice("a"), At(100) - Millis(1)), Redemption::kFirst);
}

TEST_F(Tokens, ForOneNameAdmitNoOther) {
  Token(1, Device("phone"));
  EXPECT_THAT(Redeem(NewDevice("laptop")), IsError(ErrorCode::kPermissionDenied));
  EXPECT_EQ(*Redeem(NewDevice("phone")), Redemption::kFirst);
}

TEST_F(Tokens, AreNotConsumedByANameThatIsTaken) {
  Token(1);
  ASSERT_THAT(store().AddDevice(NewDevice("phone", 1)), IsOk());
  EXPECT_THAT(Redeem(NewDevice("phone", 1)), IsError(ErrorCode::kConflict)) << "enrolled by another token";
  EXPECT_EQ(*Redeem(NewDevice("laptop")), Redemption::kFirst) << "the use is still there";
}

TEST_F(Tokens, AnswerARepeatedRequestOfTheSameKeyWithoutAnotherUse) {
  Token(1);
  ASSERT_EQ(*Redeem(NewDevice("phone", 1)), Redemption::kFirst);
  DeviceRecord again = NewDevice("phone", 1);
  again.certificate_serial = "22";
  EXPECT_EQ(*Redeem(again), Redemption::kRepeat);
  EXPECT_EQ(store().Device(Device("phone"))->certificate_serial, "22");
  // Another key under the same name is not the same device.
  EXPECT_THAT(Redeem(NewDevice("phone", 2)), IsError(ErrorCode::kUnauthenticated));
  // A revoked device does not come back by repeating.
  ASSERT_THAT(store().RevokeDevice(Device("phone")), IsOk());
  EXPECT_THAT(Redeem(NewDevice("phone", 1)), IsError(ErrorCode::kUnauthenticated));
  EXPECT_EQ(store().Device(Device("phone"))->state, DeviceState::kRevoked);
}

TEST_F(Tokens, DoNotBringARevokedDeviceBackWhileUsesAreLeft) {
  Token(5);
  ASSERT_EQ(*Redeem(NewDevice("phone", 1)), Redemption::kFirst);
  ASSERT_THAT(store().RevokeDevice(Device("phone")), IsOk());
  EXPECT_THAT(Redeem(NewDevice("phone", 1)), IsError(ErrorCode::kConflict));
}

TEST_F(Tokens, ForTheNameOfAnEnrolledDeviceGiveItAnotherKeyAndKeepTheRest) {
  ASSERT_THAT(store().AddDevice(NewDevice("phone", 1)), IsOk());
  ASSERT_THAT(store().TouchDevices(std::array<DeviceSighting, 1>{{{Device("phone"), At(30)}}}), IsOk());
  EXPECT_EQ(*Create(Hash(7), 1, Device("phone")), TokenPurpose::kReadmits);
  DeviceRecord back = NewDevice("phone", 2);
  back.certificate_serial = "22";
  back.certificate_not_after = At(9000);
  back.enrolled_at = At(50);
  EXPECT_EQ(*Redeem(back), Redemption::kReadmitted);
  Open();
  const auto device = store().Device(Device("phone"));
  EXPECT_EQ(device->state, DeviceState::kActive);
  EXPECT_EQ(device->public_key_sha256, Hash(2));
  EXPECT_EQ(device->certificate_serial, "22");
  EXPECT_EQ(device->certificate_not_after, At(9000));
  EXPECT_EQ(device->token_hash_hex, ToHex(Hash(7)));
  EXPECT_EQ(device->enrolled_at, At(1)) << "it is the same device";
  EXPECT_EQ(device->last_seen, At(30));
  EXPECT_EQ(store().CountDevices()->active, 1U);
  // The answer was lost; then somebody else has the token.
  EXPECT_EQ(*Redeem(back), Redemption::kRepeat);
  EXPECT_THAT(Redeem(NewDevice("phone", 3)), IsErrorSaying(ErrorCode::kUnauthenticated, "used up"));
  EXPECT_EQ(store().Device(Device("phone"))->public_key_sha256, Hash(2));
}

TEST_F(Tokens, WithoutANameReplaceNoDevice) {
  ASSERT_THAT(store().AddDevice(NewDevice("phone", 1)), IsOk());
  EXPECT_EQ(*Create(Hash(7), 1, {}), TokenPurpose::kAdmits);
  EXPECT_THAT(Redeem(NewDevice("phone", 2)), IsErrorSaying(ErrorCode::kConflict, "taken"));
  EXPECT_EQ(store().Device(Device("phone"))->public_key_sha256, Hash(1));
}

// Two tokens are made for a device that is not there yet. The one that is left over was not meant to replace it.
TEST_F(Tokens, ForANameAreUsedUpByWhateverAdmitsADeviceUnderIt) {
  EXPECT_EQ(*Create(Hash(7), 1, Device("phone")), TokenPurpose::kAdmits);
  EXPECT_EQ(*Create(Hash(8), 1, Device("phone")), TokenPurpose::kAdmits);
  EXPECT_EQ(*Create(Hash(9), 1, Device("tablet")), TokenPurpose::kAdmits);
  EXPECT_EQ(*Create(Hash(10), 1, {}), TokenPurpose::kAdmits);
  EXPECT_EQ(*Redeem(NewDevice("phone", 1)), Redemption::kFirst);
  EXPECT_THAT(store().RedeemToken(Hash(8), At(50), NewDevice("phone", 2)),
              IsErrorSaying(ErrorCode::kUnauthenticated, "another one admitted 'phone'"));
  // Nor may one that readmits it outlive the next that does, or a device that came by a token for any name.
  EXPECT_EQ(*Create(Hash(11), 1, Device("phone")), TokenPurpose::kReadmits);
  EXPECT_EQ(*Create(Hash(12), 1, Device("phone")), TokenPurpose::kReadmits);
  EXPECT_EQ(*store().RedeemToken(Hash(11), At(50), NewDevice("phone", 3)), Redemption::kReadmitted);
  EXPECT_THAT(store().RedeemToken(Hash(12), At(50), NewDevice("phone", 4)), IsError(ErrorCode::kUnauthenticated));
  EXPECT_EQ(*store().RedeemToken(Hash(10), At(50), NewDevice("tablet", 5)), Redemption::kFirst);
  EXPECT_THAT(store().RedeemToken(Hash(9), At(50), NewDevice("tablet", 6)), IsError(ErrorCode::kUnauthenticated));
  EXPECT_EQ(store().Device(Device("phone"))->public_key_sha256, Hash(3));
  EXPECT_EQ(store().Device(Device("tablet"))->public_key_sha256, Hash(5));
}

TEST_F(Tokens, ForTheNameOfARevokedDeviceAreNeitherMadeNorTaken) {
  ASSERT_THAT(store().AddDevice(NewDevice("phone", 1)), IsOk());
  Token(1, Device("phone"));
  ASSERT_THAT(store().RevokeDevice(Device("phone")), IsOk());
  EXPECT_THAT(Create(Hash(8), 1, Device("phone")), IsErrorSaying(ErrorCode::kConflict, "'phone' is revoked"));
  // The revocation came between the making of a token and its use.
  EXPECT_THAT(Redeem(NewDevice("phone", 2)), IsErrorSaying(ErrorCode::kConflict, "'phone' is revoked"));
  EXPECT_EQ(store().Device(Device("phone"))->public_key_sha256, Hash(1));
  EXPECT_EQ(store().Device(Device("phone"))->state, DeviceState::kRevoked);
}

TEST_F(Tokens, AreListedByIdInPages) {
  for (const auto& hash : {Hash(9), Hash(7), Hash(8)}) ASSERT_THAT(Create(hash, 1, std::nullopt), IsOk());
  const auto hashes = [&](const std::optional<TokenRecord::Id>& after, std::size_t limit) {
    std::vector<Digest256> found;
    for (const TokenRecord& token : *store().Tokens(after, limit)) found.push_back(token.hash);
    return found;
  };
  EXPECT_THAT(hashes(std::nullopt, 10), ElementsAre(Hash(7), Hash(8), Hash(9)));
  EXPECT_THAT(hashes(std::nullopt, 1), ElementsAre(Hash(7)));
  EXPECT_THAT(hashes(IdOf(Hash(7)), 10), ElementsAre(Hash(8), Hash(9)));
  EXPECT_THAT(hashes(IdOf(Hash(9)), 10), ElementsAre());
}

TEST_F(Tokens, AdmitNobodyOnceTheyAreRevoked) {
  Token(5);
  ASSERT_THAT(Redeem(NewDevice("phone")), IsOk());
  const auto revoked = store().RevokeToken(IdOf(Hash(7)));
  ASSERT_THAT(revoked, IsOk());
  EXPECT_EQ(revoked->uses_left, 0U);
  EXPECT_THAT(Redeem(NewDevice("tablet")), IsErrorSaying(ErrorCode::kUnauthenticated, "used up"));
  EXPECT_EQ(store().Device(Device("phone"))->state, DeviceState::kActive);
  EXPECT_THAT(store().RevokeToken(IdOf(Hash(8))),
              IsErrorSaying(ErrorCode::kNotFound, "no enrolment token '0808080808080808'"));
}

TEST_F(Tokens, AreMadeOnceWithAtLeastOneUse) {
  Token(1);
  EXPECT_THAT(store().CreateToken({.hash = Hash(7), .expires_at = At(1), .fixed_name = {}, .created_at = At(0)}),
              IsError(ErrorCode::kConflict));
  EXPECT_THAT(store().CreateToken(
                  {.hash = Hash(8), .uses_left = 0, .expires_at = At(1), .fixed_name = {}, .created_at = At(0)}),
              IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::store
