#include "edge_agent/inference/ort_engine.h"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/crypto/digest.h"

namespace tacit::inference {
namespace {

constexpr std::size_t kLargest = std::size_t{1} << 30U;

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

TEST(OrtEngine, RefusesBrokenModelsAndGivesNoDerivatives) {
  const char* library = std::getenv("TACIT_ORT_LIBRARY");
  if (library == nullptr) GTEST_SKIP() << "set TACIT_ORT_LIBRARY to libonnxruntime.so.1 of version 1.27.0";
  const Digest256 digest = crypto::Sha256(*ReadFile(library, kLargest));
  const auto engine = MakeOrtEngine({.library = library, .sha256 = digest});
  ASSERT_TRUE(engine.has_value()) << engine.error().message;
  const Bytes broken = {1, 2, 3, 4};
  EXPECT_FALSE((*engine)->Load(broken).has_value());
  EXPECT_TRUE((*engine)->signature().inputs.empty());
  EXPECT_FALSE((*engine)->Run(1, {}, {}).has_value());
  EXPECT_FALSE((*engine)->InputGradient({}, {}, {}).has_value());
}

}  // namespace
}  // namespace tacit::inference
