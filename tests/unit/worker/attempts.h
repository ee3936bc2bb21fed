#pragma once

#include <cstdint>

namespace tacit::worker::testing {

/// What the engine of confined_worker does instead of a computation when the first number of a row is this: as code
/// would that took a worker over. Its output is -errno of a call that came back.
enum class Attempt : std::int32_t {
  kNone = 0,
  kSocket,
  kConnect,  // over the socket that it has
  kBind,
  kExec,
  kFork,
  kThread,
  kCreateFile,
  kReadFile,
  kRemoveFile,
  kTraceAgent,
  kReadAgentMemory,
  kWriteExecute,  // memory that is both
  kMakeExecutable,
  kKillAgent,
  kRing,
  kBecomeDumpable,
  kCatchRefusals,  // replaces the handler of SIGSYS
  kForeignCall,    // with a number of another kind of call
  kCrash,
  kHang,
  kTamper,      // writes into the weights, sealed as they are
  kWriteWords,  // to the agent's pipe, with bytes that steer a terminal
  kCloseWords,  // and goes on
  kLie,         // answers with a frame that is none
};

}  // namespace tacit::worker::testing
