// What a model costs on one thread, one row at a time: latency, load time, memory.
// Usage: benchmark_edge [MODEL]
//        benchmark_edge NAME FILE [LIBRARY]
//   MODEL is one of mlp, cnn, mobilenet, mobilenet_int8 (weights from a seed); without it, all of them.
//        benchmark_edge sealed NAME FILE DIRECTORY
//   How long a graph file takes to load as it is, and as a bundle; both are written into the directory.
//        benchmark_edge convert FILE.onnx FILE
//   A FILE without .onnx is a graph file, as convert writes it. NAME is what the model of a file is called; LIBRARY is
//   that of ONNX Runtime, which is measured then instead.
// Prints one JSON object a line: {name, value, unit, baseline, ratio, goal, holds}.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "benchmarks/edge/models.h"
#include "benchmarks/edge/sealed_load.h"
#include "common/base/check.h"
#include "common/base/files.h"
#include "common/crypto/digest.h"
#include "common/graph/file.h"
#include "common/graph/onnx/read_onnx.h"
#include "edge_agent/inference/builtin_engine.h"
#include "edge_agent/inference/ort_engine.h"

namespace tacit::benchmark {
namespace {

using inference::Engine;

double ProcessorSeconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// Of this program alone: what getrusage says counts the process that started it as well.
double PeakMebibytes() {
  std::ifstream status("/proc/self/status");
  const std::string wanted = "VmHWM:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(wanted)) return std::stod(line.substr(wanted.size())) / 1024;
  }
  return 0;
}

void Print(const std::string& name, double value, std::string_view unit) {
  const nlohmann::json row = {{"name", name},     {"value", value},  {"unit", unit},    {"baseline", nullptr},
                              {"ratio", nullptr}, {"goal", nullptr}, {"holds", nullptr}};
  std::cout << row.dump() << std::endl;
}

/// Pages of its own, which are given back when they are wiped.
class PageMemory final : public inference::Memory {
 public:
  Result<std::span<std::uint8_t>> Take(std::size_t size) override {
    blocks_.emplace_back(size);
    std::ranges::fill(blocks_.back().bytes(), std::uint8_t{0});
    return blocks_.back().bytes();
  }
  void Wipe() override { blocks_.clear(); }

