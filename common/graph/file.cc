#include "common/graph/file.h"

#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/graph/check.h"

namespace tacit::graph {
namespace {

constexpr std::string_view kMagic = "TACITGRF";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeadSize = 64;
// What the counts and names of a graph that Check takes can come to, and more.
constexpr std::uint64_t kMaxStructure = std::uint64_t{32} << 20U;

static_assert(std::endian::native == std::endian::little, "numbers are written and read as they are in memory");

// The fixed fields in front, in their order. docs/MODEL_FILES.md has the table.
struct Head {
  std::array<char, 8> magic = {};
  std::uint32_t version = kVersion;
  std::uint32_t values = 0;
  std::uint32_t nodes = 0;
  std::uint32_t inputs = 0;
  std::uint32_t outputs = 0;
  std::uint32_t zero = 0;
  std::uint64_t structure_size = 0;
  std::uint64_t weights_offset = 0;
  std::uint64_t weights_size = 0;
  std::uint64_t zeros = 0;
};
static_assert(sizeof(Head) == kHeadSize, "a head without padding is its own bytes");

constexpr std::size_t RoundUp(std::size_t size) {
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

class StructureWriter {
 public:
  template <typename T>
  void Number(T number) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&number);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof number);
  }
  template <typename T, std::size_t kCount>
  void Numbers(const std::array<T, kCount>& numbers) {
    for (const T number : numbers) Number(number);
  }
  void Name(const std::string& name) {
    Number(static_cast<std::uint8_t>(name.size()));
    bytes_.insert(bytes_.end(), name.begin(), name.end());
  }
  void Write(const Value& value) {
    Number(static_cast<std::uint8_t>(value.element));
    Number(static_cast<std::uint8_t>(value.constant.has_value() ? 1 : 0));
    Number(static_cast<std::uint8_t>(value.shape.size()));
    for (const std::int64_t dimension : value.shape) Number(static_cast<std::int32_t>(dimension));
    if (value.constant) Number(static_cast<std::uint32_t>(value.constant->offset));
    Name(value.name);
  }
  void Write(const Node& node) {
    Number(static_cast<std::uint8_t>(node.op));
    Number(static_cast<std::uint16_t>(node.inputs.size()));
    for (const ValueId id : node.inputs) Number(id);
    Number(node.output);
    Write(node.attributes);
    Name(node.name);
  }
  void Write(const Attributes& attributes) {
    Numbers(attributes.kernel);
    Numbers(attributes.strides);
    Numbers(attributes.dilations);
    Numbers(attributes.pads);
    Number(attributes.groups);
    Number(attributes.axis);
    Number(static_cast<std::uint8_t>(attributes.count_padding ? 1 : 0));
    Number(attributes.minimum);
    Number(attributes.maximum);
    Number(static_cast<std::uint8_t>(attributes.permutation.size()));
    for (const std::uint32_t from : attributes.permutation) Number(from);
  }

  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

Bytes StructureOf(const Graph& graph) {
  StructureWriter writer;
  for (const Value& value : graph.values) writer.Write(value);
  for (const Node& node : graph.nodes) writer.Write(node);
  for (const ValueId id : graph.inputs) writer.Number(id);
  for (const ValueId id : graph.outputs) writer.Number(id);
  return writer.bytes();
}

Head HeadOf(const Graph& graph, std::size_t structure_size, std::size_t weights_size) {
  Head head{.version = kVersion,
            .values = static_cast<std::uint32_t>(graph.values.size()),
            .nodes = static_cast<std::uint32_t>(graph.nodes.size()),
            .inputs = static_cast<std::uint32_t>(graph.inputs.size()),
            .outputs = static_cast<std::uint32_t>(graph.outputs.size()),
            .zero = 0,
            .structure_size = structure_size,
            .weights_offset = RoundUp(kHeadSize + structure_size),
            .weights_size = weights_size,
            .zeros = 0};
  std::memcpy(head.magic.data(), kMagic.data(), kMagic.size());
  return head;
}

std::unexpected<Error> NoGraphFile(std::size_t at, const std::string& what) {
  return Fail(ErrorCode::kMalformed, "graph file, byte " + std::to_string(at) + ": " + what);
}

Result<Head> ReadHead(ByteSpan file) {
  if (file.size() < kHeadSize) return NoGraphFile(file.size(), "ends within the first 64 bytes");
  Head head;
  std::memcpy(&head, file.data(), sizeof head);
  if (std::string_view(head.magic.data(), head.magic.size()) != kMagic) return NoGraphFile(0, "is no graph file");
  if (head.version != kVersion) {
    return NoGraphFile(8, "is of version " + std::to_string(head.version) + "; this program reads version 1");
  }
  if (head.zero != 0 || head.zeros != 0) return NoGraphFile(28, "expected zeros");
  if (head.structure_size > kMaxStructure || head.structure_size > file.size() - kHeadSize) {
    return NoGraphFile(32, "the structure is too long, or cut off");
  }
  if (head.weights_offset != RoundUp(kHeadSize + static_cast<std::size_t>(head.structure_size))) {
    return NoGraphFile(40, "the weights do not begin at the first multiple of 64 behind the structure");
  }
  if (head.weights_offset > file.size() || head.weights_size != file.size() - head.weights_offset) {
    return NoGraphFile(48, "the weights are not the rest of the file");
  }
  return head;
}

// Takes fields from bytes that nobody vouches for. After a failure all numbers are 0, so that a caller may look at
// `failed` once for a group of fields.
class StructureReader {
 public:
  explicit StructureReader(ByteSpan bytes) : bytes_(bytes) {}

