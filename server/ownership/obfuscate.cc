#include "server/ownership/obfuscate.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "server/ownership/keyed_words.h"

namespace tacit::ownership {

namespace {

/// The numbers of a constant.
std::span<const float> NumbersOf(const graph::GraphView& model, graph::ValueId id) {
  const graph::Place place = Present(model.graph.values[id].constant, "weights are constants");
  return {reinterpret_cast<const float*>(model.weights.data() + place.offset), place.size / sizeof(float)};
}

std::span<float> NumbersOf(graph::OwnedGraph& copy, graph::ValueId id) {
  const graph::Place place = Present(copy.graph.values[id].constant, "weights are constants");
  return {reinterpret_cast<float*>(copy.weights.data() + place.offset), place.size / sizeof(float)};
}

float Times(float number, double factor) {
  return static_cast<float>(static_cast<double>(number) * factor);
}

void Change(const graph::GraphView& master, const LinearNode& linear, const std::vector<Source>& out,
            const std::vector<Source>& in, graph::OwnedGraph& copy) {
  const graph::Node& node = master.graph.nodes[linear.node];
  const auto from = NumbersOf(master, node.inputs[1]);
  const auto to = NumbersOf(copy, node.inputs[1]);
  const std::size_t columns = std::max<std::size_t>(1, in.size());
  const std::size_t kernel = from.size() / (out.size() * columns);
  for (std::size_t row = 0; row < out.size(); ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      // A depthwise weight meets the channel that it makes: both factors are one and the same.
      const double factor = in.empty() ? 1 : out[row].factor / in[column].factor;
      const std::size_t place = in.empty() ? 0 : in[column].place;
      const float* first = from.data() + (out[row].place * columns + place) * kernel;
      float* into = to.data() + (row * columns + column) * kernel;
      for (std::size_t k = 0; k < kernel; ++k) into[k] = Times(first[k], factor);
    }
  }
  if (node.inputs.size() < 3) return;
  const auto bias = NumbersOf(master, node.inputs[2]);
  const auto into = NumbersOf(copy, node.inputs[2]);
  for (std::size_t row = 0; row < out.size(); ++row) into[row] = Times(bias[out[row].place], out[row].factor);
}

}  // namespace

crypto::SecretKey CopyKeyOf(const crypto::SecretKey& owner, const TaskId& task, ModelVersion version,
                            const DeviceId& device) {
  return owner.Derive(ByteWriter().Text("tacit-copy/1").Text(task.str()).U64(version).Text(device.str()).bytes());
}

float FactorOf(std::uint8_t level) {
  // 2^(1/16), 2^(3/16), ...: written down, because libm is another one on another machine.
  constexpr std::array<float, 8> kSteps = {1.0442737F, 1.1387886F, 1.2418578F, 1.3542556F,
                                           1.4768262F, 1.6104903F, 1.7562522F, 1.9152066F};
  return kSteps.at(level % 8) * (level < 8 ? 0.5F : 1.0F);
}

GroupCode CodeOf(const crypto::SecretKey& copy_key, std::size_t group, std::size_t channels) {
  const std::vector<std::uint64_t> words =
      WordsOf(copy_key.Derive(ByteWriter().Text("group").U64(group).bytes()), channels + (channels + 15) / 16);
  GroupCode code{.order = std::vector<std::uint32_t>(channels), .levels = std::vector<std::uint8_t>(channels)};
  std::iota(code.order.begin(), code.order.end(), 0U);
  // Fisher and Yates: every order is equally likely.
  for (std::size_t i = channels; i > 1; --i) std::swap(code.order[i - 1], code.order[Below(words[i - 1], i)]);
  for (std::size_t i = 0; i < channels; ++i)
    code.levels[i] = static_cast<std::uint8_t>(words[channels + i / 16] >> (i % 16 * 4) & 15U);
  return code;
}

std::vector<Source> SourcesOf(const std::vector<Segment>& segments, const Channels& channels,
                              const std::vector<GroupCode>& codes) {
  std::vector<Source> sources;
  for (const Segment& segment : segments) {
    const std::size_t first = sources.size();
    const bool fixed = segment.group == kFixed;
    for (std::size_t place = 0; place < segment.channels; ++place) {
      const std::size_t channel = fixed ? place : codes[segment.group].order[place];
      const bool scales = !fixed && channels.groups[segment.group].scales;
      const double factor = scales ? static_cast<double>(FactorOf(codes[segment.group].levels[channel])) : 1.0;
      for (std::size_t i = 0; i < segment.block; ++i)
        sources.push_back({.place = first + channel * segment.block + i, .factor = factor});
    }
  }
  return sources;
}

graph::OwnedGraph Obfuscate(const graph::GraphView& master, const crypto::SecretKey& copy_key) {
  graph::OwnedGraph copy{.graph = master.graph, .weights = AlignedBuffer(master.weights.size())};
  std::ranges::copy(master.weights, copy.weights.data());
  graph::StripNames(copy.graph);
  const Channels channels = FindChannels(master.graph);
  std::vector<GroupCode> codes;
  for (std::size_t i = 0; i < channels.groups.size(); ++i)
    codes.push_back(CodeOf(copy_key, i, channels.groups[i].channels));
  for (const LinearNode& linear : channels.nodes)
    Change(master, linear, SourcesOf(linear.out, channels, codes), SourcesOf(linear.in, channels, codes), copy);
  return copy;
}

}  // namespace tacit::ownership
