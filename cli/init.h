#pragma once

#include "cli/arguments.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "common/base/clock.h"

namespace tacit::cli {

/// Makes a server's directory in one step, whole or not at all: CA, server certificate, first operator, configuration
/// and the context of this command. Directories are 0700, secrets 0600. Errors: kUsage for a host or trust domain that
/// does not fit; kRefused when something is at the directory's name already, or the disk says no.
Outcome<Report> Init(const InitArguments& arguments, WallTime now);

}  // namespace tacit::cli
