#include "edge_agent/delivery/trusted_signer.h"

#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::delivery {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;

class TrustedSignerTest : public ::testing::Test {
 protected:
  TrustedSigner Signer(std::vector<crypto::Ed25519PublicKey> pinned = {}) const {
    return {directory_.path() / "signer.pem", std::move(pinned)};
  }
  static bool Believes(const bundle::SignerSet& signers, const crypto::SigningKey& key) {
    return signers.Open(bundle::SignEnvelope("t", "p", {&key, 1}), "t").has_value();
  }
  const TempDirectory directory_;
  const crypto::SigningKey first_ = *crypto::SigningKey::Generate();
  const crypto::SigningKey second_ = *crypto::SigningKey::Generate();
};

TEST_F(TrustedSignerTest, IsTheOneThatTheServerNamedFirstAndStaysSo) {
  EXPECT_THAT(Signer().Known(), IsError(ErrorCode::kNotFound));
  const auto offered = Signer().For(first_.public_key());
  ASSERT_THAT(offered, IsOk());
  EXPECT_TRUE(Believes(*offered, first_));
  EXPECT_FALSE(Believes(*offered, second_));
  EXPECT_THAT(Signer().Known(), IsError(ErrorCode::kNotFound)) << "to be asked is not to be kept";
  ASSERT_THAT(Signer().Keep(first_.public_key()), IsOk());
  ASSERT_THAT(Signer().Keep(second_.public_key()), IsOk());
  EXPECT_TRUE(Believes(*Signer().Known(), first_));
  EXPECT_THAT(Signer().For(second_.public_key()), IsErrorSaying(ErrorCode::kPermissionDenied, "does not trust"));
}

TEST_F(TrustedSignerTest, IsOneOfThoseThatItsOwnerConfigured) {
  ASSERT_THAT(Signer().Keep(second_.public_key()), IsOk());
  const TrustedSigner signer = Signer({first_.public_key()});
  EXPECT_TRUE(Believes(*signer.Known(), first_));
  EXPECT_THAT(signer.For(second_.public_key()), IsErrorSaying(ErrorCode::kPermissionDenied, "none of those"));
  EXPECT_THAT(signer.For(first_.public_key()), IsOk());
}

TEST_F(TrustedSignerTest, IsNobodyWhereItsFileIsDamaged) {
  ASSERT_THAT(WriteFileAtomic(directory_.path() / "signer.pem", AsBytes(std::string_view("?")), kOwnerOnly), IsOk());
  EXPECT_THAT(Signer().For(first_.public_key()), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(Signer().Known(), IsError(ErrorCode::kDataLoss));
}

}  // namespace
}  // namespace tacit::delivery
