#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "benchmarks/detect/mlp.h"
#include "edge_agent/detect/calibration.h"

namespace tacit::benchmark {

/// Rows to attack: all that the model classifies rightly, within [low, high].
struct Victims {
  std::span<const float> x;
  std::span<const std::uint32_t> y;
  float low = 0;
  float high = 1;
};

/// One step along the sign of the gradient. Source: Goodfellow, Shlens, Szegedy 2015, section 4.
std::vector<float> Fgsm(Mlp& model, const Victims& victims, float epsilon);

/// `steps` steps of epsilon / 10 within the ball, from a random place in it. Source: Madry et al. 2018, section 2.1.
std::vector<float> Pgd(Mlp& model, const Victims& victims, float epsilon, int steps);

/// The least change in L2 that makes another class `confidence` logits larger. Source: Carlini, Wagner 2017, section V,
/// with Adam over 150 steps for each of four weights of the loss.
std::vector<float> CarliniWagner(Mlp& model, const Victims& victims, double confidence);

/// PGD that knows the calibration: once another class leads, it descends the evidence of every score, and keeps the
/// iterate that a detector has least against. Source: Tramer et al. 2020, section 3 (adaptive attacks).
std::vector<float> AdaptivePgd(Mlp& model, const Victims& victims, float epsilon,
                               const detect::Calibration& calibration);

}  // namespace tacit::benchmark
