#pragma once

#include <string>
#include <vector>

#include "common/graph/graph.h"

namespace tacit::benchmark {

/// A model with weights from a seed: what it costs does not depend on what it has learned.
struct Model {
  std::string name;
  graph::OwnedGraph graph;
};

/// A perceptron 784-256-128-10, a small convolutional network for 28 x 28 (106 k parameters), MobileNetV1-1.0 for
/// 224 x 224 in floats and in 8 bits.
std::vector<Model> MakeModels();

}  // namespace tacit::benchmark
