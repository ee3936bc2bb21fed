#pragma once

#include <cstdint>

#include "dp/composition.h"

// What composition.cc asks of single steps; not for others.
namespace tacit::dp {

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

/// Errors: kInvalidArgument, saying which parameter is out of range.
Result<void> CheckStep(const Step& step);

/// The same step, seen from adding or removing one unit.
/// Errors: kInvalidArgument for a relation that the step is not defined for.
Result<Step> InRelation(const Step& step, Neighbouring relation);

/// What is known of a step at once.
enum class Nature : std::uint8_t { kOrdinary, kFree, kNotPrivate };
Nature NatureOf(const Step& step);

/// Epsilon at delta 0; infinite when there is none.
double PureEpsilon(const Step& step);

}  // namespace tacit::dp