  template <typename T>
  T Number() {
    T number = 0;
    if (const ByteSpan field = Take(sizeof number); !failed_) std::memcpy(&number, field.data(), sizeof number);
    return number;
  }
  template <typename T, std::size_t kCount>
  void Numbers(std::array<T, kCount>& numbers) {
    for (T& number : numbers) number = Number<T>();
  }
  // Nothing but 0 or 1 is read: the same graph has no second file.
  bool Flag() {
    const auto flag = Number<std::uint8_t>();
    failed_ = failed_ || flag > 1;
    return flag == 1;
  }
  std::string Name() {
    const auto size = Number<std::uint8_t>();
    return std::string(AsText(Take(size)));
  }
  // Of `count` numbers: no memory is taken for more than there are bytes.
  template <typename T, typename Count>
  std::vector<T> List(Count count) {
    const ByteSpan fields = Take(std::size_t{count} * sizeof(T));
    std::vector<T> list(fields.size() / sizeof(T));
    if (!list.empty()) std::memcpy(list.data(), fields.data(), fields.size());
    return list;
  }

  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] bool IsAtEnd() const { return at_ == bytes_.size(); }

 private:
  ByteSpan Take(std::size_t size) {
    failed_ = failed_ || size > bytes_.size() - at_;
    if (failed_) return {};
    const ByteSpan field = bytes_.subspan(at_, size);
    at_ += size;
    return field;
  }

  ByteSpan bytes_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

// A place's size follows from the shape; of a shape that Check refuses, it does not matter.
std::size_t BytesOf(const Value& value) {
  const auto elements = ElementsOf(value.shape);
  return elements ? static_cast<std::size_t>(*elements) * SizeOf(value.element) : 0;
}

Value ReadValue(StructureReader& reader) {
  Value value;
  value.element = static_cast<Element>(reader.Number<std::uint8_t>());
  const bool is_constant = reader.Flag();
  for (const std::int32_t dimension : reader.List<std::int32_t>(reader.Number<std::uint8_t>())) {
    value.shape.push_back(dimension);
  }
  if (is_constant) value.constant = Place{.offset = reader.Number<std::uint32_t>(), .size = BytesOf(value)};
  value.name = reader.Name();
  return value;
}

Attributes ReadAttributes(StructureReader& reader) {
  Attributes attributes;
  reader.Numbers(attributes.kernel);
  reader.Numbers(attributes.strides);
  reader.Numbers(attributes.dilations);
  reader.Numbers(attributes.pads);
  attributes.groups = reader.Number<std::uint32_t>();
  attributes.axis = reader.Number<std::int32_t>();
  attributes.count_padding = reader.Flag();
  attributes.minimum = reader.Number<float>();
  attributes.maximum = reader.Number<float>();
  attributes.permutation = reader.List<std::uint32_t>(reader.Number<std::uint8_t>());
  return attributes;
}

Node ReadNode(StructureReader& reader) {
  Node node;
  node.op = static_cast<Operator>(reader.Number<std::uint8_t>());
  node.inputs = reader.List<ValueId>(reader.Number<std::uint16_t>());
  node.output = reader.Number<ValueId>();
  node.attributes = ReadAttributes(reader);
  node.name = reader.Name();
  return node;
}

Result<Graph> ReadStructure(const Head& head, ByteSpan structure) {
  StructureReader reader(structure);
  Graph graph;
  for (std::uint32_t i = 0; i < head.values && !reader.failed(); ++i) graph.values.push_back(ReadValue(reader));
  for (std::uint32_t i = 0; i < head.nodes && !reader.failed(); ++i) graph.nodes.push_back(ReadNode(reader));
  graph.inputs = reader.List<ValueId>(head.inputs);
  graph.outputs = reader.List<ValueId>(head.outputs);
  if (reader.failed()) return NoGraphFile(kHeadSize + reader.at(), "a field is cut off or has no meaning");
  if (!reader.IsAtEnd()) return NoGraphFile(kHeadSize + reader.at(), "bytes behind the end of the structure");
  return graph;
}

}  // namespace

AlignedBuffer Serialise(const GraphView& model) {
  const Bytes structure = StructureOf(model.graph);
  const Head head = HeadOf(model.graph, structure.size(), model.weights.size());
  AlignedBuffer file(static_cast<std::size_t>(head.weights_offset) + model.weights.size());
  std::memset(file.data(), 0, static_cast<std::size_t>(head.weights_offset));
  std::memcpy(file.data(), &head, sizeof head);
  if (!structure.empty()) std::memcpy(file.data() + kHeadSize, structure.data(), structure.size());
  if (!model.weights.empty())
    std::memcpy(file.data() + head.weights_offset, model.weights.data(), model.weights.size());
  return file;
}

Result<GraphView> Parse(ByteSpan file) {
  if (reinterpret_cast<std::uintptr_t>(file.data()) % kAlignment != 0) {
    return Fail(ErrorCode::kInvalidArgument, "a graph file must be in memory at a multiple of 64");
  }
  TACIT_TRY(const Head head, ReadHead(file));
  const auto weights_offset = static_cast<std::size_t>(head.weights_offset);
  const auto structure_size = static_cast<std::size_t>(head.structure_size);
  for (std::size_t at = kHeadSize + structure_size; at < weights_offset; ++at) {
    if (file[at] != 0) return NoGraphFile(at, "expected zeros before the weights");
  }
  TACIT_TRY(Graph graph, ReadStructure(head, file.subspan(kHeadSize, structure_size)));
  const ByteSpan weights = file.subspan(weights_offset);
  TACIT_TRY_VOID(Check(graph, weights.size()));
  TACIT_TRY_VOID(CheckScales(graph, weights));
  return GraphView{.graph = std::move(graph), .weights = weights};
}

}  // namespace tacit::graph
