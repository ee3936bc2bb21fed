#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

#include "tests/unit/store/fixtures.h"

// What the store does about disks that fail, files that changed, and other processes.
namespace tacit::store {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::At;
using ::testing::Contains;
using testing::Device;
using testing::Digest;
using testing::FilesIn;
using testing::FlipOneByte;
using testing::From;
using ::testing::IsEmpty;
using testing::Model;
using testing::NewDevice;
using testing::NewRound;
using testing::NewTask;
using ::testing::Not;
using testing::Round;
using testing::RunSql;
using ::testing::SizeIs;
using testing::StoreTest;
using testing::Task;
using testing::Text;
namespace fs = std::filesystem;

using Opening = StoreTest;
using Damage = StoreTest;
using FullDisk = StoreTest;

/// Runs `body` in a child process and returns its exit status: limits set there end with it.
template <typename Body>
int InChild(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void Write(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST_F(Opening, MakesADirectoryThatOnlyItsOwnerCanUse) {
  for (const char* name : {"", "models", "optimizer", "partials", "keys"}) {
    EXPECT_EQ(fs::status(data_dir() / name).permissions(), fs::perms::owner_all) << name;
  }
  EXPECT_EQ(fs::status(database()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(Opening, ASecondTimeIsRefusedWhileTheFirstGoesOn) {
  const auto second = SqliteStore::Open({.data_dir = data_dir()});
  EXPECT_THAT(second, IsErrorSaying(ErrorCode::kConflict, "is in use by another tacitd"));
  EXPECT_EQ(InChild([&] {
              const auto other = SqliteStore::Open({.data_dir = data_dir()});
              return !other && other.error().code == ErrorCode::kConflict ? 7 : 1;
            }),
            7);
  Close();
  EXPECT_THAT(SqliteStore::Open({.data_dir = data_dir()}), IsOk()) << "the lock went with its holder";
}

TEST_F(Opening, NeedsAParentDirectoryAndSaysWhichIsMissing) {
  EXPECT_THAT(SqliteStore::Open({.data_dir = data_dir() / "no" / "such"}),
              IsErrorSaying(ErrorCode::kUnavailable, "no/such"));
}

const std::string kWithoutAccess =
    "; DROP TABLE access_token_tasks; DROP TABLE access_tokens; "
    "DROP TABLE model_leases; DROP TABLE device_keys; "
    "DROP TABLE edge_degradations; DROP TABLE edge_reports; DROP TABLE edge_totals; ";
const std::string kToFirstSchema =
    "DROP TABLE counted_leases; DROP INDEX tokens_by_name" + kWithoutAccess + "UPDATE schema_version SET version = 1";

TEST_F(Opening, RefusesTheSchemaOfANewerRelease) {
  Close();
  ASSERT_EQ(RunSql(database(), "UPDATE schema_version SET version = 99"), "");
  EXPECT_THAT(SqliteStore::Open({.data_dir = data_dir()}),
              IsErrorSaying(ErrorCode::kConflict, "has schema 99, and this release knows 7"));
}

TEST_F(Opening, BringsTheFirstSchemaForward) {
  Close();
  ASSERT_EQ(RunSql(database(), kToFirstSchema), "");
  ASSERT_THAT(SqliteStore::Open({.data_dir = data_dir()}), IsOk());
  EXPECT_EQ(RunSql(database(), "DROP INDEX tokens_by_name"), "") << "it is there again";
}

// Looked through row by row, the leases of a large task are read whole at the end of every one of its rounds.
TEST_F(Opening, GivesTheLeasesOfTheThirdSchemaAnIndexByAge) {
  const std::string remove = "DROP INDEX counted_leases_by_age";
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 2), RoundPhase::kOpen)), IsOk());
  Contribution old = From("phone");
  old.leased_in = 1;
  ASSERT_THAT(store().CommitPartial(Round("har", 2), 0, Text("sum"), std::array{old}), IsOk());
  Close();
  ASSERT_EQ(RunSql(database(), remove + kWithoutAccess + "UPDATE schema_version SET version = 3"), "");
  Open();
  EXPECT_THAT(*store().CountedLeases(Task("har")), SizeIs(1));
  EXPECT_THAT(store().DropCountedLeases(Task("har"), 1), IsOk());
  EXPECT_THAT(*store().CountedLeases(Task("har")), IsEmpty());
  Close();
  EXPECT_EQ(RunSql(database(), remove), "") << "it is there again";
}

TEST_F(Opening, UsesUpTheTokensThatTheFirstSchemaLeftForDevices) {
  const auto token = [&](std::uint8_t byte, std::optional<DeviceId> name) {
    return store().CreateToken(
        {.hash = Digest256{byte}, .expires_at = At(100), .fixed_name = std::move(name), .created_at = At(0)});
  };
  ASSERT_THAT(token(1, Device("phone")), IsOk());
  ASSERT_THAT(token(2, Device("tablet")), IsOk());
  ASSERT_THAT(store().AddDevice(NewDevice("phone", 1)), IsOk());
  Close();
  ASSERT_EQ(RunSql(database(), kToFirstSchema), "");
  const auto again = *SqliteStore::Open({.data_dir = data_dir()});
  EXPECT_THAT(again->RedeemToken(Digest256{1}, At(1), NewDevice("phone", 2)),
              IsErrorSaying(ErrorCode::kUnauthenticated, "used up"));
  EXPECT_THAT(again->RedeemToken(Digest256{2}, At(1), NewDevice("tablet", 3)), IsOk());
}

TEST_F(Opening, RefusesADatabaseOfAnotherProgram) {
  Close();
  fs::remove(database());
  ASSERT_EQ(RunSql(database(), "CREATE TABLE recipes (name TEXT)"), "");
  EXPECT_THAT(SqliteStore::Open({.data_dir = data_dir()}), IsErrorSaying(ErrorCode::kDataLoss, "another program"));
}

TEST_F(Opening, RefusesFilesWhoseDatabaseIsGoneInsteadOfSweepingThem) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  Close();
  for (const char* name : {"tacit.db", "tacit.db-wal", "tacit.db-shm"}) fs::remove(data_dir() / name);
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_THAT(SqliteStore::Open({.data_dir = data_dir()}),
                IsErrorSaying(ErrorCode::kDataLoss, "is missing or empty"));
  }
  EXPECT_THAT(FilesIn(data_dir() / "models"), SizeIs(1));
}

