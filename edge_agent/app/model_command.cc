#include <unistd.h>

#include <utility>

#include "common/bundle/byte_source.h"
#include "edge_agent/app/commands.h"
#include "edge_agent/app/kept_model.h"

namespace tacit::agent {
namespace {

Result<KeptModelOptions> OptionsOf(const ModelFetchArguments& arguments, keys::IfMissing if_missing) {
  TACIT_TRY(TaskId task, TaskId::Parse(arguments.task));
  TACIT_TRY(keys::KeyPlace key, keys::ParseKeyPlace(arguments.key));
  return KeptModelOptions{.state = arguments.state,
                          .task = std::move(task),
                          .key = std::move(key),
                          .if_missing = if_missing,
                          .signers = arguments.signers};
}

Report ReportOf(const delivery::Current& current, const std::string& task, const keys::KeyReport& key) {
  const delivery::HeldModel& model = current.model;
  Report report{.data = {{"task", task},
                         {"version", model.version},
                         {"manifest", ToHex(model.manifest)},
                         {"bundle", current.bundle.string()},
                         {"bundle_bytes", model.bundle_bytes},
                         {"expires", FormatRfc3339(model.expires)},
                         {"renew_after", FormatRfc3339(model.renew_after)},
                         {"key_epoch", model.key_epoch},
                         {"key_tier", keys::NameOf(key.tier)},
                         {"gaps", nlohmann::ordered_json::array()}},
                .text = "version " + std::to_string(model.version) + " of task " + task + ", " +
                        std::to_string(model.bundle_bytes) + " bytes\nlease until " + FormatRfc3339(model.expires) +
                        "; ask again after " + FormatRfc3339(model.renew_after) +
                        "\nkey kept in: " + std::string(keys::NameOf(key.tier)) + "\n"};
  for (const keys::KeyGap gap : key.gaps) {
    report.data["gaps"].push_back(keys::NameOf(gap));
    report.text += "  not protected: " + std::string(keys::DescriptionOf(gap)) + "\n";
  }
  return report;
}

}  // namespace

Result<Report> Execute(const ModelFetchArguments& arguments, const Clock& clock) {
  Logger log(STDERR_FILENO, clock, LogLevel::kError);
  TACIT_TRY(const KeptModelOptions options, OptionsOf(arguments, keys::IfMissing::kMake));
  TACIT_TRY(const enrolment::EnrolledIdentity identity, FreshIdentity(arguments.state, clock));
  TACIT_TRY(KeptModel kept, OpenKeptModel(options, identity, clock, log));
  TACIT_TRY(const delivery::Refreshed refreshed, kept.keeper.Refresh());
  // All of it was read and verified: that is what a device that only keeps it can say of it.
  TACIT_TRY_VOID(kept.keeper.Confirm(refreshed.current));
  const bool installed = refreshed.change == delivery::Change::kInstalled;
  Report report = ReportOf(refreshed.current, arguments.task, kept.key->report());
  report.data["installed"] = installed;
  report.text = (installed ? "installed " : "renewed ") + report.text;
  return report;
}

Result<Report> Execute(const ModelShowArguments& show, const Clock& clock) {
  const ModelFetchArguments& arguments = show.model;
  Logger log(STDERR_FILENO, clock, LogLevel::kError);
  TACIT_TRY(const KeptModelOptions options, OptionsOf(arguments, keys::IfMissing::kFail));
  TACIT_TRY(const enrolment::EnrolledIdentity identity, enrolment::LoadIdentity(arguments.state));
  TACIT_TRY(KeptModel kept, OpenKeptModel(options, identity, clock, log));
  TACIT_TRY(const delivery::Current current, kept.keeper.Stored());
  TACIT_TRY(bundle::FileSource source, bundle::FileSource::Open(current.bundle));
  TACIT_TRY(bundle::OpenedBundle opened, kept.keeper.Open(source, current));
  TACIT_TRY_VOID(std::move(opened).Verify());
  return ReportOf(current, arguments.task, kept.key->report());
}

}  // namespace tacit::agent
