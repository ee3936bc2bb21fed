#include "edge_agent/serving/model_server.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace tacit::serving {
namespace {

// Is asked for its state alone.
class Standing final : public ServedModel {
 public:
  Result<worker::Answer> Infer(std::size_t /*rows*/, std::span<const ByteSpan> /*inputs*/,
                               std::span<const detect::Asker> /*askers*/, SteadyPoint /*deadline*/) override {
    return Fail(ErrorCode::kUnavailable, "it answers nothing");
  }
  [[nodiscard]] worker::SupervisorStatus status() const override { return state; }

  worker::SupervisorStatus state;
};

TEST(ModelServer, CountsWhatBecameOfWorkersAndSaysWhichVersionServes) {
  Standing model;
  const tacit::testing::FakeClock clock;
  ModelServer server({.model_name = "har"}, model, clock);
  EXPECT_EQ(server.Counted(), detect::Tally());
  model.state.serving = true;
  model.state.version = "17";
  model.state.endings = 5;
  model.state.changed_weights = 2;
  model.state.refused_calls = 1;
  model.state.model.emplace();
  detect::Tally expected{.model_version = 17, .worker_endings = 5, .changed_weights = 2, .refused_calls = 1};
  EXPECT_EQ(server.Counted(), expected);
  model.state.model->detectors = {.calibration = {7}, .policy = {}};
  expected.calibration = {7};
  EXPECT_EQ(server.Counted(), expected);
  model.state.serving = false;
  expected.calibration = {};
  expected.model_version = 0;
  EXPECT_EQ(server.Counted(), expected) << "what was counted stays";
  server.Stop();
}

}  // namespace
}  // namespace tacit::serving
