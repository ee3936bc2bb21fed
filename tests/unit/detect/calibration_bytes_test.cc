#include <cstring>

#include "tests/support/matchers.h"
#include "tests/unit/detect/clusters.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::ClusterCalibration;

TEST(CalibrationBytes, ComeBackAsTheyWere) {
  const Bytes bytes = Serialise(ClusterCalibration());
  const auto again = ParseCalibration(bytes);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, ClusterCalibration());
  EXPECT_EQ(Serialise(*again), bytes);
  EXPECT_EQ(IdOf(*again), IdOf(ClusterCalibration()));
}

TEST(CalibrationBytes, AreRefusedWhereverTheyEnd) {
  const Bytes bytes = Serialise(ClusterCalibration());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_THAT(ParseCalibration(ByteSpan(bytes).first(size)), IsError(ErrorCode::kMalformed)) << size;
  }
}

TEST(CalibrationBytes, AreRefusedWithMoreBehindThem) {
  Bytes bytes = Serialise(ClusterCalibration());
  bytes.push_back(0);
  EXPECT_THAT(ParseCalibration(bytes), IsErrorSaying(ErrorCode::kMalformed, "goes on behind its end"));
}

TEST(CalibrationBytes, HaveOneFormWhateverIsChangedInThem) {
  const Bytes bytes = Serialise(ClusterCalibration());
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const std::uint8_t flip : {std::uint8_t{0x01}, std::uint8_t{0x80}, std::uint8_t{0xff}}) {
      Bytes changed = bytes;
      changed[i] = static_cast<std::uint8_t>(changed[i] ^ flip);
      const auto calibration = ParseCalibration(changed);
      if (!calibration) continue;
      ++accepted;
      ASSERT_EQ(Serialise(*calibration), changed) << "byte " << i;
      ASSERT_NE(IdOf(*calibration), IdOf(ClusterCalibration()));
    }
  }
  EXPECT_GT(accepted, 0U);
}

TEST(CalibrationBytes, TakeNoMemoryForElementsThatAreNotThere) {
  // The number of scores stands behind magic, model, shape, target, rows and threshold.
  Bytes bytes = Serialise(ClusterCalibration());
  constexpr std::size_t kScoresAt = 4 + 32 + 12 + 8 + 4 + 8;
  const std::uint32_t many = 0xffff'ffff;
  std::memcpy(bytes.data() + kScoresAt, &many, sizeof many);
  EXPECT_THAT(ParseCalibration(bytes), IsErrorSaying(ErrorCode::kMalformed, "more elements than it may"));
}

TEST(CalibrationBytes, AreRefusedAboveTheirLimitBeforeTheyAreRead) {
  EXPECT_THAT(ParseCalibration(Bytes(kMaxCalibrationBytes + 1)), IsError(ErrorCode::kTooLarge));
}

}  // namespace
}  // namespace tacit::detect
