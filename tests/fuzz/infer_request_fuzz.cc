#include <algorithm>
#include <string>

#include "edge_agent/serving/infer_request.h"
#include "tests/fuzz/fuzz.h"

// The first two bytes say how long the JSON is; what follows it are binary tensors.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tacit;
  if (size < 2) return 0;
  static const inference::Signature signature = {
      .inputs = {{.name = "x", .element = graph::Element::kFloat32, .shape = {graph::kRows, 2}},
                 {.name = "n", .element = graph::Element::kInt8, .shape = {graph::kRows}}},
      .outputs = {{.name = "y", .element = graph::Element::kFloat32, .shape = {graph::kRows, 3}}}};
  const ByteSpan body(data + 2, size - 2);
  const std::size_t length = std::min<std::size_t>(data[0] + data[1] * std::size_t{256}, body.size());
  const auto split = serving::SplitBody(body, std::to_string(length));
  TACIT_CHECK(split.has_value(), "a length within the body is taken");
  const auto request = serving::ParseInferRequest(*split, signature, {.max_rows = 64});
  if (!request) {
    TACIT_CHECK(!request.error().message.empty(), "whoever is refused is told why");
    return 0;
  }
  TACIT_CHECK(request->rows >= 1 && request->rows <= 64, "rows are within the limit");
  TACIT_CHECK(request->inputs[0].size() == request->rows * 8 && request->inputs[1].size() == request->rows,
              "inputs are of the model's shape");
  TACIT_CHECK(!request->outputs.empty(), "something is answered");
  return 0;
}
