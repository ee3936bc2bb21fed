#include "edge_agent/capi/tacit_agent.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "edge_agent/capi/socket_client.h"

namespace {

using tacit::ErrorCode;
using tacit::Fail;
using tacit::Result;
using tacit::capi::SocketAnswer;

constexpr std::size_t kLongestAnswer = std::size_t{64} * 1024 * 1024;
constexpr std::size_t kLongestText = std::size_t{256} * 1024;
constexpr std::size_t kMostNumbers = std::size_t{1} << 24U;

struct ModelNameTag {
  static constexpr std::string_view kWhat = "a model name";
};
using CheckedModel = tacit::Name<ModelNameTag>;

struct Tensor {
  std::string name;
  std::vector<std::size_t> row;  // without the rows
  std::size_t size = 1;
};

Result<nlohmann::json> ParseText(tacit::ByteSpan text) {
  if (text.size() > kLongestText) return Fail(ErrorCode::kTooLarge, "the agent's answer is too long");
  auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (json.is_discarded()) return Fail(ErrorCode::kMalformed, "the agent's answer is not JSON");
  return json;
}

Result<Tensor> TensorOf(const nlohmann::json& port) {
  const auto datatype = port.find("datatype");
  const auto name = port.find("name");
  const auto shape = port.find("shape");
  const bool there = port.is_object() && datatype != port.end() && name != port.end() && name->is_string() &&
                     shape != port.end() && shape->is_array() && !shape->empty();
  if (!there || *datatype != "FP32") return Fail(ErrorCode::kInvalidArgument, "the model does not take and give FP32");
  Tensor tensor{.name = name->get<std::string>(), .row = {}, .size = 1};
  for (std::size_t i = 1; i < shape->size(); ++i) {
    const nlohmann::json& size = (*shape)[i];
    if (!size.is_number_unsigned() || size == 0U || size.get<std::uint64_t>() > kMostNumbers / tensor.size)
      return Fail(ErrorCode::kMalformed, "the agent describes a shape that cannot be");
    tensor.row.push_back(size.get<std::size_t>());
    tensor.size *= tensor.row.back();
  }
  return tensor;
}

Result<SocketAnswer> Expect200(Result<SocketAnswer> answer) {
  if (!answer || answer->status == 200) return answer;
  const auto json = ParseText(answer->body);
  const bool told = json && json->is_object() && json->contains("error") && (*json)["error"].is_string();
  return Fail(ErrorCode::kUnavailable, told ? (*json)["error"].get<std::string>()
                                            : "the agent answered with status " + std::to_string(answer->status));
}

}  // namespace

struct tacit_agent {
  tacit::capi::SocketClient client;
  std::string model;
  std::string metadata = {};
  std::optional<std::string> error = {};
  Tensor input = {.name = {}, .row = {}, .size = 0};
  Tensor output = {.name = {}, .row = {}, .size = 0};

  Result<void> Look() {
    TACIT_TRY(const CheckedModel name, CheckedModel::Parse(model));
    TACIT_TRY(const SocketAnswer answer,
              Expect200(client.Send("GET /v2/models/" + name.str() + " HTTP/1.1\r\n", {}, kLongestText)));
    TACIT_TRY(const nlohmann::json json, ParseText(answer.body));
    const bool lists = json.is_object() && json.contains("inputs") && json["inputs"].is_array() &&
                       json["inputs"].size() == 1 && json.contains("outputs") && json["outputs"].is_array() &&
                       !json["outputs"].empty();
    if (!lists) return Fail(ErrorCode::kInvalidArgument, "the model does not have one input");
    TACIT_TRY(Tensor taken, TensorOf(json["inputs"][0]));
    TACIT_TRY(Tensor given, TensorOf(json["outputs"][0]));
    metadata = tacit::AsText(answer.body);
    input = std::move(taken);
    output = std::move(given);
    return {};
  }

  [[nodiscard]] std::string Question(std::size_t rows) const {
    std::string shape = "[" + std::to_string(rows);
    for (const std::size_t size : input.row) shape += "," + std::to_string(size);
    return R"({"inputs":[{"name":)" + tacit::JsonQuote(input.name) + R"(,"datatype":"FP32","shape":)" + shape +
           R"(],"parameters":{"binary_data_size":)" + std::to_string(rows * input.size * sizeof(float)) +
           R"(}}],"outputs":[{"name":)" + tacit::JsonQuote(output.name) + R"(,"parameters":{"binary_data":true}}]})";
  }

  Result<void> Infer(std::size_t rows, const float* values, float* into) {
    if (input.size == 0) return Fail(ErrorCode::kInvalidArgument, "the handle could not be opened");
    if (rows == 0 || rows > kMostNumbers / std::max(input.size, output.size))
      return Fail(ErrorCode::kInvalidArgument, "so many rows cannot be asked about at once");
    const std::string question = Question(rows);
    const std::string head = "POST /v2/models/" + model +
                             "/infer HTTP/1.1\r\nInference-Header-Content-Length: " + std::to_string(question.size()) +
                             "\r\n";
    const std::span<const float> numbers(values, rows * input.size);
    TACIT_TRY(const SocketAnswer answer,
              Expect200(client.Send(head, {tacit::AsBytes(question), tacit::AsBytes(numbers)}, kLongestAnswer)));
    const tacit::ByteSpan binary = tacit::ByteSpan(answer.body).subspan(answer.json_size);
    if (binary.size() != rows * output.size * sizeof(float))
      return Fail(ErrorCode::kUnavailable, "the model was replaced by one of another shape; open it again");
    std::memcpy(into, binary.data(), binary.size());
    return {};
  }
};

namespace {

// No exception leaves: one there is means that no memory was left.
template <typename Call>
int Guarded(tacit_agent& agent, Call call) {
  try {
    agent.error.reset();
    const Result<void> done = call();
    if (done) return 0;
    agent.error = done.error().message;
  } catch (const std::exception& caught) {
    agent.error.emplace();
    agent.error->assign(caught.what(), strnlen(caught.what(), 15));  // fits without memory
  }
  return -1;
}

}  // namespace

const char* tacit_agent_version() {
  static constexpr auto kText = tacit::kVersion;
  return kText.data();
}

tacit_agent* tacit_agent_open(const char* path, const char* model, unsigned timeout_ms) {
  try {
    auto* agent = new tacit_agent{
        .client = {path, tacit::Millis(std::max(timeout_ms, 1U))}, .model = model, .metadata = {}, .error = {}};
    Guarded(*agent, [agent] { return agent->Look(); });
    return agent;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

const char* tacit_agent_error(const tacit_agent* agent) {
  return agent->error ? agent->error->c_str() : nullptr;
}

const char* tacit_agent_metadata(const tacit_agent* agent) {
  return agent->metadata.empty() ? nullptr : agent->metadata.c_str();
}

size_t tacit_agent_input_size(const tacit_agent* agent) {
  return agent->input.size;
}

size_t tacit_agent_output_size(const tacit_agent* agent) {
  return agent->output.size;
}

int tacit_agent_infer(tacit_agent* agent, size_t rows, const float* input, float* output) {
  return Guarded(*agent, [&] { return agent->Infer(rows, input, output); });
}

void tacit_agent_close(tacit_agent* agent) {
  delete agent;
}
