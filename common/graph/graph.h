#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"

namespace tacit::graph {

/// The numbers that a value is made of; the codes are those of a graph file.
enum class Element : std::uint8_t { kFloat32 = 1, kInt8 = 2, kUint8 = 3, kInt32 = 4 };

/// Bytes of one number.
[[nodiscard]] constexpr std::size_t SizeOf(Element element) {
  return element == Element::kFloat32 || element == Element::kInt32 ? 4 : 1;
}

/// What a node computes, with the meaning that ONNX opset 13 gives to the operator of that name, where none is given
/// here. Layers over space: values of shape [rows, channels, length] or [rows, channels, height, width]. A parameter is
/// a value without rows: a constant, or what kDequantizeLinear makes of one. Numbers are float32 but for those between
/// kQuantizeLinear and kDequantizeLinear. The codes are those of a graph file.
enum class Operator : std::uint8_t {
  kConv = 1,         ///< x, weight [out, in / groups, kernel...], optional bias [out]; both parameters.
  kGemm = 2,         ///< x [rows, in], weight [out, in], optional bias [out], both parameters: x weight^T + bias.
  kMatMul = 3,       ///< Of three dimensions or more, the rows first; or the left is a parameter, of two or more.
  kMaxPool = 4,      ///< No indices, no dilations; no window is over padding alone.
  kAveragePool = 5,  ///< The same; `count_padding` says whether padding counts.
  kGlobalAveragePool = 6,
  kRelu = 7,
  kClip = 8,  ///< To [minimum, maximum]; ReLU6 is [0, 6].
  kSigmoid = 9,
  kTanh = 10,
  kSoftmax = 11,  ///< Along `axis`, not over rows.
  kAdd = 12,      ///< Broadcast as in ONNX, with rows in front in both; or one of the two is a parameter.
  kMul = 13,
  kConcat = 14,            ///< Along `axis`, not over rows; two values or more, no parameters.
  kReshape = 15,           ///< To the shape of its output; the rows stay what they are.
  kTranspose = 16,         ///< By `permutation`, which leaves the rows where they are.
  kQuantizeLinear = 17,    ///< x, scale, zero point: constants of one element, or of one a place along `axis`.
  kDequantizeLinear = 18,  ///< The same backwards; x may be a constant: weights that are stored in 8 bits.
};

/// By its ONNX name. Shape: one of the above.
[[nodiscard]] const char* NameOf(Operator op);
/// Whether a number is the code of an element, or of an operator.
[[nodiscard]] bool IsElement(std::uint8_t code);
[[nodiscard]] bool IsOperator(std::uint8_t code);

/// In a shape: the number of rows that are computed at once. It is the first dimension of every value that depends on
/// an input, and stands nowhere else.
inline constexpr std::int64_t kRows = -1;
using Shape = std::vector<std::int64_t>;

/// Index into Graph::values.
using ValueId = std::uint32_t;

/// The bytes of a constant: a place in the weights of its graph, at a multiple of 64.
struct Place {
  std::size_t offset = 0;
  std::size_t size = 0;
  bool operator==(const Place&) const = default;
};

struct Value {
  std::string name;  ///< Empty where names are stripped, but for what goes in and out.
  Element element = Element::kFloat32;
  Shape shape;
  std::optional<Place> constant;  ///< Of one that is not computed; its shape has no kRows.
  bool operator==(const Value&) const = default;
};

/// Of every operator; one that does not use a field leaves it as it is here. Over one dimension of space the first of a
/// pair is left as it is here, and the second counts.
struct Attributes {
  std::array<std::uint32_t, 2> kernel = {1, 1};
  std::array<std::uint32_t, 2> strides = {1, 1};
  std::array<std::uint32_t, 2> dilations = {1, 1};
  std::array<std::uint32_t, 4> pads = {0, 0, 0, 0};  ///< Before height and width, then behind them.
  std::uint32_t groups = 1;
  std::int32_t axis = 1;  ///< Never negative.
  bool count_padding = false;
  float minimum = std::numeric_limits<float>::lowest();
  float maximum = std::numeric_limits<float>::max();
  std::vector<std::uint32_t> permutation = {};
  bool operator==(const Attributes&) const = default;
};

struct Node {
  Operator op = Operator::kRelu;
  std::string name;  ///< For messages; may be empty.
  std::vector<ValueId> inputs;
  ValueId output = 0;
  Attributes attributes = {};
  bool operator==(const Node&) const = default;
};

/// A model's computation in a normal form that engines run: nodes in an order in which they can be computed, each with
/// one output; every value is of a known element and shape; batch normalisation is folded, dropout and identities are
/// gone. Whoever holds one made by Parse, ReadOnnx or FromSpec can rely on that, and on all that Check checks.
/// Its weights are somebody else's: all constants are places in one span of bytes that begins at a multiple of 64.
struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  bool operator==(const Graph&) const = default;
};

/// A graph and the bytes of its constants, which must outlive it.
struct GraphView {
  Graph graph;
  ByteSpan weights;
};

/// The same, of one that owns them.
struct OwnedGraph {
  Graph graph;
  AlignedBuffer weights;

  [[nodiscard]] ByteSpan bytes() const { return weights.bytes(); }
};

/// Leaves names to inputs and outputs only, which callers know them by.
void StripNames(Graph& graph);

}  // namespace tacit::graph