TEST_F(Opening, RefusesWhatIsNotADatabase) {
  Close();
  Write(database(), std::string(8192, 'x'));
  EXPECT_THAT(SqliteStore::Open({.data_dir = data_dir()}), IsError(ErrorCode::kDataLoss));
}

TEST_F(Opening, RemovesWhatUnfinishedStepsLeftAndNothingElse) {
  OpenRoundOf("har");
  ASSERT_THAT(store().CommitPartial(Round("har", 1), 0, Text("kept"), std::array{From("d1")}), IsOk());
  ASSERT_THAT(store().CreateRoundKey(Round("har", 1)), IsOk());
  ASSERT_THAT(store().PutRound(NewRound(Round("har", 2), RoundPhase::kAbandoned)), IsOk());
  Close();
  const std::string model = ToHex(Digest(Model(0)));
  const std::string stray(64, 'a');
  const std::string partial = FilesIn(data_dir() / "partials").front();
  Write(data_dir() / "models" / stray, "");
  Write(data_dir() / "models" / (model + ".aB3xYz"), "half");
  Write(data_dir() / "models" / "notes.txt", "an operator's own");
  Write(data_dir() / "optimizer" / stray, "");
  Write(data_dir() / "partials/har/1/1-00000000000000000000000000000000.sealed", "no row");
  Write(data_dir() / "partials/har/1" / (partial + ".aB3xYz"), "half");
  Write(data_dir() / "partials/har/7/0-00000000000000000000000000000000.sealed", "no round");
  Write(data_dir() / "partials/gone/1/0-00000000000000000000000000000000.sealed", "no task");
  Write(data_dir() / "keys/har-2.key", std::string(32, 'k'));
  Write(data_dir() / "keys/har-9.key", std::string(32, 'k'));
  Write(data_dir() / "keys/har-1.key.aB3xYz", std::string(32, 'k'));
  Open();
  EXPECT_THAT(FilesIn(data_dir() / "models"), ::testing::UnorderedElementsAre(model, "notes.txt"));
  EXPECT_THAT(FilesIn(data_dir() / "optimizer"), IsEmpty());
  EXPECT_THAT(FilesIn(data_dir() / "partials"), ::testing::ElementsAre(partial));
  EXPECT_THAT(FilesIn(data_dir() / "keys"), ::testing::ElementsAre("har-1.key"));
  EXPECT_EQ(testing::PartialsOf(store(), Round("har", 1))->front().sealed, Text("kept"));
}

