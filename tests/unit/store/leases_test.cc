#include <array>
#include <cstdint>
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
using testing::Model;
using testing::NewDevice;
using testing::NewTask;
using ::testing::SizeIs;
using testing::StoreTest;
using testing::Task;

crypto::P256Point Point(std::uint8_t byte) {
  crypto::P256Point point;
  point.fill(byte);
  return point;
}

class ModelLeases : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    for (const char* task : {"har", "other"}) ASSERT_THAT(store().CreateTask(NewTask(task), Model(0)), IsOk());
    for (const char* device : {"phone", "tablet"}) {
      ASSERT_THAT(store().AddDevice(NewDevice(device, 1)), IsOk());
    }
  }
  struct Wish {
    const char* device = "phone";
    ModelVersion version = 1;
    std::uint8_t key = 1;
    const char* task = "har";
  };
  Result<DeviceKeyRecord> Lease(const Wish& wish) {
    return store().LeaseModel({.task = Task(wish.task),
                               .device = Device(wish.device),
                               .version = wish.version,
                               .key = Point(wish.key),
                               .tier = "file",
                               .at = At(10 + static_cast<int>(wish.version)),
                               .expires_at = At(100 + static_cast<int>(wish.version))});
  }
  void Readmit() {
    Digest256 hash{};
    hash.fill(9);
    ASSERT_THAT(
        store().CreateToken(
            {.hash = hash, .uses_left = 1, .expires_at = At(100), .fixed_name = Device("phone"), .created_at = At(0)}),
        IsOk());
    ASSERT_THAT(store().RedeemToken(hash, At(1), NewDevice("phone", 2)), IsOk());
  }
};

TEST_F(ModelLeases, RecordTheFirstKeyAndTheVersionOverARestart) {
  const auto key = Lease({.version = 3, .key = 7});
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(key->epoch, 1U);
  Open();
  const auto kept = *store().DeviceKey(Device("phone"));
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->point, Point(7));
  EXPECT_EQ(kept->tier, "file");
  EXPECT_EQ(kept->recorded_at, At(13));
  const auto lease = *store().ModelLease(Task("har"), Device("phone"));
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->version, 3U);
  EXPECT_EQ(lease->leases, 1U);
  EXPECT_EQ(lease->expires_at, At(103));
  EXPECT_THAT(*store().ModelLeases(Device("phone")), SizeIs(1));
  EXPECT_THAT(*store().ModelLeases(Device("tablet")), IsEmpty());
}

TEST_F(ModelLeases, AreRefusedToAnotherKeyUntilATokenAdmitsTheDeviceAnew) {
  ASSERT_THAT(Lease({.key = 1}), IsOk());
  EXPECT_THAT(Lease({.key = 2}), IsErrorSaying(ErrorCode::kConflict, "a new enrolment token for its name"));
  EXPECT_THAT(Lease({.key = 2, .task = "other"}), IsError(ErrorCode::kConflict)) << "one key for all tasks";
  EXPECT_EQ((*store().ModelLease(Task("har"), Device("phone")))->leases, 1U) << "a refused one is not counted";
  Readmit();
  EXPECT_FALSE((*store().DeviceKey(Device("phone"))).has_value());
  const auto next = Lease({.key = 2});
  ASSERT_THAT(next, IsOk());
  EXPECT_EQ(next->epoch, 2U) << "a lease for the first key must not pass for one for the second";
  EXPECT_THAT(Lease({.key = 1}), IsError(ErrorCode::kConflict));
}

TEST_F(ModelLeases, AreNeverGivenForAnOlderVersion) {
  ASSERT_THAT(Lease({.version = 3}), IsOk());
  EXPECT_THAT(Lease({.version = 2}), IsErrorSaying(ErrorCode::kConflict, "has had version 3"));
  EXPECT_THAT(Lease({.version = 2, .task = "other"}), IsOk()) << "each task counts for itself";
  EXPECT_THAT(Lease({.version = 3}), IsOk());
  EXPECT_THAT(Lease({.version = 4}), IsOk());
  EXPECT_EQ((*store().ModelLease(Task("har"), Device("phone")))->leases, 3U);
}

TEST_F(ModelLeases, AreRefusedToWhoIsRevokedOrUnknown) {
  EXPECT_THAT(Lease({.device = "nobody"}), IsError(ErrorCode::kNotFound));
  ASSERT_THAT(store().RevokeDevice(Device("phone")), IsOk());
  EXPECT_THAT(Lease({}), IsError(ErrorCode::kPermissionDenied));
  EXPECT_FALSE((*store().DeviceKey(Device("phone"))).has_value()) << "nothing was recorded";
}

TEST_F(ModelLeases, AreCountedByVersion) {
  ASSERT_THAT(Lease({.version = 1}), IsOk());
  ASSERT_THAT(Lease({.version = 2}), IsOk());
  ASSERT_THAT(Lease({.device = "tablet", .version = 1}), IsOk());
  const auto versions = store().LeasedVersions(Task("har"), At(101), 10);
  ASSERT_THAT(versions, IsOk());
  ASSERT_THAT(*versions, SizeIs(2));
  EXPECT_EQ((*versions)[0].version, 2U);
  EXPECT_EQ((*versions)[0].devices, 1U);
  EXPECT_EQ((*versions)[0].running, 1U);
  EXPECT_EQ((*versions)[0].leases, 2U);
  EXPECT_EQ((*versions)[1].version, 1U);
  EXPECT_EQ((*versions)[1].running, 0U) << "its lease has ended";
  EXPECT_THAT(*store().LeasedVersions(Task("har"), At(0), 1), SizeIs(1));
}

}  // namespace
}  // namespace tacit::store
