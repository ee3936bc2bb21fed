#include "edge_agent/serving/infer_request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "edge_agent/serving/tensor_text.h"

namespace tacit::serving {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestId = 256;
constexpr std::size_t kMostOutputs = 64;

std::unexpected<Error> Invalid(const std::string& place, const std::string& what) {
  return Fail(ErrorCode::kInvalidArgument, place + ": " + what);
}

// A field that nobody reads may be one that was meant to matter.
Result<void> CheckKeys(const json& object, std::initializer_list<std::string_view> known, const std::string& place) {
  if (!object.is_object()) return Invalid(place, "must be an object");
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(known, key) == known.end()) return Invalid(place, "has an unknown field " + Excerpt(key));
  }
  return {};
}

Result<std::string> TextOf(const json& object, const char* key, const std::string& place) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return Invalid(place, "needs '" + std::string(key) + "', a string");
  return found->get<std::string>();
}

// A parameter that is a whole number from 0 on, or nothing.
Result<std::optional<std::uint64_t>> SizeParameter(const json& parameters, const char* key, const std::string& place) {
  const auto found = parameters.find(key);
  if (found == parameters.end()) return std::optional<std::uint64_t>();
  if (!found->is_number_unsigned()) return Invalid(place, "'" + std::string(key) + "' must be a number from 0 on");
  return std::optional(found->get<std::uint64_t>());
}

Result<std::optional<bool>> FlagParameter(const json& parameters, const char* key, const std::string& place) {
  const auto found = parameters.find(key);
  if (found == parameters.end()) return std::optional<bool>();
  if (!found->is_boolean()) return Invalid(place, "'" + std::string(key) + "' must be true or false");
  return std::optional(found->get<bool>());
}

Result<json> ParametersOf(const json& object, const std::string& place) {
  const auto found = object.find("parameters");
  if (found == object.end()) return json::object();
  if (!found->is_object()) return Invalid(place, "'parameters' must be an object");
  return *found;
}

