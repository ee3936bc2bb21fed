// Writes a calibration of each kind of score into the directory that its argument names.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/detect/clusters.h"

namespace {

using namespace tacit::detect;  // NOLINT(google-build-using-namespace): a tool of tests

bool Write(const std::filesystem::path& file, const Calibration& calibration) {
  const tacit::Bytes bytes = Serialise(calibration);
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
                       Write(directory / "seed-gradient", *gradient) && Write(directory / "seed-picture", picture);
  return written ? 0 : 1;
}