 private:
  std::vector<AlignedBuffer> blocks_;
};

/// CPU time of one row: the median of batches that are long enough for the clock.
double RowSeconds(Engine& engine) {
  std::vector<std::vector<std::uint8_t>> inputs;
  std::vector<std::vector<std::uint8_t>> outputs;
  std::vector<ByteSpan> in;
  std::vector<std::span<std::uint8_t>> out;
  std::mt19937 bits(2);
  std::uniform_real_distribution<float> draw(-1, 1);
  for (const inference::Port& port : engine.signature().inputs) {
    std::vector<float> numbers(port.RowSize());
    for (float& number : numbers) number = draw(bits);
    const ByteSpan bytes = AsBytes(std::span<const float>(numbers));
    inputs.emplace_back(bytes.begin(), bytes.end());
  }
  for (const inference::Port& port : engine.signature().outputs) outputs.emplace_back(port.RowSize() * sizeof(float));
  for (const auto& input : inputs) in.emplace_back(input);
  for (auto& output : outputs) out.emplace_back(output);
  const auto run = [&] { TACIT_CHECK(engine.Run(1, in, out).has_value(), "the model runs"); };
  const double begin = ProcessorSeconds();
  run();
  const double once = std::max(ProcessorSeconds() - begin, 1e-7);
  const auto batch = static_cast<std::size_t>(std::max(1.0, 1e-3 / once));
  std::vector<double> seconds;
  const double end = ProcessorSeconds() + 2;
  while (ProcessorSeconds() < end || seconds.size() < 5) {
    const double first = ProcessorSeconds();
    for (std::size_t i = 0; i < batch; ++i) run();
    seconds.push_back((ProcessorSeconds() - first) / static_cast<double>(batch));
  }
  return Median(std::move(seconds));
}

void Measure(const std::string& name, Engine& engine, ByteSpan file) {
  std::vector<double> loads;
  for (int pass = 0; pass < 5; ++pass) {
    const double begin = ProcessorSeconds();
    const auto loaded = engine.Load(file);
    loads.push_back(ProcessorSeconds() - begin);
    if (!loaded) {
      std::cerr << name << ": " << loaded.error().message << '\n';
      std::exit(1);
    }
  }
  Print("edge." + name + ".latency", RowSeconds(engine) * 1e6, "us");
  Print("edge." + name + ".load", Median(loads) * 1e3, "ms");
  Print("edge." + name + ".peak_rss", PeakMebibytes(), "MiB");
}

template <typename T>
T Taken(Result<T> result) {
  if (result) return *std::move(result);
  std::cerr << result.error().message << '\n';
  std::exit(1);
}

void MeasureBuiltin(const std::string& name, ByteSpan file) {
  PageMemory memory;
  Measure(name, *inference::MakeBuiltinEngine(memory), file);
}

constexpr std::size_t kLargest = std::size_t{1} << 30U;  // bytes of a file

AlignedBuffer Converted(const std::string& path) {
  const graph::OwnedGraph model = Taken(graph::ReadOnnx(Taken(ReadFile(path, kLargest))));
  return graph::Serialise({model.graph, model.bytes()});
}

void Convert(const std::string& from, const std::string& to) {
  const AlignedBuffer file = Converted(from);
  const auto written = WriteFileAtomic(to, file.bytes(), kReadableByAll);
  if (written) return;
  std::cerr << written.error().message << '\n';
  std::exit(1);
}

void MeasureFile(const std::string& name, const std::string& path, const char* library) {
  if (library != nullptr) {
    const Bytes onnx = Taken(ReadFile(path, kLargest));
    const Digest256 digest = crypto::Sha256(Taken(ReadFile(library, kLargest)));
    Measure(name, *Taken(inference::MakeOrtEngine({.library = library, .sha256 = digest})), onnx);
    return;
  }
  if (path.ends_with(".onnx")) {
    MeasureBuiltin(name, Converted(path).bytes());
    return;
  }
  const Bytes bytes = Taken(ReadFile(path, kLargest));
  AlignedBuffer file(bytes.size());
  std::ranges::copy(bytes, file.data());
  MeasureBuiltin(name, file.bytes());
}

void MeasureSealed(const std::string& name, const std::string& path, const std::string& directory) {
  const LoadTimes times = Taken(MeasureLoads(Taken(ReadFile(path, kLargest)), directory));
  Print("edge." + name + ".load_plain", times.plain * 1e3, "ms");
  Print("edge." + name + ".load_hashed", times.hashed * 1e3, "ms");
  Print("edge." + name + ".load_sealed", times.sealed * 1e3, "ms");
}

}  // namespace
}  // namespace tacit::benchmark

int main(int argc, char** argv) {
  namespace benchmark = tacit::benchmark;
  const std::string wanted = argc > 1 ? argv[1] : "";
  if (argc > 3 && wanted == "convert") {
    benchmark::Convert(argv[2], argv[3]);
    return 0;
  }
  if (argc > 4 && wanted == "sealed") {
    benchmark::MeasureSealed(argv[2], argv[3], argv[4]);
    return 0;
  }
  if (argc > 2) {
    benchmark::MeasureFile(wanted, argv[2], argc > 3 ? argv[3] : nullptr);
    return 0;
  }
  for (benchmark::Model& model : benchmark::MakeModels()) {
    if (!wanted.empty() && wanted != model.name) continue;
    const tacit::AlignedBuffer file = tacit::graph::Serialise({model.graph.graph, model.graph.bytes()});
    model.graph = {};
    benchmark::MeasureBuiltin(model.name, file.bytes());
  }
  return 0;
}
