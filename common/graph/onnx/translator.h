#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/graph/builder.h"
#include "common/graph/graph.h"
#include "common/graph/onnx/attributes.h"
#include "common/graph/onnx/model.h"
#include "common/graph/onnx/operand.h"
#include "common/graph/onnx/windows.h"

namespace tacit::onnx {

/// Makes the nodes of a graph from those of a model, one after the other. What only makes shapes is computed here.
class Translator {
 public:
  /// `file_size` bounds the memory for constants that have to be changed.
  Translator(const ModelProto& model, std::size_t file_size);

  /// Errors: kInvalidArgument, naming the node, its operator and what is not supported.
  Result<graph::OwnedGraph> Run();

 private:
  /// The node that is being translated.
  struct Call {
    const NodeProto& node;
    Attributes attributes;
  };
  using Handler = Result<Operand> (Translator::*)(const Call&);
  struct Entry {
    std::string_view op_type;
    Handler handler;
  };
  static const std::vector<Entry>& Table();

  // translate.cc: names, inputs and outputs.
  Result<void> AddInitializers();
  Result<void> AddInputs();
  Result<void> AddInput(const ValueInfoProto& info);
  Result<void> NoteBatch(const ValueInfoProto& info, const Dimension& rows);
  Result<void> AddNode(const NodeProto& node);
  Result<void> AddOutputs();
  Result<Operand> Translate(const NodeProto& node);
  void FindNeeded();
  [[nodiscard]] bool IsNeeded(const NodeProto& node) const;

  // operands.cc: what names stand for.
  [[nodiscard]] static bool IsGiven(const Call& call, std::size_t i) {
    return i < call.node.inputs.size() && !call.node.inputs[i].empty();
  }
  [[nodiscard]] Result<const Operand*> Find(const Call& call, std::size_t i) const;
  /// Any but one that is padded.
  [[nodiscard]] Result<const Operand*> Input(const Call& call, std::size_t i) const;
  /// The first input of an operator with a window.
  [[nodiscard]] Result<Padded> SpaceInput(const Call& call) const;
  [[nodiscard]] Result<graph::ValueId> Computed(const Call& call, std::size_t i) const;
  [[nodiscard]] Result<Tensor> FloatConstant(const Call& call, std::size_t i) const;
  [[nodiscard]] Result<float> Scalar(const Call& call, std::size_t i) const;
  [[nodiscard]] Result<Integers> IntegersAt(const Call& call, std::size_t i) const;
  /// Of an attribute in older opsets, of an input in newer ones.
  [[nodiscard]] Result<std::optional<std::vector<std::int64_t>>> Axes(const Call& call) const;
  [[nodiscard]] const graph::Shape& ShapeOf(graph::ValueId id) const { return builder_.ValueOf(id).shape; }
  [[nodiscard]] Result<void> HasRoom(std::size_t size) const;
  Result<ByteSpan> Keep(Bytes content);
  Result<ByteSpan> KeepFloats(const std::vector<float>& numbers);
  Result<graph::ValueId> AddConstant(const Tensor& tensor);
  Result<graph::ValueId> AddFloats(std::vector<std::int64_t> dims, const std::vector<float>& numbers);
  Result<graph::ValueId> AddQuantised(const Quantised& quantised);
  Result<graph::ValueId> Materialise(const Operand& operand);
  Result<Tensor> Permuted(const Tensor& tensor, const std::vector<std::uint32_t>& permutation);
  Result<graph::ValueId> Emit(const Call& call, graph::Operator op, std::vector<graph::ValueId> inputs,
                              graph::Attributes attributes = {});
  Result<graph::ValueId> EmitReshape(const Call& call, graph::ValueId input, graph::Shape shape);
  Result<graph::ValueId> EmitTranspose(const Call& call, graph::ValueId input, std::vector<std::uint32_t> permutation);

