#include "edge_agent/inference/perturb.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "common/base/check.h"

namespace tacit::inference {
namespace {

std::unexpected<Error> RefuseAttack(std::string_view rule) {
  return Fail(ErrorCode::kInvalidArgument, "an attack: " + std::string(rule));
}

bool IsAbove0(float value) {
  return value > 0 && std::isfinite(value);
}

bool IsRange(const InputRange& range) {
  return std::isfinite(range.least) && std::isfinite(range.most) && range.least < range.most;
}

// The slope of an objective by rows that are too many to be computed at once. `visit(first row, logits)` sees the
// logits of each part and says the slope.
template <typename SlopeOf>
Result<void> Slopes(Differentiator& model, std::span<const float> x, std::span<float> gradient, SlopeOf slope_of) {
  const std::size_t size = model.RowSize();
  const std::size_t rows = x.size() / size;
  for (std::size_t first = 0; first < rows; first += model.RowsAtOnce()) {
    const std::size_t count = std::min(model.RowsAtOnce(), rows - first);
    TACIT_TRY_VOID(model.Forward(x.subspan(first * size, count * size)));
    model.BackwardFrom(slope_of(first, model.logits()), gradient.subspan(first * size, count * size));
  }
  return {};
}

}  // namespace

PgdOptions FastGradientSign(float radius, const InputRange& range) {
  return {.radius = radius, .step = radius, .steps = 1, .range = range, .seed = std::nullopt};
}

Result<PgdAttack> PgdAttack::Create(const PgdOptions& options) {
  if (!IsAbove0(options.radius)) return RefuseAttack("radius must be greater than 0 and finite");
  if (!IsAbove0(options.step)) return RefuseAttack("step must be greater than 0 and finite");
  if (options.steps < 1) return RefuseAttack("steps must be at least 1");
  if (!IsRange(options.range)) return RefuseAttack("the range must have a least number below the most");
  return PgdAttack(options);
}

// What is both near enough and in the range; where an input is outside the range, no farther out than it is.
float PgdAttack::Within(float number, float of) const {
  const float near = std::min(std::max(number, of - options_.radius), of + options_.radius);
  return std::min(std::max(near, std::min(options_.range.least, of)), std::max(options_.range.most, of));
}

template <typename Climb>
Result<void> PgdAttack::Walk(const Batch& batch, std::span<float> out, Climb climb) {
  TACIT_CHECK(out.size() == batch.x.size(), "there is room for the rows");
  gradient_.resize(std::max(gradient_.size(), out.size()));
  const std::span<float> gradient = std::span(gradient_).first(out.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double start = options_.seed ? 2 * random_.Uniform() - 1 : 0;
    out[i] = Within(batch.x[i] + static_cast<float>(start) * options_.radius, batch.x[i]);
  }
  for (std::uint32_t step = 0; step < options_.steps; ++step) {
    TACIT_TRY_VOID(climb(Batch{.x = out, .y = batch.y}, gradient));
    for (std::size_t i = 0; i < out.size(); ++i) {
      const float direction = static_cast<float>(gradient[i] > 0) - static_cast<float>(gradient[i] < 0);
      out[i] = Within(out[i] + options_.step * direction, batch.x[i]);
    }
  }
  return {};
}

Result<void> PgdAttack::Run(Differentiator& model, const Batch& batch, std::span<float> out) {
  return Walk(batch, out, [&](const Batch& moved, std::span<float> gradient) -> Result<void> {
    TACIT_TRY_VOID(model.InputGradient(moved, gradient));
    return {};
  });
}

Result<void> PgdAttack::Run(Differentiator& model, const Batch& batch, const Objective& objective,
                            std::span<float> out) {
  TACIT_TRY_VOID(model.CheckBatch(batch));
  std::vector<float> slope(model.RowsAtOnce() * model.Classes());
  return Walk(batch, out, [&](const Batch& moved, std::span<float> gradient) {
    return Slopes(model, moved.x, gradient, [&](std::size_t first, std::span<const float> logits) {
      const std::span<float> of_part = std::span(slope).first(logits.size());
      objective(logits, moved.y.subspan(first, logits.size() / model.Classes()), of_part);
      return std::span<const float>(of_part);
    });
  });
}

namespace {

Result<void> CheckOptions(const CarliniWagnerOptions& options) {
  if (options.constants.empty() || !std::ranges::all_of(options.constants, IsAbove0)) {
    return RefuseAttack("constants must be there, greater than 0 and finite");
  }
  if (options.steps < 1) return RefuseAttack("steps must be at least 1");
  if (!IsAbove0(options.learning_rate)) return RefuseAttack("learning_rate must be greater than 0 and finite");
  if (!(options.confidence >= 0)) return RefuseAttack("confidence must be 0 or greater");
  if (!IsRange(options.range)) return RefuseAttack("the range must have a least number below the most");
  return {};
}

// The search for all rows at once. A number of a row is the middle of the range plus half its width times tanh of a
// number that is free to go anywhere.
class NearestSearch {
 public:
  NearestSearch(Differentiator& model, const Batch& batch, const CarliniWagnerOptions& options, std::span<float> best)
      : model_(model),
        batch_(batch),
        options_(options),
        best_(best),
        best_distance_(batch.y.size(), std::numeric_limits<double>::infinity()),
        free_(best.size()),
        moved_(best.size()),
        gradient_(best.size()),
        mean_(best.size()),
        square_(best.size()) {
    std::ranges::copy(batch.x, best.begin());
  }

