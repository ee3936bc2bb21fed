#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <sqlite3.h>

#include "common/crypto/digest.h"
#include "dp/ledger.h"
#include "server/store/sqlite_store.h"
#include "tests/support/matchers.h"
#include "tests/support/task_text.h"
#include "tests/support/temp_directory.h"

/// Records to store, and looks past the store at what it put on disk.
namespace tacit::store::testing {

namespace fs = std::filesystem;

inline WallTime At(std::int64_t seconds) {
  return WallTime(Millis(1'790'000'000'000 + seconds * 1000));
}
inline TaskId Task(std::string_view name) {
  return *TaskId::Parse(name);
}
inline DeviceId Device(std::string_view name) {
  return *DeviceId::Parse(name);
}
inline RoundKey Round(std::string_view task, RoundNumber number) {
  return {Task(task), number};
}
inline Bytes Text(std::string_view text) {
  return {text.begin(), text.end()};
}

inline std::string TaskText(std::string_view name) {
  return tacit::testing::SmallTask(name, R"([rounds]
count = 20
[cohort]
size = 4
min = 1
[privacy]
mechanism = "gaussian"
clip_norm = 1.0
noise_multiplier = 4.0
delta = 1e-5
epsilon_budget = 8
population = 100
)");
}

inline TaskRecord NewTask(std::string_view name) {
  const std::string toml = TaskText(name);
  auto spec = task::ParseTask(toml, "task.toml");
  EXPECT_THAT(spec, tacit::testing::IsOk());
  return {.spec = *std::move(spec), .toml = toml, .created_at = At(0), .state_reason = ""};
}

/// Nine parameters, as NewTask's model has, that differ by `seed`.
inline std::vector<float> Model(float seed) {
  return std::vector<float>(9, seed);
}

inline Digest256 Digest(const std::vector<float>& model) {
  return crypto::Sha256(AsBytes(std::span<const float>(model)));
}

inline RoundRecord NewRound(RoundKey key, RoundPhase phase) {
  RoundRecord round{.key = std::move(key), .phase = phase, .reason = "", .opened_at = At(10), .ended_at = {}};
  if (HasEnded(phase)) round.ended_at = At(20);
  return round;
}

inline Contribution From(std::string_view device, std::uint8_t digest = 1) {
  Contribution contribution{.device = Device(device)};
  contribution.payload_digest.fill(digest);
  return contribution;
}

inline DeviceRecord NewDevice(std::string_view name, std::uint8_t key = 1) {
  DeviceRecord device{.id = Device(name),
                      .certificate_serial = "0a1b",
                      .certificate_not_after = At(1000),
                      .enrolled_at = At(1),
                      .last_seen = {},
                      .token_hash_hex = ""};
  device.public_key_sha256.fill(key);
  return device;
}

inline AccessTokenRecord NewAccessToken(std::string id, std::vector<TaskId> tasks = {}) {
  AccessTokenRecord token{.id = std::move(id),
                          .hash = {},
                          .name = *PersonName::Parse("ada"),
                          .role = Role::kScientist,
                          .tasks = std::move(tasks),
                          .created_by = "admin/admin",
                          .created_at = At(1),
                          .expires_at = At(100),
                          .revoked_at = std::nullopt};
  token.hash.fill(static_cast<std::uint8_t>(token.id.back()));
  return token;
}

inline dp::BudgetLedger NewLedger(const task::TaskSpec& spec) {
  auto ledger = dp::BudgetLedger::Restore(spec.Policy(&crypto::Sha256), {}, 0);
  EXPECT_THAT(ledger, tacit::testing::IsOk());
  return *std::move(ledger);
}

/// In how many rounds of the task the device was ever counted.
inline std::uint64_t RoundsOf(Store& store, const TaskId& task, const DeviceId& device) {
  for (const Participation& each : *store.ParticipationCounts(task))
    if (each.device == device) return each.rounds;
  return 0;
}

struct Partial {
  std::uint64_t sequence = 0;
  Bytes sealed;
};

/// All partial sums of a round, by sequence.
inline Result<std::vector<Partial>> PartialsOf(Store& store, const RoundKey& key) {
  std::vector<Partial> partials;
  TACIT_TRY(const std::vector<std::uint64_t> sequences, store.PartialSequences(key));
  for (const std::uint64_t sequence : sequences) {
    AlignedBuffer room;
    TACIT_TRY(const ByteSpan sealed, store.ReadPartial(key, sequence, room));
    partials.push_back({sequence, Bytes(sealed.begin(), sealed.end())});
  }
  return partials;
}

/// The names of a directory's files, sorted; empty when it is missing.
inline std::vector<std::string> FilesIn(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : fs::recursive_directory_iterator(directory, missing)) {
    if (entry.is_regular_file()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

inline void FlipOneByte(const fs::path& path, std::streamoff at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const char byte = static_cast<char>(file.get());
  file.seekp(at);
  file.put(static_cast<char>(byte ^ 1));
  EXPECT_TRUE(file.good()) << path;
}

/// Runs SQL on a connection of its own, as a stranger with a tool would. Returns SQLite's message, empty when it was
/// done.
inline std::string RunSql(const fs::path& database, const std::string& sql) {
  sqlite3* connection = nullptr;
  char* message = nullptr;
  std::string said;
  if (sqlite3_open(database.c_str(), &connection) != SQLITE_OK ||
      sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
    said = message == nullptr ? sqlite3_errmsg(connection) : message;
  }
  sqlite3_free(message);
  sqlite3_close(connection);
  return said;
}

/// A test with an open store in a directory of its own.
class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { Open(); }

  void Open() {
    store_.reset();
    auto opened = SqliteStore::Open({.data_dir = data_dir()});
    ASSERT_THAT(opened, tacit::testing::IsOk());
    store_ = *std::move(opened);
  }
  void Close() { store_.reset(); }

  [[nodiscard]] fs::path data_dir() const { return directory_.path() / "data"; }
  [[nodiscard]] fs::path database() const { return data_dir() / "tacit.db"; }
  SqliteStore& store() { return *store_; }

  /// A task with an open round 1.
  void OpenRoundOf(std::string_view task) {
    ASSERT_THAT(store().CreateTask(NewTask(task), Model(0)), tacit::testing::IsOk());
    ASSERT_THAT(store().PutRound(NewRound(Round(task, 1), RoundPhase::kOpen)), tacit::testing::IsOk());
  }

 private:
  tacit::testing::TempDirectory directory_{tacit::testing::FastestDirectory()};
  std::unique_ptr<SqliteStore> store_;
};

}  // namespace tacit::store::testing
