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
using ::testing::IsEmpty;
using testing::NewDevice;
using ::testing::SizeIs;
using testing::StoreTest;

using Devices = StoreTest;

Digest256 Hash(std::uint8_t byte) {
  Digest256 hash;
  hash.fill(byte);
  return hash;
}

class Tokens : public StoreTest {
 protected:
  void Token(std::uint64_t uses, std::optional<DeviceId> name = {}) {
    ASSERT_THAT(store().CreateToken({.hash = Hash(7),
                                     .uses_left = uses,
                                     .expires_at = At(100),
                                     .fixed_name = std::move(name),
                                     .created_at = At(0)}),
                IsOk());
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
  ASSERT_THAT(store().UpdateDeviceCertificate(Device("phone"), {Hash(9), "ff", At(5000)}), IsOk());
  const auto renewed = store().Device(Device("phone"));
  EXPECT_EQ(renewed->public_key_sha256, Hash(9));
  EXPECT_EQ(renewed->certificate_serial, "ff");
  EXPECT_EQ(renewed->certificate_not_after, At(5000));
  ASSERT_THAT(store().RevokeDevice(Device("phone")), IsOk());
  EXPECT_THAT(store().UpdateDeviceCertificate(Device("phone"), {Hash(1), "00", At(9000)}),
              IsError(ErrorCode::kPermissionDenied));
  EXPECT_EQ(store().Device(Device("phone"))->certificate_serial, "ff");
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
