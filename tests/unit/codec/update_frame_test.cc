#include "proto/codec/update_frame.h"

#include <array>
#include <limits>

#include "tests/support/matchers.h"
#include "tests/unit/codec/samples.h"

namespace tacit::codec {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

std::array<std::uint8_t, kUpdateLengthBytes> LengthBytes(std::uint32_t length) {
  const Bytes bytes = ByteWriter().U32(length).bytes();
  return {bytes[0], bytes[1], bytes[2], bytes[3]};
}

TEST(UpdatePrefix, IsTheLittleEndianLengthAndThenTheHeader) {
  const Bytes prefix = EncodeUpdatePrefix(samples::SomeHeader());
  const auto length = ParseUpdatePrefix(ByteSpan(prefix).first<kUpdateLengthBytes>());
  ASSERT_THAT(length, IsOk());
  EXPECT_EQ(prefix[0], *length);  // shorter than 256 bytes: the first byte is the whole length
  EXPECT_EQ(prefix.size(), kUpdateLengthBytes + *length);
  EXPECT_EQ(ParseUpdateHeader(ByteSpan(prefix).subspan(kUpdateLengthBytes)), samples::SomeHeader());
}

TEST(UpdatePrefix, TakesLengthsFromOneToTheLimitOnly) {
  EXPECT_EQ(ParseUpdatePrefix(LengthBytes(1)), 1U);
  EXPECT_EQ(ParseUpdatePrefix(LengthBytes(kMaxUpdateHeaderBytes)), kMaxUpdateHeaderBytes);
  EXPECT_THAT(ParseUpdatePrefix(LengthBytes(0)), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ParseUpdatePrefix(LengthBytes(kMaxUpdateHeaderBytes + 1)), IsErrorSaying(ErrorCode::kTooLarge, "4097"));
  EXPECT_THAT(ParseUpdatePrefix(LengthBytes(0xffffffff)), IsError(ErrorCode::kTooLarge));
}

TEST(UpdateFrame, ContentLengthMustBeExactlyWhatTheHeaderAnnounces) {
  const UpdateHeader header = samples::SomeHeader();
  const std::uint64_t whole = 4 + 50 + header.payload_bytes;
  EXPECT_THAT(CheckUpdateFrameSize(whole, 50, header, 0), IsOk());
  EXPECT_THAT(CheckUpdateFrameSize(whole - 4, 50, header, 4), IsOk());
  EXPECT_THAT(CheckUpdateFrameSize(whole, 50, header, 4), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(CheckUpdateFrameSize(whole, 50, header, header.payload_bytes + 1), IsError(ErrorCode::kMalformed));
  for (const std::uint64_t wrong :
       {std::uint64_t{0}, whole - 1, whole + 1, std::numeric_limits<std::uint64_t>::max()}) {
    EXPECT_THAT(CheckUpdateFrameSize(wrong, 50, header, 0),
                IsErrorSaying(ErrorCode::kMalformed, std::to_string(whole)));
  }
}

TEST(UpdateFrame, ACompressedPayloadIsShorterAndHasNoOffset) {
  UpdateHeader header = samples::SomeHeader();
  header.zstd = true;
  const std::uint64_t prefix = kUpdateLengthBytes + 100;
  EXPECT_THAT(CheckUpdateFrameSize(prefix + 1, 100, header, 0), IsOk());
  EXPECT_THAT(CheckUpdateFrameSize(prefix + header.payload_bytes - 1, 100, header, 0), IsOk());
  for (const std::uint64_t length : {std::uint64_t{0}, prefix, prefix + header.payload_bytes, ~std::uint64_t{0}}) {
    const auto refused = CheckUpdateFrameSize(length, 100, header, 0);
    EXPECT_THAT(refused, IsErrorSaying(ErrorCode::kMalformed, "no shorter than what the header announces"));
    EXPECT_EQ(refused.error().message.find_first_of("0123456789"), std::string::npos) << "it is logged";
  }
  EXPECT_THAT(CheckUpdateFrameSize(prefix + 1, 100, header, 1), IsErrorSaying(ErrorCode::kMalformed, "Upload-Offset"));
}

}  // namespace
}  // namespace tacit::codec
