#include "edge_agent/worker/channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include <gtest/gtest.h>

#include "common/base/check.h"
#include "tests/support/matchers.h"

namespace tacit::worker {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

constexpr std::size_t kLimit = 4096;

SteadyPoint InAMinute() {
  return std::chrono::steady_clock::now() + std::chrono::minutes(1);
}
SteadyPoint AtOnce() {
  return std::chrono::steady_clock::now();
}

class ChannelTest : public ::testing::Test {
 protected:
  ChannelTest() { TACIT_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) == 0, "a test has sockets"); }
  Channel Near() { return {OwnedFd(ends_[0]), kLimit}; }
  Channel Far() { return {OwnedFd(ends_[1]), kLimit}; }
  int ends_[2] = {-1, -1};
};

TEST_F(ChannelTest, CarriesFramesInParts) {
  Channel near = Near();
  Channel far = Far();
  const Bytes first = {1, 2, 3};
  const Bytes second = {4};
  const ByteSpan parts[] = {first, {}, second};
  ASSERT_THAT(near.Send({.kind = Kind::kInfer, .id = 42, .body = parts}, InAMinute()), IsOk());
  ASSERT_THAT(near.Send({.kind = Kind::kHealth, .id = 43}, InAMinute()), IsOk());
  const auto frame = far.Receive(InAMinute());
  ASSERT_THAT(frame, IsOk());
  EXPECT_EQ(frame->kind, Kind::kInfer);
  EXPECT_EQ(frame->id, 42U);
  EXPECT_EQ(Bytes(frame->body.bytes().begin(), frame->body.bytes().end()), (Bytes{1, 2, 3, 4}));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(frame->body.data()) % 64, 0U);
  EXPECT_FALSE(frame->file);
  const auto next = far.Receive(InAMinute());
  ASSERT_THAT(next, IsOk());
  EXPECT_EQ(next->id, 43U);
}

TEST_F(ChannelTest, CarriesAFile) {
  Channel near = Near();
  Channel far = Far();
  const OwnedFd zeros(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  ASSERT_THAT(near.Send({.kind = Kind::kLoad, .file = zeros.get()}, InAMinute()), IsOk());
  const auto frame = far.Receive(InAMinute());
  ASSERT_THAT(frame, IsOk());
  ASSERT_TRUE(frame->file);
  char byte = 1;
  EXPECT_EQ(::read(frame->file.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 0);
}

TEST_F(ChannelTest, SendsNothingOverItsLimit) {
  Channel near = Near();
  Channel far = Far();
  const Bytes much(kLimit + 1);
  const ByteSpan part = much;
  EXPECT_THAT(near.Send({.kind = Kind::kInfer, .body = std::span(&part, 1)}, InAMinute()),
              IsError(ErrorCode::kTooLarge));
  EXPECT_FALSE(far.Wait(AtOnce()));
}

TEST_F(ChannelTest, TakesNothingOverItsLimit) {
  Channel far = Far();
  const OwnedFd near(ends_[0]);
  const FrameHeader header = EncodeHeader({.size = kLimit + 1, .kind = Kind::kInfer, .id = 1});
  ASSERT_EQ(::write(near.get(), header.data(), header.size()), 16);
  EXPECT_THAT(far.Receive(InAMinute()), IsError(ErrorCode::kTooLarge));
}

TEST_F(ChannelTest, WaitsNoLongerThanItsDeadline) {
  Channel far = Far();
  const OwnedFd near(ends_[0]);
  EXPECT_FALSE(far.Wait(AtOnce()));
  EXPECT_THAT(far.Receive(AtOnce()), IsError(ErrorCode::kDeadlineExceeded));
  ASSERT_EQ(::write(near.get(), "abc", 3), 3);
  EXPECT_THAT(far.Receive(AtOnce()), IsError(ErrorCode::kDeadlineExceeded)) << "half a header is no frame";
}

TEST_F(ChannelTest, NoticesThatThePeerIsGone) {
  Channel far = Far();
  ::close(ends_[0]);
  EXPECT_TRUE(far.Wait(AtOnce()));
  EXPECT_THAT(far.Receive(InAMinute()), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(far.Send({.kind = Kind::kHealth}, InAMinute()), IsError(ErrorCode::kUnavailable));
}

}  // namespace
}  // namespace tacit::worker
