#include "edge_agent/inference/builtin_engine.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/graph/check.h"
#include "common/graph/file.h"
#include "common/graph/shapes.h"
#include "edge_agent/inference/descend.h"
#include "edge_agent/inference/differentiate.h"
#include "edge_agent/inference/plan.h"
#include "edge_agent/inference/planner.h"

namespace tacit::inference {
namespace {

/// Rows are computed at once while what they need stays within a first level of cache or two.
constexpr std::size_t kRowsMemory = 128 * 1024;  // bytes
constexpr std::size_t kMostRowsAtOnce = 48;
/// Rows of one call, so that no size of theirs overflows.
constexpr std::size_t kMostRows = std::size_t{1} << 24U;
/// What kernels may read behind the last buffer.
constexpr std::size_t kSlack = 64;  // bytes

Port PortOf(const graph::Value& value) {
  return {.name = value.name, .element = value.element, .shape = value.shape};
}

std::size_t RowBytes(const Port& port) {
  return port.RowSize() * graph::SizeOf(port.element);
}

class BuiltinEngine final : public Engine {
 public:
  BuiltinEngine(Memory& memory, const Kernels& kernels) : memory_(memory), kernels_(kernels) {}
  ~BuiltinEngine() override { Wipe(); }
  BuiltinEngine(const BuiltinEngine&) = delete;
  BuiltinEngine& operator=(const BuiltinEngine&) = delete;

  Result<void> Load(ByteSpan model) override {
    Wipe();
    TACIT_TRY(graph::GraphView view, graph::Parse(model));
    const auto loaded = Prepare(std::move(view));
    if (!loaded) Wipe();
    return loaded;
  }

  [[nodiscard]] const Signature& signature() const override { return signature_; }

  Result<void> Run(std::size_t rows, std::span<const ByteSpan> inputs,
                   std::span<const std::span<std::uint8_t>> outputs) override {
    TACIT_TRY_VOID(Check(rows, inputs, outputs));
    for (std::size_t row = 0; row < rows; row += rows_at_once_) {
      RunPart(row, std::min(rows_at_once_, rows - row), inputs, outputs);
    }
    return {};
  }

  Result<void> InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                             std::span<float> gradient) override {
    TACIT_TRY(Differentiator * differentiator, Differentiable());
    TACIT_TRY_VOID(differentiator->InputGradient({.x = input, .y = classes}, gradient));
    return {};
  }

  Result<double> TrainStep(const Step& step) override {
    TACIT_TRY(Differentiator * differentiator, Differentiable());
    if (!descent_) {
      TACIT_TRY(descent_, Descent::Create(*differentiator, memory_));
    }
    return Present(descent_, "it was just made").Step(step);
  }

  void Wipe() override {
    descent_.reset();
    differentiator_.reset();
    memory_.Wipe();
    signature_ = {};
    model_.reset();
    planned_ = {};
    packed_ = {};
    arena_ = {};
    rows_at_once_ = 0;
  }

 private:
  Result<void> Prepare(graph::GraphView view) {
    model_ = std::move(view);
    const graph::Graph& graph = Present(model_, "it was just set").graph;
    for (const graph::ValueId id : graph.inputs) signature_.inputs.push_back(PortOf(graph.values[id]));
    for (const graph::ValueId id : graph.outputs) signature_.outputs.push_back(PortOf(graph.values[id]));
    planned_ = MakePlan(*model_, kernels_);
    Plan& plan = planned_.plan;
    const std::size_t row = std::max<std::size_t>(1, plan.row_size());
    rows_at_once_ = std::clamp<std::size_t>(kRowsMemory / row / kTileRows * kTileRows, 1, kMostRowsAtOnce);
    const std::size_t arena = row * rows_at_once_ + kSlack;
    TACIT_TRY(const std::span<std::uint8_t> memory, memory_.Take(plan.packed_size() + arena));
    packed_ = memory.first(plan.packed_size());
    arena_ = memory.subspan(plan.packed_size());
    plan.Fill(packed_.data());
    return {};
  }

