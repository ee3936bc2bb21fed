#include "common/graph/file.h"
#include "common/graph/onnx/read_onnx.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto model = tacit::graph::ReadOnnx({data, size});
  if (!model) return 0;
  constexpr std::size_t kRoom = std::size_t{4} << 20U;
  TACIT_CHECK(model->bytes().size() <= kRoom + 64 * size, "weights are in proportion to the file");
  const auto file = tacit::graph::Serialise({.graph = model->graph, .weights = model->bytes()});
  const auto again = tacit::graph::Parse(file.bytes());
  TACIT_CHECK(again.has_value() && again->graph == model->graph, "what was read is a graph that can be kept");
  return 0;
}
