#include "edge_agent/serving/answers.h"

#include <cstdint>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/log.h"
#include "common/base/version.h"
#include "edge_agent/serving/tensor_text.h"

namespace tacit::serving {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kJsonType = "application/json";

OrderedJson PortsJson(std::span<const inference::Port> ports) {
  OrderedJson list = OrderedJson::array();
  for (const inference::Port& port : ports)
    list.push_back({{"name", port.name}, {"datatype", DatatypeOf(port.element)}, {"shape", port.shape}});
  return list;
}

std::string TextOf(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string ShapeJson(std::size_t rows, const graph::Shape& shape) {
  std::string json = "[" + std::to_string(rows);
  for (std::size_t i = 1; i < shape.size(); ++i) json += "," + std::to_string(shape[i]);
  return json + "]";
}

Result<void> AppendOutput(const WantedOutput& wanted, const inference::Port& port, ByteSpan values, std::size_t rows,
                          std::string& json) {
  json += R"({"name":)" + JsonQuote(port.name) + R"(,"datatype":")" + std::string(DatatypeOf(port.element)) +
          R"(","shape":)" + ShapeJson(rows, port.shape);
  if (wanted.form == TensorForm::kBinary) {
    json += R"(,"parameters":{"binary_data_size":)" + std::to_string(values.size()) + "}}";
    return {};
  }
  json += R"(,"data":)";
  TACIT_TRY_VOID(AppendNumbers(values, port.element, json));
  json += "}";
  return {};
}

}  // namespace

net::HttpResponse JsonAnswer(std::string json) {
  net::HttpResponse response;
  response.content_type = kJsonType;
  response.body = std::move(json);
  return response;
}

net::HttpResponse ErrorAnswer(int status, std::string_view what) {
  net::HttpResponse response = JsonAnswer(R"({"error":)" + JsonQuote(what) + "}");
  response.status = status;
  return response;
}

// The protocol says 400 for what is wrong with a request; a wait that ran out is this side's, as a gateway's.
net::HttpResponse ErrorAnswer(const Error& error) {
  const int status = error.code == ErrorCode::kInvalidArgument    ? 400
                     : error.code == ErrorCode::kDeadlineExceeded ? 504
                                                                  : TraitsOf(error.code).http_status;
  return ErrorAnswer(status, error.message);
}

net::HttpResponse ServerMetadata() {
  return JsonAnswer(TextOf(
      {{"name", "tacit-agent"}, {"version", kVersion}, {"extensions", OrderedJson::array({"binary_tensor_data"})}}));
}

net::HttpResponse ModelMetadata(const ModelLabel& label, const worker::Loaded& model, std::string_view degradations) {
  OrderedJson parameters = {{"tacit_degradations", degradations}};
  if (const auto& detectors = model.detectors) {
    parameters["tacit_calibration"] = ToHex(detectors->calibration);
    parameters["tacit_mode"] = detect::NameOf(detectors->policy.mode);
  }
  return JsonAnswer(TextOf({{"name", label.name},
                            {"versions", OrderedJson::array({label.version})},
                            {"platform", "tacit_graph"},
                            {"inputs", PortsJson(model.signature.inputs)},
                            {"outputs", PortsJson(model.signature.outputs)},
                            {"parameters", std::move(parameters)}}));
}

Result<net::HttpResponse> InferAnswer(const ModelLabel& label, const InferRequest& request,
                                      const InferOutputs& outputs) {
  std::string json = R"({"model_name":)" + JsonQuote(label.name) + R"(,"model_version":)" + JsonQuote(label.version);
  if (request.id) json += R"(,"id":)" + JsonQuote(*request.id);
  if (!outputs.parameters.empty()) json += R"(,"parameters":)" + std::string(outputs.parameters);
  json += R"(,"outputs":[)";
  bool binary = false;
  for (std::size_t i = 0; i < request.outputs.size(); ++i) {
    const WantedOutput& wanted = request.outputs[i];
    if (i > 0) json += ',';
    const inference::Port& port = outputs.signature.outputs[wanted.port];
    TACIT_TRY_VOID(AppendOutput(wanted, port, outputs.values[wanted.port], request.rows, json));
    binary = binary || wanted.form == TensorForm::kBinary;
  }
  json += "]}";
  if (!binary) return JsonAnswer(std::move(json));
  net::HttpResponse response;
  response.content_type = "application/octet-stream";
  response.headers = {{"Inference-Header-Content-Length", std::to_string(json.size())}};
  for (const WantedOutput& wanted : request.outputs) {
    if (wanted.form == TensorForm::kBinary) json += AsText(outputs.values[wanted.port]);
  }
  response.body = std::move(json);
  return response;
}

}  // namespace tacit::serving
