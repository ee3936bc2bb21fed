#pragma once

#include <string>

namespace tacit::worker {

/// The name of a system call of this machine, of those that somebody who breaks out might try; else "system call 123".
std::string NameOfCall(long number);

}  // namespace tacit::worker
