#include "edge_agent/delivery/model_keeper.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <string>
#include <system_error>

#include "common/base/check.h"
#include "common/base/files.h"
#include "common/bundle/byte_source.h"
#include "edge_agent/upload/kept_files.h"

namespace tacit::delivery {
namespace {

constexpr Millis kShortestWait{1'000};
constexpr std::uint64_t kJitterParts = 10;  // a tenth of the wait is left to chance

Result<void> MakeDirectory(const std::filesystem::path& directory) {
  if (::mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return Fail(ErrorCode::kUnavailable,
              directory.string() + ": cannot be made: " + std::generic_category().message(errno));
}

bundle::ModelName ModelOf(const TaskId& task) {
  auto name = bundle::ModelName::Parse(task.str());
  TACIT_CHECK(name.has_value(), "names of tasks are names of models");
  return *std::move(name);
}

// What a download before left that is of no use any more.
void RemoveOtherParts(const HeldFiles& files, const std::filesystem::path& kept) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(files.directory, error))
    if (entry.path().extension() == ".part" && entry.path() != kept) upload::RemoveQuietly(entry.path());
}

}  // namespace

ModelKeeper::ModelKeeper(KeeperOptions options, keys::DeviceKey& key, const Clock& clock, Logger& log,
                         LeaseClient client)
    : options_(std::move(options)),
      key_(&key),
      clock_(&clock),
      log_(&log),
      guard_(key.GuardFor(options_.task.str())),
      name_(ModelOf(options_.task)),
      files_(options_.directory / options_.task.str()),
      signer_(options_.directory / "signer.pem", options_.signers),
      client_(std::move(client)),
      backoff_(options_.backoff, options_.seed),
      random_(options_.seed) {}

Result<ModelKeeper> ModelKeeper::Create(KeeperOptions options, keys::DeviceKey& key, const Clock& clock, Logger& log) {
  TACIT_TRY(LeaseClient client, LeaseClient::Create(options.server, options.task));
  TACIT_TRY_VOID(MakeDirectory(options.directory));
  ModelKeeper keeper(std::move(options), key, clock, log, std::move(client));
  TACIT_TRY_VOID(MakeDirectory(keeper.files_.directory));
  return keeper;
}

Current ModelKeeper::CurrentOf(HeldModel model) const {
  std::filesystem::path bundle = files_.Bundle(model.manifest);
  return {.model = std::move(model), .bundle = std::move(bundle)};
}

Result<Current> ModelKeeper::Stored() const {
  TACIT_TRY(std::optional<HeldModel> model, ReadHeldModel(files_.current));
  if (!model) return Fail(ErrorCode::kNotFound, "this device holds no model of task '" + options_.task.str() + "'");
  if (clock_->Now() < model->expires) return CurrentOf(*std::move(model));
  return Fail(ErrorCode::kGone, "the lease of version " + std::to_string(model->version) + " of task '" +
                                    options_.task.str() + "' ended at " + FormatRfc3339(model->expires));
}

Result<bundle::OpenedBundle> ModelKeeper::OpenWith(bundle::ByteSource& source, const HeldModel& model,
                                                   const bundle::SignerSet& signers) {
  const std::scoped_lock lock(*key_mutex_);
  // A version that was in use may be loaded again, also from a bundle that was made anew.
  return bundle::OpenBundle(source, model.lease,
                            {.device = options_.device,
                             .model = name_,
                             .bundle_signers = signers,
                             .lease_signers = signers,
                             .guard = *guard_,
                             .clock = *clock_,
                             .key = key_->agreement(),
                             .key_epoch = model.key_epoch,
                             .minimum_version = model.minimum_version,
                             .purpose = bundle::Purpose::kLoad});
}

Result<bundle::OpenedBundle> ModelKeeper::Open(bundle::ByteSource& source, const Current& current) {
  TACIT_TRY(const bundle::SignerSet signers, signer_.Known());
  return OpenWith(source, current.model, signers);
}

Result<bundle::ManifestFields> ModelKeeper::Verify(const std::filesystem::path& file, const HeldModel& model,
                                                   const bundle::SignerSet& signers) {
  TACIT_TRY(bundle::FileSource source, bundle::FileSource::Open(file));
  TACIT_TRY(bundle::OpenedBundle opened, OpenWith(source, model, signers));
  bundle::ManifestFields fields = opened.manifest().fields();
  TACIT_TRY_VOID(std::move(opened).Verify());
  return fields;
}

// A part that does not verify once it is whole is of no use: the next attempt begins anew.
Result<void> ModelKeeper::Fetch(const codec::ModelLeaseReply& reply, const HeldModel& model,
                                const bundle::SignerSet& signers) {
  const PartFile part(files_.Part(model.manifest));
  RemoveOtherParts(files_, part.path());
  if (part.Size() > reply.bundle_bytes) upload::RemoveQuietly(part.path());
  TACIT_TRY_VOID(client_.Download({.version = reply.version, .bytes = reply.bundle_bytes}, part));
  if (const auto good = Verify(part.path(), model, signers); !good) {
    upload::RemoveQuietly(part.path());
    return std::unexpected(good.error());
  }
  return part.FinishAs(files_.Bundle(model.manifest));
}

Result<HeldModel> ModelKeeper::Take(const codec::ModelLeaseReply& reply, const bundle::SignerSet& signers,
                                    const std::optional<HeldModel>& before) {
  TACIT_TRY(const bundle::Lease lease, bundle::Lease::Parse(reply.lease, signers));
  const WallTime now = clock_->Now();
  TACIT_TRY_VOID(lease.Check(
      {.device = options_.device, .manifest = reply.manifest_digest, .key_epoch = reply.key_epoch, .now = now}));
  if (before && reply.key_epoch < before->key_epoch)
    return Fail(ErrorCode::kConflict, "the server counts fewer keys of this device than it did");
  if (discarded_ == reply.manifest_digest)
    return Fail(ErrorCode::kConflict, "the newest version is one that this device cannot use");
  HeldModel model{.manifest = reply.manifest_digest,
                  .version = reply.version,
                  .minimum_version = before ? before->minimum_version : 0,
                  .key_epoch = reply.key_epoch,
                  .bundle_bytes = reply.bundle_bytes,
                  .expires = lease.terms().expires,
                  .renew_after = now + reply.renew_after,
                  .lease = reply.lease};
  const std::filesystem::path file = files_.Bundle(model.manifest);
  auto fields = Verify(file, model, signers);
  if (!fields) {
    // Not here, or damaged since.
    upload::RemoveQuietly(file);
    TACIT_TRY_VOID(Fetch(reply, model, signers));
    TACIT_TRY(fields, Verify(file, model, signers));
  }
  model.version = fields->version;
  model.minimum_version = std::max(model.minimum_version, fields->minimum_version);
  return model;
}

// The version before stays until one is confirmed: also where one that was not is replaced by the next.
Result<void> ModelKeeper::Write(const HeldModel& model, const std::optional<HeldModel>& before) const {
  std::error_code ignored;
  const bool keeps = before && before->manifest != model.manifest && !std::filesystem::exists(files_.previous, ignored);
  if (keeps) TACIT_TRY_VOID(WriteFileAtomic(files_.previous, FormatHeldModel(*before), kOwnerOnly));
  return WriteFileAtomic(files_.current, FormatHeldModel(model), kOwnerOnly);
}

Result<codec::ModelLeaseRequest> ModelKeeper::RequestNow() {
  const std::scoped_lock lock(*key_mutex_);
  TACIT_TRY(const std::uint64_t highest, guard_->Highest());
  return codec::ModelLeaseRequest{.device_key = key_->agreement().public_key(),
                                  .highest_version = highest,
                                  .key_tier = std::string(keys::NameOf(key_->report().tier))};
}

Result<Refreshed> ModelKeeper::TryRefresh() {
  TACIT_TRY(const codec::ModelLeaseRequest request, RequestNow());
  TACIT_TRY(const codec::ModelLeaseReply reply, client_.Lease(request));
  TACIT_TRY(const bundle::SignerSet signers, signer_.For(reply.signer));
  // A damaged record is replaced: what it says is asked again.
  const std::optional<HeldModel> before = ReadHeldModel(files_.current).value_or(std::nullopt);
  TACIT_TRY(HeldModel model, Take(reply, signers, before));
  TACIT_TRY_VOID(signer_.Keep(reply.signer));
  TACIT_TRY_VOID(Write(model, before));
  const bool same = before && before->manifest == model.manifest;
  return Refreshed{.change = same ? Change::kRenewed : Change::kInstalled, .current = CurrentOf(std::move(model))};
}

Result<void> ModelKeeper::Reconnect(net::ClientOptions server) {
  TACIT_TRY(client_, LeaseClient::Create(std::move(server), options_.task));
  return {};
}

Millis ModelKeeper::UntilRenewal(const HeldModel& model) {
  const Millis wait = std::chrono::floor<Millis>(model.renew_after - clock_->Now());
  const auto most = static_cast<std::uint64_t>(std::max(wait, kShortestWait).count());
  const std::uint64_t jitter = random_() % (most / kJitterParts + 1);
  return Millis(static_cast<std::int64_t>(most - jitter));
}

Result<Refreshed> ModelKeeper::Refresh() {
  auto refreshed = TryRefresh();
  if (!refreshed) {
    until_next_ = backoff_.Next(client_.retry_after());
    log_->Warn("agent_model_not_refreshed", {{"task", options_.task.str()},
                                             {"code", TraitsOf(refreshed.error().code).name},
                                             {"reason", refreshed.error().message},
                                             {"delay_ms", until_next_.count()}});
    return refreshed;
  }
  backoff_.Reset();
  const HeldModel& model = refreshed->current.model;
  until_next_ = UntilRenewal(model);
  const std::string expires = FormatRfc3339(model.expires);
  const std::initializer_list<LogField> fields = {
      {"task", options_.task.str()}, {"version", model.version}, {"expires", expires}};
  refreshed->change == Change::kInstalled ? log_->Info("agent_model_installed", fields)
                                          : log_->Info("agent_model_renewed", fields);
  return refreshed;
}

void ModelKeeper::RemoveOthers(const Digest256& manifest) const {
  const std::filesystem::path kept = files_.Bundle(manifest);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(files_.directory, error))
    if (entry.path() != kept && entry.path() != files_.current) upload::RemoveQuietly(entry.path());
}

Result<void> ModelKeeper::Confirm(const Current& current) {
  {
    const std::scoped_lock lock(*key_mutex_);
    TACIT_TRY_VOID(guard_->Record(current.model.version));
  }
  RemoveOthers(current.model.manifest);
  return {};
}

Result<Current> ModelKeeper::Discard(const Current& current) {
  TACIT_TRY(const std::optional<HeldModel> before, ReadHeldModel(files_.previous));
  log_->Warn("agent_model_discarded", {{"task", options_.task.str()}, {"version", current.model.version}});
  if (!before) {
    upload::RemoveQuietly(files_.current);
    upload::RemoveQuietly(current.bundle);
    return Fail(ErrorCode::kNotFound, "there is no version to go back to");
  }
  discarded_ = current.model.manifest;
  TACIT_TRY_VOID(WriteFileAtomic(files_.current, FormatHeldModel(*before), kOwnerOnly));
  upload::RemoveQuietly(files_.previous);
  upload::RemoveQuietly(current.bundle);
  return Stored();
}

}  // namespace tacit::delivery
