#include "edge_agent/inference/differentiate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "edge_agent/inference/gemm.h"

namespace tacit::inference {
namespace {

using graph::ValueId;

// What a pass keeps of its rows is bounded, and stays in a processor's caches or is no more than the model itself,
// however many rows a batch has.
constexpr std::size_t kValuesAtOnce = std::size_t{1} << 18U;

// Everything begins at a multiple of 64 bytes.
std::size_t AlignedFloats(std::size_t floats) {
  return (floats + 15) / 16 * 16;
}

std::size_t RowsFor(const DifferentiationPlan& plan, std::size_t most_rows) {
  std::size_t values = 0;
  for (const std::size_t size : plan.buffers) values += size;
  return std::clamp<std::size_t>(std::max(kValuesAtOnce, plan.parameter_count) / values, 1,
                                 std::max<std::size_t>(1, most_rows));
}

// The numbers of a constant as floats.
void ReadAsFloats(const graph::Value& value, ByteSpan weights, std::span<float> out) {
  const ByteSpan bytes = weights.subspan(Present(value.constant, "only constants are read").offset);
  for (std::size_t i = 0; i < out.size(); ++i) {
    switch (value.element) {
      case graph::Element::kFloat32:
        std::memcpy(&out[i], &bytes[i * sizeof(float)], sizeof(float));
        break;
      case graph::Element::kInt8:
        out[i] = static_cast<float>(static_cast<std::int8_t>(bytes[i]));
        break;
      case graph::Element::kUint8:
        out[i] = static_cast<float>(bytes[i]);
        break;
      case graph::Element::kInt32:
        std::int32_t number = 0;
        std::memcpy(&number, &bytes[i * sizeof(number)], sizeof(number));
        out[i] = static_cast<float>(number);
        break;
    }
  }
}

// Turns logits into probabilities in `slope`, and scores them. The largest logit is taken off first: exp cannot
// overflow, and the sum is at least 1.
BatchScore Softmax(std::span<const float> logits, std::span<const std::uint32_t> classes, std::span<float> slope) {
  const std::size_t width = logits.size() / classes.size();
  BatchScore score;
  for (std::size_t row = 0; row < classes.size(); ++row) {
    const std::span<const float> of_row = logits.subspan(row * width, width);
    const std::span<float> out = slope.subspan(row * width, width);
    const auto best = static_cast<std::size_t>(std::ranges::max_element(of_row) - of_row.begin());
    float sum = 0;
    for (std::size_t i = 0; i < width; ++i) {
      out[i] = std::exp(of_row[i] - of_row[best]);
      sum += out[i];
    }
    for (float& probability : out) probability /= sum;
    score.loss += std::log(static_cast<double>(sum)) + static_cast<double>(of_row[best] - of_row[classes[row]]);
    score.correct += best == classes[row] && !std::isnan(sum) ? 1U : 0U;
  }
  return score;
}

// From probabilities to the slope of `factor` times the loss.
void TurnIntoSlope(std::span<const std::uint32_t> classes, float factor, std::span<float> slope) {
  const std::size_t width = slope.size() / classes.size();
  for (std::size_t row = 0; row < classes.size(); ++row) slope[row * width + classes[row]] -= 1.0F;
  for (float& value : slope) value *= factor;
}

}  // namespace

// Where in one piece of memory each part begins, in floats.
struct Differentiator::Layout {
  std::vector<std::size_t> buffers;
  std::vector<std::size_t> slopes;
  std::vector<std::size_t> fixed;
  std::size_t scratch = 0;
  std::size_t gemm_scratch = 0;
  std::size_t branch = 0;
  std::size_t end = 0;

