#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/graph/graph.h"
#include "edge_agent/inference/engine.h"

namespace tacit::serving {

/// As the Open Inference Protocol names it ("FP32").
std::string_view DatatypeOf(graph::Element element);

enum class TensorForm : std::uint8_t { kJson, kBinary };

struct WantedOutput {
  std::size_t port = 0;  ///< Index into the signature's outputs.
  TensorForm form = TensorForm::kJson;
};

/// A question to a model, checked against its signature.
struct InferRequest {
  std::optional<std::string> id;  ///< To be given back as it is.
  std::size_t rows = 0;
  std::vector<AlignedBuffer> inputs;  ///< In the order of the signature, without gaps.
  std::vector<WantedOutput> outputs;  ///< In the order of the answer.
};

/// The body of a request for inference.
struct InferBody {
  ByteSpan json;
  ByteSpan binary;  ///< What follows it: tensors, in the order of the inputs that say so.
};

struct InferLimits {
  std::size_t max_rows = 1024;
  std::size_t max_bytes = std::size_t{32} * 1024 * 1024;  ///< Of all inputs and outputs, each.
};

/// How a body is split: `header_length` is the value of Inference-Header-Content-Length, where there is one.
/// Errors: kMalformed, kInvalidArgument.
Result<InferBody> SplitBody(ByteSpan body, std::optional<std::string_view> header_length);

/// Reads what a stranger asks. Memory is taken once it is known that the numbers are there. Errors: kMalformed for what
/// is not JSON; kInvalidArgument for what does not fit the protocol or the model, each with the place and what would
/// fit; kTooLarge beyond `limits`.
/// Source: Open Inference Protocol, "HTTP/REST", and its "Binary data extension".
Result<InferRequest> ParseInferRequest(const InferBody& body, const inference::Signature& signature,
                                       const InferLimits& limits);

}  // namespace tacit::serving
