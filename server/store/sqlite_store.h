#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>

#include "server/store/store.h"

namespace tacit::store {

struct StoreOptions {
  /// Made (mode 0700) when it does not exist.
  std::filesystem::path data_dir;
  /// For crash tests: called with the step's name after every durable step. Empty in production.
  std::function<void(std::string_view step)> after_step;
};

/// The embedded store: SQLite (WAL, full sync) for rows, files for what is large. README.md of this directory has the
/// layout. Errors: `Open`: kConflict when another process has the directory open, or its schema is newer than this
/// program. Threads: one thread at a time.
class SqliteStore final : public Store, private DurableMinter {
 public:
  static Result<std::unique_ptr<SqliteStore>> Open(StoreOptions options);
  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

 private:
  SqliteStore();
};

}  // namespace tacit::store
