#include "server/store/inspection.h"

#include "server/store/chains.h"
#include "server/store/data_files.h"
#include "server/store/schema.h"

namespace tacit::store {

Result<Inspection> Inspection::Open(const std::filesystem::path& data_dir) {
  TACIT_TRY(auto database, Database::OpenToLook(DatabaseIn(data_dir)));
  return Inspection(std::move(database));
}

Result<std::uint64_t> Inspection::Schema() {
  return SchemaVersion(*database_);
}

Result<void> Inspection::CheckPages(const Clock& clock, SteadyTime deadline) {
  return database_->QuickCheck(clock, deadline);
}

Result<std::uint64_t> Inspection::CheckAudit() {
  TACIT_TRY(const AuditHead head, VerifyAudit(*database_));
  return head.sequence;
}

Result<std::uint64_t> Inspection::CheckLedgers() {
  return VerifyLedgers(*database_);
}

Result<std::uint64_t> Inspection::ChainLength() {
  TACIT_TRY(Query query, database_->Prepare("SELECT (SELECT count(*) FROM audit) + (SELECT count(*) FROM ledger)"));
  TACIT_TRY(const bool row, query.Next());
  return row ? query.TakeU64() : 0;
}

Result<std::optional<WallTime>> Inspection::Newest() {
  TACIT_TRY(Query query, database_->Prepare("SELECT max(at) FROM"
                                            " (SELECT max(at) AS at FROM audit UNION ALL SELECT max(at) FROM ledger)"));
  TACIT_TRY(const bool row, query.Next());
  if (!row) return std::optional<WallTime>();
  return query.TakeOptionalTime();
}

}  // namespace tacit::store
