#pragma once

#include <string_view>

namespace tacit::agent {

/// The command by which an agent starts itself as an inference worker. Not for people: it is in no help.
inline constexpr std::string_view kInferenceWorker = "inference-worker";

/// Is a worker until its agent has no more use for it, when `argv` has the command; else returns at once.
void BecomeInferenceWorker(int argc, const char* const* argv);

}  // namespace tacit::agent
