#include "edge_agent/worker/messages.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "common/base/check.h"
#include "edge_agent/worker/fields.h"

namespace tacit::worker {
namespace {

constexpr std::size_t kMostName = 256;
constexpr std::size_t kMostDimensions = 8;
constexpr std::size_t kMostRowBytes = std::size_t{1} << 31U;
constexpr std::size_t kMostText = 1024;
constexpr std::array<std::uint8_t, kTensorAlignment> kPadding{};

std::size_t Padded(std::size_t size) {
  return (size + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
}

bool IsKind(std::uint8_t code) {
  return (code >= std::to_underlying(Kind::kLoad) && code <= std::to_underlying(Kind::kJudge)) ||
         (code >= std::to_underlying(Kind::kReady) && code <= std::to_underlying(Kind::kJudged));
}

bool IsElement(std::uint8_t code) {
  return code >= std::to_underlying(graph::Element::kFloat32) && code <= std::to_underlying(graph::Element::kInt32);
}

std::string PrintableText(ByteSpan bytes) {
  std::string text(AsText(bytes.first(std::min(bytes.size(), kMostText))));
  std::ranges::replace_if(text, [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text;
}

void Write(ByteWriter& writer, const std::vector<inference::Port>& ports) {
  writer.U32(static_cast<std::uint32_t>(ports.size()));
  for (const inference::Port& port : ports) {
    const std::string_view name = std::string_view(port.name).substr(0, kMostName);
    writer.U32(static_cast<std::uint32_t>(name.size())).Raw(AsBytes(name)).U8(std::to_underlying(port.element));
    writer.U8(static_cast<std::uint8_t>(port.shape.size()));
    for (const std::int64_t dimension : port.shape) writer.U64(static_cast<std::uint64_t>(dimension));
  }
}

// Rows first, and then dimensions that are at least 1; a row is bounded.
bool IsSound(const inference::Port& port) {
  if (port.shape.empty() || port.shape.front() != graph::kRows) return false;
  std::size_t bytes = graph::SizeOf(port.element);
  for (const std::int64_t dimension : std::span(port.shape).subspan(1)) {
    if (dimension < 1 || std::cmp_greater(dimension, kMostRowBytes / bytes)) return false;
    bytes *= static_cast<std::size_t>(dimension);
  }
  return true;
}

Result<inference::Port> ReadPort(Fields& fields) {
  const auto name_size = fields.Number<std::uint32_t>();
  if (name_size > kMostName) return Malformed("the name of an input or output is too long");
  inference::Port port;
  port.name = PrintableText(fields.Raw(name_size));
  const auto element = fields.Number<std::uint8_t>();
  const auto dimensions = fields.Number<std::uint8_t>();
  if (!fields.good() || !IsElement(element) || dimensions > kMostDimensions) return Malformed("no input or output");
  port.element = static_cast<graph::Element>(element);
  for (std::size_t i = 0; i < dimensions; ++i) port.shape.push_back(fields.Number<std::int64_t>());
  if (!fields.good() || !IsSound(port)) return Malformed("an input or output has no possible shape");
  return port;
}

Result<std::vector<inference::Port>> ReadPorts(Fields& fields) {
  const auto count = fields.Number<std::uint32_t>();
  if (!fields.good() || count > kMostTensors) return Malformed("too many inputs or outputs");
  std::vector<inference::Port> ports;
  for (std::size_t i = 0; i < count; ++i) {
    TACIT_TRY(inference::Port port, ReadPort(fields));
    ports.push_back(std::move(port));
  }
  return ports;
}

void Write(ByteWriter& writer, const std::optional<LoadedDetectors>& detectors) {
  writer.U8(detectors ? 1 : 0);
  if (!detectors) return;
  const detect::Policy& policy = detectors->policy;
  writer.Raw(detectors->calibration).U8(std::to_underlying(policy.mode)).U64(policy.identity_budget);
  writer.U64(policy.device_budget).U64(policy.window_seconds);
}

Result<std::optional<LoadedDetectors>> ReadDetectors(Fields& fields) {
  const auto there = fields.Number<std::uint8_t>();
  if (!fields.good() || there > 1) return Malformed("no answer to a load");
  if (there == 0) return std::optional<LoadedDetectors>();
  LoadedDetectors detectors;
  const ByteSpan calibration = fields.Raw(detectors.calibration.size());
  std::ranges::copy(calibration, detectors.calibration.begin());
  const auto mode = fields.Number<std::uint8_t>();
  detect::Policy& policy = detectors.policy;
  policy.identity_budget = fields.Number<std::uint64_t>();
  policy.device_budget = fields.Number<std::uint64_t>();
  policy.window_seconds = fields.Number<std::uint64_t>();
  if (!fields.good() || mode > std::to_underlying(detect::Mode::kReject) ||
      std::max(policy.identity_budget, policy.device_budget) > detect::Policy::kMostRows || policy.window_seconds < 1 ||
      policy.window_seconds > detect::Policy::kLongestWindow) {
    return Malformed("no policy of detectors");
  }
  policy.mode = static_cast<detect::Mode>(mode);
  return std::optional(detectors);
}

}  // namespace

std::size_t RowBytes(const inference::Port& port) {
  std::size_t bytes = graph::SizeOf(port.element);
  for (const std::int64_t dimension : std::span(port.shape).subspan(1)) bytes *= static_cast<std::size_t>(dimension);
  return bytes;
}

FrameHeader EncodeHeader(const Header& header) {
  TACIT_CHECK(header.size <= std::numeric_limits<std::uint32_t>::max(), "a channel's limit fits into its header");
  FrameHeader bytes{};
  const auto size = static_cast<std::uint32_t>(header.size);
  std::memcpy(bytes.data(), &size, sizeof size);
  bytes[4] = std::to_underlying(header.kind);
  std::memcpy(bytes.data() + 8, &header.id, sizeof header.id);
  return bytes;
}

Result<Header> ParseHeader(ByteSpan bytes) {
  Fields fields(bytes);
  const auto size = fields.Number<std::uint32_t>();
  const auto kind = fields.Number<std::uint8_t>();
  const ByteSpan zeros = fields.Raw(3);
  const auto id = fields.Number<std::uint64_t>();
  if (!fields.at_end() || !IsKind(kind)) return Malformed("no such kind of frame");
  if (std::ranges::any_of(zeros, [](std::uint8_t byte) { return byte != 0; })) return Malformed("no frame");
  return Header{.size = size, .kind = static_cast<Kind>(kind), .id = id};
}

TensorParts::TensorParts(std::size_t rows, std::span<const ByteSpan> tensors) {
  TACIT_CHECK(tensors.size() <= kMostTensors, "who asks has counted the tensors");
  ByteWriter head;
  head.U64(rows).U32(static_cast<std::uint32_t>(tensors.size())).U32(0);
  for (const ByteSpan tensor : tensors) head.U64(tensor.size());
  const std::size_t unpadded = head.bytes().size();
  head.Raw(ByteSpan(kPadding).first(Padded(unpadded) - unpadded));
  head_ = std::move(head).Take();
  parts_.emplace_back(head_);
  for (const ByteSpan tensor : tensors) {
    parts_.push_back(tensor);
    parts_.push_back(ByteSpan(kPadding).first(Padded(tensor.size()) - tensor.size()));
  }
}

Result<Tensors> ParseTensors(ByteSpan body) {
  Fields fields(body);
  Tensors tensors;
  tensors.rows = fields.Number<std::uint64_t>();
  const auto count = fields.Number<std::uint32_t>();
  const auto zero = fields.Number<std::uint32_t>();
  if (!fields.good() || count > kMostTensors || zero != 0) return Malformed("no tensors");
  std::vector<std::uint64_t> sizes;
  for (std::size_t i = 0; i < count; ++i) sizes.push_back(fields.Number<std::uint64_t>());
  const std::size_t head = 16 + count * sizeof(std::uint64_t);
  fields.Raw(Padded(head) - head);
  for (const std::uint64_t size : sizes) {
    if (size > body.size()) return Malformed("a tensor is longer than its frame");
    const ByteSpan tensor = fields.Raw(Padded(size));
    if (!fields.good()) return Malformed("a tensor is longer than its frame");
    tensors.values.push_back(tensor.first(size));
  }
  if (!fields.at_end()) return Malformed("something stands behind the last tensor");
  return tensors;
}

Bytes EncodeLoaded(const Loaded& loaded) {
  ByteWriter writer;
  Write(writer, loaded.signature.inputs);
  Write(writer, loaded.signature.outputs);
  writer.Raw(loaded.digest).Raw(loaded.protections.Encode());
  Write(writer, loaded.detectors);
  return std::move(writer).Take();
}

Result<Loaded> ParseLoaded(ByteSpan body) {
  Fields fields(body);
  Loaded loaded;
  TACIT_TRY(loaded.signature.inputs, ReadPorts(fields));
  TACIT_TRY(loaded.signature.outputs, ReadPorts(fields));
  const ByteSpan digest = fields.Raw(loaded.digest.size());
  const ByteSpan protections = fields.Raw(protect::Protections::kEncodedSize);
  TACIT_TRY(loaded.detectors, ReadDetectors(fields));
  if (!fields.at_end()) return Malformed("no answer to a load");
  // What is asked of a model with detectors is its only input, and who asks.
  if (loaded.detectors && loaded.signature.inputs.size() != 1) return Malformed("detectors of a model of many inputs");
  std::ranges::copy(digest, loaded.digest.begin());
  TACIT_TRY(loaded.protections, protect::Protections::Parse(protections));
  return loaded;
}

Bytes EncodeState(const State& state) {
  ByteWriter writer;
  writer.Raw(state.protections.Encode()).U64(state.watch_passes);
  return std::move(writer).Take();
}

Result<State> ParseState(ByteSpan body) {
  Fields fields(body);
  const ByteSpan protections = fields.Raw(protect::Protections::kEncodedSize);
  const auto passes = fields.Number<std::uint64_t>();
  if (!fields.at_end()) return Malformed("no state");
  State state;
  TACIT_TRY(state.protections, protect::Protections::Parse(protections));
  state.watch_passes = passes;
  return state;
}

Bytes EncodeFailure(const Error& error) {
  ByteWriter writer;
  writer.U8(std::to_underlying(error.code)).Raw(AsBytes(std::string_view(error.message).substr(0, kMostText)));
  return std::move(writer).Take();
}

Error ParseFailure(ByteSpan body) {
  if (body.empty() || body.front() >= kErrorCodes.size()) {
    return {ErrorCode::kMalformed, "between agent and worker: no failure that there is"};
  }
  return {static_cast<ErrorCode>(body.front()), PrintableText(body.subspan(1))};
}

}  // namespace tacit::worker
