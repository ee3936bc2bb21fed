#include "edge_agent/inference/ort_engine.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/crypto/digest.h"

namespace tacit::inference {
namespace {

TEST(OrtEngine, RefusesALibraryOfAnotherDigest) {
  const auto refused = MakeOrtEngine({.library = "/proc/self/exe", .sha256 = {}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().code, ErrorCode::kUnavailable);  // it was not loaded
}

TEST(OrtEngine, RefusesWhatIsNoLibrary) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "no_library.so";
  const Bytes bytes = {1, 2, 3};
  ASSERT_TRUE(WriteFileAtomic(path, bytes, kReadableByAll).has_value());
  const auto refused = MakeOrtEngine({.library = path, .sha256 = crypto::Sha256(bytes)});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  std::filesystem::remove(path);
  const auto missing = MakeOrtEngine({.library = path, .sha256 = crypto::Sha256(bytes)});
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace tacit::inference
