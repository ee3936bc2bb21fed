#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tacit::store {

class Database;

/// One run of a prepared statement: bind from left to right, then `Next` per row or `Run`. Resets the statement when it
/// ends. A bind that fails, and a column that is not what the schema promises, is kept and returned by the next Result.
class Query {
 public:
  Query(Query&& other) noexcept;
  Query& operator=(Query&&) = delete;
  ~Query();

  Query& Bind(std::uint64_t value);
  Query& Bind(double value);
  Query& Bind(std::string_view value);
  Query& Bind(const std::string& value) { return Bind(std::string_view(value)); }
  Query& Bind(const char* value) { return Bind(std::string_view(value)); }
  Query& Bind(ByteSpan value);
  Query& Bind(WallTime value);
  Query& Bind(const std::optional<WallTime>& value);
  Query& BindNull();

  /// Whether there is a row. Errors: as `Database`; kConflict for a violated constraint or trigger.
  [[nodiscard]] Result<bool> Next();
  /// Runs a statement that yields no rows.
  [[nodiscard]] Result<void> Run();
  /// How many rows the statement changed, after `Run`.
  [[nodiscard]] std::uint64_t Changes() const;

  // Columns are read from left to right.
  [[nodiscard]] std::uint64_t TakeU64();
  [[nodiscard]] double TakeReal();
  [[nodiscard]] std::string TakeText();
  [[nodiscard]] Bytes TakeBlob();
  [[nodiscard]] WallTime TakeTime();
  [[nodiscard]] std::optional<WallTime> TakeOptionalTime();
  [[nodiscard]] std::optional<double> TakeOptionalReal();
  /// A blob of exactly the size of `Digest`.
  template <typename Digest>
  [[nodiscard]] Digest TakeDigest() {
    Digest digest{};
    TakeExactly(digest);
    return digest;
  }
  /// Whether the next column is NULL, which it then skips.
  [[nodiscard]] bool SkipNull();

  /// kDataLoss when a column of the row was not what the schema promises; call after the last Take of a row.
  [[nodiscard]] Result<void> RowIsSound() const;

 private:
  friend class Database;
  Query(Database& database, sqlite3_stmt* statement) : database_(&database), statement_(statement) {}
  void TakeExactly(std::span<std::uint8_t> out);
  void Note(int code);

  Database* database_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
  int taken_ = 0;
  bool damaged_ = false;
  std::optional<Error> bind_error_;
};

/// One connection to one SQLite file, in WAL mode with full sync.
/// Errors: kUnavailable when the disk is full, read-only or fails; kDataLoss when the file is not a sound database.
class Database {
 public:
  /// Makes the file (mode 0600) when it does not exist.
  static Result<std::unique_ptr<Database>> Open(const std::filesystem::path& path);
  /// For looking at a file that a server may be using, or none: it is neither made nor changed, and nothing beside it
  /// where no log is there to be read. Errors: kNotFound when there is no file.
  static Result<std::unique_ptr<Database>> OpenToLook(const std::filesystem::path& path);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  /// `sql` must be a string literal: it is the key of the cache of prepared statements.
  [[nodiscard]] Result<Query> Prepare(const char* sql);
  /// Runs statements that take no parameters.
  [[nodiscard]] Result<void> Script(const char* sql);
  /// Writes the write-ahead log back and cuts it, so that what was forgotten is not in it. Left for the next time while
  /// another connection reads.
  [[nodiscard]] Result<void> CutLog();
  /// Looks through every page, and whether indices and rows agree. Errors: kDataLoss with the first thing that does not
  /// hold; kDeadlineExceeded when `deadline` comes first.
  [[nodiscard]] Result<void> QuickCheck(const Clock& clock, SteadyTime deadline);
  /// Prepares a statement without parameters and runs it.
  [[nodiscard]] Result<void> Execute(const char* sql);

 private:
  friend class Query;
  friend class Transaction;
  struct Closer {
    void operator()(sqlite3* connection) const;
  };
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const;
  };

  explicit Database(std::filesystem::path path) : path_(std::move(path)) {}
  [[nodiscard]] Result<void> Connect(const std::string& name, int flags);
  [[nodiscard]] Result<void> Configure();
  [[nodiscard]] Result<void> RequireOurs();
  [[nodiscard]] Result<std::string> FirstFault();
  [[nodiscard]] std::unexpected<Error> Failure(int code) const;

  std::filesystem::path path_;
  std::unique_ptr<sqlite3, Closer> connection_;
  // After connection_, so that statements are finalised before it closes.
  std::unordered_map<const char*, std::unique_ptr<sqlite3_stmt, Finalizer>> statements_;
};

/// A write transaction: rolled back when it ends without `Commit`.
class Transaction {
 public:
  [[nodiscard]] static Result<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  /// Durable when it succeeds. When it fails, a crash before the next commit may still bring the transaction back,
  /// whole.
  [[nodiscard]] Result<void> Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace tacit::store
