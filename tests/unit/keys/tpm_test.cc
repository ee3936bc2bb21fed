#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "edge_agent/keys/device_key.h"
#include "edge_agent/keys/key_record.h"
#include "edge_agent/keys/tpm_key.h"
#include "edge_agent/keys/tpm_session.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/keys/agreement.h"
#include "tests/unit/keys/child_process.h"

namespace tacit::keys {
namespace {

using ::tacit::testing::ChildProcess;
using ::tacit::testing::ExpectAgrees;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsInstalled;
using ::tacit::testing::IsOk;
using ::tacit::testing::OutputOf;
using ::tacit::testing::TempDirectory;
using ::testing::Contains;
using ::testing::Not;

/// A TPM in software, without a resource manager, whose memory survives that it is switched off.
class SoftTpm {
 public:
  SoftTpm() { SwitchOn(); }

  void SwitchOn() {
    const std::string socket = (memory_ / "s").string();
    for (const char* name : {"s", "s.ctrl"}) std::filesystem::remove(memory_ / name);
    process_.emplace(std::vector<std::string>{
        "swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + memory_.path().string(), "--server",
        "type=unixio,path=" + socket, "--ctrl", "type=unixio,path=" + socket + ".ctrl", "--flags",
        "not-need-init,startup-clear", "--log", "file=" + (memory_ / "log").string() + ",level=1"});
    using std::chrono_literals::operator""s;
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!IsThere() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(IsThere()) << "swtpm did not start";
  }
  void CutPower() { process_.reset(); }

  [[nodiscard]] std::string tcti() const { return "swtpm:path=" + (memory_ / "s").string(); }
  [[nodiscard]] TpmPlace place() const { return {.tcti = tcti()}; }
  [[nodiscard]] std::string Capability(const std::string& name) const {
    return OutputOf({"tpm2_getcap", "-T", tcti(), name});
  }

 private:
  [[nodiscard]] bool IsThere() const { return Answers(memory_ / "s") && Answers(memory_ / "s.ctrl"); }
  static bool Answers(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.string().copy(address.sun_path, sizeof address.sun_path - 1) != path.string().size()) return false;
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool answers = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return answers;
  }
  TempDirectory memory_;
  std::optional<ChildProcess> process_;
};

class TpmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* program : {"swtpm", "tpm2_getcap", "tpm2_nvundefine", "tpm2_nvdefine"}) {
      if (IsInstalled(program)) continue;
      ASSERT_EQ(std::getenv("CI"), nullptr) << program << " must be installed in CI: this test is not skipped there";
      GTEST_SKIP() << program << " is not installed";
    }
    ASSERT_EQ(::setenv("TSS2_LOG", "all+none", 1), 0);  // its errors are what is tested
    tpm_.emplace();
  }

  Result<DeviceKey> Open(const SoftTpm& tpm, IfMissing if_missing) {
    return OpenDeviceKey({.state = state_.path(), .place = tpm.place(), .credentials = {}, .if_missing = if_missing});
  }
  Result<DeviceKey> Make() { return Open(*tpm_, IfMissing::kMake); }
  Result<DeviceKey> Reopen() { return Open(*tpm_, IfMissing::kFail); }
  TpmKeyRecord Record() {
    const auto record = ParseKeyRecord(*ReadFile(state_ / "device_key", kLargestKeyRecord));
    return std::get<TpmKeyRecord>(*record);
  }
  std::string CounterIndex() {
    const std::uint32_t index = Record().counter;
    const Bytes bytes{static_cast<std::uint8_t>(index >> 24U), static_cast<std::uint8_t>(index >> 16U),
                      static_cast<std::uint8_t>(index >> 8U), static_cast<std::uint8_t>(index)};
    return "0x" + ToHex(bytes);
  }
  Bytes Versions() { return *ReadFile(state_ / "device_versions", kLargestVersionRecord); }
  void PutBackVersions(const Bytes& bytes) {
    ASSERT_THAT(WriteFileAtomic(state_ / "device_versions", bytes, kOwnerOnly), IsOk());
  }

  TempDirectory state_;
  std::optional<SoftTpm> tpm_;
};

