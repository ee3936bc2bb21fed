#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/crypto/digest.h"
#include "edge_agent/inference/ort_engine.h"

namespace tacit::inference {
namespace {

constexpr std::size_t kLargest = std::size_t{1} << 30U;

TEST(OrtEngine, RefusesBrokenModelsAndGivesNoDerivatives) {
  const Digest256 digest = crypto::Sha256(*ReadFile(TACIT_ORT_LIBRARY, kLargest));
  const auto engine = MakeOrtEngine({.library = TACIT_ORT_LIBRARY, .sha256 = digest});
  ASSERT_TRUE(engine.has_value()) << engine.error().message;
  const Bytes broken = {1, 2, 3, 4};
  EXPECT_FALSE((*engine)->Load(broken).has_value());
  EXPECT_TRUE((*engine)->signature().inputs.empty());
  EXPECT_FALSE((*engine)->Run(1, {}, {}).has_value());
  EXPECT_FALSE((*engine)->InputGradient({}, {}, {}).has_value());
}

}  // namespace
}  // namespace tacit::inference
