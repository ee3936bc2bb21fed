#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/net/http.h"
#include "edge_agent/serving/infer_request.h"
#include "edge_agent/worker/messages.h"

// What the protocol answers. Source: Open Inference Protocol, "HTTP/REST".
namespace tacit::serving {

/// An error in the protocol's form, {"error": "..."}, with the HTTP status of its code.
net::HttpResponse ErrorAnswer(const Error& error);
/// The same for a status that no code has.
net::HttpResponse ErrorAnswer(int status, std::string_view what);

/// `json` is a whole object.
net::HttpResponse JsonAnswer(std::string json);

struct ModelLabel {
  std::string name;
  std::string version;
};

/// Of the server: name, version, extensions.
net::HttpResponse ServerMetadata();
/// Inputs and outputs of a model, and of its detectors, where it has some, calibration and mode; `degradations`: what
/// does not hold of its worker's protections, or nothing.
net::HttpResponse ModelMetadata(const ModelLabel& label, const worker::Loaded& model, std::string_view degradations);

/// What a model computed. Shape: `values` are of all outputs of the signature, each of the request's rows.
struct InferOutputs {
  const inference::Signature& signature;
  std::span<const ByteSpan> values;
  std::string_view parameters = {};  ///< Of the answer: a JSON object, or nothing.
};
/// The outputs in the form that was asked for. Errors: kDataLoss for numbers that JSON cannot say.
Result<net::HttpResponse> InferAnswer(const ModelLabel& label, const InferRequest& request,
                                      const InferOutputs& outputs);

}  // namespace tacit::serving
