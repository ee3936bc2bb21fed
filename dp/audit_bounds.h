#pragma once

#include <cstdint>

namespace tacit::dp {

// What a number of observations says about a probability, and a number of right guesses about epsilon.

/// How often an event was seen.
struct Observed {
  std::uint64_t hits;
  std::uint64_t trials;  ///< At least `hits` and at least 1.
};

/// Limits of the event's probability, each wrong with probability at most `doubt`, whatever the probability is.
/// Guarantee: rounding widens them.
/// Source: Clopper, Pearson 1934.
double LowerLimit(Observed observed, double doubt);
double UpperLimit(Observed observed, double doubt);

/// What somebody got right about canaries, each of which was in or out by a fair coin of its own.
struct Guesses {
  std::uint64_t canaries;
  std::uint64_t made;   ///< At most `canaries`: for the others nothing was guessed.
  std::uint64_t right;  ///< At most `made`.
};

/// The probability that so many guesses are right, or more, after a mechanism that is (epsilon, delta)-DP for each
/// canary; at most 1.
/// Guarantee: an upper bound; rounding errs upward.
/// Source: Steinke, Nasr, Jagielski 2023, theorem 5.2, with W ~ Binomial(made, e^epsilon / (1 + e^epsilon)):
///   P[W >= right] + 2 canaries delta max over i of P[right - i <= W < right] / i.
double GuessingProbability(const Guesses& guesses, double epsilon, double delta);

/// The largest epsilon that the guesses refute: an (epsilon, delta)-DP mechanism allows them with probability at most
/// `doubt`. 0 when they refute nothing.
/// Guarantee: a mechanism that is (epsilon, delta)-DP gets a number above epsilon with probability at most `doubt`, for
///   `doubt` below 1/2; docs/PRIVACY.md, "Empirical audit", has why the bisection may be trusted.
double RefutedEpsilon(const Guesses& guesses, double delta, double doubt);

}  // namespace tacit::dp
