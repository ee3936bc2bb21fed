#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/base/random.h"
#include "common/base/result.h"
#include "server/round/story.h"

// Traces of rounds as OpenTelemetry collectors take them. Source: OpenTelemetry Protocol specification 1.5, "OTLP/HTTP"
// and "JSON Protobuf Encoding"; opentelemetry-proto 1.3, trace.proto.
namespace tacit::telemetry {

/// How many spans the trace of a round has: one of the round, and one of each stage.
inline std::uint64_t SpansOf(const round::Story& story) {
  return 1 + story.stages.size();
}

/// An ExportTraceServiceRequest: a trace for each round, its ids from `random`. An attribute is a release:
///   task, round, cohort.size: declared, or counted from what was declared.
///   outcome, reason, cohort.counted, and the times of stages: sizes, outcomes and durations of rounds, public under
///   the
///     zero-out relation; a story has none of those that a coin hides.
///   stage.attempts: of steps of our own disk, after which devices are not asked.
///   resumed: of this process.
///   epsilon_spent: a function of the task and the number of its rounds.
/// No id, name or time is that of a device.
std::string RenderTraces(std::span<const round::Story> stories, std::string_view version, BitSource& random);

/// What a collector took of a request.
struct ExportAnswer {
  std::uint64_t rejected_spans = 0;
  std::string message;  ///< Why, in its words.
};
/// The body of a successful answer, an ExportTraceServiceResponse. Errors: kMalformed.
Result<ExportAnswer> ParseExportAnswer(std::string_view body);

}  // namespace tacit::telemetry
