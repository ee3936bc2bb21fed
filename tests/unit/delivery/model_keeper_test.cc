#include "edge_agent/delivery/model_keeper.h"

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/crypto/ca.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

// What the keeper does with what is on its disk; with a server: tests/integration/test_delivery.py.
namespace tacit::delivery {
namespace {

using ::tacit::testing::FakeClock;
using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;

class ModelKeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto key = keys::OpenDeviceKey({.state = directory_.path(),
                                    .place = keys::FilePlace{},
                                    .credentials = {},
                                    .if_missing = keys::IfMissing::kMake});
    ASSERT_THAT(key, IsOk());
    key_ = std::make_unique<keys::DeviceKey>(*std::move(key));
    const auto ca = crypto::CertificateAuthority::CreateSelfSigned(
        {.common_name = "CA", .now = clock_.Now(), .lifetime = std::chrono::days(1)});
    net::ClientOptions server;
    server.server = {.host = "127.0.0.1", .port = 1};  // where nobody listens
    server.ca_pem = ca->CertPem();
    auto keeper = ModelKeeper::Create({.directory = directory_.path(),
                                       .task = *TaskId::Parse("har"),
                                       .device = *DeviceId::Parse("cam"),
                                       .server = server},
                                      *key_, clock_, log_);
    ASSERT_THAT(keeper, IsOk());
    keeper_ = std::make_unique<ModelKeeper>(*std::move(keeper));
  }

  HeldModel Model(std::uint8_t version) const {
    HeldModel model{.manifest = {},
                    .version = version,
                    .expires = clock_.Now() + Millis(60'000),
                    .renew_after = clock_.Now() + Millis(30'000),
                    .lease = "{}"};
    model.manifest.fill(version);
    return model;
  }
  void Put(const std::filesystem::path& record, const HeldModel& model) {
    ASSERT_THAT(WriteFileAtomic(record, FormatHeldModel(model), kOwnerOnly), IsOk());
    ASSERT_THAT(WriteFileAtomic(files_.Bundle(model.manifest), Bytes(10), kOwnerOnly), IsOk());
  }
  bool Has(const HeldModel& model) const { return std::filesystem::exists(files_.Bundle(model.manifest)); }

  const TempDirectory directory_;
  FakeClock clock_;
  Logger log_{STDERR_FILENO, clock_, LogLevel::kError};
  const HeldFiles files_{directory_.path() / "har"};
  std::unique_ptr<keys::DeviceKey> key_;
  std::unique_ptr<ModelKeeper> keeper_;
};

TEST_F(ModelKeeperTest, HasNoModelBeforeItFetchedOneAndNoneAfterItsLease) {
  EXPECT_THAT(keeper_->Stored(), IsError(ErrorCode::kNotFound));
  Put(files_.current, Model(1));
  const auto stored = keeper_->Stored();
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(stored->model, Model(1));
  clock_.Advance(Millis(60'000));
  EXPECT_THAT(keeper_->Stored(), IsError(ErrorCode::kGone));
}

TEST_F(ModelKeeperTest, KeepsTheVersionBeforeUntilTheNextIsConfirmed) {
  Put(files_.previous, Model(1));
  Put(files_.current, Model(2));
  ASSERT_TRUE(Has(Model(1)));
  ASSERT_THAT(keeper_->Confirm(*keeper_->Stored()), IsOk());
  EXPECT_FALSE(Has(Model(1)));
  EXPECT_TRUE(Has(Model(2)));
  EXPECT_FALSE(std::filesystem::exists(files_.previous));
  EXPECT_EQ(*key_->GuardFor("har")->Highest(), 2U);
}

TEST_F(ModelKeeperTest, GoesBackToTheVersionBeforeWhereTheNextCannotBeUsed) {
  Put(files_.previous, Model(1));
  Put(files_.current, Model(2));
  const auto back = keeper_->Discard(*keeper_->Stored());
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->model, Model(1));
  EXPECT_EQ(keeper_->Stored()->model, Model(1));
  EXPECT_FALSE(Has(Model(2)));
  EXPECT_EQ(*key_->GuardFor("har")->Highest(), 0U) << "nothing was confirmed";
  EXPECT_THAT(keeper_->Discard(*keeper_->Stored()), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(keeper_->Stored(), IsError(ErrorCode::kNotFound));
}

TEST_F(ModelKeeperTest, WaitsLongerAfterEachFailureAndKeepsWhatItHas) {
  Put(files_.current, Model(1));
  EXPECT_THAT(keeper_->Refresh(), IsError(ErrorCode::kUnavailable));
  const Millis first = keeper_->UntilNext();
  EXPECT_GE(first, Millis(2'500));
  for (int i = 0; i < 5; ++i) EXPECT_THAT(keeper_->Refresh(), IsError(ErrorCode::kUnavailable));
  EXPECT_GT(keeper_->UntilNext(), first);
  EXPECT_EQ(keeper_->Stored()->model, Model(1));
}

TEST_F(ModelKeeperTest, OpensNothingBeforeItKnowsWhoSigns) {
  Put(files_.current, Model(1));
  const auto current = keeper_->Stored();
  auto source = bundle::FileSource::Open(current->bundle);
  ASSERT_THAT(source, IsOk());
  EXPECT_THAT(keeper_->Open(*source, *current), IsError(ErrorCode::kNotFound));
}

}  // namespace
}  // namespace tacit::delivery
