#include "edge_agent/serving/batcher.h"

#include <cstring>

#include "tests/support/matchers.h"

namespace tacit::serving {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

// Doubles each number, and remembers how many rows it was asked about at once.
class Doubler final : public ServedModel {
 public:
  Result<worker::Answer> Infer(std::size_t rows, std::span<const ByteSpan> inputs,
                               std::span<const detect::Asker> askers, SteadyPoint /*deadline*/) override {
    asked.push_back(rows);
    asked_by.assign(askers.begin(), askers.end());
    if (fails) return Fail(ErrorCode::kUnavailable, "no worker");
    worker::Answer answer;
    answer.memory = AlignedBuffer(inputs[0].size());
    std::memcpy(answer.memory.data(), inputs[0].data(), inputs[0].size());
    for (float& value : answer.memory.As<float>()) value *= 2;
    answer.rows = rows;
    answer.outputs = {std::as_const(answer.memory).bytes()};
    return answer;
  }
  [[nodiscard]] worker::SupervisorStatus status() const override { return {}; }

  std::vector<std::size_t> asked;
  std::vector<detect::Asker> asked_by;  // at last
  bool fails = false;
};

std::shared_ptr<Batcher::Job> JobOf(const std::vector<float>& values, std::string version = "1") {
  auto job = std::make_shared<Batcher::Job>();
  job->version = std::move(version);
  job->rows = values.size();
  job->inputs.emplace_back(values.size() * sizeof(float));
  std::memcpy(job->inputs[0].data(), values.data(), values.size() * sizeof(float));
  return job;
}

std::vector<float> ValuesOf(const BatchedAnswer& answer) {
  std::vector<float> values(answer.outputs[0].size() / sizeof(float));
  std::memcpy(values.data(), answer.outputs[0].data(), answer.outputs[0].size());
  return values;
}

TEST(Batcher, RunsWhatWaitsAsOneAndGivesEachItsRows) {
  Doubler model;
  Batcher batcher({.max_rows = 8}, model);
  const auto one = JobOf({1, 2});
  const auto other = JobOf({3});
  batcher.Add(one);
  batcher.Add(other);
  const auto first = batcher.Finish(one);
  const auto second = batcher.Finish(other);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(ValuesOf(*first), (std::vector<float>{2, 4}));
  EXPECT_EQ(ValuesOf(*second), std::vector<float>{6});
  EXPECT_EQ(model.asked, std::vector<std::size_t>{3});
}

TEST(Batcher, SaysWhoseRowsTheyAreAndWhereEachBegins) {
  Doubler model;
  Batcher batcher({.max_rows = 8}, model);
  const auto one = JobOf({1, 2});
  const auto other = JobOf({3});
  one->asker = {1};
  other->asker = {2};
  batcher.Add(one);
  batcher.Add(other);
  const auto first = batcher.Finish(one);
  const auto second = batcher.Finish(other);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(model.asked_by, (std::vector<detect::Asker>{{.identity = {1}, .rows = 2}, {.identity = {2}, .rows = 1}}));
  EXPECT_EQ(first->first_row, 0U);
  EXPECT_EQ(second->first_row, 2U);
  EXPECT_EQ(second->rows, 1U);
}

TEST(Batcher, KeepsToItsRowsAndToOneVersion) {
  Doubler model;
  Batcher batcher({.max_rows = 3}, model);
  const std::vector jobs = {JobOf({1, 2}), JobOf({3}, "2"), JobOf({4, 5}), JobOf({6, 7, 8, 9})};
  for (const auto& job : jobs) batcher.Add(job);
  for (const auto& job : jobs) EXPECT_THAT(batcher.Finish(job), IsOk());
  EXPECT_EQ(model.asked, (std::vector<std::size_t>{2, 1, 2, 4}));
}

TEST(Batcher, FailsAllOfABatchWithTheSameError) {
  Doubler model;
  model.fails = true;
  Batcher batcher({}, model);
  const auto one = JobOf({1});
  const auto other = JobOf({2});
  batcher.Add(one);
  batcher.Add(other);
  EXPECT_THAT(batcher.Finish(one), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(batcher.Finish(other), IsError(ErrorCode::kUnavailable));
}

TEST(Batcher, ForgetsAJobThatWasWithdrawn) {
  Doubler model;
  Batcher batcher({}, model);
  const auto gone = JobOf({1});
  const auto stays = JobOf({2});
  batcher.Add(gone);
  batcher.Withdraw(gone);
  batcher.Add(stays);
  EXPECT_THAT(batcher.Finish(stays), IsOk());
  EXPECT_EQ(model.asked, std::vector<std::size_t>{1});
}

}  // namespace
}  // namespace tacit::serving
