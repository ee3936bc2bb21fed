#include <cstring>
#include <span>

#include <gmock/gmock.h>

#include "common/graph/onnx/read_onnx.h"
#include "common/graph/onnx/wire.h"
#include "tests/support/matchers.h"

namespace tacit::graph {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;

constexpr auto kUnsupported = ErrorCode::kInvalidArgument;

// Writes messages of the wire format, right or wrong.
class Message {
 public:
  Message& Number(std::uint32_t field, std::uint64_t value) { return Varint(field << 3U).Varint(value); }
  Message& Part(std::uint32_t field, ByteSpan bytes) {
    Varint((field << 3U) | 2U).Varint(bytes.size());
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Message& Part(std::uint32_t field, const Message& message) { return Part(field, message.bytes_); }
  Message& Text(std::uint32_t field, std::string_view text) { return Part(field, AsBytes(text)); }
  Message& Varint(std::uint64_t value) {
    for (; value > 0x7F; value >>= 7U) bytes_.push_back(static_cast<std::uint8_t>(value | 0x80U));
    bytes_.push_back(static_cast<std::uint8_t>(value));
    return *this;
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

Message NodeOf(std::string_view op, const std::vector<std::string_view>& inputs, std::string_view output) {
  Message node;
  for (const std::string_view input : inputs) node.Text(1, input);
  return node.Text(2, output).Text(4, op);
}

Message PortOf(std::string_view name, const std::vector<std::uint64_t>& dims) {
  Message shape;
  for (const std::uint64_t dim : dims) shape.Part(1, Message().Number(1, dim));
  return Message().Text(1, name).Part(2, Message().Part(1, Message().Number(1, 1).Part(2, shape)));
}

Message TensorOf(std::string_view name, const std::vector<std::uint64_t>& dims, std::size_t bytes) {
  Message tensor;
  for (const std::uint64_t dim : dims) tensor.Number(1, dim);
  return tensor.Number(2, 1).Text(8, name).Part(9, Bytes(bytes));
}

Bytes ModelOf(const Message& graph, std::uint64_t opset = 13) {
  return Message().Number(1, 7).Part(7, graph).Part(8, Message().Number(2, opset)).bytes();
}

// x [1, 4] by w [4, 3].
Message Product() {
  return Message()
      .Part(1, NodeOf("MatMul", {"x", "w"}, "y"))
      .Part(5, TensorOf("w", {4, 3}, 48))
      .Part(11, PortOf("x", {1, 4}))
      .Part(12, PortOf("y", {1, 3}));
}

TEST(ReadOnnx, ReadsAProductAsGemm) {
  const auto model = ReadOnnx(ModelOf(Product()));
  ASSERT_THAT(model, IsOk());
  ASSERT_EQ(model->graph.nodes.size(), 1U);
  EXPECT_EQ(model->graph.nodes[0].op, Operator::kGemm);
  EXPECT_EQ(model->graph.values[model->graph.outputs[0]].shape, (Shape{kRows, 3}));
}

TEST(ReadOnnx, RefusesEveryTruncation) {
  const Bytes file = ModelOf(Product());
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(ReadOnnx(ByteSpan(file).first(size)).has_value()) << size;
  }
}

TEST(ReadOnnx, SurvivesEveryChangedByte) {
  const Bytes file = ModelOf(Product());
  for (std::size_t at = 0; at < file.size(); ++at) {
    for (const int change : {0x01, 0x02, 0x40, 0x80, 0xFF}) {
      Bytes changed = file;
      changed[at] = static_cast<std::uint8_t>(file[at] ^ change);
      const auto model = ReadOnnx(changed);
      if (!model) EXPECT_NE(model.error().message, "") << at;
    }
  }
}

TEST(ReadOnnx, HoldsTensorsToTheirShape) {
  const auto with = [](const Message& tensor) {
    return ReadOnnx(ModelOf(Message()
                                .Part(1, NodeOf("MatMul", {"x", "w"}, "y"))
                                .Part(5, tensor)
                                .Part(11, PortOf("x", {1, 4}))
                                .Part(12, PortOf("y", {1, 3}))));
  };
  EXPECT_THAT(with(TensorOf("w", {4, 3}, 44)), IsErrorSaying(ErrorCode::kMalformed, "has 44 bytes, not the 48"));
  EXPECT_THAT(with(TensorOf("w", {1ULL << 62U, 4}, 48)), IsErrorSaying(ErrorCode::kMalformed, "over 4 GiB"));
  EXPECT_THAT(with(TensorOf("w", {~0ULL, 4}, 48)), IsErrorSaying(ErrorCode::kMalformed, "below 0"));
  EXPECT_THAT(with(TensorOf("w", std::vector<std::uint64_t>(9, 1), 4)),
              IsErrorSaying(ErrorCode::kMalformed, "more than 8 dimensions"));
  EXPECT_THAT(with(TensorOf("w", {3, 4}, 48)), IsErrorSaying(kUnsupported, "(MatMul)"));
  EXPECT_THAT(with(TensorOf("w", {4, 0}, 0)), IsErrorSaying(kUnsupported, "at least 1"));
  EXPECT_THAT(with(Message(TensorOf("w", {4, 3}, 48)).Number(2, 10)), IsErrorSaying(kUnsupported, "element type"));
  EXPECT_THAT(with(Message(TensorOf("w", {4, 3}, 48)).Number(14, 1)), IsErrorSaying(kUnsupported, "in another file"));
}

// A small file that names one large constant many times may not become many of them.
TEST(ReadOnnx, TakesMemoryInProportionToTheFile) {
  constexpr std::uint64_t kWidth = 128;
  const Message alpha = Message().Text(1, "alpha").Varint((2U << 3U) | 5U).Varint(0).Varint(0).Varint(0).Varint(0x3F);
  Message graph;
  std::string last = "x";
  for (int i = 0; i < 40; ++i) {
    const std::string next = i == 39 ? "y" : "v" + std::to_string(i);
    graph.Part(1, NodeOf("Gemm", {last, "w"}, next).Part(5, alpha));
    last = next;
  }
  graph.Part(5, TensorOf("w", {kWidth, kWidth}, kWidth * kWidth * 4))
      .Part(11, PortOf("x", {1, kWidth}))
      .Part(12, PortOf("y", {1, kWidth}));
  EXPECT_THAT(ReadOnnx(ModelOf(graph)), IsErrorSaying(ErrorCode::kTooLarge, "several times"));
}

TEST(ReadOnnx, BoundsThePartsOfAModel) {
  Message graph;
  for (int i = 0; i < (1 << 17) + 1; ++i) graph.Part(1, Bytes());
  EXPECT_THAT(ReadOnnx(ModelOf(graph)), IsErrorSaying(ErrorCode::kTooLarge, "parts"));
}

TEST(ReadOnnx, RefusesNodesThatUseWhatComesLater) {
  const Message graph = Message()
                            .Part(1, NodeOf("Relu", {"b"}, "y"))
                            .Part(1, NodeOf("Relu", {"y"}, "b"))
                            .Part(11, PortOf("x", {1, 4}))
                            .Part(12, PortOf("y", {1, 4}));
  EXPECT_THAT(ReadOnnx(ModelOf(graph)),
              IsErrorSaying(kUnsupported, "node 0 (Relu): input 'b' is computed by no node before"));
}

TEST(ReadOnnx, RefusesOneNameForTwoThings) {
  Message twice = Product();
  twice.Part(1, NodeOf("Relu", {"x"}, "y"));
  EXPECT_THAT(ReadOnnx(ModelOf(twice)), IsErrorSaying(kUnsupported, "the name of something else too"));
  EXPECT_THAT(ReadOnnx(ModelOf(Message(Product()).Part(11, PortOf("x", {1, 4})))),
              IsErrorSaying(kUnsupported, "there twice"));
  EXPECT_THAT(ReadOnnx(ModelOf(Message(Product()).Part(5, TensorOf("w", {4, 3}, 48)))),
              IsErrorSaying(kUnsupported, "there twice"));
}

TEST(ReadOnnx, LeavesOutWhatNoOutputNeeds) {
  Message graph = Product();
  graph.Part(1, NodeOf("LSTM", {"x"}, "unused")).Part(5, TensorOf("v", {1000}, 4000));
  const auto model = ReadOnnx(ModelOf(graph));
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->weights.size(), 48U);
}

TEST(ReadOnnx, GivesAnInputThatIsAnOutputAsACopy) {
  const Message graph =
      Message().Part(1, NodeOf("Identity", {"x"}, "y")).Part(11, PortOf("x", {5, 2})).Part(12, PortOf("y", {5, 2}));
  const auto model = ReadOnnx(ModelOf(graph));
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->graph.nodes[0].op, Operator::kReshape);
}

TEST(ReadOnnx, RefusesInputsThatFixDifferentNumbersOfRows) {
  const Message graph = Message()
                            .Part(1, NodeOf("Add", {"x", "z"}, "y"))
                            .Part(11, PortOf("x", {5, 2}))
                            .Part(11, PortOf("z", {1, 2}))
                            .Part(12, PortOf("y", {5, 2}));
  EXPECT_THAT(ReadOnnx(ModelOf(graph)), IsErrorSaying(kUnsupported, "input 'z' has another fixed number of rows"));
}

TEST(MessageReader, RefusesNumbersThatAreTooLongOrCutOff) {
  for (const Bytes& wrong : {Bytes{0x08}, Bytes{0x08, 0x80}, Bytes(12, 0xFF), Bytes{0x00, 0x01}, Bytes{0x0B},
                             Bytes{0x0A, 0x02, 0x00}, Bytes{0x0D, 1, 2, 3}, Bytes{0x09, 1, 2, 3, 4, 5, 6, 7}}) {
    EXPECT_THAT(onnx::MessageReader(wrong).Next(), IsError(ErrorCode::kMalformed)) << ToHex(wrong);
  }
}

TEST(MessageReader, GivesPackedNumbersAndSingleOnes) {
  const Bytes bytes = Message().Part(8, Message().Varint(3).Varint(~0ULL)).Number(8, 300).bytes();
  onnx::MessageReader reader(bytes);
  std::vector<std::int64_t> numbers;
  for (int i = 0; i < 2; ++i) {
    const auto field = reader.Next();
    ASSERT_THAT(field, IsOk());
    ASSERT_THAT(onnx::AppendIntegers(field->value(), numbers), IsOk());
  }
  EXPECT_THAT(numbers, ElementsAre(3, -1, 300));
}

}  // namespace
}  // namespace tacit::graph
