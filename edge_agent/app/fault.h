#pragma once

#include <cstdint>

#include "edge_agent/upload/pending_update.h"

namespace tacit::agent {

/// Deliberate misbehaviour, so that a demonstration can show what a server does about it.
enum class Fault : std::uint8_t {
  kNone,
  kNan,   ///< Sends NaN for every parameter.
  kSlow,  ///< Sends each update after its round's deadline.
};

/// Replaces an update by one of NaNs with a right digest: what a broken or hostile device could send.
void PoisonWithNan(upload::PendingUpdate& update);

}  // namespace tacit::agent
