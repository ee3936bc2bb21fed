// Averages two updates with the installed library: enough to need every object file that the package must hold.
#include <array>
#include <cstdint>
#include <cstdio>

#include "dp/clip.h"
#include "dp/ledger.h"
#include "dp/planning.h"
#include "dp/release.h"

namespace {

class NoNoise final : public tacit::Keystream {
 public:
  void Fill(std::uint64_t /*first*/, std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = 0;
  }
  Block MoreFor(std::uint64_t /*word*/) override { return {}; }
};

}  // namespace

int main() {
  const auto z = tacit::dp::CalibrateNoise({.mechanism = tacit::dp::Mechanism::kGaussian,
                                            .epsilon = *tacit::dp::Epsilon::Create(8),
                                            .delta = *tacit::dp::Delta::Create(1e-5),
                                            .compositions = 20});
  if (!z) return 1;

  const auto clip = *tacit::dp::ClipNorm::Create(1);
  const auto radius = *tacit::dp::GridRadius::Create(1024);
  const tacit::RoundKey round{.task = *tacit::TaskId::Parse("consumer"), .round = 1};
  auto sum = tacit::dp::UnnoisedSum::Create(
      {.round = round, .mechanism = tacit::dp::Mechanism::kNone, .grid_radius = radius, .parameters = 2});
  if (!sum) return 2;
  for (const std::array<float, 2> update : {std::array{0.5F, 0.25F}, std::array{0.0F, -0.75F}}) {
    std::array<std::int32_t, 2> grid{};
    if (!tacit::dp::ClipToGrid(update, clip, radius, tacit::dp::Norm::kL2, grid)) return 3;
    if (!sum->Add(grid)) return 4;
  }
  NoNoise bits;
  const auto average = tacit::dp::ReleaseAverage(
      *std::move(sum),
      tacit::dp::NoPrivacyToken({.round = round, .clip_norm = clip, .grid_radius = radius, .divisor = 2}), bits);
  if (!average || (*average)[0] != 0.25F || (*average)[1] != -0.25F) return 5;
  std::printf("noise multiplier %g\n", z->value());
  return 0;
}
