#include "benchmarks/detect/scenes.h"

#include <algorithm>
#include <utility>

#include "benchmarks/detect/report.h"
#include "edge_agent/detect/detector.h"

namespace tacit::benchmark {
namespace {

data::Dataset Loaded(const data::DataSource& source) {
  auto rows = data::LoadDataset(source);
  if (!rows) Give(rows.error().message);
  return *std::move(rows);
}

data::Dataset FashionRows(const std::filesystem::path& directory, const std::string& split) {
  return Loaded({.features = directory / (split + "-images-idx3-ubyte.gz"),
                 .labels = directory / (split + "-labels-idx1-ubyte.gz"),
                 .classes = data::LabelRange{.first = 0, .classes = 10},
                 .scale = 1.0 / 255});
}

}  // namespace

Scene FashionScene(const std::filesystem::path& shared) {
  const data::Dataset rows = Shuffled(FashionRows(shared / "fashion-mnist", "train"), 1);
  data::Dataset training = Slice(rows, 0, 20'000);
  Mlp model = Trained(training, {256, 128}, 6);
  return {.name = "fashion",
          .training = std::move(training),
          .calibration = Slice(rows, 20'000, 6'000),
          .held_out = FashionRows(shared / "fashion-mnist", "t10k"),
          .model = std::move(model),
          .low = 0,
          .high = 1,
          .image = detect::Image{.channels = 1, .height = 28, .width = 28},
          .epsilons = {0.05F, 0.1F}};
}

Scene PeopleScene(const std::filesystem::path& shared) {
  const data::Dataset rows =
      Shuffled(Loaded(data::SourceOf({.directory = shared / "har", .split = data::Split::kTrain})), 1);
  data::Dataset training = Slice(rows, 0, 2'500);
  Mlp model = Trained(training, {128, 64}, 20);
  return {.name = "activity",
          .training = std::move(training),
          .calibration = Slice(rows, 2'500, 3'200),
          .held_out = Slice(rows, 5'700, rows.rows - 5'700),
          .model = std::move(model),
          .low = -1,
          .high = 1,
          .image = std::nullopt,
          .epsilons = {0.05F, 0.1F}};
}

data::Dataset OtherPeople(const std::filesystem::path& shared) {
  return Loaded(data::SourceOf({.directory = shared / "har", .split = data::Split::kTest}));
}

detect::Calibration CalibrationOf(Scene& scene, double target, const std::vector<detect::Score>& scores) {
  detect::CalibrationOptions options;
  options.tolerance.target = target;
  options.scores = scores;
  options.image = scene.image;
  options.range = {.low = scene.low, .high = scene.high};
  auto calibration = detect::Calibrate(scene.model, {.x = scene.calibration.x, .labels = scene.calibration.y}, options);
  if (!calibration) Give(calibration.error().message);
  return *std::move(calibration);
}

double SuspiciousShare(Scene& scene, const detect::Calibration& calibration, std::span<const float> input) {
  const auto detector = detect::Detector::Create(calibration, detect::Mode::kFlag, scene.model.shape());
  detect::Answer answer;
  (void)scene.model.Run(input, answer);
  const auto verdicts = detector->Judge(scene.model, input, answer);
  if (!verdicts) Give(verdicts.error().message);
  const auto suspicious =
      std::ranges::count_if(*verdicts, [](const detect::Verdict& verdict) { return verdict.suspicious; });
  return static_cast<double>(suspicious) / static_cast<double>(verdicts->size());
}

data::Dataset RightRows(Scene& scene, std::size_t most) {
  const data::Dataset& rows = scene.held_out;
  const std::vector<std::uint32_t> likely = LikelyOf(scene.model, rows.x);
  data::Dataset right = Slice(rows, 0, 0);
  for (std::size_t i = 0; i < rows.rows && right.rows < most; ++i) {
    if (likely[i] != rows.y[i]) continue;
    const auto row = std::span(rows.x).subspan(i * rows.features, rows.features);
    right.x.insert(right.x.end(), row.begin(), row.end());
    right.y.push_back(rows.y[i]);
    ++right.rows;
  }
  return right;
}

}  // namespace tacit::benchmark
