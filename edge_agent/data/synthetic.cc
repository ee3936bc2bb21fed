#include "edge_agent/data/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <span>
#include <string>

#include "common/base/random.h"

namespace tacit::data {
namespace {

constexpr std::size_t kWindow = 128;
constexpr double kSampleRate = 50;
constexpr double kTwoPi = 2 * std::numbers::pi;
constexpr std::uint32_t kMaxRows = 1U << 20U;
constexpr std::uint32_t kTestDevices = 10;
constexpr std::uint32_t kTestRowsPerDevice = 200;

using Signal = std::array<double, kWindow>;
using Vector3 = std::array<double, 3>;
using Matrix3 = std::array<Vector3, 3>;

double Normal(SplitMix64& random) {
  // 1 - u is in (0, 1]: the logarithm is finite. Source: Box and Muller 1958.
  return std::sqrt(-2 * std::log(1 - random.Uniform())) * std::cos(kTwoPi * random.Uniform());
}

double Between(SplitMix64& random, double low, double high) {
  return low + (high - low) * random.Uniform();
}

// What is typical of an activity. Units: Hz, g; the posture is the direction of gravity in the body's frame.
struct Activity {
  double step_frequency;
  double bounce;      ///< Of the body's vertical, at the step frequency.
  double sway;        ///< Sideways, at half the step frequency.
  double thrust;      ///< Forward, at the step frequency, a quarter turn later.
  double impact;      ///< Share of the second harmonic: hard steps.
  double slow_drift;  ///< Wandering of the posture within a window.
  Vector3 posture;
};

constexpr std::array<Activity, kSyntheticClasses> kActivities{{
    {1.90, 0.28, 0.10, 0.16, 0.45, 0.02, {0.00, 0.02, 1.00}},     // walking
    {1.62, 0.24, 0.13, 0.11, 0.30, 0.03, {0.14, 0.02, 0.99}},     // walking upstairs
    {2.12, 0.36, 0.11, 0.13, 0.75, 0.03, {-0.07, 0.02, 1.00}},    // walking downstairs
    {0.25, 0.006, 0.006, 0.008, 0.1, 0.012, {0.33, 0.06, 0.94}},  // sitting
    {0.35, 0.008, 0.012, 0.010, 0.1, 0.018, {0.05, 0.02, 1.00}},  // standing
    {0.22, 0.005, 0.004, 0.005, 0.1, 0.006, {0.85, 0.35, 0.38}},  // lying
}};

// How one device differs from all others.
struct Device {
  double gain;
  double gait;
  double vigour;
  double noise;
  Matrix3 mounting;
  std::array<double, kSyntheticClasses> activity_weights;
};

Matrix3 Multiply(const Matrix3& a, const Matrix3& b) {
  Matrix3 product{};
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) product[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
  }
  return product;
}

// Turns by `angle` radians around the axis that is left out of (i, j).
Matrix3 Turn(std::size_t i, std::size_t j, double angle) {
  Matrix3 turn{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  turn[i][i] = turn[j][j] = std::cos(angle);
  turn[i][j] = -std::sin(angle);
  turn[j][i] = std::sin(angle);
  return turn;
}

Device MakeDevice(SplitMix64& random, Split split) {
  Device device{};
  device.gain = Between(random, 0.92, 1.08);
  device.gait = Between(random, 0.92, 1.08);
  device.vigour = std::exp(0.18 * Normal(random));
  device.noise = Between(random, 0.006, 0.02);
  device.mounting = Multiply(Turn(0, 1, 0.15 * Normal(random)),
                             Multiply(Turn(0, 2, 0.09 * Normal(random)), Turn(1, 2, 0.09 * Normal(random))));
  for (double& weight : device.activity_weights) {
    weight = split == Split::kTest ? 1 : std::exp(0.9 * Normal(random));
  }
  return device;
}

std::uint32_t DrawActivity(const Device& device, SplitMix64& random) {
  const auto& weights = device.activity_weights;
  double left = random.Uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::uint32_t i = 0; i + 1 < kSyntheticClasses; ++i) {
    left -= weights[i];
    if (left < 0) return i;
  }
  return kSyntheticClasses - 1;
}

struct Window {
  std::array<Signal, 3> axis;
};

// Posture plus steps, in the body's frame, turned into the device's frame, with gain and noise.
Window Simulate(const Activity& activity, const Device& device, SplitMix64& random) {
  const double frequency = activity.step_frequency * device.gait * (1 + 0.06 * Normal(random));
  const double vigour = device.vigour * std::exp(0.15 * Normal(random));
  const double phase = kTwoPi * random.Uniform();
  const double sway_phase = kTwoPi * random.Uniform();
  const double drift_phase = kTwoPi * random.Uniform();
  Vector3 posture = activity.posture;
  for (double& part : posture) part += 0.06 * Normal(random);

  Window window{};
  for (std::size_t t = 0; t < kWindow; ++t) {
    const double angle = kTwoPi * frequency * static_cast<double>(t) / kSampleRate + phase;
    const double drift =
        activity.slow_drift * std::sin(kTwoPi * 0.3 * static_cast<double>(t) / kSampleRate + drift_phase);
    const Vector3 body = {
        posture[0] + drift + vigour * activity.thrust * std::cos(angle),
        posture[1] + vigour * activity.sway * std::sin(angle / 2 + sway_phase),
        posture[2] - drift + vigour * activity.bounce * (std::sin(angle) + activity.impact * std::sin(2 * angle + 0.7)),
    };
    for (std::size_t i = 0; i < 3; ++i) {
      const Vector3& row = device.mounting[i];
      const double felt = row[0] * body[0] + row[1] * body[1] + row[2] * body[2];
      window.axis[i][t] = device.gain * felt + device.noise * Normal(random);
    }
  }
  return window;
}

double Mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double Covariance(const Signal& a, const Signal& b) {
  const double mean_a = Mean(a);
  const double mean_b = Mean(b);
  double sum = 0;
  for (std::size_t t = 0; t < kWindow; ++t) sum += (a[t] - mean_a) * (b[t] - mean_b);
  return sum / kWindow;
}

double Correlation(const Signal& a, const Signal& b) {
  return Covariance(a, b) / std::sqrt(Covariance(a, a) * Covariance(b, b) + 1e-12);
}

// Power of the signal at DFT bin `bin`. Source: Goertzel 1958.
double PowerAt(const Signal& signal, double mean, int bin) {
  const double coefficient = 2 * std::cos(kTwoPi * bin / static_cast<double>(kWindow));
  double last = 0;
  double before = 0;
  for (const double value : signal) {
    const double next = value - mean + coefficient * last - before;
    before = last;
    last = next;
  }
  return (last * last + before * before - coefficient * last * before) / (kWindow * kWindow / 4.0);
}

// Amplitude in the bins first to last; a bin is 0.39 Hz wide.
double BandAmplitude(const Signal& signal, double mean, int first, int last) {
  double power = 0;
  for (int bin = first; bin <= last; ++bin) power += PowerAt(signal, mean, bin);
  return std::sqrt(std::max(power, 0.0));
}

double Autocorrelation(const Signal& signal, double mean, std::size_t lag) {
  double sum = 0;
  double energy = 1e-9;
  for (std::size_t t = 0; t < kWindow; ++t) {
    energy += (signal[t] - mean) * (signal[t] - mean);
    if (t >= lag) sum += (signal[t] - mean) * (signal[t - lag] - mean);
  }
  return sum / energy;
}

// Appends features already scaled.
class FeatureRow {
 public:
  explicit FeatureRow(std::vector<float>& out) : out_(out) {}
  void Add(double value, double scale) { out_.push_back(static_cast<float>(std::clamp(value * scale, -2.0, 2.0))); }