std::string ShapeText(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

std::string NamesOf(std::span<const inference::Port> ports) {
  std::string names;
  for (const inference::Port& port : ports) names += (names.empty() ? "'" : ", '") + port.name + "'";
  return names;
}

Result<std::size_t> PortNamed(std::span<const inference::Port> ports, const std::string& name,
                              const std::string& place) {
  const auto found = std::ranges::find(ports, name, &inference::Port::name);
  if (found == ports.end()) {
    return Invalid(place, "the model has nothing named " + Excerpt(name) + " there, it has " + NamesOf(ports));
  }
  return static_cast<std::size_t>(found - ports.begin());
}

class RequestReader {
 public:
  RequestReader(const SplitText& text, ByteSpan binary, const inference::Signature& signature,
                const InferLimits& limits)
      : text_(text), binary_(binary), signature_(signature), limits_(limits) {}

  Result<InferRequest> Read(const json& root) {
    TACIT_TRY_VOID(CheckKeys(root, {"id", "parameters", "inputs", "outputs"}, "the request"));
    TACIT_TRY_VOID(ReadId(root));
    TACIT_TRY_VOID(ReadInputs(root));
    TACIT_TRY_VOID(ReadOutputs(root));
    return std::move(request_);
  }

 private:
  Result<void> ReadId(const json& root) {
    if (!root.contains("id")) return {};
    TACIT_TRY(request_.id, TextOf(root, "id", "the request"));
    if (request_.id->size() > kLongestId)
      return Invalid("id", "must have at most " + std::to_string(kLongestId) + " bytes");
    return {};
  }

  Result<void> ReadInputs(const json& root) {
    const auto inputs = root.find("inputs");
    const std::size_t wanted = signature_.inputs.size();
    if (inputs == root.end() || !inputs->is_array() || inputs->size() != wanted) {
      return Invalid("inputs", "must be an array of " + std::to_string(wanted) + ": " + NamesOf(signature_.inputs));
    }
    request_.inputs.resize(wanted);
    std::vector<bool> given(wanted);
    for (std::size_t i = 0; i < wanted; ++i) {
      const std::string place = "inputs[" + std::to_string(i) + "]";
      TACIT_TRY(const std::size_t port, ReadInput((*inputs)[i], place));
      if (given[port]) return Invalid(place, "'" + signature_.inputs[port].name + "' is given twice");
      given[port] = true;
    }
    if (binary_left_ != binary_.size()) {
      return Invalid("the body", "has " + std::to_string(binary_.size() - binary_left_) +
                                     " bytes behind the tensors that 'binary_data_size' announces");
    }
    return {};
  }

  Result<std::size_t> ReadInput(const json& input, const std::string& place) {
    TACIT_TRY_VOID(CheckKeys(input, {"name", "shape", "datatype", "parameters", "data"}, place));
    TACIT_TRY(const std::string name, TextOf(input, "name", place));
    TACIT_TRY(const std::size_t index, PortNamed(signature_.inputs, name, place + ".name"));
    const inference::Port& port = signature_.inputs[index];
    TACIT_TRY(const std::string datatype, TextOf(input, "datatype", place));
    if (datatype != DatatypeOf(port.element)) {
      return Invalid(place + ".datatype",
                     "must be " + std::string(DatatypeOf(port.element)) + ", not " + Excerpt(datatype));
    }
    TACIT_TRY(const graph::Shape shape, ReadShape(input, port, place + ".shape"));
    TACIT_TRY(request_.inputs[index], ReadTensor(input, port, shape, place));
    return index;
  }

  Result<graph::Shape> ReadShape(const json& input, const inference::Port& port, const std::string& place) {
    const auto found = input.find("shape");
    graph::Shape shape;
    bool good = found != input.end() && found->is_array() && found->size() == port.shape.size();
    for (std::size_t i = 0; good && i < port.shape.size(); ++i) {
      const json& size = (*found)[i];
      good = size.is_number_unsigned() && size.get<std::uint64_t>() <= std::uint64_t{1} << 40U;
      if (!good) break;
      shape.push_back(size.get<std::int64_t>());
      good = i == 0 ? shape[0] > 0 : shape[i] == port.shape[i];
    }
    if (!good) return Invalid(place, "must be " + ShapeText(port.shape) + ", where -1 stands for the rows, at least 1");
    return TakeRows(std::move(shape), place);
  }

  // All inputs have as many, and not more than anybody may ask for.
  Result<graph::Shape> TakeRows(graph::Shape shape, const std::string& place) {
    const auto rows = static_cast<std::uint64_t>(shape[0]);
    if (rows > MostRows()) {
      return Fail(ErrorCode::kTooLarge, place + ": has " + std::to_string(rows) + " rows; at most " +
                                            std::to_string(MostRows()) + " are taken at once");
    }
    if (request_.rows != 0 && request_.rows != rows)
      return Invalid(place, "has other rows than the input before, which has " + std::to_string(request_.rows));
    request_.rows = static_cast<std::size_t>(rows);
    return shape;
  }

  [[nodiscard]] std::uint64_t MostRows() const {
    std::size_t widest = 1;
    for (const auto* ports : {&signature_.inputs, &signature_.outputs}) {
      std::size_t row = 0;
      for (const inference::Port& port : *ports) row += port.RowSize() * graph::SizeOf(port.element);
      widest = std::max(widest, row);
    }
    return std::min<std::uint64_t>(limits_.max_rows, limits_.max_bytes / widest);
  }

  Result<AlignedBuffer> ReadTensor(const json& input, const inference::Port& port, const graph::Shape& shape,
                                   const std::string& place) {
    TACIT_TRY(const json parameters, ParametersOf(input, place));
    TACIT_TRY(const auto binary_size, SizeParameter(parameters, "binary_data_size", place + ".parameters"));
    const auto data = input.find("data");
    if (binary_size.has_value() == (data != input.end()))
      return Invalid(place, "needs either 'data' or the parameter 'binary_data_size'");
    const std::size_t elements = request_.rows * port.RowSize();
    const std::size_t size = elements * graph::SizeOf(port.element);
    if (binary_size) return TakeBinary({.announced = *binary_size, .wanted = size}, port, place);
    // The splitter put the number there.
    const std::string_view array = text_.arrays.at(data->get<std::size_t>());
    if (array.size() / 2 < elements)
      return Invalid(place + ".data", "does not hold the " + std::to_string(elements) + " numbers of 'shape'");
    AlignedBuffer tensor(size);
    if (auto read = ReadNumbers(array, port.element, shape, tensor.bytes()); !read)
      return Annotate(read.error(), place);
    return tensor;
  }

  struct BinarySize {
    std::uint64_t announced;
    std::size_t wanted;
  };
  Result<AlignedBuffer> TakeBinary(BinarySize size, const inference::Port& port, const std::string& place) {
    if (size.announced != size.wanted) {
      return Invalid(place + ".parameters.binary_data_size",
                     "is " + std::to_string(size.announced) + ", and the shape takes " + std::to_string(size.wanted));
    }
    if (binary_.size() - binary_left_ < size.wanted)
      return Invalid(place, "the body ends before the " + std::to_string(size.wanted) + " bytes of this tensor");
    AlignedBuffer tensor(size.wanted);
    std::memcpy(tensor.data(), binary_.data() + binary_left_, size.wanted);
    binary_left_ += size.wanted;
    if (port.element == graph::Element::kFloat32 &&
        !std::ranges::all_of(tensor.As<float>(), [](float value) { return std::isfinite(value); })) {
      return Invalid(place, "holds a number that is not finite (NaN or infinity)");
    }
    return tensor;
  }

  Result<void> ReadOutputs(const json& root) {
    TACIT_TRY(const json parameters, ParametersOf(root, "the request"));
    TACIT_TRY(const auto all_binary, FlagParameter(parameters, "binary_data_output", "parameters"));
    const TensorForm form = all_binary.value_or(false) ? TensorForm::kBinary : TensorForm::kJson;
    const auto outputs = root.find("outputs");
    if (outputs == root.end()) {
      for (std::size_t i = 0; i < signature_.outputs.size(); ++i) request_.outputs.push_back({.port = i, .form = form});
      return {};
    }
    if (!outputs->is_array() || outputs->empty() || outputs->size() > kMostOutputs)
      return Invalid("outputs", "must be an array of 1 to " + std::to_string(kMostOutputs) + ", or left out for all");
    for (std::size_t i = 0; i < outputs->size(); ++i) {
      TACIT_TRY_VOID(ReadOutput((*outputs)[i], form, "outputs[" + std::to_string(i) + "]"));
    }
    return {};
  }

  Result<void> ReadOutput(const json& output, TensorForm form, const std::string& place) {
    TACIT_TRY_VOID(CheckKeys(output, {"name", "parameters"}, place));
    TACIT_TRY(const std::string name, TextOf(output, "name", place));
    TACIT_TRY(const std::size_t port, PortNamed(signature_.outputs, name, place + ".name"));
    TACIT_TRY(const json parameters, ParametersOf(output, place));
    TACIT_TRY(const auto binary, FlagParameter(parameters, "binary_data", place + ".parameters"));
    if (parameters.contains("classification"))
      return Invalid(place + ".parameters", "'classification' is not offered: the labels are the caller's");
    if (std::ranges::find(request_.outputs, port, &WantedOutput::port) != request_.outputs.end())
      return Invalid(place, "'" + name + "' is asked for twice");
    if (binary) form = *binary ? TensorForm::kBinary : TensorForm::kJson;
    request_.outputs.push_back({.port = port, .form = form});
    return {};
  }

  const SplitText& text_;
  ByteSpan binary_;
  std::size_t binary_left_ = 0;  // where the next tensor begins
  const inference::Signature& signature_;
  const InferLimits& limits_;
  InferRequest request_;
};

}  // namespace

