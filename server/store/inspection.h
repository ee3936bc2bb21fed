#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "server/store/database.h"
#include "server/store/records.h"

namespace tacit::store {

/// A look at a store's rows from beside the server that may be using it: changes nothing, and takes no lock that a
/// server would miss. Threads: one at a time.
class Inspection {
 public:
  /// Errors: kNotFound when the directory holds no database; those of Database.
  static Result<Inspection> Open(const std::filesystem::path& data_dir);

  /// The schema of the database, to be compared with kSchemaVersion.
  Result<std::uint64_t> Schema();
  /// As Database::QuickCheck.
  Result<void> CheckPages(const Clock& clock, SteadyTime deadline);
  /// How many records the audit log has, once its chain was computed again. Errors: kDataLoss.
  Result<std::uint64_t> CheckAudit();
  /// How many entries all ledgers have, once their hashes were computed again. Errors: kDataLoss.
  Result<std::uint64_t> CheckLedgers();
  /// How many records and entries CheckAudit and CheckLedgers would read.
  Result<std::uint64_t> ChainLength();
  /// When the newest of them was written; nothing when there are none.
  Result<std::optional<WallTime>> Newest();

 private:
  explicit Inspection(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  std::unique_ptr<Database> database_;
};

}  // namespace tacit::store