  void AddSignal(const Signal& signal) {
    const double mean = Mean(signal);
    AddMoments(signal, mean);
    constexpr std::array<std::array<int, 2>, 6> kBands{{{1, 2}, {3, 4}, {5, 5}, {6, 8}, {9, 12}, {13, 25}}};
    for (const auto& [first, last] : kBands) Add(BandAmplitude(signal, mean, first, last), 2.5);
    Add(Autocorrelation(signal, mean, 12), 1);
    Add(Autocorrelation(signal, mean, 25), 1);
  }

 private:
  void AddMoments(const Signal& signal, double mean) {
    double steps = 0;
    double crossings = 0;
    for (std::size_t t = 1; t < kWindow; ++t) {
      steps += std::abs(signal[t] - signal[t - 1]);
      crossings += (signal[t] > mean) != (signal[t - 1] > mean) ? 1 : 0;
    }
    const auto [least, most] = std::ranges::minmax(signal);
    Add(mean, 0.9);
    Add(std::sqrt(Covariance(signal, signal)), 3);
    Add(least, 0.7);
    Add(most, 0.6);
    Add(steps / kWindow, 10);
    Add(crossings / kWindow, 2);
  }

  std::vector<float>& out_;
};

void AppendFeatures(const Window& window, std::vector<float>& out) {
  const auto& [x, y, z] = window.axis;
  Signal magnitude{};
  for (std::size_t t = 0; t < kWindow; ++t) magnitude[t] = std::hypot(x[t], y[t], z[t]) - 1;
  FeatureRow row(out);
  for (const Signal* signal : {&x, &y, &z, static_cast<const Signal*>(&magnitude)}) row.AddSignal(*signal);
  row.Add(Correlation(x, y), 1);
  row.Add(Correlation(x, z), 1);
  row.Add(Correlation(y, z), 1);
  row.Add(Mean(z) / std::hypot(Mean(x), Mean(y), Mean(z)), 1);
}

}  // namespace