TEST_F(Damage, ToAModelIsReportedWhenItIsRead) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  const Digest256 digest = Digest(Model(0));
  const fs::path file = data_dir() / "models" / ToHex(digest);
  FlipOneByte(file, 17);
  EXPECT_THAT(store().MapModel(digest), IsErrorSaying(ErrorCode::kDataLoss, "was changed"));
  fs::resize_file(file, 35);
  EXPECT_THAT(store().MapModel(digest), IsErrorSaying(ErrorCode::kDataLoss, "not of the 36 bytes"));
  fs::resize_file(file, 37);
  EXPECT_THAT(store().MapModel(digest), IsErrorSaying(ErrorCode::kDataLoss, "not of the 36 bytes"));
  fs::remove(file);
  EXPECT_THAT(store().MapModel(digest), IsError(ErrorCode::kDataLoss));
}

TEST_F(Damage, ToAPartialSumIsReportedWhenItIsRead) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  ASSERT_THAT(store().CommitPartial(key, 0, Text("sealed"), std::array{From("d1")}), IsOk());
  const fs::path file = data_dir() / "partials/har/1" / FilesIn(data_dir() / "partials").front();
  FlipOneByte(file, 2);
  EXPECT_THAT(testing::PartialsOf(store(), key), IsErrorSaying(ErrorCode::kDataLoss, "was changed"));
  FlipOneByte(file, 2);
  EXPECT_THAT(testing::PartialsOf(store(), key), IsOk());
  fs::remove(file);
  EXPECT_THAT(testing::PartialsOf(store(), key), IsError(ErrorCode::kDataLoss));
}

TEST_F(Damage, ToAnOptimizerStateIsReportedWhenItIsRead) {
  OpenRoundOf("har");
  ASSERT_THAT(store().Publish({.round = NewRound(Round("har", 1), RoundPhase::kPublished),
                               .model = Model(1),
                               .optimizer_state = Text("moments"),
                               .task_state = {}}),
              IsOk());
  FlipOneByte(data_dir() / "optimizer" / FilesIn(data_dir() / "optimizer").front(), 0);
  EXPECT_THAT(store().OptimizerState(Task("har")), IsError(ErrorCode::kDataLoss));
}

TEST_F(Damage, ToARoundKeyIsReportedAndAHalfDestroyedOneIsGone) {
  OpenRoundOf("har");
  const RoundKey key = Round("har", 1);
  ASSERT_THAT(store().CreateRoundKey(key), IsOk());
  const fs::path file = data_dir() / "keys/har-1.key";
  fs::resize_file(file, 31);
  EXPECT_THAT(store().LoadRoundKey(key), IsError(ErrorCode::kDataLoss));
  fs::resize_file(file, 33);
  EXPECT_THAT(store().LoadRoundKey(key), IsError(ErrorCode::kDataLoss));
  std::ofstream(file, std::ios::binary | std::ios::trunc) << std::string(32, '\0');
  EXPECT_THAT(store().LoadRoundKey(key), IsError(ErrorCode::kNotFound));
}

TEST_F(Damage, ToTheDatabaseIsReportedAndNotReadAsRows) {
  ASSERT_THAT(store().CreateTask(NewTask("har"), Model(0)), IsOk());
  for (int i = 0; i < 200; ++i) {
    ASSERT_THAT(store().AddDevice(NewDevice("device-" + std::to_string(i))), IsOk());
  }
  Close();
  std::fstream file(database(), std::ios::in | std::ios::out | std::ios::binary);
  for (std::streamoff page = 4096; page < static_cast<std::streamoff>(fs::file_size(database())); page += 4096) {
    file.seekp(page);
    file << std::string(64, '\xa5');
  }
  file.close();
  auto opened = SqliteStore::Open({.data_dir = data_dir()});
  const auto devices =
      opened ? (*opened)->Devices({}, 1000) : Result<std::vector<DeviceRecord>>(std::unexpected<Error>(opened.error()));
  EXPECT_THAT(devices, IsError(ErrorCode::kDataLoss));
}

TEST_F(Damage, ToARowThatTheSchemaCouldNotHoldIsReported) {
  ASSERT_THAT(store().AddDevice(NewDevice("phone")), IsOk());
  ASSERT_EQ(RunSql(database(), "PRAGMA ignore_check_constraints = ON; UPDATE devices SET public_key_sha256 = x'00'"),
            "");
  EXPECT_THAT(store().Device(Device("phone")), IsErrorSaying(ErrorCode::kDataLoss, "does not fit the schema"));
  ASSERT_EQ(RunSql(database(), "PRAGMA ignore_check_constraints = ON; UPDATE devices SET state = 'sleepy'"), "");
  EXPECT_THAT(store().Device(Device("phone")), IsErrorSaying(ErrorCode::kDataLoss, "unknown word"));
  ASSERT_EQ(RunSql(database(), "UPDATE devices SET state = 'active', id = 'BAD NAME'"), "");
  EXPECT_THAT(store().Devices({}, 10), IsErrorSaying(ErrorCode::kDataLoss, "bad name"));
}

