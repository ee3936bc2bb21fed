#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "common/base/result.h"

namespace tacit::detect {

/// A rising curve that turns a score into evidence: -log of the share of clean rows that score at least as much, in
/// nats. Between its knots, and beyond the last of them, it is linear: a tail that falls exponentially, so that a score
/// beyond all that was seen is worth more than the largest that was. Whatever it is fitted on, it is one fixed monotone
/// curve afterwards, so thresholds from other rows keep their guarantee.
class EvidenceCurve {
 public:
  static constexpr std::size_t kMaxKnots = 48;
  static constexpr std::size_t kMinRows = 100;
  static constexpr double kMost = 1000;  ///< What a score that is not a number is worth, and the most that any is.

  struct Knot {
    double score = 0;
    double evidence = 0;
    bool operator==(const Knot&) const = default;
  };

  EvidenceCurve() = default;
  /// Errors: kInvalidArgument for fewer than kMinRows scores, or one that is not finite.
  static Result<EvidenceCurve> Fit(std::vector<double> clean);
  /// Errors: kMalformed unless 1 to kMaxKnots finite knots rise in both numbers and the tail is finite and positive.
  static Result<EvidenceCurve> FromKnots(std::vector<Knot> knots, double tail);

  [[nodiscard]] double operator()(double score) const;

  [[nodiscard]] const std::vector<Knot>& knots() const { return knots_; }
  /// Evidence for one unit of score beyond the last knot.
  [[nodiscard]] double tail() const { return tail_; }
  bool operator==(const EvidenceCurve&) const = default;

 private:
  std::vector<Knot> knots_;
  double tail_ = 1;
};

}  // namespace tacit::detect
