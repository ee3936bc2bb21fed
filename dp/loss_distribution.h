#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tacit::dp {

/// Two output distributions of one step of a mechanism, with and without one unit's data. Outcomes are ordered so that
/// the loss, ln(P / Q), does not fall as they grow. Both are mixtures of shifted copies of one noise.
/// Units: losses are natural logarithms; outcomes are in units of the sensitivity.
class OutputPair {
 public:
  struct Masses {
    double with = 0;     ///< P
    double without = 0;  ///< Q
  };
  /// Where outcomes are divided: for each shifted noise the mass above, or, negative, minus the mass up to there,
  /// whichever is smaller. Kept by the caller, so that neighbouring intervals share it.
  using Cut = std::vector<double>;

  virtual ~OutputPair() = default;
  /// The largest outcome whose loss is at most `loss`: minus infinity below all losses, infinity above them.
  [[nodiscard]] virtual double Outcome(double loss) const = 0;
  virtual void CutAt(double outcome, Cut& cut) const = 0;
  /// P and Q between two cuts, and bounds on their absolute errors.
  struct Interval {
    Masses mass;
    Masses error;
  };
  [[nodiscard]] virtual Interval Between(const Cut& from, const Cut& to) const = 0;
};

/// The privacy losses of one step on the grid i * step, each at least as bad as the loss that it stands for.
struct LossMass {
  double step = 0;
  std::int64_t first = 0;    ///< Index of `mass[0]`.
  std::vector<double> mass;  ///< P's probabilities of the losses (first + i) * step.
  double infinite = 0;       ///< P's probability of an unbounded loss.

  [[nodiscard]] double LossAt(std::size_t i) const { return static_cast<double>(first + std::int64_t(i)) * step; }
};

/// A grid, or the transform of a composition on it, has at most so many points.
inline constexpr std::size_t kMaxGridPoints = std::size_t{1} << 22U;

/// Puts a pair's losses on a grid.
/// Guarantee: every hockey-stick divergence of the result is at least that of the pair: the outcomes between two grid
///   points keep their P and their Q, losses above the largest one become infinite, those below the smallest are raised
///   to it. At most `truncate` of P goes to either end. Beyond 128 steps from 0 only some points of the grid are used,
///   about one part in 128 of the loss apart.
/// Source: Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022 (connect the dots).
LossMass PutOnGrid(const OutputPair& pair, double step, double truncate);

/// The same for a mechanism with finitely many outcomes, each with its P and Q.
LossMass PutOnGrid(std::span<const OutputPair::Masses> outcomes, double step);

/// A step of the grid that raises the spread of the losses, hence an epsilon, by less than a thousandth; a power of
/// two.
double GridStepFor(const OutputPair& pair);

/// Weighted average of two steps of which a public coin, independent of the data, chooses one.
/// Source: joint convexity; the coin is part of the output.
LossMass Mixture(const LossMass& left, const LossMass& right, double weight_of_right);

}  // namespace tacit::dp
