#include "cli/ledger_file.h"

#include <limits>
#include <string>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::cli {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

constexpr std::string_view kDocument = R"({"format": "tacit-ledger/1",
 "policy": {"task": "har", "mechanism": "gaussian", "noise_multiplier": 1.1, "clip_norm": 0.5, "grid_radius": 1048576,
            "cohort": 100, "delta": 1e-06, "epsilon_budget": 8.0, "max_participations": 20, "min_separation": 2,
            "coin": {"probability": 0.25, "population": 400, "max_cohort": 180},
            "clip_tracking": {"bit_steps": 1000, "quantile": 0.5, "learning_rate": 0.2}, "digest": "unread"},
 "latest_version": 1,
 "items": [{"sequence": 1, "kind": "reserve", "round": 1, "mechanism": "gaussian", "noise_multiplier": 1.1,
            "clip_norm": 0.5, "grid_radius": 1048576, "cohort": 100, "at_ms": 1790000000123, "epsilon_after": null,
            "previous": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "hash": "0000000000000000000000000000000000000000000000000000000000000001"}]})";

std::string With(std::string_view from, std::string_view to) {
  std::string text(kDocument);
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(LedgerFile, ReadsEveryField) {
  const auto file = ParseLedgerFile(kDocument);
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->policy.task.str(), "har");
  EXPECT_EQ(file->policy.mechanism, dp::Mechanism::kGaussian);
  EXPECT_EQ(file->policy.noise_multiplier.value(), 1.1);
  EXPECT_EQ(file->policy.clip_norm.value(), 0.5);
  EXPECT_EQ(file->policy.grid_radius.value(), 1048576U);
  EXPECT_EQ(file->policy.cohort, 100U);
  EXPECT_EQ(file->policy.delta.value(), 1e-6);
  EXPECT_EQ(file->policy.budget.value(), 8);
  EXPECT_EQ(file->policy.max_participations, 20U);
  EXPECT_EQ(file->policy.min_separation, 2U);
  ASSERT_TRUE(file->policy.coin.has_value());
  EXPECT_EQ(file->policy.coin->probability.value(), 0.25);
  EXPECT_EQ(file->policy.coin->population, 400U);
  EXPECT_EQ(file->policy.coin->max_cohort, 180U);
  EXPECT_EQ(file->policy.tracking, (dp::ClipTracking{.bit_steps = 1000, .quantile = 0.5, .learning_rate = 0.2}));
  EXPECT_EQ(file->latest_version, 1U);
  ASSERT_EQ(file->entries.size(), 1U);
  const dp::LedgerEntry& entry = file->entries.front();
  EXPECT_EQ(entry.sequence, 1U);
  EXPECT_EQ(entry.kind, dp::LedgerKind::kReserve);
  EXPECT_EQ(entry.round, 1U);
  EXPECT_EQ(entry.cohort, 100U);
  EXPECT_EQ(entry.at, WallTime(Millis(1'790'000'000'123)));
  EXPECT_EQ(entry.epsilon_after, std::numeric_limits<double>::infinity());
  EXPECT_EQ(entry.hash.back(), 1);
}

TEST(LedgerFile, NamesWhatIsWrongAndWhere) {
  const struct {
    std::string_view from;
    std::string_view to;
    std::string_view says;
  } cases[] = {
      {"tacit-ledger/1", "tacit-ledger/2", "no privacy ledger"},
      {"\"latest_version\": 1,", "", "the file: 'latest_version' is missing"},
      {"\"latest_version\": 1", "\"latest_version\": -1", "'latest_version' must be a whole number"},
      {"\"delta\": 1e-06", "\"delta\": 2", "delta is 2"},
      {"\"grid_radius\": 1048576", "\"grid_radius\": 1000", "power of two"},
      {"\"grid_radius\": 1048576", "\"grid_radius\": 18446744073709551615", "the policy: 'grid_radius' is too large"},
      {"\"probability\": 0.25", "\"probability\": 1", "the sampling probability is 1"},
      {"\"task\": \"har\"", "\"task\": \"../har\"", "a task name"},
      {"\"kind\": \"reserve\"", "\"kind\": \"refund\"", "is a \"reserve\""},
      {"\"round\": 1", "\"round\": \"1\"", "item 1: 'round' must be a whole number"},
      {"\"previous\": \"aaaa", "\"previous\": \"xyza", "item 1: 'previous' must be 64 hexadecimal digits"},
      {"\"hash\": \"00", "\"hash\": \"", "item 1: 'hash' must be 64 hexadecimal digits"},
  };
  for (const auto& test : cases) {
    const auto file = ParseLedgerFile(With(test.from, test.to));
    ASSERT_FALSE(file) << test.to;
    EXPECT_THAT(file.error().message, ::testing::HasSubstr(std::string(test.says)));
  }
  EXPECT_THAT(ParseLedgerFile("{"), IsErrorSaying(ErrorCode::kMalformed, "not JSON"));
  EXPECT_THAT(ParseLedgerFile("[]"), IsErrorSaying(ErrorCode::kMalformed, "no privacy ledger"));
  EXPECT_THAT(ParseLedgerFile("{\"format\":\"tacit-ledger/1\",\"policy\":1,\"items\":[]}"),
              IsErrorSaying(ErrorCode::kInvalidArgument, "the policy: 'task' is missing"));
  EXPECT_THAT(ParseLedgerFile("{\"format\":\"tacit-ledger/1\",\"policy\":1,\"items\":3}"),
              IsErrorSaying(ErrorCode::kInvalidArgument, "the file: 'items' must be a list"));
}

}  // namespace
}  // namespace tacit::cli