  // layers.cc
  Result<Operand> Conv(const Call& call);
  Result<graph::Attributes> Windows(const Call& call, const Padded& x, std::span<const std::int64_t> kernel,
                                    Rounding rounding) const;
  Result<Operand> Pad(const Call& call);
  Result<Operand> MaxPool(const Call& call);
  Result<Operand> AveragePool(const Call& call);
  Result<Operand> GlobalAveragePool(const Call& call);
  Result<Operand> ReduceMean(const Call& call);
  Result<Operand> Gemm(const Call& call);
  Result<Operand> MatMul(const Call& call);
  Result<Operand> BatchNormalization(const Call& call);
  Result<Operand> QuantizeLinear(const Call& call);
  Result<Operand> DequantizeLinear(const Call& call);
  Result<Operand> Pool(const Call& call, graph::Operator op, const Padded& x);
  Result<Operand> MatMulByWeight(const Call& call, graph::ValueId x, const Operand& weight);
  Result<graph::ValueId> GemmBias(const Call& call, std::int64_t out, float beta);
  Result<Operand> Turned(const Operand& weight);
  Result<Tensor> Turned(const Tensor& tensor);
  Result<graph::ValueId> Scaled(const Operand& weight, float factor);
  struct Scale {
    Tensor scale;
    Tensor zero;
    std::int64_t axis = 0;
  };
  /// `otherwise` is the type of a zero point that is left out.
  Result<Scale> ScaleOf(const Call& call, std::span<const std::int64_t> dims, DataType otherwise);

  // elementwise.cc
  Result<Operand> Relu(const Call& call);
  Result<Operand> Sigmoid(const Call& call);
  Result<Operand> Tanh(const Call& call);
  Result<Operand> Clip(const Call& call);
  Result<Operand> Softmax(const Call& call);
  Result<Operand> Add(const Call& call);
  Result<Operand> Sub(const Call& call);
  Result<Operand> Mul(const Call& call);
  Result<Operand> Div(const Call& call);
  Result<Operand> Same(const Call& call);
  Result<Operand> Dropout(const Call& call);
  Result<Operand> Cast(const Call& call);
  Result<Operand> Constant(const Call& call);
  Result<Operand> Unary(const Call& call, graph::Operator op);
  Result<Operand> Binary(const Call& call, graph::Operator op);
  Result<Operand> SoftmaxOverMany(const Call& call, graph::ValueId x, std::size_t axis);
  Result<graph::ValueId> Mapped(const Call& call, std::size_t i, float (*map)(float));
  [[nodiscard]] bool AreIntegers(const Call& call) const;
  Result<Operand> IntegerBinary(const Call& call, std::optional<std::int64_t> (*compute)(std::int64_t, std::int64_t));

  // reshape.cc
  Result<Operand> Concat(const Call& call);
  Result<Operand> Reshape(const Call& call);
  Result<Operand> Flatten(const Call& call);
  Result<Operand> Squeeze(const Call& call);
  Result<Operand> Unsqueeze(const Call& call);
  Result<Operand> Transpose(const Call& call);
  Result<Operand> Shape(const Call& call);
  Result<Operand> Gather(const Call& call);
  Result<Operand> Slice(const Call& call);
  Result<Operand> ConcatIntegers(const Call& call);
  Result<graph::Shape> Target(const graph::Shape& from, const Integers& wanted, std::int64_t allow_zero) const;
  [[nodiscard]] bool MeansRows(const Integer& first, std::int64_t allow_zero) const;
  Result<Operand> Reshaped(const Call& call, const Operand& operand, const graph::Shape& shape);

  const ModelProto& model_;
  graph::Builder builder_;
  std::unordered_map<std::string_view, Operand> operands_;
  std::set<std::string_view> needed_;
  // By where a constant is and its shape: one that is used twice is there once.
  std::map<std::pair<const std::uint8_t*, std::vector<std::int64_t>>, graph::ValueId> constants_;
  std::map<std::pair<const std::uint8_t*, std::vector<std::int64_t>>, Tensor> turned_;
  std::deque<Bytes> kept_;             // which Tensor::content points into
  std::size_t room_;                   // bytes that may still be kept
  std::optional<std::int64_t> batch_;  // the first dimension of all inputs, where the model fixes one
};

}  // namespace tacit::onnx
