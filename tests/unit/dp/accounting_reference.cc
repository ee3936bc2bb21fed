// Compares the accountants with a table of answers that independent libraries gave, row by row, and prints what it
// found. The table: $TACIT_REFERENCE_CSV, or ../shared/reference/accounting.csv; the page beside it says what its
// columns mean. Exit codes: 0 all rows agree, 1 some do not, 77 there is no table.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "dp/calibration.h"
#include "dp/composition.h"
#include "dp/formulas.h"

namespace tacit::dp {
namespace {

using Json = nlohmann::json;
using Row = std::map<std::string, std::string>;

std::vector<std::string> SplitCsv(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += c;
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  return fields;
}

std::vector<Row> ReadTable(std::istream& file) {
  std::string line;
  std::getline(file, line);
  const std::vector<std::string> names = SplitCsv(line);
  std::vector<Row> rows;
  while (std::getline(file, line)) {
    if (line.empty()) continue;
    const std::vector<std::string> fields = SplitCsv(line);
    Row row;
    for (std::size_t i = 0; i < names.size(); ++i) row[names[i]] = i < fields.size() ? fields[i] : "";
    rows.push_back(row);
  }
  return rows;
}

std::optional<double> Number(const Row& row, const std::string& column) {
  const auto found = row.find(column);
  if (found == row.end() || found->second.empty()) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(found->second.c_str(), &end);
  return *end == 0 ? std::optional(value) : std::nullopt;
}
double NumberOr(const Row& row, const std::string& column, double fallback) {
  return Number(row, column).value_or(fallback);
}
std::uint64_t StepsOf(const Row& row) {
  return static_cast<std::uint64_t>(NumberOr(row, "steps", 1));
}
Json ParametersOf(const Row& row) {
  const std::string& text = row.at("params_json");
  return text.empty() ? Json::object() : Json::parse(text);
}

Neighbouring RelationOf(const Row& row) {
  const std::string& text = row.at("neighbouring");
  if (text == "replace-one") return Neighbouring::kReplaceOne;
  if (text == "replace-with-zero") return Neighbouring::kReplaceWithZero;
  return Neighbouring::kAddOrRemoveOne;
}

/// What a row turned out as.
struct Verdict {
  bool good = true;
  std::string value;
  std::string expected;
  std::string remark;
};

std::string Shown(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

bool Same(double found, double wanted, double tolerance) {
  if (std::isinf(wanted)) return std::isinf(found);
  return std::abs(found - wanted) <= tolerance * std::max(1.0, std::abs(wanted));
}

// "500 x Poisson(q=0.01) Gaussian sigma 1; 10 x Laplace noise multiplier 20"
std::optional<RepeatedStep> ParsePart(const std::string& text) {
  unsigned long long count = 0;
  double q = 0;
  double z = 0;
  if (std::sscanf(text.c_str(), " %llu x Poisson(q=%lf) Gaussian sigma %lf", &count, &q, &z) == 3)
    return RepeatedStep{PoissonGaussianStep{z, q}, count};
  if (std::sscanf(text.c_str(), " %llu x Poisson(q=%lf) Laplace noise multiplier %lf", &count, &q, &z) == 3)
    return RepeatedStep{PoissonLaplaceStep{z, q}, count};
  if (std::sscanf(text.c_str(), " %llu x Gaussian sigma %lf", &count, &z) == 2)
    return RepeatedStep{GaussianStep{z}, count};
  if (std::sscanf(text.c_str(), " %llu x Laplace noise multiplier %lf", &count, &z) == 2)
    return RepeatedStep{LaplaceStep{z}, count};
  return std::nullopt;
}

std::optional<std::vector<RepeatedStep>> ParseParts(const std::string& text) {
  std::vector<RepeatedStep> steps;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ';');) {
    const auto step = ParsePart(part);
    if (!step) return std::nullopt;
    steps.push_back(*step);
  }
  return steps;
}

std::optional<Step> StepOf(const Row& row) {
  const std::string& kind = row.at("mechanism");
  const double z = NumberOr(row, "noise_multiplier", 0);
  const double q = NumberOr(row, "sampling_prob", 1);
  const Json parameters = ParametersOf(row);
  if (kind == "gaussian") return GaussianStep{z};
  if (kind == "laplace") return LaplaceStep{z};
  if (kind == "poisson_gaussian" || kind == "degenerate") return PoissonGaussianStep{z, q};
  if (kind == "poisson_laplace") return PoissonLaplaceStep{z, q};
  if (kind == "fixed_size_without_replacement_gaussian") return FixedSizeGaussianStep{z, q};
  if (kind == "discrete_gaussian") return DiscreteGaussianStep{parameters.at("sigma"), parameters.at("sensitivity")};
  if (kind == "discrete_laplace") return DiscreteLaplaceStep{parameters.at("a"), parameters.at("sensitivity")};
  if (kind == "randomized_response")
    return RandomisedResponseStep{parameters.at("noise_parameter"), parameters.at("num_buckets")};
  if (kind == "black_box_epsilon_delta") return BlackBoxStep{parameters.at("epsilon"), parameters.at("delta")};
  if (kind == "truncated_poisson_gaussian")
    return TruncatedPoissonGaussianStep{z, q, parameters.at("dataset_size"), parameters.at("max_cohort")};
  if (kind == "group_poisson_gaussian") return GroupPoissonGaussianStep{z, q, parameters.at("group_size")};
  if (kind == "skellam") {
    const double deviation = parameters.at("central_stddev");
    const double scale = parameters.at("scale");
    return SkellamStep{deviation * deviation * scale * scale, parameters.at("l1_sensitivity").get<double>() * scale,
                       parameters.at("l2_sensitivity").get<double>() * scale};
  }
  if (kind == "distributed_discrete_gaussian") {
    // Conditional rounding lets a norm grow by this much (Kairouz, Liu, Steinke 2021, proposition 22).
    const double gamma = parameters.at("gamma");
    const double norm = parameters.at("l2_sensitivity").get<double>() / gamma;
    const auto dimension = parameters.at("dimension").get<double>();
    const double beta = parameters.at("beta");
    double squared = (norm + std::sqrt(dimension)) * (norm + std::sqrt(dimension));
    if (beta > 0) {
      squared = std::min(
          squared, norm * norm + dimension / 4 + std::sqrt(2 * std::log(1 / beta)) * (norm + std::sqrt(dimension) / 2));
    }
    return DistributedGaussianStep{parameters.at("local_stddev").get<double>() / gamma, parameters.at("num_clients"),
                                   std::sqrt(squared), parameters.at("dimension")};
  }
  return std::nullopt;
}

class Checker {
 public:
  /// `table`: the sharpest value of every row, by its name.
  Checker(const Row& row, const std::map<std::string, double>& table) : row_(row), table_(table) {}

