#pragma once

#include <cstdint>

#include "server/store/database.h"

namespace tacit::store {

/// The newest schema that this program knows.
inline constexpr std::uint64_t kSchemaVersion = 7;

/// The schema of the database; 0 for one that was just made.
Result<std::uint64_t> SchemaVersion(Database& database);

/// Brings the schema forward to kSchemaVersion, in one step. Errors: kConflict when it is newer than that.
Result<void> Migrate(Database& database);

}  // namespace tacit::store
