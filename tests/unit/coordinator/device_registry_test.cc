#include "server/coordinator/device_registry.h"

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::coordinator {
namespace {

using testing::IsErrorSaying;
using testing::IsOk;

constexpr WallTime kNoon{Millis(1'790'000'000'000)};

TEST(DeviceRegistry, LetsInWhoIsEnrolledUntilRevoked) {
  DeviceRegistry devices;
  const DeviceId device = *DeviceId::Parse("pump-3");
  EXPECT_THAT(devices.CheckActive(device), IsErrorSaying(ErrorCode::kPermissionDenied, "not enrolled"));
  devices.Enrol(device, kNoon);
  EXPECT_THAT(devices.CheckActive(device), IsOk());
  devices.Revoke(device);
  EXPECT_THAT(devices.CheckActive(device), IsErrorSaying(ErrorCode::kPermissionDenied, "revoked"));
}

// An enrolment that is repeated can finish after the revocation that it was racing with.
TEST(DeviceRegistry, KeepsARevokedDeviceOutWhateverArrivesLate) {
  DeviceRegistry devices;
  const DeviceId device = *DeviceId::Parse("pump-3");
  devices.Revoke(device);
  devices.Enrol(device, kNoon);
  EXPECT_THAT(devices.CheckActive(device), IsErrorSaying(ErrorCode::kPermissionDenied, "revoked"));
  EXPECT_EQ(devices.Counts().revoked, 1U);
}

TEST(DeviceRegistry, KnowsWhoWasEnrolledByThen) {
  DeviceRegistry devices;
  const DeviceId device = *DeviceId::Parse("pump-3");
  EXPECT_FALSE(devices.WasEnrolledAt(device, kNoon));
  devices.Enrol(device, kNoon);
  EXPECT_TRUE(devices.WasEnrolledAt(device, kNoon));
  EXPECT_FALSE(devices.WasEnrolledAt(device, kNoon - Millis(1)));
  devices.Enrol(device, kNoon - Millis(9));  // repeated: the first one stands
  EXPECT_FALSE(devices.WasEnrolledAt(device, kNoon - Millis(1)));
}

}  // namespace
}  // namespace tacit::coordinator
