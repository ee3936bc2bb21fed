#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace tacit::onnx {

/// Numbers of a tensor, by the codes of ONNX's TensorProto.DataType. Of others a file may have values that are not
/// used.
enum class DataType : std::int32_t { kFloat = 1, kUint8 = 2, kInt8 = 3, kInt32 = 6, kInt64 = 7, kBool = 9 };

/// Bytes of one number; 0 for a type that is not read.
[[nodiscard]] std::size_t SizeOf(DataType type);

/// A constant of the file. Its bytes are in the file, or, where it gives them as other numbers, here.
struct TensorProto {
  std::string_view name;
  DataType type = DataType::kFloat;
  std::vector<std::int64_t> dims;  ///< Each at least 0.
  ByteSpan raw;
  Bytes converted;

  /// Row-major, little-endian, as many as `dims` say.
  [[nodiscard]] ByteSpan content() const { return converted.empty() ? raw : ByteSpan(converted); }
};

struct AttributeProto {
  enum class Kind : std::uint8_t { kOther, kFloat, kInt, kText, kTensor, kFloats, kInts };
  std::string_view name;
  Kind kind = Kind::kOther;
  float f = 0;
  std::int64_t i = 0;
  std::string_view s;
  std::optional<TensorProto> t;
  std::vector<float> floats;
  std::vector<std::int64_t> ints;
};

struct NodeProto {
  std::string_view name;
  std::string_view op_type;
  std::string_view domain;
  std::vector<std::string_view> inputs;  ///< Empty for one that is left out.
  std::vector<std::string_view> outputs;
  std::vector<AttributeProto> attributes;
};

/// A dimension of an input: its size, or none where it is a name or is not said.
using Dimension = std::optional<std::int64_t>;

struct ValueInfoProto {
  std::string_view name;
  DataType type = DataType::kFloat;
  std::optional<std::vector<Dimension>> shape;
};

struct ModelProto {
  std::int64_t opset = 0;
  std::vector<NodeProto> nodes;
  std::vector<TensorProto> initializers;
  std::vector<ValueInfoProto> inputs;
  std::vector<ValueInfoProto> outputs;
};

/// The parts of an ONNX model that say what it computes; texts and most tensors stay where they are in `file`. Errors:
/// kMalformed, naming the byte; kTooLarge for more parts than any model has; kInvalidArgument for an opset other than
/// 11 to 17, and for tensors outside the file, which are never fetched. Cost: memory of at most eight times the file
/// and 64 MiB.
Result<ModelProto> ParseModel(ByteSpan file);

}  // namespace tacit::onnx
