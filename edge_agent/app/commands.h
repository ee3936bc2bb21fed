#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "edge_agent/app/arguments.h"
#include "edge_agent/app/stop_signals.h"

namespace tacit::agent {

/// What a command has to say: `data` for programs, `text` for people. Nothing is printed when `text` is empty and no
/// JSON asked for.
struct Report {
  nlohmann::ordered_json data;
  std::string text;
};

Result<Report> Execute(const JoinArguments& arguments, const Clock& clock);
Result<Report> Execute(const RunArguments& arguments, const Clock& clock, const StopSignals& signals);
Result<Report> Execute(const ServeArguments& arguments, const Clock& clock, const StopSignals& signals);
Result<Report> Execute(const PrivacyArguments& arguments);
Result<Report> Execute(const EvaluateArguments& arguments);
Result<Report> Execute(const ShapeArguments& arguments);
Result<Report> Execute(const SubjectsArguments& arguments);
Result<Report> Execute(const ModelFetchArguments& arguments, const Clock& clock);
Result<Report> Execute(const ModelShowArguments& arguments, const Clock& clock);
Result<Report> Execute(const TokenCreateArguments& arguments, const Clock& clock);
Result<Report> Execute(const TokenListArguments& arguments, const Clock& clock);
Result<Report> Execute(const TokenRevokeArguments& arguments);
Result<Report> Execute(const VersionArguments& arguments);

}  // namespace tacit::agent
