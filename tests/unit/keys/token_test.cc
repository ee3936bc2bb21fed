#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/crypto/digest.h"
#include "edge_agent/keys/cryptoki.h"
#include "edge_agent/keys/device_key.h"
#include "edge_agent/keys/token_session.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/keys/agreement.h"
#include "tests/unit/keys/child_process.h"

namespace tacit::keys {
namespace {

using ::tacit::testing::ExpectAgrees;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsInstalled;
using ::tacit::testing::IsOk;
using ::tacit::testing::OutputOf;
using ::tacit::testing::TempDirectory;
using ::testing::Contains;
using ::testing::Not;

constexpr const char* kModule = "/usr/lib/softhsm/libsofthsm2.so";
constexpr std::string_view kPin = "31415926";
constexpr std::string_view kOtherPin = "27182818";

/// A PKCS #11 token in software.
class TokenTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!IsInstalled("softhsm2-util") || !std::filesystem::exists(kModule)) {
      ASSERT_EQ(std::getenv("CI"), nullptr) << "softhsm2 must be installed in CI: this test is not skipped there";
      GTEST_SKIP() << "softhsm2 is not installed";
    }
    std::filesystem::create_directory(home_ / "tokens");
    const auto configuration = home_ / "softhsm2.conf";
    const std::string text = "directories.tokendir = " + (home_ / "tokens").string() + "\nlog.level = ERROR\n";
    ASSERT_THAT(WriteNewPublicFile(configuration, AsBytes(text)), IsOk());
    ASSERT_EQ(::setenv("SOFTHSM2_CONF", configuration.c_str(), 1), 0);
    MakeToken("tacit");
    WritePin(kPin);
  }

  static void MakeToken(const std::string& label) {
    OutputOf({"softhsm2-util", "--init-token", "--free", "--label", label, "--pin", std::string(kPin), "--so-pin",
              "12345678"});
  }
  void WritePin(std::string_view pin) {
    ASSERT_THAT(WriteFileAtomic(home_ / "pin", AsBytes(std::string(pin) + "\n"), kOwnerOnly), IsOk());
  }
  TokenPlace Place() {
    return {.module = kModule, .token = "tacit", .pin_file = home_ / "pin", .module_sha256 = std::nullopt};
  }
  Result<DeviceKey> Open(TokenPlace place, IfMissing if_missing) {
    return OpenDeviceKey(
        {.state = state_.path(), .place = std::move(place), .credentials = {}, .if_missing = if_missing});
  }
  Result<DeviceKey> Make() { return Open(Place(), IfMissing::kMake); }
  Result<DeviceKey> Reopen() { return Open(Place(), IfMissing::kFail); }

  /// As somebody with another program would.
  void ChangePin(std::string_view from, std::string_view to) {
    const auto module = Cryptoki::Load(Place());
    ASSERT_THAT(module, IsOk());
    const CK_FUNCTION_LIST& api = module->functions();
    std::array<CK_SLOT_ID, 8> slots{};
    CK_ULONG count = slots.size();
    ASSERT_EQ(api.C_GetSlotList(CK_TRUE, slots.data(), &count), CKR_OK);
    const CK_SLOT_ID slot = slots.front();  // behind it comes an empty one
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    ASSERT_EQ(api.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session), CKR_OK);
    std::string old_pin(from);
    std::string new_pin(to);
    auto* const old_bytes = reinterpret_cast<unsigned char*>(old_pin.data());
    ASSERT_EQ(api.C_Login(session, CKU_USER, old_bytes, old_pin.size()), CKR_OK);
    ASSERT_EQ(api.C_SetPIN(session, old_bytes, old_pin.size(), reinterpret_cast<unsigned char*>(new_pin.data()),
                           new_pin.size()),
              CKR_OK);
  }

  TempDirectory home_;
  TempDirectory state_;
};

