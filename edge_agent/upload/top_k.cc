#include "edge_agent/upload/top_k.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "common/base/check.h"

namespace tacit::upload {

TopK TakeTopK(std::span<float> entries, std::size_t k) {
  TACIT_CHECK(k > 0 && k <= entries.size(), "a vector has no more entries than it has");
  std::vector<std::uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto is_before = [&](std::uint32_t a, std::uint32_t b) {
    const float of_a = std::abs(entries[a]);
    const float of_b = std::abs(entries[b]);
    return of_a > of_b || (of_a == of_b && a < b);
  };
  if (k < order.size())
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(), is_before);
  TopK chosen{.values = {}, .bitmap = Bytes((entries.size() + 7) / 8)};
  for (const std::uint32_t entry : std::span(order).first(k))
    chosen.bitmap[entry / 8] |= static_cast<std::uint8_t>(1U << (entry % 8));
  chosen.values.reserve(k);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if ((chosen.bitmap[i / 8] >> (i % 8) & 1U) == 0) continue;
    chosen.values.push_back(entries[i]);
    entries[i] = 0;
  }
  return chosen;
}

}  // namespace tacit::upload