TEST_F(TpmTest, AKeyMadeInOneRunWorksAfterTheNextPowerUp) {
  {
    auto made = Make();
    ASSERT_THAT(made, IsOk());
    ExpectAgrees(made->agreement());
    ASSERT_THAT(made->GuardFor("har")->Record(7), IsOk());
    EXPECT_EQ(made->report().tier, KeyTier::kTpm);
    EXPECT_THAT(made->report().gaps, Not(Contains(KeyGap::kRestorableState)));
  }
  const crypto::P256Point public_key = Record().public_key;
  tpm_->CutPower();
  tpm_->SwitchOn();
  auto again = Reopen();
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->agreement().public_key(), public_key);
  ExpectAgrees(again->agreement());
  const auto guard = again->GuardFor("har");
  EXPECT_EQ(*guard->Highest(), 7U);
  EXPECT_THAT(guard->Record(6), IsError(ErrorCode::kConflict));
  EXPECT_THAT(guard->Record(8), IsOk());
}

TEST_F(TpmTest, LeavesNothingInATpmThatHasRoomForThreeObjects) {
  auto made = Make();
  ASSERT_THAT(made, IsOk());
  for (int i = 0; i < 5; ++i) {
    ExpectAgrees(made->agreement());
    crypto::P256Point off_curve = made->agreement().public_key();
    off_curve.back() ^= 1U;
    EXPECT_THAT(made->agreement().Agree(off_curve), IsError(ErrorCode::kInvalidArgument));
    ASSERT_THAT(made->GuardFor("har")->Record(static_cast<std::uint64_t>(i) + 1), IsOk());
  }
  EXPECT_EQ(tpm_->Capability("handles-transient"), "");
  EXPECT_EQ(tpm_->Capability("handles-loaded-session"), "");
}

// The check in front of the TPM is ours; this is the TPM's own.
TEST_F(TpmTest, ThePointIsAlsoLookedAtInside) {
  ASSERT_THAT(Make(), IsOk());
  const auto tss = TssLibrary::Load();
  ASSERT_THAT(tss, IsOk());
  const TpmKeyRecord record = Record();
  const auto session = TpmSession::Open(*tss, tpm_->tcti(), record.parent);
  ASSERT_THAT(session, IsOk());
  crypto::P256Point off_curve = record.public_key;
  off_curve.back() ^= 1U;
  EXPECT_THAT((*session)->Agree(record, off_curve), IsErrorSaying(ErrorCode::kInvalidArgument, "not a point"));
}

TEST_F(TpmTest, AnotherTpmCannotUseTheKey) {
  ASSERT_THAT(Make(), IsOk());
  const SoftTpm another;
  EXPECT_THAT(Open(another, IfMissing::kMake), IsErrorSaying(ErrorCode::kDataLoss, "is not the one"));
  // Nor where the record says that it is the other's.
  const auto tss = TssLibrary::Load();
  ASSERT_THAT(tss, IsOk());
  const auto session = TpmSession::Open(*tss, another.tcti(), std::nullopt);
  ASSERT_THAT(session, IsOk());
  const TpmKeyRecord record = Record();
  EXPECT_THAT((*session)->Agree(record, record.public_key),
              IsErrorSaying(ErrorCode::kDataLoss, "not made by this TPM"));
}

