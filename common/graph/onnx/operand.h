#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "common/base/bytes.h"
#include "common/graph/graph.h"
#include "common/graph/onnx/model.h"

namespace tacit::onnx {

/// A constant of the model that no node of the graph uses yet. Its bytes stay until the graph is made.
struct Tensor {
  DataType type = DataType::kFloat;
  std::vector<std::int64_t> dims;
  ByteSpan content;
};

/// One of the numbers that shapes are made of.
struct Integer {
  std::int64_t value = 0;
  bool is_rows = false;  ///< It is the number of rows, and `value` means nothing.
};

/// A tensor of them with one dimension, or none: what Shape gives, and what is computed from that on the way to
/// Reshape.
struct Integers {
  std::vector<Integer> values;
  bool is_scalar = false;
};

/// Weights that are stored in 8 bits, or a bias in 32, and what makes numbers of them. Shape: `scale` and `zero` are of
/// no dimension, or have one place for each along `axis`.
struct Quantised {
  Tensor content;
  Tensor scale;
  Tensor zero;
  std::int64_t axis = 0;
};

/// A value with zeros around its space, which only an operator with a window takes: as pads of its own. Shape: `pads`
/// as graph::Attributes has them.
struct Padded {
  graph::ValueId value = 0;
  std::array<std::uint32_t, 4> pads = {0, 0, 0, 0};
};

/// What a name of the model stands for while its nodes are read.
using Operand = std::variant<graph::ValueId, Tensor, Integers, Quantised, Padded>;

/// What a graph has for a type; nothing for int64, which is of shapes, and for types that are not read.
[[nodiscard]] std::optional<graph::Element> ElementOf(DataType type);

/// Shape: of kFloat.
[[nodiscard]] std::vector<float> FloatsOf(const Tensor& tensor);

}  // namespace tacit::onnx
