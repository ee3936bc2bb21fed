// How fast noise is drawn and epsilon is computed, beside references that are measured in the same run. Prints one JSON
// row a line: name, value, unit, baseline, ratio (how many times better than the baseline), goal, holds.
// Noise is judged by std::normal_distribution<double> with mt19937_64, and shown again beside a faster form of it.
// Times are CPU times of this process, the median of several passes that alternate with the baseline's.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/crypto/random.h"
#include "dp/calibration.h"
#include "dp/composition.h"
#include "dp/noise.h"

namespace {

namespace dp = tacit::dp;
using Json = nlohmann::ordered_json;
using tacit::crypto::AesKeystream;
using tacit::crypto::SecretKey;

constexpr int kPasses = 7;

double CpuSeconds() {
  std::timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Seconds that `work` takes.
double Timed(const std::function<void()>& work) {
  const double start = CpuSeconds();
  work();
  return CpuSeconds() - start;
}

/// Keeps a result that nobody looks at.
volatile double sink = 0;

void Print(const std::string& name, double value, const std::string& unit, std::optional<double> baseline,
           std::optional<double> goal, bool smaller_is_better_goal) {
  const std::optional<double> ratio = baseline ? std::optional(*baseline / value) : std::nullopt;
  const auto or_null = [](const std::optional<double>& number) { return number ? Json(*number) : Json(nullptr); };
  Json holds = nullptr;
  if (goal) holds = smaller_is_better_goal ? value <= *goal : ratio.value_or(0) >= *goal;
  const Json row = {{"name", name},
                    {"value", value},
                    {"unit", unit},
                    {"baseline", or_null(baseline)},
                    {"ratio", or_null(ratio)},
                    {"goal", or_null(goal)},
                    {"holds", holds}};
  std::printf("%s\n", row.dump().c_str());
  std::fflush(stdout);
}

// ---- Noise ----

constexpr std::size_t kDraws = std::size_t{1} << 21U;

double StandardNormal() {
  std::mt19937_64 generator(1);
  std::normal_distribution<double> normal;
  double sum = 0;
  const double seconds = Timed([&] {
    for (std::size_t i = 0; i < kDraws; ++i) sum += normal(generator);
  });
  sink = sum;
  return seconds / kDraws * 1e9;
}

/// The same method and generator with uniforms made by one multiplication: what std::normal_distribution is where its
/// library does not take the logarithm of a long double, each time, to find out how many bits a generator gives.
double PolarNormalWithoutLongDouble() {
  std::mt19937_64 generator(1);
  const auto uniform = [&] { return static_cast<double>(generator() >> 11U) * 0x1p-52 - 1; };
  double sum = 0;
  const double seconds = Timed([&] {
    for (std::size_t i = 0; i < kDraws; i += 2) {
      double x = 0;
      double y = 0;
      double square = 0;
      do {
        x = uniform();
        y = uniform();
        square = x * x + y * y;
      } while (square > 1 || square == 0);
      const double scale = std::sqrt(-2 * std::log(square) / square);
      sum += x * scale;
      sum += y * scale;
    }
  });
  sink = sum;
  return seconds / kDraws * 1e9;
}

double NanosecondsADraw(const dp::NoiseSampler& sampler, dp::NoiseSampler::Path path) {
  AesKeystream bits(SecretKey::Random());
  // In cache, so that memory is not what is measured.
  std::vector<std::int64_t> values(std::size_t{1} << 13U, 0);
  const double seconds = Timed([&] {
    for (std::size_t done = 0; done < kDraws; done += values.size()) sampler.AddTo(values, done, bits, path);
  });
  sink = static_cast<double>(values[0]);
  return seconds / kDraws * 1e9;
}

void MeasureNoise() {
  using Path = dp::NoiseSampler::Path;
  struct Case {
    const char* name;
    dp::NoiseSampler sampler;
    double goal_fastest;  ///< Nothing is asked of a case where it is 0.
  };
  const std::array cases = {Case{"gaussian.sigma_150", *dp::NoiseSampler::Gaussian(150), 20},
                            Case{"gaussian.sigma_14400", *dp::NoiseSampler::Gaussian(14'400), 20},
                            Case{"gaussian.sigma_1300000", *dp::NoiseSampler::Gaussian(1'300'000), 12},
                            Case{"gaussian.sigma_100000000", *dp::NoiseSampler::Gaussian(100'000'000), 0},
                            Case{"laplace.scale_14400", *dp::NoiseSampler::Laplace(14'400), 0},
                            Case{"laplace.scale_1300000", *dp::NoiseSampler::Laplace(1'300'000), 0}};
  std::vector<std::pair<const char*, Path>> paths = {{"portable", Path::kPortable}, {"fastest", Path::kFastest}};
  if (dp::NoiseSampler::Has(Path::kAvx2)) paths.insert(paths.begin() + 1, {"avx2", Path::kAvx2});
  std::vector<double> standard;
  std::vector<double> polar;
  std::vector<std::vector<double>> draws(cases.size() * paths.size());
  for (int pass = 0; pass < kPasses; ++pass) {
    standard.push_back(StandardNormal());
    polar.push_back(PolarNormalWithoutLongDouble());
    for (std::size_t i = 0; i < draws.size(); ++i)
      draws[i].push_back(NanosecondsADraw(cases[i / paths.size()].sampler, paths[i % paths.size()].second));
  }
  Print("dp.std_normal_distribution", Median(standard), "ns/draw", std::nullopt, std::nullopt, true);
  Print("dp.polar_without_long_double", Median(polar), "ns/draw", Median(standard), std::nullopt, true);
  for (std::size_t i = 0; i < draws.size(); ++i) {
    const Case& that = cases[i / paths.size()];
    const auto& [path_name, path] = paths[i % paths.size()];
    const std::string name = std::string("dp.") + that.name + "." + path_name;
    std::optional<double> goal;
    if (that.goal_fastest > 0 && path == Path::kPortable) goal = 1.3;
    if (that.goal_fastest > 0 && path == Path::kFastest && dp::NoiseSampler::Has(Path::kAvx512))
      goal = that.goal_fastest;
    // The goals speak of std::normal_distribution. How much of a ratio is that one's logarithm, the other row shows.
    Print(name, Median(draws[i]), "ns/draw", Median(standard), goal, false);
    Print(name + ".against_polar_without_long_double", Median(draws[i]), "ns/draw", Median(polar), std::nullopt, false);
  }
}

void MeasureStreaming() {
  constexpr std::size_t kCoordinates = 100'000'000;
  std::vector<std::int64_t> values(kCoordinates, 1);
  const auto plain = [&] {
    for (std::int64_t& value : values) value += 3;
    sink = static_cast<double>(values[kCoordinates / 2]);
  };
  AesKeystream bits(SecretKey::Random());
  for (const std::uint64_t sigma : {150U, 14'400U, 1'300'000U}) {
    const auto sampler = *dp::NoiseSampler::Gaussian(sigma);
    std::vector<double> adding;
    std::vector<double> noising;
    for (int pass = 0; pass < 3; ++pass) {
      adding.push_back(Timed(plain));
      noising.push_back(Timed([&] { sampler.AddTo(values, 0, bits); }));
    }
    Print("dp.noise_on_100M_int64.sigma_" + std::to_string(sigma), Median(noising), "s", Median(adding), std::nullopt,
          true);
  }
}

// ---- Accountants ----

double EpsilonOf(const dp::Step& step, std::uint64_t count, double delta, dp::Accountant accountant) {
  const dp::RepeatedStep repeated{step, count};
  return dp::ComposedEpsilon({.steps = {&repeated, 1}, .delta = delta, .accountant = accountant})->epsilon;
}

void MeasureMilliseconds(const std::string& name, std::optional<double> goal, const std::function<double()>& work) {
  std::vector<double> passes;
  for (int pass = 0; pass < kPasses; ++pass) passes.push_back(Timed([&] { sink = work(); }) * 1e3);
  Print("dp." + name, Median(passes), "ms", std::nullopt, goal, true);
}

void MeasureAccountants() {
  const dp::PoissonGaussianStep usual{1.0, 0.01};
  for (const std::uint64_t steps : {1000U, 10'000U, 100'000U}) {
    MeasureMilliseconds("pld.cold.steps_" + std::to_string(steps), 10,
                        [&] { return EpsilonOf(usual, steps, 1e-6, dp::Accountant::kPld); });
    // The same schedule, a hundredth longer each time.
    dp::LossMemory memory;
    std::uint64_t longer = steps;
    MeasureMilliseconds("pld.incremental.steps_" + std::to_string(steps), 3, [&] {
      const dp::RepeatedStep repeated{usual, longer += steps / 100};
      return dp::ComposedEpsilon({.steps = {&repeated, 1}, .delta = 1e-6, .accountant = dp::Accountant::kPld}, memory)
          ->epsilon;
    });
    MeasureMilliseconds("rdp.steps_" + std::to_string(steps), 1,
                        [&] { return EpsilonOf(usual, steps, 1e-6, dp::Accountant::kRdp); });
  }
  MeasureMilliseconds("pld.cold.steps_100000.delta_1e-10", 10,
                      [&] { return EpsilonOf(usual, 100'000, 1e-10, dp::Accountant::kPld); });
  MeasureMilliseconds("affordable_steps", std::nullopt, [&] {
    return static_cast<double>(
        *dp::AffordableSteps(usual, {.epsilon = 3, .delta = 1e-6, .accountant = dp::Accountant::kPld}));
  });
  MeasureMilliseconds("pld.cold.tiny_sampling", std::nullopt, [&] {
    return EpsilonOf(dp::PoissonGaussianStep{1.0, 1e-4}, 100'000, 1e-8, dp::Accountant::kPld);
  });
  MeasureMilliseconds("exact.gaussian", std::nullopt,
                      [&] { return EpsilonOf(dp::GaussianStep{5}, 1000, 1e-6, dp::Accountant::kExact); });
  MeasureMilliseconds("calibration", 200, [&] {
    return *dp::CalibratedNoise(usual, 1000, {.epsilon = 2, .delta = 1e-6, .accountant = dp::Accountant::kPld});
  });
}

}  // namespace

int main(int argc, char** argv) {
  const bool only_accountants = argc > 1 && std::string_view(argv[1]) == "accountants";
  if (!only_accountants) {
    MeasureNoise();
    MeasureStreaming();
  }
  MeasureAccountants();
  return 0;
}
