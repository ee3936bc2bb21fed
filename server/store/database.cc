#include "server/store/database.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>
#include <system_error>
#include <utility>

#include <sqlite3.h>

#include "common/base/check.h"

namespace tacit::store {

namespace {

constexpr int kBusyTimeoutMs = 5000;

/// "Taci": tells our file from any other SQLite database.
constexpr const char* kSetApplicationId = "PRAGMA application_id = 1415668585";
constexpr std::uint64_t kApplicationId = 1415668585;

ErrorCode CodeFor(int sqlite_code) {
  if (sqlite_code == SQLITE_CONSTRAINT_FOREIGNKEY) return ErrorCode::kNotFound;
  switch (sqlite_code & 0xff) {
    case SQLITE_CONSTRAINT:
      return ErrorCode::kConflict;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::kDataLoss;
    case SQLITE_TOOBIG:
      return ErrorCode::kTooLarge;
    case SQLITE_INTERRUPT:
      return ErrorCode::kDeadlineExceeded;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_NOLFS:
    case SQLITE_NOMEM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::kUnavailable;
    default:
      return ErrorCode::kInternal;
  }
}

/// The file must be ours alone from its first byte; SQLite gives its companions (-wal, -shm) the same mode.
Result<void> MakeFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return Fail(ErrorCode::kUnavailable, "cannot open " + path.string() + ": " + std::system_category().message(errno));
  }
  ::close(fd);
  return {};
}

/// What SQLite reads a path and options from: what has a meaning in an URI stands as its number.
std::string UriOf(const std::filesystem::path& path) {
  std::string uri = "file://";
  for (const char c : std::filesystem::absolute(path).string()) {
    const bool special = c == '%' || c == '?' || c == '#';
    uri += special ? "%" + ToHex(AsBytes(std::string_view(&c, 1))) : std::string(1, c);
  }
  return uri;
}

}  // namespace

Query::Query(Query&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      bound_(other.bound_),
      taken_(other.taken_),
      damaged_(other.damaged_),
      bind_error_(std::move(other.bind_error_)) {}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Query::Note(int code) {
  if (code != SQLITE_OK && !bind_error_) bind_error_ = database_->Failure(code).error();
}

Query& Query::Bind(std::uint64_t value) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value > kMost) {
    bind_error_ = Error{ErrorCode::kInvalidArgument, "a number over 2^63 - 1 cannot be stored"};
    value = 0;
  }
  Note(sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(value)));
  return *this;
}

Query& Query::Bind(double value) {
  // SQLite would silently store a NaN as NULL.
  if (std::isnan(value)) bind_error_ = Error{ErrorCode::kInvalidArgument, "NaN cannot be stored"};
  Note(sqlite3_bind_double(statement_, ++bound_, value));
  return *this;
}