  [[nodiscard]] Result<void> Check(std::size_t rows, std::span<const ByteSpan> inputs,
                                   std::span<const std::span<std::uint8_t>> outputs) const {
    if (rows_at_once_ == 0) return Fail(ErrorCode::kInvalidArgument, "no model is loaded");
    if (rows == 0 || rows > kMostRows) {
      return Fail(ErrorCode::kInvalidArgument, "rows must be 1 to " + std::to_string(kMostRows));
    }
    TACIT_TRY_VOID(CheckPorts(rows, "input", signature_.inputs, inputs));
    return CheckPorts(rows, "output", signature_.outputs, outputs);
  }

  template <typename Span>
  static Result<void> CheckPorts(std::size_t rows, const std::string& kind, const std::vector<Port>& ports,
                                 std::span<const Span> spans) {
    if (spans.size() != ports.size()) {
      return Fail(ErrorCode::kInvalidArgument, "the model has " + std::to_string(ports.size()) + " of " + kind +
                                                   ", not " + std::to_string(spans.size()));
    }
    for (std::size_t i = 0; i < ports.size(); ++i) {
      const std::size_t wanted = rows * RowBytes(ports[i]);
      if (spans[i].size() == wanted) continue;
      return Fail(ErrorCode::kInvalidArgument, kind + " \"" + ports[i].name + "\" must have " + std::to_string(wanted) +
                                                   " bytes, not " + std::to_string(spans[i].size()));
    }
    return {};
  }

  void RunPart(std::size_t first, std::size_t rows, std::span<const ByteSpan> inputs,
               std::span<const std::span<std::uint8_t>> outputs) const {
    const Frame frame{.kernels = &kernels_,
                      .packed = packed_.data(),
                      .arena = arena_.data(),
                      .offsets = planned_.plan.offsets(),
                      .rows = rows};
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::size_t row = RowBytes(signature_.inputs[i]);
      std::memcpy(frame.At<std::uint8_t>(planned_.inputs[i]), inputs[i].data() + first * row, rows * row);
    }
    planned_.plan.Run(frame);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::size_t row = RowBytes(signature_.outputs[i]);
      std::memcpy(outputs[i].data() + first * row, frame.At<std::uint8_t>(planned_.outputs[i]), rows * row);
    }
  }

  /// What is needed for derivatives alone, and takes memory, is made when the first one is asked for.
  Result<Differentiator*> Differentiable() {
    if (!model_) return Fail(ErrorCode::kInvalidArgument, "no model is loaded");
    if (!differentiator_) {
      auto made = Differentiator::Create(*model_, kMostRowsAtOnce, memory_);
      if (!made) return std::unexpected<Error>(std::move(made).error());
      differentiator_ = *std::move(made);
    }
    return &Present(differentiator_, "it was just made");
  }

  Memory& memory_;
  const Kernels& kernels_;
  Signature signature_;
  std::optional<graph::GraphView> model_;
  PlannedModel planned_;
  std::span<std::uint8_t> packed_;
  std::span<std::uint8_t> arena_;
  std::optional<Differentiator> differentiator_;
  std::optional<Descent> descent_;
  std::size_t rows_at_once_ = 0;  // of memory that there is; 0 where nothing is loaded
};

}  // namespace

std::size_t Port::RowSize() const {
  std::size_t size = 1;
  for (const std::int64_t dimension : shape)
    size *= dimension == graph::kRows ? 1 : static_cast<std::size_t>(dimension);
  return size;
}

std::unique_ptr<Engine> MakeBuiltinEngine(Memory& memory, const Kernels& kernels) {
  return std::make_unique<BuiltinEngine>(memory, kernels);
}

std::unique_ptr<Engine> MakeBuiltinEngine(Memory& memory) {
  return MakeBuiltinEngine(memory, KernelsOf(FastestPath()));
}

}  // namespace tacit::inference