  Verdict Check() {
    const std::string& kind = row_.at("mechanism");
    if (kind.starts_with("tree_") || kind.starts_with("matrix")) return {true, "-", "-", "not built"};
    if (kind == "calibrate_noise_multiplier") return CheckNoise();
    if (kind == "calibrate_max_steps") return CheckSteps();
    if (kind == "zcdp_to_dp") return CheckConversion();
    if (kind == "degenerate") return CheckDegenerate();
    std::optional<std::vector<RepeatedStep>> steps;
    if (kind == "heterogeneous") {
      steps = ParseParts(row_.at("composition"));
    } else if (const auto step = StepOf(row_)) {
      steps = {{*step, StepsOf(row_)}};
    }
    if (!steps) return {false, "-", "-", "unknown kind of row"};
    return CheckEpsilon(*steps);
  }

 private:
  [[nodiscard]] double delta() const { return NumberOr(row_, "delta", 0); }

  Result<CompositionReport> Ask(const std::vector<RepeatedStep>& steps, Accountant accountant) const {
    return ComposedEpsilon(
        {.steps = steps, .delta = delta(), .neighbouring = RelationOf(row_), .accountant = accountant});
  }

  Verdict CheckEpsilon(const std::vector<RepeatedStep>& steps) const {
    const auto lower = Number(row_, "eps_lower");
    const auto upper = Number(row_, "eps_upper");
    Verdict verdict;
    verdict.expected = "[" + (lower ? Shown(*lower) : "") + ", " + (upper ? Shown(*upper) : "") + "]";
    const double floor = lower.value_or(NumberOr(row_, "eps_exact", 0)) * (1 - 1e-9);
    const auto judge = [&](const char* name, const Result<CompositionReport>& answer, std::optional<double> limit) {
      if (!answer) {
        verdict.good = false;
        verdict.remark += std::string(" ") + name + ": " + answer.error().message;
        return;
      }
      verdict.value += (verdict.value.empty() ? "" : " ") + std::string(name) + " " + Shown(answer->epsilon);
      if (answer->epsilon < floor) {
        verdict.good = false;
        verdict.remark += std::string(" ") + name + " is below the certified bound";
      }
      if (limit && answer->epsilon > *limit) {
        verdict.good = false;
        verdict.remark += std::string(" ") + name + " is above " + Shown(*limit);
      }
    };
    if (upper) {
      const double limit = *upper + std::max(0.01 * *upper, 0.001);
      judge("tightest", Ask(steps, Accountant::kTightest), limit);
      if (delta() >= kMinPldDelta) judge("pld", Ask(steps, Accountant::kPld), limit);
    }
    if (const auto rdp = Number(row_, "eps_rdp")) judge("rdp", Ask(steps, Accountant::kRdp), *rdp * 1.01);
    if (!upper && !Number(row_, "eps_rdp")) {
      verdict.good = false;
      verdict.remark = "the row has nothing to compare with";
    }
    return verdict;
  }

