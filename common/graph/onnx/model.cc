#include "common/graph/onnx/model.h"

#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "common/base/text.h"
#include "common/graph/onnx/wire.h"

namespace tacit::onnx {
namespace {

constexpr std::int64_t kLeastOpset = 11;
constexpr std::int64_t kMostOpset = 17;
constexpr std::size_t kMostDims = 8;
constexpr std::size_t kMostInts = 4096;

// Messages and names of a file in all: each takes memory that is many times the two bytes it can be written in.
class Parts {
 public:
  Result<void> Add(std::size_t at) {
    constexpr std::size_t kMost = std::size_t{1} << 17U;
    if (++count_ <= kMost) return {};
    return Fail(ErrorCode::kTooLarge,
                "ONNX file, byte " + std::to_string(at) + ": the model has over " + std::to_string(kMost) + " parts");
  }

 private:
  std::size_t count_ = 0;
};

// The numbers of a tensor in fields of their own, which say nothing of their width.
struct TypedNumbers {
  std::vector<float> floats;
  std::vector<std::int64_t> integers;
  bool are_floats = false;
  bool are_integers = false;
};

Result<std::size_t> ContentSize(const TensorProto& tensor, std::size_t at) {
  std::size_t size = SizeOf(tensor.type);
  for (const std::int64_t dim : tensor.dims) {
    const auto count = static_cast<std::uint64_t>(dim);
    if (dim < 0 || (count > 0 && size > (std::uint64_t{1} << 32U) / count)) {
      return MalformedAt(at, "tensor " + Excerpt(tensor.name) + " has a dimension below 0, or is over 4 GiB");
    }
    size *= static_cast<std::size_t>(count);
  }
  return size;
}

template <typename T>
bool Convert(const std::vector<std::int64_t>& integers, Bytes& bytes) {
  bytes.resize(integers.size() * sizeof(T));
  for (std::size_t i = 0; i < integers.size(); ++i) {
    if (!std::in_range<T>(integers[i])) return false;
    const T number = static_cast<T>(integers[i]);
    std::memcpy(bytes.data() + i * sizeof number, &number, sizeof number);
  }
  return true;
}

// Whether the numbers are of this type.
bool Convert(const TypedNumbers& numbers, TensorProto& tensor) {
  if (numbers.are_floats && numbers.are_integers) return false;
  switch (tensor.type) {
    case DataType::kFloat:
      if (numbers.are_integers) return false;
      tensor.converted.resize(numbers.floats.size() * sizeof(float));
      if (!numbers.floats.empty()) {
        std::memcpy(tensor.converted.data(), numbers.floats.data(), tensor.converted.size());
      }
      return true;
    case DataType::kUint8:
    case DataType::kBool:
      return !numbers.are_floats && Convert<std::uint8_t>(numbers.integers, tensor.converted);
    case DataType::kInt8:
      return !numbers.are_floats && Convert<std::int8_t>(numbers.integers, tensor.converted);
    case DataType::kInt32:
      return !numbers.are_floats && Convert<std::int32_t>(numbers.integers, tensor.converted);
    case DataType::kInt64:
      return !numbers.are_floats && Convert<std::int64_t>(numbers.integers, tensor.converted);
  }
  return false;
}

Result<void> ReadTensorField(const Field& field, TensorProto& tensor, TypedNumbers& numbers) {
  constexpr std::int64_t kExternal = 1;
  switch (field.number) {
    case 1:
      TACIT_TRY_VOID(AppendIntegers(field, tensor.dims));
      if (tensor.dims.size() > kMostDims) return MalformedAt(field.at, "a tensor has more than 8 dimensions");
      return {};
    case 2: {
      TACIT_TRY(const std::int64_t type, IntegerIn(field));
      tensor.type = std::in_range<std::int32_t>(type) ? static_cast<DataType>(type) : DataType{};
      return {};
    }
    case 4:
      numbers.are_floats = true;
      return AppendFloats(field, numbers.floats);
    case 5:
    case 7:
      numbers.are_integers = true;
      return AppendIntegers(field, numbers.integers);
    case 8: {
      TACIT_TRY(tensor.name, TextIn(field));
      return {};
    }
    case 9:
      if (field.type != WireType::kBytes) return MalformedAt(field.at, "expected raw data");
      tensor.raw = field.bytes;
      return {};
    case 14: {
      TACIT_TRY(const std::int64_t location, IntegerIn(field));
      if (location != kExternal) return {};
      return Fail(ErrorCode::kInvalidArgument, "tensor " + Excerpt(tensor.name) +
                                                   " has its data in another file; save the model with its weights "
                                                   "inside (onnx.save with save_as_external_data=False)");
    }
    default:
      return {};
  }
}

Result<TensorProto> ReadTensor(const Field& from) {
  TACIT_TRY(MessageReader reader, MessageIn(from));
  TensorProto tensor;
  TypedNumbers numbers;
  while (true) {
    TACIT_TRY(const std::optional<Field> field, reader.Next());
    if (!field) break;
    TACIT_TRY_VOID(ReadTensorField(*field, tensor, numbers));
  }
  // Whoever uses a tensor of a type that is not read will say so; it may be there for something that nothing needs.
  if (SizeOf(tensor.type) == 0) return tensor;
  TACIT_TRY(const std::size_t size, ContentSize(tensor, from.at));
  if (tensor.raw.empty() && !Convert(numbers, tensor)) {
    return MalformedAt(from.at, "tensor " + Excerpt(tensor.name) + " has numbers that are not of its type");
  }
  if (tensor.content().size() == size) return tensor;
  return MalformedAt(from.at, "tensor " + Excerpt(tensor.name) + " has " + std::to_string(tensor.content().size()) +
                                  " bytes, not the " + std::to_string(size) + " of its shape");
}

Result<void> ReadAttributeField(const Field& field, AttributeProto& attribute) {
  using Kind = AttributeProto::Kind;
  switch (field.number) {
    case 1: {
      TACIT_TRY(attribute.name, TextIn(field));
      return {};
    }
    case 2: {
      TACIT_TRY(attribute.f, FloatIn(field));
      attribute.kind = Kind::kFloat;
      return {};
    }
    case 3: {
      TACIT_TRY(attribute.i, IntegerIn(field));
      attribute.kind = Kind::kInt;
      return {};
    }
    case 4: {
      TACIT_TRY(attribute.s, TextIn(field));
      attribute.kind = Kind::kText;
      return {};
    }
    case 5: {
      TACIT_TRY(attribute.t, ReadTensor(field));
      attribute.kind = Kind::kTensor;
      return {};
    }
    case 7:
      attribute.kind = Kind::kFloats;
      return AppendFloats(field, attribute.floats);
    case 8:
      attribute.kind = Kind::kInts;
      return AppendIntegers(field, attribute.ints);
    default:
      return {};
  }
}

// The kind of one that is written without a value, because that is 0 or empty.
AttributeProto::Kind KindOf(std::int64_t type) {
  using Kind = AttributeProto::Kind;
  constexpr std::array<Kind, 8> kKinds = {Kind::kOther,  Kind::kFloat, Kind::kInt,    Kind::kText,
                                          Kind::kTensor, Kind::kOther, Kind::kFloats, Kind::kInts};
  return type >= 0 && type < static_cast<std::int64_t>(kKinds.size()) ? kKinds[static_cast<std::size_t>(type)]
                                                                      : Kind::kOther;
}

Result<AttributeProto> ReadAttribute(const Field& from) {
  TACIT_TRY(MessageReader reader, MessageIn(from));
  AttributeProto attribute;
  std::optional<std::int64_t> type;
  while (true) {
    TACIT_TRY(const std::optional<Field> field, reader.Next());
    if (!field) break;
    if (field->number == 20) {
      TACIT_TRY(type, IntegerIn(*field));
    } else {
      TACIT_TRY_VOID(ReadAttributeField(*field, attribute));
    }
  }
  if (type) attribute.kind = KindOf(*type);
  if (attribute.kind == AttributeProto::Kind::kTensor && !attribute.t) {
    return MalformedAt(from.at, "attribute " + Excerpt(attribute.name) + " has no tensor");
  }
  if (attribute.ints.size() > kMostInts || attribute.floats.size() > kMostInts) {
    return MalformedAt(from.at, "attribute " + Excerpt(attribute.name) + " has more than 4096 numbers");
  }
  return attribute;
}

Result<void> ReadNodeField(const Field& field, NodeProto& node, Parts& parts) {
  switch (field.number) {
    case 1: {
      TACIT_TRY_VOID(parts.Add(field.at));
      TACIT_TRY(node.inputs.emplace_back(), TextIn(field));
      return {};
    }
    case 2: {
      TACIT_TRY_VOID(parts.Add(field.at));
      TACIT_TRY(node.outputs.emplace_back(), TextIn(field));
      return {};
    }
    case 3: {
      TACIT_TRY(node.name, TextIn(field));
      return {};
    }
    case 4: {
      TACIT_TRY(node.op_type, TextIn(field));
      return {};
    }
    case 5: {
      TACIT_TRY_VOID(parts.Add(field.at));
      TACIT_TRY(node.attributes.emplace_back(), ReadAttribute(field));
      return {};
    }
    case 7: {
      TACIT_TRY(node.domain, TextIn(field));
      return {};
    }
    default:
      return {};
  }
}

Result<NodeProto> ReadNode(const Field& from, Parts& parts) {
  TACIT_TRY(MessageReader reader, MessageIn(from));
  NodeProto node;
  while (true) {
    TACIT_TRY(const std::optional<Field> field, reader.Next());
    if (!field) return node;
    TACIT_TRY_VOID(ReadNodeField(*field, node, parts));
  }
}

// The last field of a number; messages of one field are read by it.
Result<std::optional<Field>> LastField(MessageReader reader, std::uint32_t number) {
  std::optional<Field> last;
  while (true) {
    TACIT_TRY(const std::optional<Field> field, reader.Next());
    if (!field) return last;
    if (field->number == number) last = field;
  }
}

Result<std::vector<Dimension>> ReadShape(const Field& from) {
  TACIT_TRY(MessageReader reader, MessageIn(from));
  std::vector<Dimension> shape;
  while (true) {
    TACIT_TRY(const std::optional<Field> field, reader.Next());
    if (!field) return shape;
    if (field->number != 1) continue;
    if (shape.size() == kMostDims) return MalformedAt(field->at, "an input has more than 8 dimensions");
    TACIT_TRY(MessageReader dimension, MessageIn(*field));
    TACIT_TRY(const std::optional<Field> value, LastField(dimension, 1));
    shape.emplace_back();
    if (value) {
      TACIT_TRY(shape.back(), IntegerIn(*value));
    }
  }
}

// What a ValueInfoProto's type says, where it is a tensor.
Result<void> ReadType(const Field& from, ValueInfoProto& info) {
  TACIT_TRY(const MessageReader type, MessageIn(from));
  TACIT_TRY(const std::optional<Field> tensor, LastField(type, 1));
  if (!tensor) return MalformedAt(from.at, "an input or output is no tensor");
  TACIT_TRY(const MessageReader reader, MessageIn(*tensor));
  TACIT_TRY(const std::optional<Field> element, LastField(reader, 1));
  TACIT_TRY(const std::int64_t code, element ? IntegerIn(*element) : Result<std::int64_t>(0));
  info.type = std::in_range<std::int32_t>(code) ? static_cast<DataType>(code) : DataType{};
  TACIT_TRY(const std::optional<Field> shape, LastField(reader, 2));
  if (shape) {
    TACIT_TRY(info.shape, ReadShape(*shape));
  }
  return {};
}

Result<ValueInfoProto> ReadValueInfo(const Field& from) {
  TACIT_TRY(const MessageReader reader, MessageIn(from));
  ValueInfoProto info;
  TACIT_TRY(const std::optional<Field> name, LastField(reader, 1));
  if (name) {
    TACIT_TRY(info.name, TextIn(*name));
  }
  TACIT_TRY(const std::optional<Field> type, LastField(reader, 2));
  if (type) TACIT_TRY_VOID(ReadType(*type, info));
  return info;
}

Result<void> ReadGraphField(const Field& field, ModelProto& model, Parts& parts) {
  TACIT_TRY_VOID(parts.Add(field.at));
  switch (field.number) {
    case 1: {
      TACIT_TRY(model.nodes.emplace_back(), ReadNode(field, parts));
      return {};
    }
    case 5: {
      TACIT_TRY(model.initializers.emplace_back(), ReadTensor(field));
      return {};
    }
    case 11: {
      TACIT_TRY(model.inputs.emplace_back(), ReadValueInfo(field));
      return {};
    }
    case 12: {
      TACIT_TRY(model.outputs.emplace_back(), ReadValueInfo(field));
      return {};
    }
    case 15:
      return Fail(ErrorCode::kInvalidArgument, "the model has sparse initializers, which this reader has not");
    default:
      return {};
  }
}

Result<void> ReadGraph(const Field& from, ModelProto& model, Parts& parts) {
  TACIT_TRY(MessageReader reader, MessageIn(from));
  while (true) {
    TACIT_TRY(const std::optional<Field> field, reader.Next());
    if (!field) return {};
    TACIT_TRY_VOID(ReadGraphField(*field, model, parts));
  }
}

// Operators of other domains are refused where a node uses one.
Result<void> ReadOpset(const Field& from, ModelProto& model) {
  TACIT_TRY(const MessageReader reader, MessageIn(from));
  TACIT_TRY(const std::optional<Field> domain, LastField(reader, 1));
  TACIT_TRY(const std::string_view name, domain ? TextIn(*domain) : Result<std::string_view>(""));
  if (!name.empty() && name != "ai.onnx") return {};
  TACIT_TRY(const std::optional<Field> version, LastField(reader, 2));
  if (version) {
    TACIT_TRY(model.opset, IntegerIn(*version));
  }
  return {};
}

}  // namespace

std::size_t SizeOf(DataType type) {
  switch (type) {
    case DataType::kUint8:
    case DataType::kInt8:
    case DataType::kBool:
      return 1;
    case DataType::kFloat:
    case DataType::kInt32:
      return 4;
    case DataType::kInt64:
      return 8;
  }
  return 0;
}

Result<ModelProto> ParseModel(ByteSpan file) {
  MessageReader reader(file);
  ModelProto model;
  Parts parts;
  bool has_graph = false;
  while (true) {
    TACIT_TRY(const std::optional<Field> field, reader.Next());
    if (!field) break;
    if (field->number == 7) {
      if (std::exchange(has_graph, true)) return MalformedAt(field->at, "a second graph");
      TACIT_TRY_VOID(ReadGraph(*field, model, parts));
    } else if (field->number == 8) {
      TACIT_TRY_VOID(ReadOpset(*field, model));
    }
  }
  if (!has_graph) return MalformedAt(file.size(), "ends without a graph");
  if (model.opset >= kLeastOpset && model.opset <= kMostOpset) return model;
  return Fail(ErrorCode::kInvalidArgument, "the model is of opset " + std::to_string(model.opset) +
                                               "; this reader has 11 to 17 (convert it with onnx.version_converter)");
}

}  // namespace tacit::onnx
