#include <algorithm>

#include "server/api/compressed_payload.h"
#include "tests/fuzz/fuzz.h"

namespace tacit::api {
namespace {

constexpr std::size_t kLead = 3;

/// A compressed payload of a model of so many parameters, which arrives so many bytes at a time.
void Take(std::size_t parameters, std::size_t at_once, ByteSpan frame) {
  dp::UpdateIntake intake(AlignedBuffer(parameters * sizeof(std::int32_t)), dp::UpdateIntake::Entries::kGrid8,
                          {.mechanism = dp::Mechanism::kNone, .grid_radius = *dp::GridRadius::Create(1U << 20U)});
  Xxh3Stream digest;
  auto payload = CompressedPayload::Create();
  TACIT_CHECK(payload.has_value(), "there is memory");
  for (std::size_t at = 0; at < frame.size(); at += at_once) {
    ByteSpan piece = frame.subspan(at, std::min(at_once, frame.size() - at));
    auto wants = payload->Arrived(piece, intake, digest);
    while (wants && *wants == CompressedPayload::Wants::kTurn) wants = payload->Arrived(piece, intake, digest);
    if (!wants) {
      TACIT_CHECK(wants.error().code == ErrorCode::kMalformed, "it is the frame's fault");
      return;
    }
    TACIT_CHECK(piece.empty(), "all that arrived is used up");
  }
  if (!payload->CheckEnd(intake)) return;
  TACIT_CHECK(intake.Rest().empty() && intake.received() == parameters, "all of it is there, and no more");
  TACIT_CHECK(std::move(intake).Verify(dp::Fit::kWithinClip).has_value(), "8-bit steps of so few entries are within");
}

}  // namespace
}  // namespace tacit::api

/// What a device sends as a compressed payload. In front: the parameters, and how much arrives at a time.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace api = tacit::api;
  if (size < api::kLead) return 0;
  const std::size_t parameters = 1 + (data[0] + 256U * data[1]) % 4096U;
  api::Take(parameters, 4U + data[2], tacit::ByteSpan(data, size).subspan(api::kLead));
  return 0;
}
