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
/// Inputs and outputs of a model; `degradations`: what does not hold of its worker's protections, or nothing.
net::HttpResponse ModelMetadata(const ModelLabel& label, const inference::Signature& signature,
                                std::string_view degradations);

/// What a model computed, in the form that was asked for. Shape: `outputs` are all of the signature, each of
/// `request.rows` rows. Errors: kDataLoss for numbers that JSON cannot say.
Result<net::HttpResponse> InferAnswer(const ModelLabel& label, const InferRequest& request,
                                      const inference::Signature& signature, std::span<const ByteSpan> outputs);

}  // namespace tacit::serving
