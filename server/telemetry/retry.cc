#include "server/telemetry/retry.h"

#include <algorithm>
#include <array>
#include <string>

#include "common/base/text.h"

namespace tacit::telemetry {
namespace {

constexpr std::chrono::minutes kMostAskedFor{5};
constexpr std::array kPassing = {429, 502, 503, 504};

}  // namespace

Millis Backoff::Next(std::optional<std::chrono::seconds> asked_for) {
  constexpr unsigned kMostDoublings = 20;  // longer than any limit, and far from an overflow
  const Millis whole =
      std::min(limits_.longest, limits_.first * (std::int64_t{1} << std::min(failures_, kMostDoublings)));
  ++failures_;
  const Millis half = whole / 2;
  const Millis wait =
      whole - half + Millis(static_cast<std::int64_t>(random_.Below(static_cast<std::uint64_t>(half.count()) + 1)));
  const Millis least =
      std::clamp<Millis>(asked_for.value_or(std::chrono::seconds(0)), Millis(0), Millis(kMostAskedFor));
  return std::max(wait, least);
}

Attempt Judge(const Result<web::WebResponse>& answer) {
  if (!answer) {
    // A URL or a header that cannot be sent, or a redirection: somebody has to change the configuration.
    const bool refused = answer.error().code == ErrorCode::kInvalidArgument;
    return {.end = refused ? Attempt::End::kRefused : Attempt::End::kTryAgain,
            .reason = answer.error().message,
            .retry_after = std::nullopt};
  }
  if (answer->status >= 200 && answer->status < 300)
    return {.end = Attempt::End::kTaken, .reason = {}, .retry_after = std::nullopt};
  const bool passing = std::ranges::find(kPassing, answer->status) != kPassing.end();
  return {.end = passing ? Attempt::End::kTryAgain : Attempt::End::kRefused,
          .reason = "it answers with status " + std::to_string(answer->status) + " and " + Excerpt(answer->body),
          .retry_after = answer->retry_after};
}

}  // namespace tacit::telemetry
