#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/base/ids.h"
#include "common/crypto/secret.h"
#include "common/graph/graph.h"
#include "server/ownership/channels.h"

namespace tacit::ownership {

/// Of one device's copy of one model version. Nothing of it is kept: whoever has the owner's key makes it again.
crypto::SecretKey CopyKeyOf(const crypto::SecretKey& owner, const TaskId& task, ModelVersion version,
                            const DeviceId& device);

/// How many different factors a channel can have.
inline constexpr std::size_t kLevels = 16;
/// The factor of a level: 2^((level - 7.5) / 8). None is a power of two, so that every number's bits change.
float FactorOf(std::uint8_t level);

/// What a copy does to one group of channels.
struct GroupCode {
  std::vector<std::uint32_t> order;  ///< At each place of the copy, the channel of the master.
  std::vector<std::uint8_t> levels;  ///< Of each channel of the master.
};

/// The same on every machine. Shape: `group` is the group's place in Channels.
GroupCode CodeOf(const crypto::SecretKey& copy_key, std::size_t group, std::size_t channels);

/// The copy of a model that belongs to a key: hidden channels in another order, each multiplied by a factor, which the
/// next layer takes back; names gone, but for those of inputs and outputs. It computes the same, but for rounding.
/// Privacy: stops who compares copies, and names the device of one that leaked; it hides nothing from who can run the
/// model. Shape: a graph that graph::Check takes, and its weights. Cost: a copy of the weights.
graph::OwnedGraph Obfuscate(const graph::GraphView& master, const crypto::SecretKey& copy_key);

/// Where each number along one dimension of a copy's weights comes from.
struct Source {
  std::size_t place = 0;  ///< In the master.
  double factor = 1;      ///< That the copy's channel is the master's times.
};

/// Shape: `codes` has one for each group that `segments` name; as many sources as the segments have numbers.
std::vector<Source> SourcesOf(const std::vector<Segment>& segments, const Channels& channels,
                              const std::vector<GroupCode>& codes);

}  // namespace tacit::ownership
