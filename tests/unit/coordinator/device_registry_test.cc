#include "server/coordinator/device_registry.h"

#include <vector>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::coordinator {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

constexpr WallTime kNoon{Millis(1'790'000'000'000)};
constexpr Digest256 kKey{1};
constexpr Digest256 kOtherKey{2};

TEST(DeviceRegistry, LetsInWhoIsEnrolledUntilRevoked) {
  DeviceRegistry devices;
  const DeviceId device = *DeviceId::Parse("pump-3");
  EXPECT_THAT(devices.CheckActive(device, kKey), IsErrorSaying(ErrorCode::kPermissionDenied, "not enrolled"));
  devices.Admit(device, kKey, kNoon);
  EXPECT_THAT(devices.CheckActive(device, kKey), IsOk());
  devices.Revoke(device);
  EXPECT_THAT(devices.CheckActive(device, kKey), IsErrorSaying(ErrorCode::kPermissionDenied, "revoked"));
}

// An enrolment that is repeated can finish after the revocation that it was racing with.
TEST(DeviceRegistry, KeepsARevokedDeviceOutWhateverArrivesLate) {
  DeviceRegistry devices;
  const DeviceId device = *DeviceId::Parse("pump-3");
  devices.Revoke(device);
  devices.Admit(device, kKey, kNoon);
  EXPECT_THAT(devices.CheckActive(device, kKey), IsErrorSaying(ErrorCode::kPermissionDenied, "revoked"));
  EXPECT_EQ(devices.Counts().revoked, 1U);
}

TEST(DeviceRegistry, LetsADeviceInWithTheKeyOfItsLastAdmissionOnly) {
  DeviceRegistry devices;
  const DeviceId device = *DeviceId::Parse("pump-3");
  devices.Load(std::vector<store::DeviceRecord>{{.id = device,
                                                 .public_key_sha256 = kKey,
                                                 .certificate_serial = "",
                                                 .certificate_not_after = {},
                                                 .enrolled_at = kNoon,
                                                 .last_seen = {},
                                                 .token_hash_hex = ""}});
  EXPECT_THAT(devices.CheckActive(device, kKey), IsOk());
  EXPECT_THAT(devices.CheckActive(device, kOtherKey), IsErrorSaying(ErrorCode::kPermissionDenied, "another key"));
  devices.Admit(device, kOtherKey, kNoon + Millis(1));
  EXPECT_THAT(devices.CheckActive(device, kKey), IsErrorSaying(ErrorCode::kPermissionDenied, "another key"));
  EXPECT_THAT(devices.CheckActive(device, kOtherKey), IsOk());
  EXPECT_TRUE(devices.WasEnrolledAt(device, kNoon)) << "it is the same device";
  devices.Revoke(device);
  EXPECT_THAT(devices.CheckActive(device, kOtherKey), IsErrorSaying(ErrorCode::kPermissionDenied, "revoked"));
}

TEST(DeviceRegistry, KnowsWhoWasEnrolledByThen) {
  DeviceRegistry devices;
  const DeviceId device = *DeviceId::Parse("pump-3");
  EXPECT_FALSE(devices.WasEnrolledAt(device, kNoon));
  devices.Admit(device, kKey, kNoon);
  EXPECT_TRUE(devices.WasEnrolledAt(device, kNoon));
  EXPECT_FALSE(devices.WasEnrolledAt(device, kNoon - Millis(1)));
  devices.Admit(device, kKey, kNoon - Millis(9));  // repeated: the first one stands
  EXPECT_FALSE(devices.WasEnrolledAt(device, kNoon - Millis(1)));
}

}  // namespace
}  // namespace tacit::coordinator