std::string_view DatatypeOf(graph::Element element) {
  switch (element) {
    case graph::Element::kFloat32:
      return "FP32";
    case graph::Element::kInt8:
      return "INT8";
    case graph::Element::kUint8:
      return "UINT8";
    case graph::Element::kInt32:
      return "INT32";
  }
  return "BYTES";
}

Result<InferBody> SplitBody(ByteSpan body, std::optional<std::string_view> header_length) {
  if (!header_length) return InferBody{.json = body, .binary = {}};
  std::size_t length = 0;
  const char* const begin = header_length->data();
  const char* const end = begin + header_length->size();
  const auto [stop, error] = std::from_chars(begin, end, length);
  if (error != std::errc() || stop != end)
    return Fail(ErrorCode::kMalformed, "Inference-Header-Content-Length must be a number of bytes");
  if (length > body.size()) {
    return Fail(ErrorCode::kInvalidArgument, "Inference-Header-Content-Length is " + std::to_string(length) +
                                                 ", and the body has " + std::to_string(body.size()) + " bytes");
  }
  return InferBody{.json = body.first(length), .binary = body.subspan(length)};
}

Result<InferRequest> ParseInferRequest(const InferBody& body, const inference::Signature& signature,
                                       const InferLimits& limits) {
  TACIT_TRY(const SplitText text, SplitTensors(AsText(body.json)));
  const json root = json::parse(text.skeleton, nullptr, false);
  if (root.is_discarded()) return Fail(ErrorCode::kMalformed, "the request's body is not JSON");
  return RequestReader(text, body.binary, signature, limits).Read(root);
}

}  // namespace tacit::serving
