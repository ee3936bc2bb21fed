#pragma once

#include <cstdint>

#include "cli/arguments.h"
#include "cli/output.h"
#include "common/base/clock.h"
#include "server/doctor/finding.h"

namespace tacit::cli {

/// Whether the way to the server is looked at, too, or only what would be shown to it.
enum class Asks : std::uint8_t { kServer, kNobody };

/// Looks at the context that the arguments mean: its files and certificates; then whether its server answers, is of the
/// same version, agrees about the time, and knows who asks.
doctor::Findings ExamineContext(const ConnectionArguments& arguments, Asks asks, const Clock& clock);

/// Looks at the server of `arguments.config`, if it names one, and at the context that is said or lies beside it.
Report Diagnose(const DoctorArguments& arguments, const ConnectionArguments& connection, const Clock& clock);

/// Ends with kProblem when there is one.
Report DescribeFindings(const doctor::Findings& findings);

}  // namespace tacit::cli
