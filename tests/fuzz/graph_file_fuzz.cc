#include <algorithm>
#include <cstring>

#include "common/graph/check.h"
#include "common/graph/file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tacit::AlignedBuffer file(size);
  if (size > 0) std::memcpy(file.data(), data, size);
  auto model = tacit::graph::Parse(file.bytes());
  if (!model) return 0;
  const tacit::AlignedBuffer again = Serialise(*model);
  TACIT_CHECK(std::ranges::equal(again.bytes(), file.bytes()), "a graph has one file");
  StripNames(model->graph);
  TACIT_CHECK(Check(model->graph, model->weights.size()).has_value(), "names are for people");
  return 0;
}
