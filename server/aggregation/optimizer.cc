#include "server/aggregation/optimizer.h"

#include <cmath>
#include <cstring>
#include <vector>

namespace tacit::aggregation {
namespace {

using task::Aggregation;

class FedAvg final : public ServerOptimizer {
 public:
  explicit FedAvg(double learning_rate) : learning_rate_(static_cast<float>(learning_rate)) {}
  void Step(std::span<const float> average, std::span<float> model) override {
    for (std::size_t i = 0; i < model.size(); ++i) model[i] += learning_rate_ * average[i];
  }
  [[nodiscard]] Bytes State() const override { return {}; }

 private:
  float learning_rate_;
};

class FedAvgM final : public ServerOptimizer {
 public:
  FedAvgM(const Aggregation& options, std::vector<float> velocity)
      : learning_rate_(static_cast<float>(options.server_learning_rate)),
        momentum_(static_cast<float>(options.momentum)),
        velocity_(std::move(velocity)) {}
  void Step(std::span<const float> average, std::span<float> model) override {
    for (std::size_t i = 0; i < model.size(); ++i) {
      velocity_[i] = momentum_ * velocity_[i] + average[i];
      model[i] += learning_rate_ * velocity_[i];
    }
  }
  [[nodiscard]] Bytes State() const override {
    const ByteSpan bytes = AsBytes(std::span<const float>(velocity_));
    return {bytes.begin(), bytes.end()};
  }

 private:
  float learning_rate_;
  float momentum_;
  std::vector<float> velocity_;
};

class FedAdam final : public ServerOptimizer {
 public:
  /// `moments`: first moments, then second moments.
  FedAdam(const Aggregation& options, std::vector<float> moments)
      : learning_rate_(static_cast<float>(options.server_learning_rate)),
        beta1_(static_cast<float>(options.beta1)),
        beta2_(static_cast<float>(options.beta2)),
        tau_(static_cast<float>(options.tau)),
        moments_(std::move(moments)) {}
  void Step(std::span<const float> average, std::span<float> model) override {
    const std::size_t d = model.size();
    for (std::size_t i = 0; i < d; ++i) {
      float& first = moments_[i];
      float& second = moments_[d + i];
      first = beta1_ * first + (1.0F - beta1_) * average[i];
      second = beta2_ * second + (1.0F - beta2_) * average[i] * average[i];
      model[i] += learning_rate_ * first / (std::sqrt(second) + tau_);
    }
  }
  [[nodiscard]] Bytes State() const override {
    const ByteSpan bytes = AsBytes(std::span<const float>(moments_));
    return {bytes.begin(), bytes.end()};
  }

 private:
  float learning_rate_;
  float beta1_;
  float beta2_;
  float tau_;
  std::vector<float> moments_;
};

Result<std::vector<float>> Unpack(ByteSpan state, std::size_t numbers, float initial) {
  std::vector<float> values(numbers, initial);
  if (state.empty()) return values;
  if (state.size() != numbers * sizeof(float)) {
    return Fail(ErrorCode::kDataLoss, "optimizer state of " + std::to_string(state.size()) + " bytes where " +
                                          std::to_string(numbers * sizeof(float)) + " belong");
  }
  std::memcpy(values.data(), state.data(), state.size());
  return values;
}

}  // namespace

Result<std::unique_ptr<ServerOptimizer>> CreateOptimizer(const Aggregation& options, std::size_t parameters,
                                                         ByteSpan state) {
  switch (options.optimizer) {
    case task::Optimizer::kFedAvg:
      break;
    case task::Optimizer::kFedAvgM: {
      TACIT_TRY(auto velocity, Unpack(state, parameters, 0.0F));
      return std::make_unique<FedAvgM>(options, std::move(velocity));
    }
    case task::Optimizer::kFedAdam: {
      TACIT_TRY(auto moments, Unpack(state, 2 * parameters, 0.0F));
      // Reddi et al. start the second moment at tau squared or above.
      if (state.empty()) {
        const float start = static_cast<float>(options.tau * options.tau);
        for (std::size_t i = parameters; i < moments.size(); ++i) moments[i] = start;
      }
      return std::make_unique<FedAdam>(options, std::move(moments));
    }
  }
  return std::make_unique<FedAvg>(options.server_learning_rate);
}

}  // namespace tacit::aggregation
