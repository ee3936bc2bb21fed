#include "cli/grammar.h"
#include "common/base/log.h"
#include "common/base/text.h"

namespace tacit::cli {
namespace {

Outcome<TaskId> ParseFoundTask(const RawArguments& raw) {
  if (raw.version != "latest" && !ParseWhole(raw.version)) {
    return UsageFailure("--version is 'latest' or a number, not " + Excerpt(raw.version), "tacit model --help");
  }
  auto task = TaskId::Parse(raw.task);
  if (task) return *std::move(task);
  return UsageFailure(task.error(), "tacit task list");
}

Outcome<Command> MakeModelTrace(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseFoundTask(raw));
  return ModelTraceArguments{raw.file, std::move(task), raw.version};
}

Outcome<Command> MakeModelClaim(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseFoundTask(raw));
  return ModelClaimArguments{raw.file, std::move(task), raw.version, raw.output};
}

Outcome<Command> MakeModelVerify(const RawArguments& raw) {
  return ModelVerifyArguments{raw.file, raw.evidence};
}

void AddFound(RawArguments& raw, CLI::App& leaf) {
  leaf.add_option("FILE", raw.file, "The model that was found: safetensors, or a graph file")
      ->required()
      ->type_name("");
}

void AddOurs(RawArguments& raw, CLI::App& leaf) {
  AddFound(raw, leaf);
  leaf.add_option("--task", raw.task, "Task whose model it may be")->required()->type_name("TASK");
  leaf.add_option("--version", raw.version, "Version of the model, or 'latest'")->type_name("V")->capture_default_str();
}

}  // namespace

void DescribeOwnership(Grammar& grammar, CLI::App& model) {
  RawArguments& raw = grammar.raw;
  AddOurs(raw, AddLeaf(grammar, model, "trace", "Which device's copy a model is that was found", MakeModelTrace));
  CLI::App& claim =
      AddLeaf(grammar, model, "claim", "Whether a model that was found bears our mark; for admins", MakeModelClaim);
  AddOurs(raw, claim);
  claim
      .add_option(
          "-o,--output", raw.output,
          "Evidence to write, which discloses the mark: whoever has it can check the claim, and unlearn the mark")
      ->type_name("FILE");
  CLI::App& verify =
      AddLeaf(grammar, model, "verify", "Check a claim by its evidence; asks no server", MakeModelVerify);
  AddFound(raw, verify);
  verify.add_option("EVIDENCE", raw.evidence, "What 'tacit model claim --output' wrote")->required()->type_name("");
}

}  // namespace tacit::cli