Result<Dataset> SyntheticSensorWindows(const SyntheticOptions& options) {
  if (options.device_index >= options.devices) {
    return Fail(ErrorCode::kInvalidArgument, "synthetic data: device " + std::to_string(options.device_index) +
                                                 " must be below the number of devices, " +
                                                 std::to_string(options.devices));
  }
  if (options.rows < 1 || options.rows > kMaxRows) {
    return Fail(ErrorCode::kInvalidArgument, "synthetic data: rows must be 1 to " + std::to_string(kMaxRows));
  }
  // A stream of its own for each seed, split and device.
  SplitMix64 fleet(options.seed * 2 + (options.split == Split::kTest ? 1 : 0));
  SplitMix64 random(fleet() ^ (std::uint64_t{options.device_index} * 0xd1342543de82ef95ULL));
  const Device device = MakeDevice(random, options.split);
  Dataset dataset{.rows = options.rows, .features = kSyntheticFeatures, .classes = kSyntheticClasses, .x = {}, .y = {}};
  dataset.x.reserve(std::size_t{options.rows} * kSyntheticFeatures);
  for (std::uint32_t i = 0; i < options.rows; ++i) {
    dataset.y.push_back(DrawActivity(device, random));
    AppendFeatures(Simulate(kActivities[dataset.y.back()], device, random), dataset.x);
  }
  return dataset;
}

void AppendRows(Dataset& into, const Dataset& rows) {
  into.rows += rows.rows;
  into.features = rows.features;
  into.classes = rows.classes;
  into.x.insert(into.x.end(), rows.x.begin(), rows.x.end());
  into.y.insert(into.y.end(), rows.y.begin(), rows.y.end());
}

Result<Dataset> SyntheticHeldOut() {
  Dataset all;
  for (std::uint32_t i = 0; i < kTestDevices; ++i) {
    TACIT_TRY(const Dataset rows,
              SyntheticSensorWindows(
                  {.device_index = i, .devices = kTestDevices, .rows = kTestRowsPerDevice, .split = Split::kTest}));
    AppendRows(all, rows);
  }
  return all;
}

}  // namespace tacit::data
