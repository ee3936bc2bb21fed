#include "common/compression/zstd.h"

#include <algorithm>
#include <array>
#include <random>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit {
namespace {

using testing::IsError;
using testing::IsOk;

Bytes Compressible(std::size_t size) {
  std::mt19937 random(1);
  Bytes bytes(size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() % 7);
  return bytes;
}

/// What comes out, so many bytes in and out at a time.
Result<Bytes> Unpacked(ByteSpan frame, std::size_t most, std::size_t in = 1000, std::size_t out = 777) {
  TACIT_TRY(Decompressor decompressor, Decompressor::Create());
  Bytes unpacked(most);
  std::size_t written = 0;
  for (std::size_t at = 0; at < frame.size() && written < most && !decompressor.ended(); at += in) {
    ByteSpan input = frame.subspan(at, std::min(in, frame.size() - at));
    for (;;) {
      const std::size_t room = std::min(out, most - written);
      TACIT_TRY(const std::size_t count, decompressor.Unpack(input, std::span(unpacked).subspan(written, room)));
      EXPECT_LE(decompressor.memory(), Decompressor::kMemoryBytes);
      written += count;
      if (decompressor.ended() || count < room || written == most) break;
    }
  }
  unpacked.resize(written);
  return unpacked;
}

TEST(Zstd, BringsBackWhatWasWorthCompressing) {
  for (const std::size_t size :
       {std::size_t{1000}, std::size_t{131'072}, std::size_t{131'073}, std::size_t{3'000'000}}) {
    const Bytes payload = Compressible(size);
    const auto frame = CompressIfWorthIt(payload);
    ASSERT_TRUE(frame) << size;
    EXPECT_LE(frame->size(), size - size / 16);
    EXPECT_EQ(*Unpacked(*frame, size), payload);
  }
}

TEST(Zstd, LeavesAloneWhatSavesLessThanASixteenth) {
  std::mt19937 random(2);
  Bytes payload(100'000);
  for (std::uint8_t& byte : payload) byte = static_cast<std::uint8_t>(random());
  EXPECT_FALSE(CompressIfWorthIt(payload));
  std::fill_n(payload.begin(), 3'000, std::uint8_t{0});
  EXPECT_FALSE(CompressIfWorthIt(payload)) << "3 % is less";
  std::fill_n(payload.begin(), 10'000, std::uint8_t{0});
  EXPECT_TRUE(CompressIfWorthIt(payload));
  EXPECT_FALSE(CompressIfWorthIt(Bytes(1)));
}

TEST(Zstd, RefusesWhatIsNoFrameOrIsDamaged) {
  EXPECT_THAT(Unpacked(Bytes(100), 100), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(Unpacked(Bytes{0x28, 0xb5}, 100), IsError(ErrorCode::kMalformed));
  // A frame to be skipped, and one of format 0.7.
  EXPECT_THAT(Unpacked(Bytes{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, 100), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(Unpacked(Bytes{0x27, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0}, 100), IsError(ErrorCode::kMalformed));
  Bytes frame = *CompressIfWorthIt(Compressible(10'000));
  frame[4] |= 0x08U;  // a bit that is reserved
  EXPECT_THAT(Unpacked(frame, 10'000), IsError(ErrorCode::kMalformed));
}

// Frame header with a window descriptor, then an RLE block of 128 KiB of zeros, not the last.
TEST(Zstd, RefusesAWindowThatTakesMoreMemory) {
  const auto with_window = [](std::uint8_t exponent) {
    return Bytes{0x28, 0xb5, 0x2f, 0xfd, 0x00, static_cast<std::uint8_t>(exponent << 3U), 0x02, 0x00, 0x10, 0x00};
  };
  EXPECT_THAT(Unpacked(with_window(17 - 10), 200'000), IsOk());
  EXPECT_THAT(Unpacked(with_window(18 - 10), 200'000), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(Unpacked(with_window(31 - 10), 200'000), IsError(ErrorCode::kMalformed));
}

TEST(Zstd, OfABombWritesNoMoreThanThereIsRoomFor) {
  Bytes bomb = {0x28, 0xb5, 0x2f, 0xfd, 0x00, (17 - 10) << 3};
  for (int block = 0; block < 10'000; ++block) bomb.insert(bomb.end(), {0x02, 0x00, 0x10, 0x00});  // 1.3 GB
  const auto unpacked = Unpacked(bomb, 1'000'000);
  ASSERT_THAT(unpacked, IsOk());
  EXPECT_EQ(unpacked->size(), 1'000'000U);
}

}  // namespace
}  // namespace tacit
