#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/simulate/experiment.h"

namespace tacit::simulate {

/// What no answer, file or page of a simulation may leave out.
inline constexpr std::string_view kWarning =
    "A simulation to choose parameters by: its noise comes from a seeded stream that anybody can make again, and what "
    "was tried is not accounted for. Its models are no private release; epsilon is what a server would spend.";

/// Headings, and a row for each variant: what was varied, then noise, epsilon, rounds and accuracy. For people.
std::vector<std::vector<std::string>> TableOf(const Experiment& experiment);

/// A row for each published round of each run, RFC 4180; one without figures for a run, or a variant, without one.
std::string CsvOf(const Experiment& experiment);

/// A page that needs nothing but itself, and is well-formed XML: plots, table, and the task that was simulated.
std::string HtmlOf(const Experiment& experiment);

}  // namespace tacit::simulate