// A file-size limit makes writes fail the way a full disk does, at whatever write comes to it first.
TEST_F(FullDisk, RefusesWholeStepsAndGoesOnWhenThereIsSpaceAgain) {
  Close();
  const int status = InChild([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    auto opened = SqliteStore::Open({.data_dir = data_dir()});
    if (!opened) return 1;
    SqliteStore& store = **opened;
    if (!store.CreateTask(NewTask("har"), Model(0))) return 2;
    if (!store.PutRound(NewRound(Round("har", 1), RoundPhase::kOpen))) return 3;
    const rlimit small{2048, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &small) != 0) return 4;
    const Bytes large(100'000, 1);
    const auto partial = store.CommitPartial(Round("har", 1), 0, large, std::array{From("d1")});
    if (partial || partial.error().code != ErrorCode::kUnavailable) return 5;
    const auto audit = store.AppendAudit({.at = At(1), .actor = "a", .action = "b", .target = "c", .detail = ""});
    if (audit || audit.error().code != ErrorCode::kUnavailable) return 6;
    if (store.CreateTask(NewTask("second"), Model(1))) return 7;
    const rlimit large_again{RLIM_INFINITY, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &large_again) != 0) return 8;
    // Nothing of the refused steps is there, and the same steps now pass.
    if (store.Contributions(Round("har", 1))->size() != 0 || store.Tasks()->size() != 1) return 9;
    if (!store.CommitPartial(Round("har", 1), 0, large, std::array{From("d1")})) return 10;
    if (!store.AppendAudit({.at = At(1), .actor = "a", .action = "b", .target = "c", .detail = ""})) return 11;
    return 0;
  });
  ASSERT_EQ(status, 0);
  Open();
  EXPECT_THAT(*store().Contributions(Round("har", 1)), SizeIs(1));
  EXPECT_EQ(testing::PartialsOf(store(), Round("har", 1))->front().sealed.size(), 100'000U);
  EXPECT_EQ(store().VerifyAudit()->sequence, 1U);
}

TEST_F(FullDisk, OfAnyRoomLeavesEachStepWholeOrAbsent) {
  Close();
  // Every limit stops another write: of the file, of a log frame, of the frame that commits.
  int limited = 0;
  for (rlim_t room = 4096; room < 60'000; room += 1033) {
    const int status = InChild([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      auto opened = SqliteStore::Open({.data_dir = data_dir().string() + std::to_string(room)});
      if (!opened || !(*opened)->CreateTask(NewTask("har"), Model(0))) return 1;
      if (!(*opened)->PutRound(NewRound(Round("har", 1), RoundPhase::kOpen))) return 2;
      const rlimit limit{100'000 + room, RLIM_INFINITY};
      if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 3;
      for (std::uint64_t sequence = 0; sequence < 40; ++sequence) {
        const std::string device = "d" + std::to_string(sequence);
        const auto done = (*opened)->CommitPartial(Round("har", 1), sequence, Text(device), std::array{From(device)});
        if (!done && done.error().code != ErrorCode::kUnavailable) return 4;
        if (!done) return 100;
      }
      return 0;
    });
    ASSERT_THAT(status, ::testing::AnyOf(0, 100)) << room;
    auto opened = SqliteStore::Open({.data_dir = data_dir().string() + std::to_string(room)});
    ASSERT_THAT(opened, IsOk()) << room;
    const auto partials = testing::PartialsOf(**opened, Round("har", 1));
    ASSERT_THAT(partials, IsOk()) << room;
    EXPECT_EQ(partials->size(), (*opened)->Contributions(Round("har", 1))->size()) << room;
    limited += status == 100 ? 1 : 0;
    if (status == 0) {
      EXPECT_THAT(*partials, SizeIs(40)) << room;
    }
  }
  EXPECT_GT(limited, 10) << "the limits were too generous to test anything";
}

TEST_F(FullDisk, ThatIsReadOnlyIsReportedAsUnavailable) {
  Close();
  const int status = InChild([&] {
    const std::string path = data_dir().string();
    // In a mount name space of its own, which ends with this process.
    const bool mounted = ::unshare(CLONE_NEWNS) == 0 &&
                         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                         ::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0 &&
                         ::mount(nullptr, path.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0;
    if (!mounted) return 50;
    const auto opened = SqliteStore::Open({.data_dir = data_dir()});
    return !opened && opened.error().code == ErrorCode::kUnavailable ? 0 : 1;
  });
  if (status == 50) GTEST_SKIP() << "needs the right to mount";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace tacit::store
