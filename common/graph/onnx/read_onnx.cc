#include "common/graph/onnx/read_onnx.h"

#include "common/graph/onnx/model.h"
#include "common/graph/onnx/translator.h"

namespace tacit::graph {

Result<OwnedGraph> ReadOnnx(ByteSpan file, Names names) {
  TACIT_TRY(const onnx::ModelProto model, onnx::ParseModel(file));
  TACIT_TRY(OwnedGraph graph, onnx::Translator(model, file.size()).Run());
  if (names == Names::kStrip) StripNames(graph.graph);
  return graph;
}

}  // namespace tacit::graph
