#include "edge_agent/worker/bundle_model.h"

#include <fstream>

#include "common/base/files.h"
#include "tests/support/matchers.h"
#include "tests/unit/bundle/fixtures.h"
#include "tests/unit/worker/served_model.h"

namespace tacit::worker {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using testing::Attempt;
using testing::Supervised;

// A server's bundle and lease in files, and a device that may open them.
class BundleSourceTest : public ::testing::Test {
 protected:
  BundleSourceTest() {
    const Bytes model = [] {
      Bytes bytes(testing::kTestModelSize);
      for (std::size_t i = 0; i < bytes.size() / 8; ++i) {
        const std::uint64_t word = testing::ModelWord(9, i);
        std::memcpy(bytes.data() + i * 8, &word, sizeof word);
      }
      return bytes;
    }();
    const bundle::SealedBundle sealed = server_.Seal(model);
    bundle_ = bundle::testing::BytesOf(sealed);
    WriteBundle(bundle_);
    const auto lease = bundle::IssueLease({.terms = server_.Terms(sealed.manifest()),
                                           .recipient = key_->public_key(),
                                           .content_key = server_.content_key},
                                          server_.keys);
    TACIT_CHECK(lease && WriteFileAtomic(files_.lease, AsBytes(*lease), kOwnerOnly), "a test can write a lease");
  }

  void WriteBundle(const Bytes& bytes) {
    TACIT_CHECK(WriteFileAtomic(files_.bundle, bytes, kOwnerOnly), "a test can write a bundle");
  }
  std::shared_ptr<BundleSource> Source() {
    return std::make_shared<BundleSource>(
        files_.bundle,
        [this](bundle::ByteSource& source) -> Result<bundle::OpenedBundle> {
          TACIT_TRY(const Bytes lease, ReadFile(files_.lease, bundle::Lease::kLongest));
          return bundle::OpenBundle(source, AsText(lease),
                                    {.device = device_,
                                     .model = model_,
                                     .bundle_signers = trusted_,
                                     .lease_signers = trusted_,
                                     .guard = guard_,
                                     .clock = server_.clock,
                                     .key = *key_,
                                     .key_epoch = 1,
                                     .minimum_version = 0,
                                     .purpose = bundle::Purpose::kLoad});
        },
        server_.clock);
  }

  bundle::testing::Server server_;
  const DeviceId device_ = *DeviceId::Parse("pump-3");
  const bundle::ModelName model_ = *bundle::ModelName::Parse("har");
  const bundle::SignerSet trusted_ = server_.Trusted();
  bundle::testing::FakeGuard guard_;
  std::unique_ptr<crypto::SoftAgreementKey> key_ =
      std::make_unique<crypto::SoftAgreementKey>(*crypto::SoftAgreementKey::Generate());
  Supervised supervised_;
  struct Files {
    std::filesystem::path bundle;
    std::filesystem::path lease;
  };
  const Files files_ = {.bundle = supervised_.directory / "model.bundle",
                        .lease = supervised_.directory / "model.lease"};
  Bytes bundle_;
};

TEST_F(BundleSourceTest, ServesAModelThatItsWorkerDecrypts) {
  const auto source = Source();
  EXPECT_EQ(source->version(), "model.bundle");
  ASSERT_THAT(supervised_.supervisor.Serve(source), IsOk());
  EXPECT_EQ(*supervised_.Ask(Attempt::kNone, 0.5), 9.5F);
  EXPECT_EQ(supervised_.supervisor.status().version, "7");
}

TEST_F(BundleSourceTest, AsksForTheLeaseAtEachStart) {
  ASSERT_THAT(supervised_.supervisor.Serve(Source()), IsOk());
  server_.clock.Advance(std::chrono::hours(25));
  EXPECT_FALSE(supervised_.Ask(Attempt::kCrash).has_value());
  EXPECT_NE(supervised_.events.Next(EventKind::kStartFailed).detail, "");
}

// The head is the agent's to verify, the chunks are the worker's: neither takes what was changed.
TEST_F(BundleSourceTest, RefusesAChangedByteWhereverItIs) {
  for (const std::size_t place : {std::size_t{40}, bundle_.size() / 2, bundle_.size() - 1}) {
    Bytes changed = bundle_;
    changed[place] ^= 1U;
    WriteBundle(changed);
    EXPECT_FALSE(supervised_.supervisor.Serve(Source()).has_value()) << place;
  }
  WriteBundle(Bytes(bundle_.begin(), bundle_.end() - 1));
  EXPECT_THAT(supervised_.supervisor.Serve(Source()), IsError(ErrorCode::kDataLoss));
  WriteBundle(bundle_);
  EXPECT_THAT(supervised_.supervisor.Serve(Source()), IsOk());
}

}  // namespace
}  // namespace tacit::worker