  std::size_t Add(std::size_t floats) {
    const std::size_t at = end;
    end += AlignedFloats(floats);
    return at;
  }
};

Result<Differentiator> Differentiator::Create(graph::GraphView model, std::size_t most_rows, Memory& memory) {
  TACIT_TRY(DifferentiationPlan plan, PlanDerivatives(model.graph));
  Differentiator made(std::move(model), std::move(plan), most_rows);
  const Layout layout = made.LayoutOf();
  TACIT_TRY(const std::span<std::uint8_t> bytes, memory.Take(layout.end * sizeof(float)));
  made.Place(layout, {reinterpret_cast<float*>(bytes.data()), layout.end});
  made.ComputeFixed();
  return made;
}

Differentiator::Differentiator(graph::GraphView model, DifferentiationPlan plan, std::size_t most_rows)
    : model_(std::move(model)), plan_(std::move(plan)), rows_at_once_(RowsFor(plan_, most_rows)) {}

Differentiator::Layout Differentiator::LayoutOf() const {
  Layout layout;
  for (std::size_t i = 0; i < plan_.buffers.size(); ++i) {
    const std::size_t floats = i == 0 ? 0 : plan_.buffers[i] * rows_at_once_;  // the first is the caller's
    layout.buffers.push_back(layout.Add(floats));
    layout.slopes.push_back(layout.Add(floats));
  }
  for (const DifferentiationPlan::Fixed& fixed : plan_.fixed) layout.fixed.push_back(layout.Add(CountOf(fixed.value)));
  std::size_t scratch = 0;
  for (const DifferentiationPlan::Step& step : plan_.steps) {
    scratch = std::max(scratch, backward::ScratchOf(step.layer));
  }
  layout.scratch = layout.Add(scratch);
  layout.gemm_scratch = layout.Add(kGemmScratch);
  layout.branch = layout.Add(plan_.branch * rows_at_once_);
  return layout;
}

void Differentiator::Place(const Layout& layout, std::span<float> memory) {
  const std::size_t values = model_.graph.values.size();
  at_.assign(values, nullptr);
  output_at_.assign(values, nullptr);
  slope_at_.assign(values, nullptr);
  has_slope_.assign(plan_.buffers.size(), false);
  for (ValueId id = 0; id < values; ++id) {
    const std::size_t buffer = plan_.buffer_of[id];
    if (buffer == 0) in_input_.push_back(id);
    if (buffer == 0 || buffer == DifferentiationPlan::kNone) continue;
    at_[id] = output_at_[id] = memory.data() + layout.buffers[buffer];
    slope_at_[id] = memory.data() + layout.slopes[buffer];
  }
  for (std::size_t i = 0; i < plan_.fixed.size(); ++i) {
    const ValueId id = plan_.fixed[i].value;
    at_[id] = output_at_[id] = memory.data() + layout.fixed[i];
  }
  for (const Parameter& parameter : plan_.parameters) {
    if (model_.weights.empty()) break;
    const auto& place = Present(model_.graph.values[parameter.value].constant, "a parameter is a constant");
    at_[parameter.value] = reinterpret_cast<const float*>(model_.weights.data() + place.offset);
  }
  scratch_ = memory.subspan(layout.scratch, layout.gemm_scratch - layout.scratch);
  gemm_scratch_ = memory.subspan(layout.gemm_scratch, layout.branch - layout.gemm_scratch);
  branch_ = memory.subspan(layout.branch);
}

void Differentiator::ComputeFixed() {
  for (const DifferentiationPlan::Fixed& fixed : plan_.fixed) {
    float* out = output_at_[fixed.value];
    ReadAsFloats(model_.graph.values[fixed.constant], model_.weights, {out, CountOf(fixed.value)});
    if (!fixed.step) continue;
    const backward::Operands operands = OperandsOf(*fixed.step, 1);
    operands_.front() = out;
    backward::Forward(fixed.step->layer, operands, out);
  }
}

std::size_t Differentiator::CountOf(ValueId value) const {
  return backward::CountOf(model_.graph.values[value].shape);
}

void Differentiator::CopyParameters(std::span<float> parameters) const {
  TACIT_CHECK(parameters.size() == plan_.parameter_count, "there is room for every parameter");
  for (const Parameter& parameter : plan_.parameters) {
    ReadAsFloats(model_.graph.values[parameter.value], model_.weights,
                 parameters.subspan(parameter.offset, parameter.size));
  }
}

void Differentiator::Use(std::span<const float> parameters) {
  TACIT_CHECK(parameters.size() == plan_.parameter_count, "every parameter has a number");
  for (const Parameter& parameter : plan_.parameters) at_[parameter.value] = parameters.data() + parameter.offset;
}

Result<void> Differentiator::Forward(std::span<const float> input) {
  if (input.empty() || input.size() % RowSize() != 0 || input.size() / RowSize() > rows_at_once_) {
    return Fail(ErrorCode::kInvalidArgument, "rows of " + std::to_string(RowSize()) + " numbers, at most " +
                                                 std::to_string(rows_at_once_) + " of them, cannot be " +
                                                 std::to_string(input.size()) + " numbers");
  }
  Run(input);
  return {};
}

backward::Operands Differentiator::OperandsOf(const DifferentiationPlan::Step& step, std::size_t rows) {
  operands_.resize(step.inputs.size());
  std::ranges::transform(step.inputs, operands_.begin(), [this](ValueId id) { return at_[id]; });
  return {.rows = rows, .inputs = operands_, .scratch = scratch_, .gemm_scratch = gemm_scratch_};
}

void Differentiator::Run(std::span<const float> input) {
  rows_ = input.size() / RowSize();
  for (const ValueId id : in_input_) at_[id] = input.data();
  for (const DifferentiationPlan::Step& step : plan_.steps) {
    if (plan_.buffer_of[step.output] == 0) continue;  // the input in another shape
    backward::Forward(step.layer, OperandsOf(step, rows_), output_at_[step.output]);
  }
}

std::span<const float> Differentiator::logits() const {
  return {at_[plan_.logits], rows_ * Classes()};
}

std::span<const float> Differentiator::features() const {
  if (!plan_.features) return {};
  return {at_[*plan_.features], rows_ * FeatureSize()};
}

std::span<float> Differentiator::LogitSlope() {
  return {slope_at_[plan_.logits], rows_ * Classes()};
}

bool Differentiator::Wants(ValueId value, Towards towards) const {
  if (towards == Towards::kParameters) return plan_.has_parameters[value];
  return plan_.buffer_of[value] != DifferentiationPlan::kNone;
}

// From the slope of the logits, which stands in its place.
void Differentiator::PassBack(Towards towards) {
  std::fill(has_slope_.begin(), has_slope_.end(), false);
  for (std::size_t i = plan_.steps.size(); i-- > 0;) {
    const DifferentiationPlan::Step& step = plan_.steps[i];
    for (std::size_t which = 0; which < step.inputs.size(); ++which) {
      if (Wants(step.inputs[which], towards)) PassBack(step, which);
    }
  }
}

void Differentiator::PassBack(const DifferentiationPlan::Step& step, std::size_t which) {
  const ValueId input = step.inputs[which];
  const std::size_t buffer = plan_.buffer_of[input];
  const bool is_computed = buffer != DifferentiationPlan::kNone;
  const bool is_added = is_computed && has_slope_[buffer] && buffer != plan_.buffer_of[step.output];
  float* slope = is_added ? branch_.data() : slope_at_[input];
  backward::Backward(
      step.layer, OperandsOf(step, rows_),
      {.output = at_[step.output], .output_slope = slope_at_[step.output], .which = which, .slope = slope});
  if (is_computed) has_slope_[buffer] = true;
  if (!is_added) return;
  for (std::size_t i = 0; i < rows_ * CountOf(input); ++i) slope_at_[input][i] += slope[i];
}

void Differentiator::BackwardFrom(std::span<const float> logit_slope, std::span<float> input_slope) {
  TACIT_CHECK(rows_ > 0 && logit_slope.size() == rows_ * Classes() && input_slope.size() == rows_ * RowSize(),
              "slopes are of the rows that were computed last");
  std::ranges::copy(logit_slope, LogitSlope().begin());
  for (const ValueId id : in_input_) slope_at_[id] = input_slope.data();
  PassBack(Towards::kInput);
  if (!has_slope_.front()) std::ranges::fill(input_slope, 0.0F);
}

Result<void> Differentiator::CheckBatch(const Batch& batch) const {
  if (batch.y.empty() || batch.x.size() != batch.y.size() * RowSize()) {
    return Fail(ErrorCode::kInvalidArgument, std::to_string(batch.y.size()) + " rows of " + std::to_string(RowSize()) +
                                                 " numbers cannot be " + std::to_string(batch.x.size()) + " numbers");
  }
  const auto largest = std::ranges::max_element(batch.y);
  if (*largest < Classes()) return {};
  return Fail(ErrorCode::kInvalidArgument, "row " + std::to_string(largest - batch.y.begin()) + " is of class " +
                                               std::to_string(*largest) + ", the model has " +
                                               std::to_string(Classes()) + " classes");
}

// Calls `visit(first row, rows)` for a batch in parts that fit, each with its probabilities in LogitSlope.
template <typename Visit>
BatchScore Differentiator::InParts(const Batch& batch, Visit visit) {
  BatchScore total;
  for (std::size_t first = 0; first < batch.y.size(); first += rows_at_once_) {
    const std::size_t rows = std::min(rows_at_once_, batch.y.size() - first);
    const std::span<const std::uint32_t> classes = batch.y.subspan(first, rows);
    Run(batch.x.subspan(first * RowSize(), rows * RowSize()));
    const BatchScore score = Softmax(logits(), classes, LogitSlope());
    total.loss += score.loss;
    total.correct += score.correct;
    visit(first, classes);
  }
  return total;
}

Result<BatchScore> Differentiator::InputGradient(const Batch& batch, std::span<float> gradient) {
  TACIT_TRY_VOID(CheckBatch(batch));
  TACIT_CHECK(gradient.size() == batch.x.size(), "there is room for the gradient");
  return InParts(batch, [&](std::size_t first, std::span<const std::uint32_t> classes) {
    TurnIntoSlope(classes, 1, LogitSlope());
    BackwardFrom(LogitSlope(), gradient.subspan(first * RowSize(), classes.size() * RowSize()));
  });
}

Result<BatchScore> Differentiator::Score(std::span<const float> parameters, const Batch& batch) {
  TACIT_TRY_VOID(CheckBatch(batch));
  Use(parameters);
  return InParts(batch, [](std::size_t, std::span<const std::uint32_t>) {});
}

Result<BatchScore> Differentiator::Gradient(std::span<const float> parameters, const Batch& batch,
                                            std::span<float> gradient) {
  TACIT_TRY_VOID(CheckBatch(batch));
  TACIT_CHECK(gradient.size() == parameters.size(), "the gradient is as long as the parameters");
  Use(parameters);
  std::ranges::fill(gradient, 0.0F);
  for (const Parameter& parameter : plan_.parameters) slope_at_[parameter.value] = gradient.data() + parameter.offset;
  return InParts(batch, [&](std::size_t, std::span<const std::uint32_t> classes) {
    TurnIntoSlope(classes, 1.0F / static_cast<float>(batch.y.size()), LogitSlope());
    PassBack(Towards::kParameters);
  });
}

}  // namespace tacit::inference
