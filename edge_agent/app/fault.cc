#include "edge_agent/app/fault.h"

#include <limits>
#include <span>
#include <vector>

namespace tacit::agent {

void PoisonWithNan(upload::PendingUpdate& update) {
  const std::vector<float> poison(update.payload.size() / sizeof(float), std::numeric_limits<float>::quiet_NaN());
  const ByteSpan bytes = AsBytes(std::span<const float>(poison));
  update.payload.assign(bytes.begin(), bytes.end());
  update.header.encoding = codec::Encoding::kFloat32;
  update.header.payload_digest = Xxh3(update.payload);
}

}  // namespace tacit::agent