Query& Query::Bind(std::string_view value) {
  Note(sqlite3_bind_text64(statement_, ++bound_, value.data() == nullptr ? "" : value.data(), value.size(),
                           SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Query& Query::Bind(ByteSpan value) {
  Note(sqlite3_bind_blob64(statement_, ++bound_,
                           value.empty() ? reinterpret_cast<const std::uint8_t*>("") : value.data(), value.size(),
                           SQLITE_TRANSIENT));
  return *this;
}

Query& Query::Bind(WallTime value) {
  Note(sqlite3_bind_int64(statement_, ++bound_, value.time_since_epoch().count()));
  return *this;
}

Query& Query::Bind(const std::optional<WallTime>& value) {
  return value ? Bind(*value) : BindNull();
}

Query& Query::BindNull() {
  Note(sqlite3_bind_null(statement_, ++bound_));
  return *this;
}

Result<bool> Query::Next() {
  if (bind_error_) return std::unexpected<Error>(*bind_error_);
  taken_ = 0;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_->Failure(code);
}

Result<void> Query::Run() {
  TACIT_TRY(const bool row, Next());
  TACIT_CHECK(!row, "Run is for statements that yield no rows");
  return {};
}

std::uint64_t Query::Changes() const {
  return static_cast<std::uint64_t>(sqlite3_changes64(sqlite3_db_handle(statement_)));
}

std::uint64_t Query::TakeU64() {
  const int column = taken_++;
  const sqlite3_int64 value = sqlite3_column_int64(statement_, column);
  if (sqlite3_column_type(statement_, column) != SQLITE_INTEGER || value < 0) damaged_ = true;
  return static_cast<std::uint64_t>(std::max<sqlite3_int64>(value, 0));
}

double Query::TakeReal() {
  const int column = taken_++;
  if (sqlite3_column_type(statement_, column) != SQLITE_FLOAT) damaged_ = true;
  return sqlite3_column_double(statement_, column);
}

std::string Query::TakeText() {
  const int column = taken_++;
  if (sqlite3_column_type(statement_, column) != SQLITE_TEXT) {
    damaged_ = true;
    return {};
  }
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Bytes Query::TakeBlob() {
  const int column = taken_++;
  if (sqlite3_column_type(statement_, column) != SQLITE_BLOB) {
    damaged_ = true;
    return {};
  }
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_, column));
  return {data, data + sqlite3_column_bytes(statement_, column)};
}

void Query::TakeExactly(std::span<std::uint8_t> out) {
  const Bytes blob = TakeBlob();
  if (blob.size() != out.size()) {
    damaged_ = true;
    return;
  }
  std::copy(blob.begin(), blob.end(), out.begin());
}

WallTime Query::TakeTime() {
  const int column = taken_++;
  if (sqlite3_column_type(statement_, column) != SQLITE_INTEGER) damaged_ = true;
  return WallTime(Millis(sqlite3_column_int64(statement_, column)));
}

bool Query::SkipNull() {
  const bool null = sqlite3_column_type(statement_, taken_) == SQLITE_NULL;
  if (null) ++taken_;
  return null;
}

std::optional<WallTime> Query::TakeOptionalTime() {
  if (SkipNull()) return std::nullopt;
  return TakeTime();
}

std::optional<double> Query::TakeOptionalReal() {
  if (SkipNull()) return std::nullopt;
  return TakeReal();
}

Result<void> Query::RowIsSound() const {
  if (damaged_) return Fail(ErrorCode::kDataLoss, database_->path_.string() + ": a row does not fit the schema");
  return {};
}

void Database::Closer::operator()(sqlite3* connection) const {
  sqlite3_close_v2(connection);
}
void Database::Finalizer::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Database::~Database() = default;

std::unexpected<Error> Database::Failure(int code) const {
  const std::string_view said = connection_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection_.get());
  return Fail(CodeFor(code), path_.string() + ": " + std::string(said));
}

Result<std::unique_ptr<Database>> Database::Open(const std::filesystem::path& path) {
  TACIT_TRY_VOID(MakeFile(path));
  std::unique_ptr<Database> database(new Database(path));
  TACIT_TRY_VOID(database->Connect(std::filesystem::absolute(path), SQLITE_OPEN_READWRITE));
  if (sqlite3_db_readonly(database->connection_.get(), "main") == 1) {
    return Fail(ErrorCode::kUnavailable, path.string() + " cannot be written: check its mode and its file system");
  }
  TACIT_TRY_VOID(database->Configure());
  return database;
}

Result<std::unique_ptr<Database>> Database::OpenToLook(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return Fail(ErrorCode::kNotFound, path.string() + " is not there");
  std::filesystem::path log = path;
  log += "-wal";
  // Where there is no log, no server is at work, and a reader that took part in its protocol would make files that
  // another user's server could then not open. One that is empty may be that of a server which has just cut it.
  const bool nobody_writes = !std::filesystem::exists(log, ignored);
  std::unique_ptr<Database> database(new Database(path));
  TACIT_TRY_VOID(
      database->Connect(UriOf(path) + (nobody_writes ? "?immutable=1" : ""), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI));
  for (const char* pragma : {"PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON",
                             "PRAGMA temp_store = MEMORY"}) {
    TACIT_TRY_VOID(database->Execute(pragma));
  }
  TACIT_TRY_VOID(database->RequireOurs());
  return database;
}

Result<void> Database::Connect(const std::string& name, int flags) {
  sqlite3* connection = nullptr;
  // One thread at a time is the contract, so SQLite's own locks are left out. NOFOLLOW: the path is ours.
  const int code =
      sqlite3_open_v2(name.c_str(), &connection, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  connection_.reset(connection);
  if (code != SQLITE_OK) return Failure(code);
  sqlite3_extended_result_codes(connection, 1);
  sqlite3_busy_timeout(connection, kBusyTimeoutMs);
  sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  return {};
}

Result<void> Database::Configure() {
  // secure_delete: a forgotten payload digest or consumed token leaves no copy in free pages.
  // recursive_triggers: without it INSERT OR REPLACE would delete a ledger row past the trigger that refuses deletes.
  for (const char* pragma :
       {"PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON", "PRAGMA secure_delete = ON",
        "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON", "PRAGMA recursive_triggers = ON",
        "PRAGMA temp_store = MEMORY", "PRAGMA journal_size_limit = 67108864"}) {
    TACIT_TRY_VOID(Execute(pragma));
  }
  {
    TACIT_TRY(Query mode, Prepare("PRAGMA journal_mode = WAL"));
    TACIT_TRY(const bool row, mode.Next());
    if (!row || mode.TakeText() != "wal") {
      return Fail(ErrorCode::kUnavailable,
                  path_.string() + ": this file system cannot hold a write-ahead log (is it a network share?)");
    }
  }
  TACIT_TRY(Query pages, Prepare("SELECT count(*) FROM sqlite_schema"));
  TACIT_TRY(const bool any, pages.Next());
  if (any && pages.TakeU64() == 0) return Execute(kSetApplicationId);
  return RequireOurs();
}

Result<void> Database::RequireOurs() {
  TACIT_TRY(Query id, Prepare("PRAGMA application_id"));
  TACIT_TRY(const bool has_id, id.Next());
  if (!has_id || id.TakeU64() != kApplicationId) {
    return Fail(ErrorCode::kDataLoss, path_.string() + " is a database of another program");
  }
  return {};
}

Result<std::string> Database::FirstFault() {
  TACIT_TRY(Query check, Prepare("PRAGMA quick_check(1)"));
  TACIT_TRY(const bool row, check.Next());
  return row ? check.TakeText() : std::string("the check gave no answer");
}

Result<void> Database::QuickCheck(const Clock& clock, SteadyTime deadline) {
  struct Patience {
    const Clock& clock;
    SteadyTime deadline;
  };
  Patience patience{clock, deadline};
  const auto is_over = [](void* context) -> int {
    const auto& limit = *static_cast<const Patience*>(context);
    return limit.clock.SteadyNow() >= limit.deadline ? 1 : 0;
  };
  constexpr int kInstructionsBetweenLooks = 20'000;
  sqlite3_progress_handler(connection_.get(), kInstructionsBetweenLooks, is_over, &patience);
  const Result<std::string> found = FirstFault();
  sqlite3_progress_handler(connection_.get(), 0, nullptr, nullptr);
  if (!found) return std::unexpected(found.error());
  if (*found == "ok") return {};
  return Fail(ErrorCode::kDataLoss, path_.string() + ": " + *found);
}

Result<void> Database::CutLog() {
  // Not waited for: whoever reads meanwhile, as a backup does, is done by the next time.
  sqlite3_busy_timeout(connection_.get(), 0);
  const int code = sqlite3_wal_checkpoint_v2(connection_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  sqlite3_busy_timeout(connection_.get(), kBusyTimeoutMs);
  if (code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY) return {};
  return Failure(code);
}

Result<Query> Database::Prepare(const char* sql) {
  auto& statement = statements_[sql];
  if (statement == nullptr) {
    sqlite3_stmt* made = nullptr;
    const int code = sqlite3_prepare_v3(connection_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr);
    if (code != SQLITE_OK) return Failure(code);
    statement.reset(made);
  }
  TACIT_CHECK(sqlite3_stmt_busy(statement.get()) == 0, "one statement has one run at a time");
  return Query(*this, statement.get());
}

Result<void> Database::Execute(const char* sql) {
  TACIT_TRY(Query query, Prepare(sql));
  while (true) {
    TACIT_TRY(const bool row, query.Next());  // some pragmas answer with a row
    if (!row) return {};
  }
}

Result<void> Database::Script(const char* sql) {
  const int code = sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return Failure(code);
  return {};
}

Result<Transaction> Transaction::Begin(Database& database) {
  TACIT_TRY_VOID(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  // SQLite rolls back by itself after some failures; then there is nothing left to do.
  if (database_ == nullptr || sqlite3_get_autocommit(database_->connection_.get()) != 0) return;
  [[maybe_unused]] const auto rolled_back = database_->Execute("ROLLBACK");
  TACIT_CHECK(sqlite3_get_autocommit(database_->connection_.get()) != 0,
              "a transaction left open would let the next commit take a half step with it");
}

Result<void> Transaction::Commit() {
  return database_->Execute("COMMIT");
}

}  // namespace tacit::store
