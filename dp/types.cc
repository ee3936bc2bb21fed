#include "dp/types.h"

#include <array>
#include <bit>
#include <charconv>
#include <limits>
#include <string>

namespace tacit::dp {
namespace {

constexpr double kMinClipNorm = 0x1p-64;
constexpr double kMaxClipNorm = 0x1p64;

std::string Shown(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

Result<void> Refuse(std::string_view what, const std::string& value, std::string_view range) {
  return Fail(ErrorCode::kInvalidArgument, std::string(what) + " is " + value + " and must be " + std::string(range));
}

}  // namespace

// The comparisons are written so that NaN fails them.
Result<void> EpsilonRule::Check(double value) {
  if (value > 0 && value <= std::numeric_limits<double>::max()) return {};
  return Refuse("epsilon", Shown(value), "a finite number above 0");
}

Result<void> DeltaRule::Check(double value) {
  if (value > 0 && value < 1) return {};
  return Refuse("delta", Shown(value), "above 0 and below 1");
}

Result<void> NoiseMultiplierRule::Check(double value) {
  if (value > 0 && value <= kMaxNoiseMultiplier) return {};
  return Refuse("the noise multiplier", Shown(value), "above 0 and at most 131072");
}

Result<void> SamplingProbabilityRule::Check(double value) {
  if (value > 0 && value < 1) return {};
  return Refuse("the sampling probability", Shown(value), "above 0 and below 1");
}

Result<void> ClipNormRule::Check(double value) {
  if (value >= kMinClipNorm && value <= kMaxClipNorm) return {};
  return Refuse("the clip norm", Shown(value), "above 0, from 2^-64 to 2^64");
}

Result<void> GridRadiusRule::Check(std::uint32_t value) {
  if (std::has_single_bit(value) && value >= kMinGridRadius && value <= kMaxGridRadius) return {};
  return Refuse("the grid radius", std::to_string(value), "a power of two from 1024 to 1073741824");
}

std::string_view NameOf(Mechanism mechanism) {
  switch (mechanism) {
    case Mechanism::kNone:
      return "none";
    case Mechanism::kGaussian:
      return "gaussian";
    case Mechanism::kLaplace:
      return "laplace";
  }
  return "unknown";
}

Result<Mechanism> ParseMechanism(std::string_view name) {
  for (const Mechanism mechanism : {Mechanism::kNone, Mechanism::kGaussian, Mechanism::kLaplace}) {
    if (name == NameOf(mechanism)) return mechanism;
  }
  return Fail(ErrorCode::kInvalidArgument, "the mechanism must be \"gaussian\", \"laplace\" or \"none\"");
}

}  // namespace tacit::dp
