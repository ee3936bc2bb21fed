// What test_onnx.py asks of graphs:
//   graph_probe convert [--strip] MODEL.onnx MODEL.graph      reads an ONNX model and writes it as a graph file
//   graph_probe run ROWS MODEL.graph OUTPUTS INPUTS           computes it; files of numbers, one port behind the other
#include <cstdio>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/files.h"
#include "common/base/text.h"
#include "common/graph/check.h"
#include "common/graph/file.h"
#include "common/graph/onnx/read_onnx.h"
#include "edge_agent/inference/builtin_engine.h"
#include "edge_agent/inference/heap_memory.h"

namespace {

using tacit::AlignedBuffer;
using tacit::ByteSpan;
using tacit::ErrorCode;
using tacit::Fail;
using tacit::Result;
using tacit::graph::Names;
using tacit::inference::HeapMemory;

Result<AlignedBuffer> ReadAligned(const std::string& path) {
  TACIT_TRY(const tacit::Bytes bytes, tacit::ReadFile(path, tacit::graph::kMaxWeightBytes));
  AlignedBuffer file(bytes.size());
  if (!bytes.empty()) std::memcpy(file.data(), bytes.data(), bytes.size());
  return file;
}

Result<void> Write(const std::string& path, ByteSpan bytes) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return stream.good() ? Result<void>() : Fail(ErrorCode::kUnavailable, "cannot write " + path);
}

Result<void> Convert(const std::string& from, const std::string& to, Names names) {
  TACIT_TRY(const AlignedBuffer file, ReadAligned(from));
  TACIT_TRY(tacit::graph::OwnedGraph model, tacit::graph::ReadOnnx(file.bytes(), names));
  const AlignedBuffer written =
      tacit::graph::Serialise({.graph = std::move(model.graph), .weights = model.weights.bytes()});
  return Write(to, written.bytes());
}

struct Files {
  std::string model;
  std::string outputs;
  std::string inputs;
};

std::size_t SizeOf(const std::vector<tacit::inference::Port>& ports, std::size_t rows) {
  std::size_t size = 0;
  for (const auto& port : ports) size += rows * port.RowSize() * tacit::graph::SizeOf(port.element);
  return size;
}

Result<void> Run(std::size_t rows, const Files& files) {
  TACIT_TRY(const AlignedBuffer model, ReadAligned(files.model));
  TACIT_TRY(const AlignedBuffer numbers, ReadAligned(files.inputs));
  HeapMemory memory;
  const auto engine = tacit::inference::MakeBuiltinEngine(memory);
  TACIT_TRY_VOID(engine->Load(model.bytes()));
  const tacit::inference::Signature& signature = engine->signature();
  if (numbers.size() != SizeOf(signature.inputs, rows)) return Fail(ErrorCode::kInvalidArgument, "wrong inputs");
  AlignedBuffer results(SizeOf(signature.outputs, rows));
  std::vector<ByteSpan> inputs;
  std::size_t at = 0;
  for (const auto& port : signature.inputs) {
    inputs.push_back(numbers.bytes().subspan(at, SizeOf({port}, rows)));
    at += inputs.back().size();
  }
  std::vector<std::span<std::uint8_t>> outputs;
  at = 0;
  for (const auto& port : signature.outputs) {
    outputs.push_back(results.bytes().subspan(at, SizeOf({port}, rows)));
    at += outputs.back().size();
  }
  TACIT_TRY_VOID(engine->Run(rows, inputs, outputs));
  return Write(files.outputs, results.bytes());
}

Result<void> Do(const std::vector<std::string>& words) {
  if (words.size() == 3 && words[0] == "convert") return Convert(words[1], words[2], Names::kKeep);
  if (words.size() == 4 && words[0] == "convert" && words[1] == "--strip") {
    return Convert(words[2], words[3], Names::kStrip);
  }
  const auto rows = words.size() == 5 && words[0] == "run" ? tacit::ParseWhole(words[1]) : std::nullopt;
  if (rows) return Run(*rows, {.model = words[2], .outputs = words[3], .inputs = words[4]});
  return Fail(ErrorCode::kInvalidArgument, "usage: see graph_probe.cc");
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const auto done = Do({arguments.begin() + 1, arguments.end()});
  if (!done) std::fprintf(stderr, "%s\n", done.error().message.c_str());
  return done ? 0 : 1;
}
