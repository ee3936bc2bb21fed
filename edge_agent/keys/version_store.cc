#include "edge_agent/keys/version_store.h"

#include "common/base/files.h"

namespace tacit::keys {
namespace {

constexpr std::string_view kWhatToDo =
    "; it says which versions this device has seen, so no model is taken without it: restore it, or move the device's "
    "key and this file away and join again";

bool AtRest(std::uint64_t count) {
  return count % 2 == 0;
}

class ModelGuard final : public RollbackGuard {
 public:
  ModelGuard(VersionStore& store, std::string model) : store_(store), model_(std::move(model)) {}
  Result<std::uint64_t> Highest() override { return store_.Highest(model_); }
  Result<void> Record(std::uint64_t version) override { return store_.Record(model_, version); }

 private:
  VersionStore& store_;
  std::string model_;
};

// Whether a file of the count `written` may be what was written last, now that the counter says `count`.
bool MayBeLast(std::uint64_t written, std::uint64_t count) {
  if (AtRest(count)) return written == count;
  return AtRest(written) && (written + 1 == count || written == count + 1);
}

std::uint64_t VersionIn(const VersionRecord& record, std::string_view model) {
  const auto found = record.versions.find(model);
  return found == record.versions.end() ? 0 : found->second;
}

Result<void> CheckNew(const VersionRecord& record, std::string_view model, std::uint64_t version) {
  if (model.empty() || model.size() > kLongestModelName)
    return Fail(ErrorCode::kInvalidArgument, "the name of a model has 1 to 128 bytes");
  if (version == 0) return Fail(ErrorCode::kInvalidArgument, "versions of a model begin with 1");
  const std::uint64_t highest = VersionIn(record, model);
  if (version < highest) {
    return Fail(ErrorCode::kConflict, "version " + std::to_string(version) + " of model '" + std::string(model) +
                                          "' is older than version " + std::to_string(highest) +
                                          ", which this device has used");
  }
  if (highest == 0 && record.versions.size() >= kMostModels)
    return Fail(ErrorCode::kTooLarge, "this device keeps account of " + std::to_string(kMostModels) + " models");
  return {};
}

}  // namespace

Result<void> VersionStore::Initialise(const std::filesystem::path& file, const crypto::SecretKey& mac_key,
                                      MonotonicCounter* counter) {
  VersionRecord record;
  if (counter != nullptr) {
    TACIT_TRY(record.counter, counter->Read());
    if (!AtRest(record.counter)) {
      TACIT_TRY_VOID(counter->Increment());
      ++record.counter;
    }
  }
  return WriteFileAtomic(file, FormatVersionRecord(record, mac_key), kOwnerOnly);
}

Result<VersionStore::Current> VersionStore::Read() {
  const auto bytes = ReadFile(file_, kLargestVersionRecord);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound)
    return Fail(ErrorCode::kDataLoss, file_.string() + " is missing" + std::string(kWhatToDo));
  if (!bytes) return std::unexpected(bytes.error());
  auto record = ParseVersionRecord(*bytes, mac_key_);
  if (!record)
    return Fail(ErrorCode::kDataLoss, file_.string() + " " + record.error().message + std::string(kWhatToDo));
  std::uint64_t count = 0;
  if (counter_ != nullptr) {
    TACIT_TRY(count, counter_->Read());
  }
  if (MayBeLast(record->counter, count)) return Current{.record = *std::move(record), .count = count};
  return Fail(ErrorCode::kDataLoss, file_.string() + " is of count " + std::to_string(record->counter) +
                                        ", and the counter is at " + std::to_string(count) +
                                        ": an old file was put back, or the counter used by another" +
                                        std::string(kWhatToDo));
}

// Ends what a stop interrupted, with the file that is there.
Result<void> VersionStore::Settle(Current& current) {
  if (AtRest(current.count)) return {};
  if (current.record.counter < current.count) {
    current.record.counter = current.count + 1;
    TACIT_TRY_VOID(Write(current.record));
  }
  TACIT_TRY_VOID(counter_->Increment());
  ++current.count;
  return {};
}

Result<void> VersionStore::Check() {
  TACIT_TRY_VOID(Read());
  return {};
}

Result<std::uint64_t> VersionStore::Highest(std::string_view model) {
  TACIT_TRY(const Current current, Read());
  return VersionIn(current.record, model);
}

Result<void> VersionStore::Record(std::string_view model, std::uint64_t version) {
  TACIT_TRY(Current current, Read());
  TACIT_TRY_VOID(CheckNew(current.record, model, version));
  TACIT_TRY_VOID(Settle(current));
  const bool is_only_file = counter_ == nullptr || promised_ == current.record.counter;
  if (VersionIn(current.record, model) == version && is_only_file) return {};
  current.record.versions.insert_or_assign(std::string(model), version);
  return Step(std::move(current.record));
}

Result<void> VersionStore::Step(VersionRecord record) {
  if (counter_ == nullptr) return Write(record);
  TACIT_TRY_VOID(counter_->Increment());
  record.counter += 2;
  TACIT_TRY_VOID(Write(record));
  TACIT_TRY_VOID(counter_->Increment());
  promised_ = record.counter;
  return {};
}

Result<void> VersionStore::Write(const VersionRecord& record) const {
  return WriteFileAtomic(file_, FormatVersionRecord(record, mac_key_), kOwnerOnly);
}

std::unique_ptr<RollbackGuard> VersionStore::GuardFor(std::string model) {
  return std::make_unique<ModelGuard>(*this, std::move(model));
}

}  // namespace tacit::keys