TEST_F(TpmTest, ARecordWithAnyPartChangedOpensNothing) {
  ASSERT_THAT(Make(), IsOk());
  const TpmKeyRecord right = Record();
  const auto opens = [&](const TpmKeyRecord& record) {
    EXPECT_THAT(WriteFileAtomic(state_ / "device_key", FormatKeyRecord(record).bytes(), kOwnerOnly), IsOk());
    return Reopen();
  };
  TpmKeyRecord changed = right;
  changed.private_area[changed.private_area.size() / 2] ^= 1U;
  EXPECT_THAT(opens(changed), IsError(ErrorCode::kDataLoss));
  changed = right;
  changed.private_area.pop_back();
  EXPECT_THAT(opens(changed), IsErrorSaying(ErrorCode::kDataLoss, "is damaged"));
  changed = right;
  changed.public_area.back() ^= 1U;
  EXPECT_FALSE(opens(changed).has_value());
  changed = right;
  changed.parent[5] ^= 1U;
  EXPECT_THAT(opens(changed), IsError(ErrorCode::kDataLoss));
  changed = right;
  changed.counter ^= 1U;
  EXPECT_THAT(opens(changed), IsErrorSaying(ErrorCode::kDataLoss, "not in the TPM any more"));
  changed = right;
  changed.public_key = crypto::SoftAgreementKey::Generate()->public_key();
  EXPECT_FALSE(opens(changed).has_value());
  EXPECT_THAT(opens(right), IsOk());
}

TEST_F(TpmTest, RefusesVersionsThatWerePutBack) {
  auto made = Make();
  ASSERT_THAT(made, IsOk());
  const auto guard = made->GuardFor("har");
  const Bytes none = Versions();
  ASSERT_THAT(guard->Record(1), IsOk());
  const Bytes first = Versions();
  ASSERT_THAT(guard->Record(2), IsOk());
  const Bytes second = Versions();
  for (const Bytes& old : {none, first}) {
    PutBackVersions(old);
    EXPECT_THAT(guard->Highest(), IsErrorSaying(ErrorCode::kDataLoss, "an old file was put back"));
    tpm_->CutPower();
    tpm_->SwitchOn();
    EXPECT_THAT(Reopen(), IsErrorSaying(ErrorCode::kDataLoss, "an old file was put back"));
  }
  std::filesystem::remove(state_ / "device_versions");
  EXPECT_THAT(Make(), IsErrorSaying(ErrorCode::kDataLoss, "is missing"));
  PutBackVersions(second);
  EXPECT_EQ(*Reopen()->GuardFor("har")->Highest(), 2U);
}

TEST_F(TpmTest, ACounterThatWasMadeAnewDoesNotGoBack) {
  auto made = Make();
  ASSERT_THAT(made, IsOk());
  const Bytes none = Versions();
  ASSERT_THAT(made->GuardFor("har")->Record(1), IsOk());
  const std::string index = CounterIndex();
  OutputOf({"tpm2_nvundefine", "-T", tpm_->tcti(), "-C", "o", index});
  EXPECT_THAT(Reopen(), IsErrorSaying(ErrorCode::kDataLoss, "not in the TPM any more"));
  // Whoever owns the TPM can define it again, but not with the authorisation that only the key's holder can find.
  OutputOf(
      {"tpm2_nvdefine", "-T", tpm_->tcti(), "-C", "o", "-s", "8", "-a", "authread|authwrite|no_da|nt=counter", index});
  PutBackVersions(none);
  EXPECT_THAT(Reopen(), IsErrorSaying(ErrorCode::kPermissionDenied, "authorisation"));
}

TEST_F(TpmTest, ATpmThatIsGoneIsUnavailableAndFoundAgain) {
  auto made = Make();
  ASSERT_THAT(made, IsOk());
  tpm_->CutPower();
  const auto own = made->agreement().public_key();
  EXPECT_THAT(made->agreement().Agree(own), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(made->GuardFor("har")->Highest(), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(made->GuardFor("har")->Record(1), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(Reopen(), IsError(ErrorCode::kUnavailable));
  tpm_->SwitchOn();
  ExpectAgrees(made->agreement());
  EXPECT_THAT(made->GuardFor("har")->Record(1), IsOk());
}

TEST_F(TpmTest, AnOwnerWithAnAuthorisationIsSaidToBeThat) {
  OutputOf({"tpm2_changeauth", "-T", tpm_->tcti(), "-c", "o", "secret"});
  EXPECT_THAT(Make(), IsErrorSaying(ErrorCode::kPermissionDenied, "owner's authorisation"));
  EXPECT_FALSE(std::filesystem::exists(state_ / "device_key"));
}

}  // namespace
}  // namespace tacit::keys