  Result<std::size_t> Run() {
    for (const float constant : options_.constants) {
      Begin();
      for (std::uint32_t step = 1; step <= options_.steps; ++step) {
        Place();
        TACIT_TRY_VOID(Slopes(model_, moved_, gradient_, [&](std::size_t first, std::span<const float> logits) {
          return SlopeOfLogits(first, logits, constant);
        }));
        Move(step);
      }
    }
    return static_cast<std::size_t>(
        std::ranges::count_if(best_distance_, [](double distance) { return std::isfinite(distance); }));
  }

 private:
  [[nodiscard]] float HalfWidth() const { return (options_.range.most - options_.range.least) / 2; }
  [[nodiscard]] float Middle() const { return (options_.range.most + options_.range.least) / 2; }

  void Begin() {
    constexpr float kInside = 0.999999F;  // the ends of the range are infinitely far away
    for (std::size_t i = 0; i < free_.size(); ++i) {
      free_[i] = std::atanh(std::clamp((batch_.x[i] - Middle()) / HalfWidth(), -1.0F, 1.0F) * kInside);
    }
    std::ranges::fill(mean_, 0.0F);
    std::ranges::fill(square_, 0.0F);
  }

  void Place() {
    for (std::size_t i = 0; i < free_.size(); ++i) moved_[i] = Middle() + HalfWidth() * std::tanh(free_[i]);
  }

  // Keeps what is nearest so far, and says which logits should change: none where one is large enough already.
  std::span<const float> SlopeOfLogits(std::size_t first, std::span<const float> logits, float constant) {
    const std::size_t classes = model_.Classes();
    slope_.assign(logits.size(), 0.0F);
    for (std::size_t row = 0; row < logits.size() / classes; ++row) {
      const std::span<const float> of_row = logits.subspan(row * classes, classes);
      const std::size_t right = batch_.y[first + row];
      const std::size_t other = LargestBut(of_row, right);
      const float lead = of_row[other] - of_row[right];
      if (lead > 0 && lead >= options_.confidence) Keep(first + row);
      if (lead > 0 && lead >= options_.confidence + 1e-3F) continue;
      slope_[row * classes + right] = constant;
      slope_[row * classes + other] = -constant;
    }
    return slope_;
  }

  static std::size_t LargestBut(std::span<const float> logits, std::size_t right) {
    std::size_t largest = right == 0 ? 1 : 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (i != right && logits[i] > logits[largest]) largest = i;
    }
    return largest;
  }

  void Keep(std::size_t row) {
    const std::size_t size = model_.RowSize();
    double distance = 0;
    for (std::size_t i = row * size; i < (row + 1) * size; ++i) {
      const double change = static_cast<double>(moved_[i]) - static_cast<double>(batch_.x[i]);
      distance += change * change;
    }
    if (!(distance < best_distance_[row])) return;
    best_distance_[row] = distance;
    std::ranges::copy(std::span(moved_).subspan(row * size, size), best_.subspan(row * size, size).begin());
  }

  // Down the slope of distance and objective. Source: Kingma and Ba 2015, algorithm 1, with its own constants.
  void Move(std::uint32_t step) {
    constexpr float kKeepMean = 0.9F;
    constexpr float kKeepSquare = 0.999F;
    const auto steps = static_cast<float>(step);
    const float mean_share = 1 - std::pow(kKeepMean, steps);
    const float square_share = 1 - std::pow(kKeepSquare, steps);
    for (std::size_t i = 0; i < free_.size(); ++i) {
      const float place = std::tanh(free_[i]);
      const float slope = (gradient_[i] + 2 * (moved_[i] - batch_.x[i])) * HalfWidth() * (1 - place * place);
      mean_[i] = kKeepMean * mean_[i] + (1 - kKeepMean) * slope;
      square_[i] = kKeepSquare * square_[i] + (1 - kKeepSquare) * slope * slope;
      free_[i] -= options_.learning_rate * (mean_[i] / mean_share) / (std::sqrt(square_[i] / square_share) + 1e-8F);
    }
  }

  Differentiator& model_;
  const Batch& batch_;
  const CarliniWagnerOptions& options_;
  std::span<float> best_;
  std::vector<double> best_distance_;
  std::vector<float> free_;
  std::vector<float> moved_;
  std::vector<float> gradient_;
  std::vector<float> mean_;
  std::vector<float> square_;
  std::vector<float> slope_;
};

}  // namespace

Result<std::size_t> CarliniWagnerL2(Differentiator& model, const Batch& batch, const CarliniWagnerOptions& options,
                                    std::span<float> out) {
  TACIT_TRY_VOID(CheckOptions(options));
  TACIT_TRY_VOID(model.CheckBatch(batch));
  if (model.Classes() < 2) return RefuseAttack("the model must have two classes or more");
  TACIT_CHECK(out.size() == batch.x.size(), "there is room for the rows");
  return NearestSearch(model, batch, options, out).Run();
}

}  // namespace tacit::inference
