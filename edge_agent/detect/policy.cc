#include "edge_agent/detect/policy.h"

#include <algorithm>
#include <utility>

#include "edge_agent/detect/byte_reader.h"

namespace tacit::detect {
namespace {

constexpr std::uint32_t kPolicyMagic = 0x31504454;  // "TDP1"

Policy ReadPolicy(ByteReader& in) {
  in.Require(in.Take<std::uint32_t>() == kPolicyMagic, "is no policy of this version");
  const auto mode = in.Take<std::uint32_t>();
  in.Require(mode <= static_cast<std::uint32_t>(Mode::kReject), "names a mode that there is not");
  Policy policy;
  policy.mode = static_cast<Mode>(in.failed() ? 0 : mode);
  policy.identity_budget = in.Take<std::uint64_t>();
  policy.device_budget = in.Take<std::uint64_t>();
  policy.window_seconds = in.Take<std::uint64_t>();
  in.Require(policy.identity_budget <= Policy::kMostRows && policy.device_budget <= Policy::kMostRows,
             "has a budget that is none");
  in.Require(policy.window_seconds >= 1 && policy.window_seconds <= Policy::kLongestWindow,
             "has a window out of its range");
  return policy;
}

}  // namespace

Bytes Serialise(const Detectors& detectors) {
  const Policy& policy = detectors.policy;
  ByteWriter out;
  out.U32(kPolicyMagic).U32(static_cast<std::uint32_t>(policy.mode)).U64(policy.identity_budget);
  out.U64(policy.device_budget).U64(policy.window_seconds).Raw(Serialise(detectors.calibration));
  return std::move(out).Take();
}

Result<Detectors> ParseDetectors(ByteSpan bytes) {
  if (bytes.size() > kMaxDetectorsBytes) return Fail(ErrorCode::kTooLarge, "detectors take more bytes than they may");
  ByteReader in(bytes.first(std::min(bytes.size(), kPolicyBytes)));
  Detectors detectors{.policy = ReadPolicy(in), .calibration = {}};
  TACIT_TRY_VOID(in.Done("a policy of detectors"));
  TACIT_TRY(detectors.calibration, ParseCalibration(bytes.subspan(kPolicyBytes)));
  return detectors;
}

}  // namespace tacit::detect
