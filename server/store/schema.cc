#include "server/store/schema.h"

#include <array>
#include <string>

namespace tacit::store {

namespace {

// Times are milliseconds since 1970 UTC. STRICT tables and CHECKs keep out what the row readers could not take.
constexpr const char* kSchema1 = R"sql(
CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
INSERT INTO schema_version VALUES (0);

CREATE TABLE tasks (
  ordinal INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  toml TEXT NOT NULL,
  noise_multiplier REAL,                 -- as planned when the task was accepted
  grid_radius INTEGER NOT NULL,
  bit_steps INTEGER NOT NULL,            -- of a clip norm that follows a quantile, else 0
  clip_norm REAL NOT NULL,               -- of the next round
  created_at INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'finished', 'budget_exhausted', 'stopped')),
  state_reason TEXT NOT NULL,
  optimizer_digest BLOB CHECK (length(optimizer_digest) = 32),
  optimizer_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE models (
  task TEXT NOT NULL REFERENCES tasks (id),
  version INTEGER NOT NULL CHECK (version >= 0),
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  bytes INTEGER NOT NULL CHECK (bytes >= 0),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (task, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX models_by_digest ON models (digest);

CREATE TABLE rounds (
  task TEXT NOT NULL REFERENCES tasks (id),
  round INTEGER NOT NULL CHECK (round >= 1),
  phase TEXT NOT NULL CHECK (phase IN ('scheduled', 'open', 'closing', 'charged', 'published', 'abandoned')),
  reason TEXT NOT NULL,
  opened_at INTEGER NOT NULL,
  ended_at INTEGER,
  counted INTEGER NOT NULL CHECK (counted >= 0),
  total_weight INTEGER NOT NULL CHECK (total_weight >= 0),
  base_version INTEGER NOT NULL CHECK (base_version >= 0),
  epsilon_after REAL NOT NULL,
  PRIMARY KEY (task, round)
) STRICT, WITHOUT ROWID;
CREATE INDEX rounds_running ON rounds (task, round) WHERE phase NOT IN ('published', 'abandoned');

CREATE TABLE partials (
  task TEXT NOT NULL,
  round INTEGER NOT NULL,
  sequence INTEGER NOT NULL CHECK (sequence >= 0),
  digest BLOB NOT NULL CHECK (length(digest) = 16),
  bytes INTEGER NOT NULL CHECK (bytes >= 0),
  PRIMARY KEY (task, round, sequence),
  FOREIGN KEY (task, round) REFERENCES rounds (task, round)
) STRICT, WITHOUT ROWID;

-- The key is what makes it impossible to count a device twice.
CREATE TABLE contributions (
  task TEXT NOT NULL,
  round INTEGER NOT NULL,
  device TEXT NOT NULL,
  payload_digest BLOB NOT NULL CHECK (length(payload_digest) = 16),
  weight INTEGER NOT NULL CHECK (weight >= 0),
  PRIMARY KEY (task, round, device),
  FOREIGN KEY (task, round) REFERENCES rounds (task, round)
) STRICT, WITHOUT ROWID;

CREATE TABLE participations (
  task TEXT NOT NULL REFERENCES tasks (id),
  device TEXT NOT NULL,
  rounds INTEGER NOT NULL CHECK (rounds >= 1),
  last_round INTEGER NOT NULL CHECK (last_round >= rounds),
  PRIMARY KEY (task, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
  task TEXT NOT NULL REFERENCES tasks (id),
  sequence INTEGER NOT NULL CHECK (sequence >= 1),
  kind TEXT NOT NULL CHECK (kind IN ('reserve', 'charge', 'void', 'adjust')),
  round INTEGER NOT NULL,
  mechanism TEXT NOT NULL,
  noise_multiplier REAL NOT NULL,
  clip_norm REAL NOT NULL,
  grid_radius INTEGER NOT NULL,
  cohort INTEGER NOT NULL,
  at INTEGER NOT NULL,
  epsilon_after REAL NOT NULL,
  previous BLOB NOT NULL CHECK (length(previous) = 32),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (task, sequence)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX ledger_once ON ledger (task, round, kind) WHERE kind != 'adjust';
CREATE TRIGGER ledger_keeps BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_stays BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
-- INSERT OR REPLACE deletes without firing the trigger above, on connections that do not ask for recursive triggers.
CREATE TRIGGER ledger_grows BEFORE INSERT ON ledger
  WHEN NEW.sequence != (SELECT coalesce(max(sequence), 0) + 1 FROM ledger WHERE task = NEW.task)
    OR EXISTS (SELECT 1 FROM ledger WHERE task = NEW.task AND round = NEW.round AND kind = NEW.kind
               AND kind != 'adjust')
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TABLE devices (
  id TEXT PRIMARY KEY NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'revoked')),
  public_key_sha256 BLOB NOT NULL CHECK (length(public_key_sha256) = 32),
  certificate_serial TEXT NOT NULL,
  certificate_not_after INTEGER NOT NULL,
  enrolled_at INTEGER NOT NULL,
  last_seen INTEGER,
  token_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
  hash BLOB PRIMARY KEY NOT NULL CHECK (length(hash) = 32),
  uses_left INTEGER NOT NULL CHECK (uses_left >= 0),
  expires_at INTEGER NOT NULL,
  fixed_name TEXT,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  detail TEXT NOT NULL,
  previous BLOB NOT NULL CHECK (length(previous) = 32),
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_grows BEFORE INSERT ON audit
  WHEN NEW.sequence != (SELECT coalesce(max(sequence), 0) + 1 FROM audit)
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
)sql";

// Whatever admits a device looks for the tokens of its name, and uses them up: also those that an earlier version left.
constexpr const char* kSchema2 = R"sql(
UPDATE tokens SET uses_left = 0 WHERE fixed_name IN (SELECT id FROM devices);
CREATE INDEX tokens_by_name ON tokens (fixed_name) WHERE fixed_name IS NOT NULL;
)sql";

// Of asynchronous tasks, for as long as their leases hold. The key is what makes it impossible to count a lease twice.
constexpr const char* kSchema3 = R"sql(
CREATE TABLE counted_leases (
  task TEXT NOT NULL,
  device TEXT NOT NULL,
  leased_in INTEGER NOT NULL CHECK (leased_in >= 1),
  round INTEGER NOT NULL CHECK (round >= leased_in),
  payload_digest BLOB NOT NULL CHECK (length(payload_digest) = 16),
  PRIMARY KEY (task, device, leased_in),
  FOREIGN KEY (task, round, device) REFERENCES contributions (task, round, device)
) STRICT, WITHOUT ROWID;
)sql";

// Those that hold no more are dropped at the end of each round: found by their age, beside all the others.
constexpr const char* kSchema4 = R"sql(
CREATE INDEX counted_leases_by_age ON counted_leases (task, leased_in);
)sql";

