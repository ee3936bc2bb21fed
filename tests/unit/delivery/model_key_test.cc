#include "server/delivery/model_key.h"

#include <sys/stat.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/crypto/keys.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::delivery {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;

TEST(ModelKey, IsMadeWhereThereIsNoneAndIsTheSameLater) {
  const TempDirectory directory;
  const auto path = directory.path() / "models.key";
  const auto made = ReadOrMakeModelKey(path);
  ASSERT_THAT(made, IsOk());
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(ReadOrMakeModelKey(path)->public_key(), made->public_key());
}

TEST(ModelKey, SaysWhatIsWrongWithItsFile) {
  const TempDirectory directory;
  EXPECT_THAT(ReadOrMakeModelKey(directory.path() / "no" / "models.key"),
              IsErrorSaying(ErrorCode::kNotFound, "'pki.model_key'"));
  const auto path = directory.path() / "models.key";
  const std::string pem = *crypto::PrivateKey::GenerateP256()->ToPem();
  ASSERT_THAT(WriteNewSecretFile(path, AsBytes(pem)), IsOk());
  EXPECT_THAT(ReadOrMakeModelKey(path), IsErrorSaying(ErrorCode::kInvalidArgument, path.string()));
  ASSERT_THAT(WriteFileAtomic(path, AsBytes(std::string_view("no key")), kOwnerOnly), IsOk());
  EXPECT_THAT(ReadOrMakeModelKey(path), IsErrorSaying(ErrorCode::kMalformed, path.string()));
  ASSERT_THAT(WriteFileAtomic(path, AsBytes(*crypto::SigningKey::Generate()->ToPem()), kReadableByAll), IsOk());
  EXPECT_THAT(ReadOrMakeModelKey(path), IsError(ErrorCode::kPermissionDenied));
}

}  // namespace
}  // namespace tacit::delivery
