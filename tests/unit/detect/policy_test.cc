#include "edge_agent/detect/policy.h"

#include <cstring>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/unit/detect/clusters.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

Detectors SomeDetectors() {
  return {.policy = {.mode = Mode::kReject, .identity_budget = 100, .device_budget = 300, .window_seconds = 3600},
          .calibration = testing::ClusterCalibration()};
}

template <typename Number>
Bytes Changed(Bytes bytes, std::size_t at, Number value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
  return bytes;
}

TEST(Detectors, ComeBackAndEndInTheirCalibration) {
  const Detectors detectors = SomeDetectors();
  const Bytes bytes = Serialise(detectors);
  const auto parsed = ParseDetectors(bytes);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(*parsed, detectors);
  const ByteSpan end = ByteSpan(bytes).subspan(kPolicyBytes);
  EXPECT_EQ(Bytes(end.begin(), end.end()), Serialise(detectors.calibration));
}

TEST(Detectors, AreMalformedWhereverTheirPolicyIsCut) {
  const Bytes bytes = Serialise(SomeDetectors());
  for (std::size_t size = 0; size <= kPolicyBytes; ++size) {
    EXPECT_THAT(ParseDetectors(ByteSpan(bytes).first(size)), IsError(ErrorCode::kMalformed)) << size;
  }
  EXPECT_THAT(ParseDetectors(ByteSpan(bytes).first(bytes.size() - 1)), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ParseDetectors(Bytes(kMaxDetectorsBytes + 1)), IsError(ErrorCode::kTooLarge));
}

TEST(Detectors, HaveAPolicyWithinItsRanges) {
  const Bytes bytes = Serialise(SomeDetectors());
  EXPECT_THAT(ParseDetectors(Changed(bytes, 0, std::uint32_t{7})), IsErrorSaying(ErrorCode::kMalformed, "no policy"));
  EXPECT_THAT(ParseDetectors(Changed(bytes, 4, std::uint32_t{3})), IsErrorSaying(ErrorCode::kMalformed, "a mode"));
  for (const std::size_t place : {8U, 16U}) {
    EXPECT_THAT(ParseDetectors(Changed(bytes, place, Policy::kMostRows + 1)),
                IsErrorSaying(ErrorCode::kMalformed, "a budget"));
  }
  for (const std::uint64_t window : {std::uint64_t{0}, Policy::kLongestWindow + 1}) {
    EXPECT_THAT(ParseDetectors(Changed(bytes, 24, window)), IsErrorSaying(ErrorCode::kMalformed, "a window"));
  }
}

}  // namespace
}  // namespace tacit::detect
