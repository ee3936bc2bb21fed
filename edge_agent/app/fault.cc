#include "edge_agent/app/fault.h"

#include <limits>
#include <span>
#include <vector>

namespace tacit::agent {

void PoisonWithNan(upload::PendingUpdate& update) {
  const std::size_t parameters =
      update.header.sparse ? update.unsent.size() : update.payload.size() / codec::EntryBytes(update.header.encoding);
  const std::vector<float> poison(parameters, std::numeric_limits<float>::quiet_NaN());
  const ByteSpan bytes = AsBytes(std::span<const float>(poison));
  update.payload.assign(bytes.begin(), bytes.end());
  update.header.encoding = codec::Encoding::kFloat32;
  update.header.shift = 0;
  update.header.sparse = false;
  update.unsent.clear();
  update.header.payload_bytes = update.payload.size();
  update.header.payload_digest = Xxh3(update.payload);
}

}  // namespace tacit::agent
