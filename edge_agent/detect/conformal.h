#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.h"

namespace tacit::detect {

/// Which of n + 1 equally likely ranks a threshold has that a new clean score exceeds with probability `alpha` at most:
/// ceil((n + 1)(1 - alpha)), counted from 1; above n there is none.
/// Source: Vovk, Gammerman, Shafer 2005, section 2.2; Angelopoulos, Bates 2021, equation 1.
[[nodiscard]] std::size_t ConformalRank(std::size_t rows, double alpha);

/// The clean score of that rank. Guarantee: a new score that is exchangeable with these is above it with probability
/// alpha at most, over the draw of both. Errors: kInvalidArgument with too few scores, saying how many are needed.
[[nodiscard]] Result<double> ConformalThreshold(std::vector<double> clean, double alpha);

/// The regularised incomplete beta function I_x(a, b). Shape: a, b > 0; x in [0, 1].
/// Source: NIST DLMF, equation 8.17.22, by the method of Lentz.
[[nodiscard]] double RegularisedBeta(double x, double a, double b);

/// How a false-positive rate may differ from its target.
struct Tolerance {
  double target = 0.01;     ///< In [0.0001, 0.5].
  double within = 0.01;     ///< Either way; at least 0.0005.
  double confidence = 0.9;  ///< With this probability over the draw of the clean rows; below 1.
};

/// The probability that a threshold of `rows` clean rows has a false-positive rate within the tolerance: that rate is
/// Beta(l, n + 1 - l) distributed with l = n + 1 - ConformalRank, if scores have no ties.
/// Source: Vovk 2012, proposition 2a; Angelopoulos, Bates 2021, section 3.2.
[[nodiscard]] double ConfidenceOf(std::size_t rows, const Tolerance& tolerance);

/// The fewest rows from which on ConfidenceOf is at least the confidence asked for.
/// Errors: kInvalidArgument for a tolerance out of its range or one that takes more than ten million rows.
[[nodiscard]] Result<std::size_t> RowsFor(const Tolerance& tolerance);

}  // namespace tacit::detect
