#include "server/coordinator/fleet_summary.h"

#include <string>

#include <gmock/gmock.h>

#include "server/coordinator/device_registry.h"

namespace tacit::coordinator {
namespace {

using std::chrono::hours;
using ::testing::ElementsAre;
using ::testing::Pair;

constexpr WallTime kFullHour{hours(500'000)};
constexpr Digest256 kSameKey{1};

DeviceId NameOf(int number) {
  return *DeviceId::Parse("d" + std::to_string(number));
}

std::uint64_t Within(const metrics::CertificatesLeft& left, std::chrono::seconds bound) {
  for (const auto& each : left.within)
    if (each.seconds == static_cast<double>(bound.count())) return each.certificates;
  return 9999;
}

TEST(AgentVersions, TakeTextsOfOneFormOnly) {
  AgentVersions versions;
  for (const char* good : {"tacit-agent 0.1.0", "x 1"}) EXPECT_NE(versions.Add(good), AgentVersions::kOther) << good;
  for (const char* bad : {"", " ", "test", "a ", " 1", "a b", "a 1.", "a .1", "a 1 2", "A 1", "a 1\n",
                          "a-name-that-is-too-long-for-it 1.2.3"}) {
    EXPECT_EQ(versions.Add(bad), AgentVersions::kOther) << bad;
  }
}

TEST(DeviceRegistry, CountsEachDeviceOnceUnderTheVersionItSaidLast) {
  DeviceRegistry devices;
  for (int i = 0; i < 3; ++i) devices.Admit(NameOf(i), kSameKey, kFullHour);
  EXPECT_THAT(devices.Agents(), ElementsAre(Pair("other", 0)));
  for (int i = 0; i < 3; ++i) devices.Runs(NameOf(i), "tacit-agent 0.1.0");
  devices.Runs(NameOf(0), "tacit-agent 0.1.0");
  devices.Runs(NameOf(1), "tacit-agent 0.2.0");
  devices.Runs(NameOf(9), "tacit-agent 0.2.0");  // not enrolled
  EXPECT_THAT(devices.Agents(),
              ElementsAre(Pair("other", 0), Pair("tacit-agent 0.1.0", 2), Pair("tacit-agent 0.2.0", 1)));
  devices.Revoke(NameOf(1));
  devices.Runs(NameOf(1), "tacit-agent 0.2.0");
  EXPECT_THAT(devices.Agents(),
              ElementsAre(Pair("other", 0), Pair("tacit-agent 0.1.0", 2), Pair("tacit-agent 0.2.0", 0)));
}

TEST(DeviceRegistry, LetsADeviceNameOneNewVersionAndAllTogetherNoMoreThanThereIsRoomFor) {
  DeviceRegistry devices;
  devices.Admit(NameOf(0), kSameKey, kFullHour);
  for (int i = 0; i < 100; ++i) devices.Runs(NameOf(0), "junk " + std::to_string(i));
  EXPECT_THAT(devices.Agents(), ElementsAre(Pair("junk 0", 0), Pair("other", 1)));
  for (int i = 1; i < 100; ++i) {
    devices.Admit(NameOf(i), kSameKey, kFullHour);
    devices.Runs(NameOf(i), "junk " + std::to_string(i));
  }
  EXPECT_EQ(devices.Agents().size(), AgentVersions::kMost + 1);
  EXPECT_EQ(devices.Agents()["other"], 100 - (AgentVersions::kMost - 1));
}

TEST(DeviceRegistry, TellsHowLongTheFleetsCertificatesHoldToTheHour) {
  DeviceRegistry devices;
  for (int i = 0; i < 3; ++i) devices.Admit(NameOf(i), kSameKey, kFullHour);
  devices.Certified(NameOf(0), kFullHour - hours(5));
  devices.Certified(NameOf(1), kFullHour + Millis(1));
  devices.Certified(NameOf(2), kFullHour + hours(24 * 7));
  auto left = devices.CertificatesLeft(kFullHour);
  EXPECT_EQ(left.certificates, 3U);
  EXPECT_EQ(left.sum_seconds, 3600.0 * (24 * 7 + 1 - 5));
  EXPECT_EQ(Within(left, hours(0)), 1U) << "one that still holds has not ended";
  EXPECT_EQ(Within(left, hours(1)), 2U);
  EXPECT_EQ(Within(left, std::chrono::days(4)), 2U);
  EXPECT_EQ(Within(left, std::chrono::days(7)), 3U);
  devices.Certified(NameOf(0), kFullHour + hours(24 * 60));  // renewed
  devices.Revoke(NameOf(1));
  left = devices.CertificatesLeft(kFullHour);
  EXPECT_EQ(left.certificates, 2U);
  EXPECT_EQ(Within(left, hours(0)), 0U);
  EXPECT_EQ(Within(left, std::chrono::days(30)), 1U);
  EXPECT_EQ(Within(left, std::chrono::days(90)), 2U);
}

TEST(DeviceRegistry, KnowsAfterAStartWhenCertificatesEnd) {
  DeviceRegistry devices;
  store::DeviceRecord active{.id = NameOf(0),
                             .state = store::DeviceState::kActive,
                             .public_key_sha256 = kSameKey,
                             .certificate_serial = {},
                             .certificate_not_after = kFullHour + hours(1),
                             .enrolled_at = kFullHour,
                             .last_seen = std::nullopt,
                             .token_hash_hex = {}};
  store::DeviceRecord revoked = active;
  revoked.id = NameOf(1);
  revoked.state = store::DeviceState::kRevoked;
  devices.Load(std::vector{active, revoked});
  EXPECT_EQ(devices.CertificatesLeft(kFullHour).certificates, 1U);
  EXPECT_EQ(Within(devices.CertificatesLeft(kFullHour), hours(1)), 1U);
}

}  // namespace
}  // namespace tacit::coordinator
