#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <utility>

#include "common/base/files.h"
#include "common/bundle/byte_source.h"
#include "common/crypto/random.h"
#include "edge_agent/app/commands.h"
#include "edge_agent/app/state_lock.h"
#include "edge_agent/delivery/model_keeper.h"
#include "edge_agent/enrolment/identity.h"
#include "edge_agent/enrolment/renew.h"
#include "edge_agent/keys/device_key.h"

namespace tacit::agent {
namespace {

constexpr std::size_t kLargestPem = std::size_t{64} * 1024;
constexpr Millis kQuickRenewal{10'000};

std::filesystem::path DeliveryDirectory(const std::filesystem::path& state) {
  return state / "delivery";
}

// A device that only uses models has no other time to do this. Where an agent runs, it does it.
enrolment::EnrolledIdentity Renewed(enrolment::EnrolledIdentity identity, const std::filesystem::path& state,
                                    const Clock& clock) {
  if (clock.Now() < enrolment::RenewalDueAt(identity)) return identity;
  const auto lock = StateLock::Take(state, Millis(0));
  if (!lock) return identity;
  auto fresh = enrolment::Renew(identity, {.state_directory = state, .timeout = kQuickRenewal}, clock);
  return fresh ? *std::move(fresh) : std::move(identity);
}

Result<std::vector<crypto::Ed25519PublicKey>> ReadSigners(const std::vector<std::filesystem::path>& files) {
  std::vector<crypto::Ed25519PublicKey> keys;
  for (const std::filesystem::path& file : files) {
    TACIT_TRY(const Bytes pem, ReadFile(file, kLargestPem));
    const auto key = crypto::ReadEd25519PublicPem(AsText(pem));
    if (!key) return Fail(ErrorCode::kInvalidArgument, file.string() + ": " + key.error().message);
    keys.push_back(*key);
  }
  return keys;
}

Result<keys::DeviceKey> OpenKey(const std::filesystem::path& directory, const std::string& place,
                                keys::IfMissing if_missing) {
  TACIT_TRY(keys::KeyPlace where, keys::ParseKeyPlace(place));
  const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");  // NOLINT(concurrency-mt-unsafe): one thread yet
  return keys::OpenDeviceKey({.state = directory,
                              .place = std::move(where),
                              .credentials = credentials == nullptr ? "" : credentials,
                              .if_missing = if_missing});
}

Result<void> MakeDirectory(const std::filesystem::path& directory) {
  if (::mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return Fail(ErrorCode::kUnavailable,
              directory.string() + ": cannot be made: " + std::generic_category().message(errno));
}

delivery::KeeperOptions OptionsOf(const std::filesystem::path& directory, TaskId task,
                                  const enrolment::EnrolledIdentity& identity,
                                  std::vector<crypto::Ed25519PublicKey> signers) {
  return {.directory = directory,
          .task = std::move(task),
          .device = identity.device,
          .server = enrolment::ClientOptionsFor(identity),
          .signers = std::move(signers),
          .seed = crypto::OsRandom().NextU64()};
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
  TACIT_TRY(enrolment::EnrolledIdentity identity, enrolment::LoadIdentity(arguments.state));
  identity = Renewed(std::move(identity), arguments.state, clock);
  TACIT_TRY(TaskId task, TaskId::Parse(arguments.task));
  TACIT_TRY(std::vector<crypto::Ed25519PublicKey> signers, ReadSigners(arguments.signers));
  const std::filesystem::path directory = DeliveryDirectory(arguments.state);
  TACIT_TRY_VOID(MakeDirectory(directory));
  TACIT_TRY(const StateLock lock, StateLock::Take(directory));
  TACIT_TRY(keys::DeviceKey key, OpenKey(directory, arguments.key, keys::IfMissing::kMake));
  TACIT_TRY(delivery::ModelKeeper keeper,
            delivery::ModelKeeper::Create(OptionsOf(directory, std::move(task), identity, std::move(signers)), key,
                                          clock, log));
  TACIT_TRY(const delivery::Refreshed refreshed, keeper.Refresh());
  // All of it was read and verified: that is what a device that only keeps it can say of it.
  TACIT_TRY_VOID(keeper.Confirm(refreshed.current));
  const bool installed = refreshed.change == delivery::Change::kInstalled;
  Report report = ReportOf(refreshed.current, arguments.task, key.report());
  report.data["installed"] = installed;
  report.text = (installed ? "installed " : "renewed ") + report.text;
  return report;
}

Result<Report> Execute(const ModelShowArguments& show, const Clock& clock) {
  const ModelFetchArguments& arguments = show.model;
  Logger log(STDERR_FILENO, clock, LogLevel::kError);
  TACIT_TRY(const enrolment::EnrolledIdentity identity, enrolment::LoadIdentity(arguments.state));
  TACIT_TRY(TaskId task, TaskId::Parse(arguments.task));
  TACIT_TRY(std::vector<crypto::Ed25519PublicKey> signers, ReadSigners(arguments.signers));
  const std::filesystem::path directory = DeliveryDirectory(arguments.state);
  TACIT_TRY(const StateLock lock, StateLock::Take(directory));
  TACIT_TRY(keys::DeviceKey key, OpenKey(directory, arguments.key, keys::IfMissing::kFail));
  TACIT_TRY(delivery::ModelKeeper keeper,
            delivery::ModelKeeper::Create(OptionsOf(directory, std::move(task), identity, std::move(signers)), key,
                                          clock, log));
  TACIT_TRY(const delivery::Current current, keeper.Stored());
  TACIT_TRY(bundle::FileSource source, bundle::FileSource::Open(current.bundle));
  TACIT_TRY(bundle::OpenedBundle opened, keeper.Open(source, current));
  TACIT_TRY_VOID(std::move(opened).Verify());
  return ReportOf(current, arguments.task, key.report());
}

}  // namespace tacit::agent
