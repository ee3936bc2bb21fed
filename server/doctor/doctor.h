#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "server/doctor/finding.h"

namespace tacit::doctor {

/// Looks at everything that a server with this configuration needs of its machine. A configuration that does not parse
/// is all that is found. Cost: seconds; of a large store only as much is looked at as a few of them are enough for.
Findings ExamineServer(const std::filesystem::path& config, const Clock& clock);

/// A new CA has to reach every device before the old one ends.
inline constexpr std::chrono::days kWarnOfCa{180};
inline constexpr std::chrono::days kWarnOfServer{30};

/// How long before a certificate's end somebody should know, and what to do then.
struct Lifespan {
  std::string name;  ///< "the CA's certificate pki/ca.crt".
  std::chrono::days warning;
  std::string next;
};
Finding JudgeLifespan(const crypto::Certificate& certificate, const Lifespan& lifespan, WallTime now);

/// "1 day", "3 hours", "12 minutes": in the largest unit that fits, rounded down.
std::string Roughly(std::chrono::milliseconds span);

}  // namespace tacit::doctor