  [[nodiscard]] Target TargetOf() const {
    return {.epsilon = ParametersOf(row_).at("target_epsilon"), .delta = delta(), .neighbouring = RelationOf(row_)};
  }
  [[nodiscard]] Step SampledStep() const {
    return PoissonGaussianStep{NumberOr(row_, "noise_multiplier", 1), NumberOr(row_, "sampling_prob", 1)};
  }

  Verdict CheckNoise() const {
    const double wanted = NumberOr(row_, "answer", 0);
    const auto noise = CalibratedNoise(SampledStep(), StepsOf(row_), TargetOf());
    if (!noise) return {false, "-", Shown(wanted), noise.error().message};
    return {std::abs(*noise / wanted - 1) <= 0.002, Shown(*noise), Shown(wanted) + " to 0.2 %", ""};
  }

  Verdict CheckSteps() const {
    const double wanted = NumberOr(row_, "answer", 0);
    const auto steps = AffordableSteps(SampledStep(), TargetOf());
    if (!steps) return {false, "-", Shown(wanted), steps.error().message};
    const auto found = static_cast<double>(*steps);
    return {found <= wanted && found >= std::floor(wanted * 0.999), Shown(found), Shown(wanted) + " to 0.1 %", ""};
  }

  Verdict CheckConversion() const {
    const double wanted = NumberOr(row_, "answer", 0);
    const double epsilon = ZcdpEpsilon(ParametersOf(row_).at("rho"), delta());
    return {epsilon >= wanted * (1 - 1e-9) && epsilon <= wanted * 1.0001, Shown(epsilon), Shown(wanted), ""};
  }

  Verdict CheckDegenerate() const {
    const std::string& answer = row_.at("answer");
    const std::vector<RepeatedStep> steps{{*StepOf(row_), StepsOf(row_)}};
    const auto found = Ask(steps, Accountant::kTightest);
    if (!found) return {false, "-", answer, found.error().message};
    double wanted = NumberOr(row_, "answer", 0);
    if (answer.starts_with("same as ")) wanted = table_.at(answer.substr(8));
    return {Same(found->epsilon, wanted, 1e-6), Shown(found->epsilon), answer, ""};
  }

  const Row& row_;
  const std::map<std::string, double>& table_;
};

int Run() {
  const char* const named = std::getenv("TACIT_REFERENCE_CSV");
  const std::filesystem::path path = named != nullptr ? named : "../shared/reference/accounting.csv";
  std::ifstream file(path);
  if (!file) {
    std::printf("there is no table at %s\n", path.c_str());
    const char* const ci = std::getenv("CI");
    return named != nullptr || (ci != nullptr && std::string(ci) == "true") ? 1 : 77;
  }
  int bad = 0;
  int not_built = 0;
  const std::vector<Row> rows = ReadTable(file);
  std::map<std::string, double> sharpest;
  for (const Row& row : rows) sharpest[row.at("id")] = NumberOr(row, "eps_best", 0);
  for (const Row& row : rows) {
    Verdict verdict;
    try {
      verdict = Checker(row, sharpest).Check();
    } catch (const Json::exception& exception) {
      verdict = {false, "-", "-", std::string("params_json: ") + exception.what()};
    }
    bad += verdict.good ? 0 : 1;
    not_built += verdict.remark == "not built" ? 1 : 0;
    std::printf("%-4s %-40s %-62s %-30s %s%s\n", row.at("id").c_str(), row.at("mechanism").c_str(),
                verdict.value.c_str(), verdict.expected.c_str(),
                verdict.good ? (verdict.remark.empty() ? "ok" : verdict.remark.c_str()) : "WRONG",
                verdict.good ? "" : verdict.remark.c_str());
  }
  std::printf("%zu rows: %zu agree, %d not built, %d wrong\n", rows.size(),
              rows.size() - static_cast<std::size_t>(bad + not_built), not_built, bad);
  return bad == 0 && !rows.empty() ? 0 : 1;
}

}  // namespace
}  // namespace tacit::dp

int main() {
  return tacit::dp::Run();
}