constexpr const char* kSchema5 = R"sql(
CREATE TABLE access_tokens (
  ordinal INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'scientist', 'operator', 'auditor', 'admin')),
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT;

-- The only ones that a token opens; none: all.
CREATE TABLE access_token_tasks (
  token TEXT NOT NULL REFERENCES access_tokens (id),
  task TEXT NOT NULL,
  PRIMARY KEY (token, task)
) STRICT, WITHOUT ROWID;
)sql";

// The key that a device agrees on secrets with: the first one that it shows, until a token admits it anew. Then the
// point is forgotten, and the next key has the next number.
constexpr const char* kSchema6 = R"sql(
CREATE TABLE device_keys (
  device TEXT PRIMARY KEY NOT NULL REFERENCES devices (id),
  epoch INTEGER NOT NULL CHECK (epoch >= 1),
  point BLOB CHECK (length(point) = 65),
  tier TEXT NOT NULL,
  recorded_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE model_leases (
  task TEXT NOT NULL REFERENCES tasks (id),
  device TEXT NOT NULL REFERENCES devices (id),
  version INTEGER NOT NULL CHECK (version >= 1),
  leases INTEGER NOT NULL CHECK (leases >= 1),
  leased_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (task, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_leases_by_device ON model_leases (device);
)sql";

// What devices that use models said last, and in all; of each task the sums, so that they are not added up anew for
// everybody who asks. The counts are in the order of kEdgeCounters.
constexpr const char* kSchema7 = R"sql(
CREATE TABLE edge_reports (
  task TEXT NOT NULL REFERENCES tasks (id),
  device TEXT NOT NULL REFERENCES devices (id),
  stream BLOB NOT NULL CHECK (length(stream) = 16),
  sequence INTEGER NOT NULL CHECK (sequence >= 1),
  statement BLOB NOT NULL,
  public_key BLOB NOT NULL,
  signature BLOB NOT NULL,
  received_at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  drifted INTEGER NOT NULL CHECK (drifted IN (0, 1)),
  judged_rows INTEGER NOT NULL,
  adversarial INTEGER NOT NULL,
  out_of_distribution INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  extraction_alarms INTEGER NOT NULL,
  over_budget INTEGER NOT NULL,
  drift_windows INTEGER NOT NULL,
  drift_alarms INTEGER NOT NULL,
  worker_endings INTEGER NOT NULL,
  changed_weights INTEGER NOT NULL,
  refused_calls INTEGER NOT NULL,
  PRIMARY KEY (task, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX edge_reports_by_device ON edge_reports (device);

-- Of the last report of each device.
CREATE TABLE edge_degradations (
  task TEXT NOT NULL,
  device TEXT NOT NULL,
  protection TEXT NOT NULL,
  PRIMARY KEY (task, device, protection),
  FOREIGN KEY (task, device) REFERENCES edge_reports (task, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE edge_totals (
  task TEXT PRIMARY KEY NOT NULL REFERENCES tasks (id),
  reports INTEGER NOT NULL CHECK (reports >= 1),
  judged_rows INTEGER NOT NULL,
  adversarial INTEGER NOT NULL,
  out_of_distribution INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  extraction_alarms INTEGER NOT NULL,
  over_budget INTEGER NOT NULL,
  drift_windows INTEGER NOT NULL,
  drift_alarms INTEGER NOT NULL,
  worker_endings INTEGER NOT NULL,
  changed_weights INTEGER NOT NULL,
  refused_calls INTEGER NOT NULL,
  extraction_alarm_at INTEGER,
  changed_weights_at INTEGER,
  refused_call_at INTEGER
) STRICT, WITHOUT ROWID;
)sql";

/// Entry i brings schema i to i + 1. Entries are never changed once released; a new schema is a new entry.
constexpr std::array<const char*, kSchemaVersion> kMigrations = {kSchema1, kSchema2, kSchema3, kSchema4,
                                                                 kSchema5, kSchema6, kSchema7};

Result<void> SetVersion(Database& database, std::uint64_t version) {
  TACIT_TRY(Query update, database.Prepare("UPDATE schema_version SET version = ?"));
  return update.Bind(version).Run();
}

}  // namespace

Result<std::uint64_t> SchemaVersion(Database& database) {
  {
    TACIT_TRY(Query table, database.Prepare("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'"));
    TACIT_TRY(const bool exists, table.Next());
    if (!exists) return 0;
  }
  TACIT_TRY(Query query, database.Prepare("SELECT version FROM schema_version"));
  TACIT_TRY(const bool row, query.Next());
  if (!row) return Fail(ErrorCode::kDataLoss, "the database does not say which schema it has");
  const std::uint64_t version = query.TakeU64();
  TACIT_TRY_VOID(query.RowIsSound());
  return version;
}

Result<void> Migrate(Database& database) {
  TACIT_TRY(const std::uint64_t version, SchemaVersion(database));
  if (version > kSchemaVersion) {
    return Fail(ErrorCode::kConflict, "the database has schema " + std::to_string(version) +
                                          ", and this release knows " + std::to_string(kSchemaVersion) +
                                          ": run the newer release");
  }
  if (version == kSchemaVersion) return {};
  TACIT_TRY(Transaction step, Transaction::Begin(database));
  for (std::uint64_t from = version; from < kSchemaVersion; ++from) TACIT_TRY_VOID(database.Script(kMigrations[from]));
  TACIT_TRY_VOID(SetVersion(database, kSchemaVersion));
  return step.Commit();
}

}  // namespace tacit::store
