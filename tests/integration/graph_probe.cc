// Reads an ONNX model and writes it as a graph file, for test_onnx.py: graph_probe [--strip] MODEL.onnx MODEL.graph
#include <cstdio>
#include <fstream>
#include <span>
#include <string_view>
#include <utility>

#include "common/base/files.h"
#include "common/graph/check.h"
#include "common/graph/file.h"
#include "common/graph/onnx/read_onnx.h"

namespace {

using tacit::graph::Names;

tacit::Result<void> Convert(const char* from, const char* to, Names names) {
  TACIT_TRY(const tacit::Bytes file, tacit::ReadFile(from, tacit::graph::kMaxWeightBytes));
  TACIT_TRY(tacit::graph::OwnedGraph model, tacit::graph::ReadOnnx(file, names));
  const tacit::AlignedBuffer written =
      tacit::graph::Serialise({.graph = std::move(model.graph), .weights = model.weights.bytes()});
  TACIT_TRY_VOID(tacit::graph::Parse(written.bytes()));
  std::ofstream stream(to, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(written.data()), static_cast<std::streamsize>(written.size()));
  return stream.good() ? tacit::Result<void>() : Fail(tacit::ErrorCode::kUnavailable, "cannot write the graph file");
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const bool strips = argc == 4 && std::string_view(arguments[1]) == "--strip";
  if (argc != 3 && !strips) return 2;
  const auto done = Convert(arguments[arguments.size() - 2], arguments.back(), strips ? Names::kStrip : Names::kKeep);
  if (!done) std::fprintf(stderr, "%s\n", done.error().message.c_str());
  return done ? 0 : 1;
}
