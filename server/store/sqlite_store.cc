#include "server/store/sqlite_store.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "server/store/schema.h"

namespace tacit::store {

SqliteStore::SqliteStore(StoreOptions options, DataFiles files, std::unique_ptr<Database> database)
    : options_(std::move(options)), files_(std::move(files)), database_(std::move(database)) {}

Result<std::unique_ptr<SqliteStore>> SqliteStore::Open(StoreOptions options) {
  TACIT_TRY(DataFiles files, DataFiles::Open(options.data_dir));
  TACIT_TRY(std::unique_ptr<Database> database, Database::Open(files.database()));
  TACIT_TRY(const std::uint64_t version, SchemaVersion(*database));
  TACIT_TRY(const bool empty, files.Empty());
  // Sweeping against an empty database would remove every model; the ledger that paid for them is gone as well.
  if (version == 0 && !empty) {
    return Fail(ErrorCode::kDataLoss, files.database().string() +
                                          " is missing or empty, but the directory holds models, partial sums or keys: "
                                          "restore the database from its backup, or use another data_dir");
  }
  TACIT_TRY_VOID(Migrate(*database));
  std::unique_ptr<SqliteStore> store(new SqliteStore(std::move(options), std::move(files), std::move(database)));
  store->After("schema");
  TACIT_TRY_VOID(store->SweepFiles());
  store->After("sweep");
  return store;
}

void SqliteStore::After(std::string_view step) {
  TACIT_CHECK(std::ranges::find(kSteps, step) != kSteps.end(), "every durable step is in the list that tests go by");
  if (options_.after_step) options_.after_step(step);
}

Result<void> SqliteStore::CommitStep(Transaction& transaction, std::string_view step) {
  TACIT_TRY_VOID(transaction.Commit());
  After(step);
  return {};
}

Result<bool> SqliteStore::HasBlobRow(BlobKind kind, const Digest256& digest) {
  TACIT_TRY(Query query,
            database_->Prepare(kind == BlobKind::kModel ? "SELECT 1 FROM models WHERE digest = ? LIMIT 1"
                                                        : "SELECT 1 FROM tasks WHERE optimizer_digest = ? LIMIT 1"));
  return query.Bind(digest).Next();
}

Result<void> SqliteStore::SweepFiles() {
  return files_.Sweep({
      .blob = [this](BlobKind kind, const Digest256& digest) { return HasBlobRow(kind, digest); },
      .partials = [this](const RoundKey& key) { return PartialFiles(key); },
      .key = [this](const RoundKey& key) -> Result<bool> {
        // Without a round's row nothing was sealed; an ended round's key is one whose destruction was cut short.
        Result<RoundRecord> round = RequireRound(key);
        if (round) return !HasEnded(round->phase);
        if (round.error().code == ErrorCode::kNotFound) return false;
        return std::unexpected<Error>(round.error());
      },
  });
}

}  // namespace tacit::store
