// The accountant against the whole table of reference epsilons, where it is at hand:
// $TACIT_SHARED_DIR/reference/accounting.csv. The rows that matter are facts in accounting_test.cc too, so that nothing
// goes unchecked where it is not.
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include <gmock/gmock.h>

#include "dp/accounting.h"
#include "dp/formulas.h"
#include "dp/planning.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using Row = std::map<std::string, std::string>;

std::vector<std::string> SplitCsv(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;  // a doubled quote goes out and in again
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

std::vector<Row> ReadTable(std::ifstream& file) {
  std::string line;
  std::getline(file, line);
  const std::vector<std::string> names = SplitCsv(line);
  std::vector<Row> rows;
  while (std::getline(file, line)) {
    const std::vector<std::string> fields = SplitCsv(line);
    Row row;
    for (std::size_t i = 0; i < names.size() && i < fields.size(); ++i) row[names[i]] = fields[i];
    rows.push_back(row);
  }
  return rows;
}

double NumberOf(const Row& row, const std::string& column) {
  return std::stod(row.at(column));
}
std::uint64_t StepsOf(const Row& row) {
  return std::stoull(row.at("steps"));
}

void CheckEpsilon(const Row& row, Mechanism mechanism) {
  // Twice the clip is the sensitivity under replace-one, which is not our relation but the same formula.
  const double sensitivity = row.at("neighbouring") == "replace-one" ? 2 : 1;
  const double z = NumberOf(row, "noise_multiplier") / sensitivity;
  const double delta = NumberOf(row, "delta");
  const double epsilon = delta == 0 ? LaplacePureEpsilon(z, StepsOf(row))
                                    : Account({.mechanism = mechanism,
                                               .noise_multiplier = testing::MultiplierOf(z),
                                               .compositions = StepsOf(row),
                                               .delta = testing::DeltaOf(delta)})
                                          .epsilon;
  // The column of lower bounds is empty where a closed form makes both ends equal.
  const double lower = NumberOf(row, row.at("eps_lower").empty() ? "eps_exact" : "eps_lower");
  EXPECT_GE(epsilon, lower) << row.at("id");
  EXPECT_LE(epsilon, NumberOf(row, "eps_upper") * 1.01) << row.at("id");
}

void CheckDegenerate(const Row& row) {
  if (row.at("answer") == "same as P06") return;    // P51: without sampling there is nothing to set to one
  if (NumberOf(row, "sampling_prob") == 0) return;  // P50: sampling is not claimed by this version
  const double epsilon = GaussianEpsilon(NumberOf(row, "noise_multiplier"), StepsOf(row), NumberOf(row, "delta"));
  EXPECT_EQ(epsilon, NumberOf(row, "answer")) << row.at("id");
}

void CheckCalibration(const Row& row) {
  if (NumberOf(row, "sampling_prob") != 1) return;
  const std::string& parameters = row.at("params_json");
  const auto epsilon = testing::EpsilonOf(std::stod(parameters.substr(parameters.find(':') + 1)));
  const auto delta = testing::DeltaOf(NumberOf(row, "delta"));
  if (row.at("mechanism") == "calibrate_noise_multiplier") {
    const auto z = CalibrateNoise(
        {.mechanism = Mechanism::kGaussian, .epsilon = epsilon, .delta = delta, .compositions = StepsOf(row)});
    EXPECT_NEAR(z->value() / NumberOf(row, "answer"), 1, 0.002) << row.at("id");
  } else {
    const std::uint64_t rounds =
        RoundsWithinBudget({.mechanism = Mechanism::kGaussian,
                            .noise_multiplier = testing::MultiplierOf(NumberOf(row, "noise_multiplier")),
                            .delta = delta,
                            .budget = epsilon,
                            .max_participations = 1'000'000});
    EXPECT_EQ(static_cast<double>(rounds), NumberOf(row, "answer")) << row.at("id");
  }
}

void CheckConversion(const Row& row) {
  const std::string& parameters = row.at("params_json");
  const double rho = std::stod(parameters.substr(parameters.find(':') + 1));
  EXPECT_NEAR(ZcdpEpsilon(rho, NumberOf(row, "delta")) / NumberOf(row, "answer"), 1, 1e-8) << row.at("id");
}

/// Whether the row is about something this version computes; checks it if so.
bool Check(const Row& row) {
  const std::string& kind = row.at("mechanism");
  if (kind == "gaussian") return CheckEpsilon(row, Mechanism::kGaussian), true;
  if (kind == "laplace") return CheckEpsilon(row, Mechanism::kLaplace), true;
  if (kind == "degenerate") return CheckDegenerate(row), true;
  if (kind.starts_with("calibrate_")) return CheckCalibration(row), true;
  if (kind == "zcdp_to_dp") return CheckConversion(row), true;
  return false;  // sampled, shuffled, distributed and tree mechanisms
}

TEST(ReferenceTable, AgreesInEveryRowThatApplies) {
  const char* const directory = std::getenv("TACIT_SHARED_DIR");
  if (directory == nullptr)
    GTEST_SKIP() << "TACIT_SHARED_DIR is not set; the facts of accounting_test.cc were checked instead";
  const std::string path = std::string(directory) + "/reference/accounting.csv";
  std::ifstream file(path);
  if (!file) {
    const char* const ci = std::getenv("CI");
    ASSERT_FALSE(ci != nullptr && std::string(ci) == "true")
        << "TACIT_SHARED_DIR is set but " << path << " cannot be read";
    GTEST_SKIP() << path << " cannot be read";
  }
  int checked = 0;
  for (const Row& row : ReadTable(file)) checked += Check(row) ? 1 : 0;
  EXPECT_GE(checked, 20);
}

}  // namespace
}  // namespace tacit::dp
