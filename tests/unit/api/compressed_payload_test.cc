#include "server/api/compressed_payload.h"

#include <algorithm>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::api {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

constexpr std::size_t kParameters = 100'000;

dp::UpdateIntake Intake(std::size_t parameters = kParameters) {
  return {AlignedBuffer(parameters * sizeof(std::int32_t)),
          dp::UpdateIntake::Entries::kGrid16,
          {.mechanism = dp::Mechanism::kNone, .grid_radius = *dp::GridRadius::Create(1U << 20U)}};
}

Bytes Payload(std::size_t parameters = kParameters) {
  std::vector<std::int16_t> entries(parameters);
  for (std::size_t i = 0; i < parameters; ++i) entries[i] = static_cast<std::int16_t>(i % 11) - 5;
  const ByteSpan bytes = AsBytes(std::span<const std::int16_t>(entries));
  return {bytes.begin(), bytes.end()};
}

struct Received {
  dp::UpdateIntake intake = Intake();
  Xxh3Stream digest;
};

/// What comes of a frame that arrives in pieces of so many bytes.
Result<void> Arrive(ByteSpan frame, Received& received, std::size_t at_once = 1000) {
  TACIT_TRY(CompressedPayload payload, CompressedPayload::Create());
  for (std::size_t at = 0; at < frame.size(); at += at_once) {
    ByteSpan piece = frame.subspan(at, std::min(at_once, frame.size() - at));
    for (auto wants = CompressedPayload::Wants::kTurn; wants == CompressedPayload::Wants::kTurn;) {
      TACIT_TRY(wants, payload.Arrived(piece, received.intake, received.digest));
    }
    EXPECT_TRUE(piece.empty());
  }
  return payload.CheckEnd(received.intake);
}

TEST(CompressedPayload, ArrivesAsIfItHadTravelledAsItIs) {
  const Bytes payload = Payload();
  const Bytes frame = *CompressIfWorthIt(payload);
  for (const std::size_t at_once : {std::size_t{4}, std::size_t{1000}, frame.size()}) {
    Received received;
    ASSERT_THAT(Arrive(frame, received, at_once), IsOk());
    EXPECT_EQ(received.digest.Finish(), Xxh3(payload));
    auto update = std::move(received.intake).Verify(dp::Fit::kWithinClip);
    ASSERT_THAT(update, IsOk());
    for (std::size_t i = 0; i < kParameters; ++i) ASSERT_EQ(update->Settle()[i], static_cast<std::int32_t>(i % 11) - 5);
  }
}

TEST(CompressedPayload, RefusesAnotherLengthADamagedEndAndWhatStandsBehindIt) {
  const auto refusal = [](ByteSpan frame) {
    Received received;
    return Arrive(frame, received);
  };
  const Bytes frame = *CompressIfWorthIt(Payload());
  EXPECT_THAT(refusal(*CompressIfWorthIt(Payload(kParameters + 1))),
              IsErrorSaying(ErrorCode::kMalformed, "unpacks to more"));
  EXPECT_THAT(refusal(*CompressIfWorthIt(Payload(kParameters - 1))),
              IsErrorSaying(ErrorCode::kMalformed, "unpacks to less"));
  EXPECT_THAT(refusal(ByteSpan(frame).first(frame.size() - 1)), IsErrorSaying(ErrorCode::kMalformed, "is cut"));
  Bytes more = frame;
  more.push_back(0);
  EXPECT_THAT(refusal(more), IsErrorSaying(ErrorCode::kMalformed, "behind the end"));
  more.pop_back();
  more.insert(more.end(), frame.begin(), frame.end());
  EXPECT_THAT(refusal(more), IsErrorSaying(ErrorCode::kMalformed, "behind the end")) << "a second frame";
  EXPECT_THAT(refusal(Bytes(100)), IsErrorSaying(ErrorCode::kMalformed, "no zstd frame"));
}

// Others wait for the same threads.
TEST(CompressedPayload, UnpacksALittleThatIsMuchInTurns) {
  constexpr std::size_t kMuch = std::size_t{10} << 20U;
  const Bytes frame = *CompressIfWorthIt(Bytes(kMuch * sizeof(std::int16_t)));
  ASSERT_LT(frame.size(), 10'000U);
  Received received{.intake = Intake(kMuch), .digest = {}};
  CompressedPayload payload = *CompressedPayload::Create();
  ByteSpan rest = frame;
  std::size_t turns = 0;
  for (auto wants = CompressedPayload::Wants::kTurn; wants == CompressedPayload::Wants::kTurn; ++turns) {
    const std::size_t before = received.intake.received();
    const auto answer = payload.Arrived(rest, received.intake, received.digest);
    ASSERT_THAT(answer, IsOk());
    wants = *answer;
    EXPECT_LE(received.intake.received() - before, CompressedPayload::kUnpackedAtOnce + CompressedPayload::kPiece);
  }
  EXPECT_GE(turns, 20U);
  EXPECT_THAT(payload.CheckEnd(received.intake), IsOk());
  EXPECT_THAT(std::move(received.intake).Verify(dp::Fit::kWithinClip), IsOk());
}

}  // namespace
}  // namespace tacit::api
