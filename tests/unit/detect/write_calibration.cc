// Writes a calibration of each kind of score into the directory that its argument names.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "edge_agent/detect/policy.h"
#include "tests/unit/detect/clusters.h"

namespace {

using namespace tacit::detect;  // NOLINT(google-build-using-namespace): a tool of tests

template <typename Written>
bool Write(const std::filesystem::path& file, const Written& written_down) {
  const tacit::Bytes bytes = Serialise(written_down);
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return out.good();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_calibration DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  testing::Clusters model;
  const testing::Clusters::Rows rows = testing::Clusters::Draw(1'500, 1);
  CalibrationOptions options = testing::FewRows();
  options.scores = {Score::kGradient};
  const auto gradient = Calibrate(model, {.x = rows.x, .labels = rows.y}, options);
  Calibration picture = *gradient;  // of a size that squeezing takes
  picture.shape = {.inputs = 256, .classes = 3, .features = 0};
  picture.scoring.scores = {Score::kSqueezing};
  picture.scoring.image = Image{.channels = 1, .height = 16, .width = 16};
  const bool written = Write(directory / "seed-shipped", testing::ClusterCalibration()) &&
                       Write(directory / "seed-gradient", *gradient) && Write(directory / "seed-picture", picture) &&
                       Write(directory / "seed-detectors", Detectors{.policy = {}, .calibration = *gradient});
  return written ? 0 : 1;
}
