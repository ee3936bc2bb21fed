#include "edge_agent/detect/engine_model.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "tests/support/matchers.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

// Answers with the number of the output everywhere.
class FakeEngine final : public inference::Engine {
 public:
  inference::Signature ports;

  Result<void> Load(ByteSpan) override { return {}; }
  [[nodiscard]] const inference::Signature& signature() const override { return ports; }
  Result<void> Run(std::size_t, std::span<const ByteSpan>, std::span<const std::span<std::uint8_t>> outputs) override {
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto value = static_cast<float>(i + 1);
      for (std::size_t at = 0; at + sizeof value <= outputs[i].size(); at += sizeof value) {
        std::memcpy(outputs[i].data() + at, &value, sizeof value);
      }
    }
    return {};
  }
  Result<void> InputGradient(std::span<const float>, std::span<const std::uint32_t>, std::span<float> out) override {
    std::ranges::fill(out, 3.0F);
    return {};
  }
  Result<double> TrainStep(const Step&) override { return 0.0; }
  void Wipe() override {}
};

inference::Port PortOf(graph::Shape shape) {
  return {.name = "port", .element = graph::Element::kFloat32, .shape = std::move(shape)};
}

TEST(EngineModel, TakesLogitsFirstAndFeaturesSecond) {
  FakeEngine engine;
  engine.ports = {.inputs = {PortOf({graph::kRows, 1, 4, 4})},
                  .outputs = {PortOf({graph::kRows, 10}), PortOf({graph::kRows, 5})}};
  auto model = EngineModel::Create(engine);
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->shape(), (ModelShape{.inputs = 16, .classes = 10, .features = 5}));
  Answer answer;
  ASSERT_THAT(model->Run(std::vector<float>(32), answer), IsOk());
  EXPECT_EQ(answer.logits, std::vector<float>(20, 1.0F));
  EXPECT_EQ(answer.features, std::vector<float>(10, 2.0F));
  std::vector<float> gradient(16);
  ASSERT_THAT(model->InputGradient(std::vector<float>(16), std::array{0U}, gradient), IsOk());
  EXPECT_EQ(gradient[15], 3.0F);
}

TEST(EngineModel, ShowsNoFeaturesWhereThereIsOneOutput) {
  FakeEngine engine;
  engine.ports = {.inputs = {PortOf({graph::kRows, 3})}, .outputs = {PortOf({graph::kRows, 2})}};
  auto model = EngineModel::Create(engine);
  ASSERT_THAT(model, IsOk());
  Answer answer;
  ASSERT_THAT(model->Run(std::vector<float>(3), answer), IsOk());
  EXPECT_EQ(model->shape().features, 0U);
  EXPECT_TRUE(answer.features.empty());
}

TEST(EngineModel, RefusesWhatDetectorsCannotWatch) {
  FakeEngine engine;
  engine.ports = {.inputs = {PortOf({graph::kRows, 3}), PortOf({graph::kRows, 3})},
                  .outputs = {PortOf({graph::kRows, 2})}};
  EXPECT_THAT(EngineModel::Create(engine), IsError(ErrorCode::kInvalidArgument));
  engine.ports.inputs = {PortOf({graph::kRows, 1 << 20, 1 << 20})};
  EXPECT_THAT(EngineModel::Create(engine), IsError(ErrorCode::kInvalidArgument));
  engine.ports.inputs = {PortOf({graph::kRows, 3})};
  engine.ports.inputs[0].element = graph::Element::kInt8;
  EXPECT_THAT(EngineModel::Create(engine), IsError(ErrorCode::kInvalidArgument));
  engine.ports.inputs = {PortOf({graph::kRows, 3})};
  engine.ports.outputs = {PortOf({graph::kRows, 1})};
  EXPECT_THAT(EngineModel::Create(engine), IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::detect