TEST_F(TokenTest, AKeyMadeInOneRunWorksInTheNext) {
  std::optional<crypto::P256Point> public_key;
  {
    auto made = Make();
    ASSERT_THAT(made, IsOk());
    ExpectAgrees(made->agreement());
    public_key = made->agreement().public_key();
    ASSERT_THAT(made->GuardFor("har")->Record(7), IsOk());
  }
  auto again = Reopen();
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->agreement().public_key(), public_key);
  for (int i = 0; i < 3; ++i) ExpectAgrees(again->agreement());
  EXPECT_EQ(*again->GuardFor("har")->Highest(), 7U);
  EXPECT_THAT(again->GuardFor("har")->Record(6), IsError(ErrorCode::kConflict));
}

TEST_F(TokenTest, ReportsATokenThatHoldsItsKey) {
  const auto made = Make();
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(NameOf(made->report().tier), "pkcs11");
  EXPECT_THAT(made->report().gaps, Not(Contains(KeyGap::kExtractableKey)));
  EXPECT_THAT(made->report().gaps, Contains(KeyGap::kUnpinnedModule));
  EXPECT_THAT(made->report().gaps, Contains(KeyGap::kRestorableState));
}

TEST_F(TokenTest, LoadsOnlyTheModuleThatIsPinned) {
  TokenPlace place = Place();
  place.module_sha256 = crypto::Sha256(*ReadFile(kModule, std::size_t{1} << 26U));
  const auto made = Open(place, IfMissing::kMake);
  ASSERT_THAT(made, IsOk());
  EXPECT_THAT(made->report().gaps, Not(Contains(KeyGap::kUnpinnedModule)));
  place.module_sha256->front() ^= 1U;
  EXPECT_THAT(Open(place, IfMissing::kFail), IsErrorSaying(ErrorCode::kPermissionDenied, "was not loaded"));
}

TEST_F(TokenTest, AWrongPinIsTriedOnceAndNotAgainBeforeItsFileIsChanged) {
  ASSERT_THAT(Make(), IsOk());
  WritePin(kOtherPin);
  const auto wrong = Reopen();
  EXPECT_THAT(wrong, IsErrorSaying(ErrorCode::kPermissionDenied, "does not take the PIN"));
  EXPECT_EQ(wrong.error().message.find(kOtherPin), std::string::npos) << "an error shows the PIN";
  // Were it tried now it would be taken: that it is refused shows that it is not.
  ChangePin(kPin, kOtherPin);
  EXPECT_THAT(Reopen(), IsErrorSaying(ErrorCode::kPermissionDenied, "is not tried again"));
  WritePin(kOtherPin);
  EXPECT_THAT(Reopen(), IsOk());
  EXPECT_THAT(Reopen(), IsOk());
}

TEST_F(TokenTest, ReadsThePinOnlyFromAFileThatIsClosedToOthers) {
  ASSERT_EQ(::chmod((home_ / "pin").c_str(), 0644), 0);
  EXPECT_THAT(Make(), IsErrorSaying(ErrorCode::kPermissionDenied, "chmod 600"));
  std::filesystem::remove(home_ / "pin");
  EXPECT_THAT(Make(), IsError(ErrorCode::kNotFound));
}

TEST_F(TokenTest, ATokenThatIsNotThereIsUnavailable) {
  ASSERT_THAT(Make(), IsOk());
  TokenPlace place = Place();
  place.token = "another";
  EXPECT_THAT(Open(place, IfMissing::kFail), IsErrorSaying(ErrorCode::kUnavailable, "'another'"));
  place.module = "/nowhere/module.so";
  EXPECT_THAT(Open(place, IfMissing::kFail), IsError(ErrorCode::kNotFound));
}

TEST_F(TokenTest, AnotherTokenDoesNotHaveTheKey) {
  ASSERT_THAT(Make(), IsOk());
  MakeToken("another");
  TokenPlace place = Place();
  place.token = "another";
  EXPECT_THAT(Open(place, IfMissing::kFail), IsErrorSaying(ErrorCode::kDataLoss, "does not hold"));
}

TEST_F(TokenTest, AgreesWithNoPointOffTheCurve) {
  auto made = Make();
  ASSERT_THAT(made, IsOk());
  crypto::P256Point off_curve = made->agreement().public_key();
  off_curve.back() ^= 1U;
  EXPECT_THAT(made->agreement().Agree(off_curve), IsError(ErrorCode::kInvalidArgument));
  ExpectAgrees(made->agreement());
}

}  // namespace
}  // namespace tacit::keys
