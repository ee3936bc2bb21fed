#include "server/delivery/bundle_cache.h"

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::delivery {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

const std::uint64_t kPeak = PeakBytes(1'000);

class BundleCacheTest : public ::testing::Test {
 protected:
  BundleName Name(ModelVersion version) const { return {.task = task_, .version = version}; }
  Result<BundleCache::Held> Get(BundleCache& cache, ModelVersion version) {
    const BundleName name = Name(version);
    return cache.FindOrMake(name, kPeak, [&]() -> Result<MadeBundle> {
      ++made_;
      return MakeBundle({.name = name,
                         .model = model_,
                         .parameters = AsBytes(std::span<const float>(parameters_)),
                         .published_at = WallTime(Millis(0))},
                        {.owner = owner_, .signer = signer_});
    });
  }
  /// Room for one that is made beside `kept` others.
  std::uint64_t RoomBeside(std::size_t kept) { return kPeak + kept * size_; }

  void SetUp() override {
    BundleCache cache(kPeak);
    size_ = Get(cache, 1).value()->file.size();
    made_ = 0;
  }

  const TaskId task_ = *TaskId::Parse("har");
  const model::ModelSpec model_ = *model::ModelSpec::Create({.inputs = 40, .classes = 3});
  const std::vector<float> parameters_ = model_.InitialParameters(1);
  const crypto::SecretKey owner_ = crypto::SecretKey::Random();
  const crypto::SigningKey signer_ = *crypto::SigningKey::Generate();
  std::uint64_t size_ = 0;
  int made_ = 0;
};

TEST_F(BundleCacheTest, MakesABundleOnceAndCountsIt) {
  BundleCache cache(RoomBeside(4));
  EXPECT_EQ(cache.Find(Name(1)), nullptr);
  const auto first = Get(cache, 1);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(*Get(cache, 1), *first);
  EXPECT_EQ(cache.Find(Name(1)), *first);
  EXPECT_EQ(made_, 1);
  EXPECT_EQ(cache.used(), size_);
}

TEST_F(BundleCacheTest, LetsGoOfTheOneThatWasAskedForLongestAgo) {
  BundleCache cache(RoomBeside(2));
  for (const std::uint32_t version : {1U, 2U, 3U}) ASSERT_THAT(Get(cache, version), IsOk());
  EXPECT_NE(cache.Find(Name(1)), nullptr);  // now 2 is the oldest
  ASSERT_THAT(Get(cache, 4), IsOk());
  EXPECT_EQ(cache.Find(Name(2)), nullptr);
  EXPECT_NE(cache.Find(Name(1)), nullptr);
  EXPECT_EQ(cache.used(), 3 * size_);
}

TEST_F(BundleCacheTest, CountsWhatIsBeingSentAndRefusesMore) {
  BundleCache cache(RoomBeside(1));
  std::vector<BundleCache::Held> sent;
  for (const std::uint32_t version : {1U, 2U}) sent.push_back(Get(cache, version).value());
  EXPECT_THAT(Get(cache, 3), IsError(ErrorCode::kUnavailable));
  sent.pop_back();
  EXPECT_THAT(Get(cache, 3), IsOk()) << "what nobody holds goes";
}

TEST_F(BundleCacheTest, MayEndBeforeWhatItGave) {
  std::optional<BundleCache> cache(std::in_place, RoomBeside(1));
  const BundleCache::Held held = Get(*cache, 1).value();
  cache.reset();
  EXPECT_EQ(held->file.size(), size_);
}

TEST_F(BundleCacheTest, KeepsNothingOfAFailure) {
  BundleCache cache(RoomBeside(1));
  EXPECT_THAT(cache.FindOrMake(Name(1), kPeak, []() -> Result<MadeBundle> { return Fail(ErrorCode::kDataLoss, "no"); }),
              IsError(ErrorCode::kDataLoss));
  EXPECT_EQ(cache.used(), 0U);
  EXPECT_THAT(Get(cache, 1), IsOk());
}

}  // namespace
}  // namespace tacit::delivery
