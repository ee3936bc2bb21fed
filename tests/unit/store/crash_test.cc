#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "tests/unit/store/fixtures.h"

namespace {

/// Paths that were synced since somebody looked; the functions below put them there.
std::vector<std::string>& Synced() {
  static std::vector<std::string> paths;
  return paths;
}

int RecordAndSync(int fd, long system_call) {
  std::error_code ignored;
  Synced().push_back(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored).string());
  return static_cast<int>(::syscall(system_call, fd));
}

}  // namespace

// In front of libc's, for this program and for SQLite's library: a test cannot cut the power, but it can see what was
// synced.
extern "C" int fsync(int fd) {
  return RecordAndSync(fd, SYS_fsync);
}
extern "C" int fdatasync(int fd) {
  return RecordAndSync(fd, SYS_fdatasync);
}

// The process ends at every durable step of a round's life, in turn; what a restart finds must be one whole story.
namespace tacit::store {
namespace {

using tacit::testing::FastestDirectory;
using tacit::testing::IsOk;
using testing::At;
using testing::Device;
using testing::Digest;
using testing::FilesIn;
using testing::From;
using testing::Model;
using testing::NewDevice;
using testing::NewLedger;
using testing::NewRound;
using testing::NewTask;
using testing::Round;
using testing::Task;
using testing::Text;
namespace fs = std::filesystem;

constexpr std::string_view kTask = "har";

Digest256 TokenHash(std::uint8_t token) {
  Digest256 hash;
  hash.fill(token);
  return hash;
}

/// One server's life, call by call. Each call reports how it went; a call that ran before the crash and is repeated
/// after it must either do its work or say that it was done.
class Life {
 public:
  explicit Life(SqliteStore& store) : store_(store) {}

  using Call = Result<void> (Life::*)();
  static std::vector<Call> Calls() {
    return {&Life::Create,       &Life::OwnKey,        &Life::Open,        &Life::Reserve,    &Life::MakeKey,
            &Life::FirstPartial, &Life::NextPartial,   &Life::Merge,       &Life::TryAgain,   &Life::Close,
            &Life::Charge,       &Life::MarkCharged,   &Life::Publish,     &Life::DestroyKey, &Life::Drop,
            &Life::DropLeases,   &Life::ReserveSecond, &Life::OpenSecond,  &Life::Abandon,    &Life::VoidSecond,
            &Life::Enrol,        &Life::Redeem,        &Life::RedeemAgain, &Life::AllowBack,  &Life::Readmit,
            &Life::Renew,        &Life::Touch,         &Life::LeaseModel,  &Life::Report,     &Life::Revoke,
            &Life::Add,          &Life::Audit,         &Life::Stop,        &Life::LetIn,      &Life::ShutOut,
            &Life::AllowMore,    &Life::Withdraw};
  }

  Result<void> Create() { return store_.CreateTask(NewTask(kTask), Model(0)); }
  Result<void> OwnKey() { return Void(store_.OwnerKey()); }
  Result<void> Open() { return store_.PutRound(NewRound(Round(kTask, 1), RoundPhase::kOpen)); }
  Result<void> Reserve() {
    return Append([](dp::BudgetLedger& ledger) { return ledger.ProposeReserve(1, At(1)); });
  }
  Result<void> MakeKey() { return Void(store_.CreateRoundKey(Round(kTask, 1))); }
  Result<void> FirstPartial() {
    Contribution leased = From("d1");
    leased.leased_in = 1;
    return store_.CommitPartial(Round(kTask, 1), 0, Text("zero"), std::array{leased, From("d2")});
  }
  Result<void> NextPartial() { return store_.CommitPartial(Round(kTask, 1), 1, Text("one"), std::array{From("d3")}); }
  Result<void> Merge() {
    return store_.MergePartials(Round(kTask, 1), std::array<std::uint64_t, 2>{0, 1}, 2, Text("both"));
  }
  // A disk with room for the file, and none for the rows.
  Result<void> TryAgain() {
    const auto commit = [this](std::string_view sealed) {
      return store_.CommitPartial(Round(kTask, 1), 3, Text(sealed), std::array{From("d4")});
    };
    const rlimit full{16, RLIM_INFINITY};
    const rlimit empty{RLIM_INFINITY, RLIM_INFINITY};
    ::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &full) != 0) return Fail(ErrorCode::kInternal, "no limit");
    const Result<void> failed = commit("failed");
    if (::setrlimit(RLIMIT_FSIZE, &empty) != 0) return Fail(ErrorCode::kInternal, "no limit");
    if (failed) return Fail(ErrorCode::kInternal, "a full disk took a commit");
    return commit("last");
  }
  Result<void> Close() { return store_.PutRound(NewRound(Round(kTask, 1), RoundPhase::kClosing)); }
  Result<void> Charge() {
    return Append([](dp::BudgetLedger& ledger) { return ledger.ProposeCharge(1, 4, At(2)); });
  }
  Result<void> MarkCharged() { return store_.PutRound(NewRound(Round(kTask, 1), RoundPhase::kCharged)); }
  Result<void> Publish() {
    return Void(store_.Publish({.round = NewRound(Round(kTask, 1), RoundPhase::kPublished),
                                .model = Model(1),
                                .optimizer_state = Text("moments"),
                                .task_state = TaskStateChange{TaskState::kFinished, "done"},
                                .commitment = "sha256 00"}));
  }
  Result<void> DestroyKey() { return store_.DestroyRoundKey(Round(kTask, 1)); }
  Result<void> Drop() { return store_.DropPartials(Round(kTask, 1)); }
  Result<void> DropLeases() { return store_.DropCountedLeases(Task(kTask), 1); }
  Result<void> ReserveSecond() {
    return Append([](dp::BudgetLedger& ledger) { return ledger.ProposeReserve(2, At(3)); });
  }
  Result<void> VoidSecond() {
    return Append([](dp::BudgetLedger& ledger) { return ledger.ProposeVoid(2, At(4)); });
  }
  Result<void> OpenSecond() { return store_.PutRound(NewRound(Round(kTask, 2), RoundPhase::kOpen)); }
  Result<void> Abandon() { return store_.PutRound(NewRound(Round(kTask, 2), RoundPhase::kAbandoned)); }
  Result<void> Enrol() {
    return Void(store_.CreateToken(
        {.hash = TokenHash(7), .uses_left = 1, .expires_at = At(100), .fixed_name = {}, .created_at = At(0)}));
  }
  Result<void> Redeem() { return Void(store_.RedeemToken(TokenHash(7), At(1), NewDevice("phone", 1))); }
  Result<void> RedeemAgain() {
    DeviceRecord phone = NewDevice("phone", 1);
    phone.certificate_serial = "0b";
    return Void(store_.RedeemToken(TokenHash(7), At(1), phone));
  }
  Result<void> Renew() {
    return store_.UpdateDeviceCertificate(
        Device("phone"),
        {.public_key_sha256 = NewDevice("phone", 2).public_key_sha256, .serial = "0c", .not_after = At(2000)});
  }
  Result<void> Touch() { return store_.TouchDevices(std::array{DeviceSighting{Device("phone"), At(50)}}); }
  Result<void> LeaseModel() {
    crypto::P256Point point{};
    point.fill(4);
    return Void(store_.LeaseModel({.task = Task(kTask),
                                   .device = Device("phone"),
                                   .version = 1,
                                   .key = point,
                                   .tier = "file",
                                   .at = At(51),
                                   .expires_at = At(90)}));
  }
  Result<void> Report() {
    ReportStep step{.task = Task(kTask),
                    .device = Device("phone"),
                    .counts = {.rows = 7},
                    .degradations = {"secret_pages"},
                    .statement = Text("said"),
                    .public_key = Text("key"),
                    .signature = Text("signature"),
                    .at = At(52)};
    step.stream.fill(3);
    return Void(store_.RecordReport(step));
  }
  Result<void> Add() { return store_.AddDevice(NewDevice("tablet", 3)); }
  Result<void> AllowBack() {
    return Void(store_.CreateToken({.hash = TokenHash(8),
                                    .uses_left = 1,
                                    .expires_at = At(100),
                                    .fixed_name = Device("phone"),
                                    .created_at = At(0)}));
  }
  Result<void> Readmit() { return Void(store_.RedeemToken(TokenHash(8), At(1), NewDevice("phone", 2))); }
  Result<void> Revoke() { return store_.RevokeDevice(Device("phone")); }
  Result<void> Audit() {
    return Void(store_.AppendAudit({.at = At(1), .actor = "a", .action = "b", .target = "c", .detail = ""}));
  }
  Result<void> Stop() { return store_.SetTaskState(Task(kTask), {TaskState::kStopped, "by ada"}); }
  Result<void> LetIn() { return store_.CreateAccessToken(testing::NewAccessToken("00ff", {Task(kTask)})); }
  Result<void> AllowMore() {
    return Void(store_.CreateToken(
        {.hash = TokenHash(9), .uses_left = 3, .expires_at = At(100), .fixed_name = {}, .created_at = At(0)}));
  }
  Result<void> Withdraw() { return Void(store_.RevokeToken(*ParseTokenId(ToHex(TokenHash(9)).substr(0, 16)))); }
  Result<void> ShutOut() { return Void(store_.RevokeAccessToken("00ff", At(60))); }

 private:
  template <typename T>
  static Result<void> Void(Result<T> result) {
    if (result) return {};
    return std::unexpected<Error>(std::move(result).error());
  }

  /// Proposes from the ledger as stored, as a server does after a restart.
  template <typename Propose>
  Result<void> Append(Propose propose) {
    TACIT_TRY(const auto recorded, store_.Ledger(Task(kTask)));
    dp::BudgetLedger ledger = NewLedger(NewTask(kTask).spec);
    for (const auto& entry : recorded) TACIT_TRY_VOID(ledger.Apply(entry));
    TACIT_TRY(const dp::LedgerEntry entry, propose(ledger));
    return Void(store_.AppendLedger(entry));
  }

  SqliteStore& store_;
};

/// Runs a whole life in a child that ends at durable step `stop` (never, for 0). Returns how many calls had been
/// answered.
std::size_t RunUntil(const fs::path& data_dir, std::size_t stop, std::size_t* steps) {
  std::array<int, 2> pipe{};
  EXPECT_EQ(::pipe(pipe.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    std::size_t step = 0;
    const auto tell = [&](char what) { return ::write(pipe[1], &what, 1) == 1; };
    auto opened = SqliteStore::Open({.data_dir = data_dir, .after_step = [&](std::string_view) {
                                       tell('s');
                                       if (++step == stop) ::_exit(0);
                                     }});
    if (!opened) ::_exit(1);
    Life life(**opened);
    for (const Life::Call call : Life::Calls()) {
      if (!(life.*call)() || !tell('c')) ::_exit(2);
    }
    ::_exit(0);
  }
  ::close(pipe[1]);
  std::size_t answered = 0;
  *steps = 0;
  for (char what = 0; ::read(pipe[0], &what, 1) == 1;) (what == 'c' ? answered : *steps) += 1;
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the life went wrong before step " << stop;
  return answered;
}

/// Whether a call's work is on disk, by looking.
std::vector<bool> DoneCalls(SqliteStore& store) {
  const TaskId task = Task(kTask);
  const auto round = [&](RoundNumber number) -> std::optional<RoundPhase> {
    for (const RoundRecord& each : *store.Rounds(task, 0, 10)) {
      if (each.key.round == number) return each.phase;
    }
    return std::nullopt;
  };
  const auto first = round(1);
  const auto second = round(2);
  const auto past = [&](RoundPhase phase) { return first && *first >= phase; };
  const std::size_t ledger = store.Ledger(task)->size();
  const std::size_t counted = store.Contributions(Round(kTask, 1))->size();
  const bool published = first == RoundPhase::kPublished;
  const bool has_key = store.LoadRoundKey(Round(kTask, 1)).has_value();
  const bool has_partials = !testing::PartialsOf(store, Round(kTask, 1))->empty();
  const auto phone = store.Device(Device("phone"));
  const auto tasks = *store.Tasks();
  const auto access = *store.AccessTokens();
  return {!tasks.empty(),
          false,  // a key cannot be looked at without being made
          past(RoundPhase::kOpen),
          ledger >= 1,
          has_key || published,
          counted >= 2,
          counted >= 3,
          published || *store.PartialSequences(Round(kTask, 1)) >= std::vector<std::uint64_t>{2},
          counted >= 4,
          past(RoundPhase::kClosing),
          ledger >= 2,
          past(RoundPhase::kCharged),
          published,
          published && !has_key,
          published && !has_partials,
          published && store.CountedLeases(task)->empty(),
          ledger >= 3,
          second.has_value(),
          second == RoundPhase::kAbandoned,
          ledger >= 4,
          false,  // a token cannot be looked at; its redemption below can
          phone.has_value(),
          false,  // the same again
          false,  // a token, as above
          phone && phone->public_key_sha256 == NewDevice("phone", 2).public_key_sha256,
          phone && phone->certificate_serial == "0c",
          phone && phone->last_seen == At(50),
          store.ModelLease(task, Device("phone"))->has_value() && store.DeviceKey(Device("phone"))->has_value(),
          !store.ReportsOf(Device("phone"))->empty(),
          phone && phone->state == DeviceState::kRevoked,
          store.Device(Device("tablet")).has_value(),
          store.VerifyAudit()->sequence >= 2,  // behind the commitment
          !tasks.empty() && tasks.front().state == TaskState::kStopped,
          !access.empty() && access.front().tasks.size() == 1,
          !access.empty() && access.front().revoked_at == At(60)};
}
constexpr std::size_t kDestroyKeyCall = 13;
constexpr std::array<std::size_t, 4> kUnseenCalls = {1, 20, 22, 23};

/// How many devices are in what the calls above seal.
std::size_t DevicesIn(const testing::Partial& partial) {
  const std::map<Bytes, std::size_t> devices = {
      {Text("zero"), 2}, {Text("one"), 1}, {Text("both"), 3}, {Text("last"), 1}};
  return devices.at(partial.sealed);
}

void ExpectOneWholeStory(SqliteStore& store, const fs::path& data_dir) {
  const TaskId task = Task(kTask);
  const RoundKey key = Round(kTask, 1);
  const auto tasks = store.Tasks();
  ASSERT_THAT(tasks, IsOk());
  if (tasks->empty()) {
    EXPECT_TRUE(FilesIn(data_dir / "models").empty());
    return;
  }
  // Publishing is one step: round, model, optimiser state and task state together.
  const auto latest_round = store.Rounds(task, 0, 1);
  const bool published = !latest_round->empty() && latest_round->front().phase == RoundPhase::kPublished;
  const auto model = store.LatestModel(task);
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->version, published ? 1U : 0U);
  EXPECT_EQ(model->digest, Digest(Model(published ? 1 : 0)));
  EXPECT_THAT(store.MapModel(model->digest), IsOk());
  EXPECT_EQ(*store.OptimizerState(task), published ? Text("moments") : Bytes());
  if (!published) EXPECT_EQ(tasks->front().state, TaskState::kActive);
  // A model is never seen without its commitment, nor the other way round.
  const auto commitment = store.Commitment(task, 1);
  ASSERT_THAT(commitment, IsOk());
  EXPECT_EQ(commitment->has_value(), published);
  // Nothing was released that is not charged, nor charged that was not reserved; the chain holds.
  const auto entries = store.Ledger(task);
  ASSERT_THAT(entries, IsOk());
  EXPECT_TRUE(!published || entries->size() >= 2) << "a model whose charge is not on disk";
  dp::BudgetLedger ledger = NewLedger(tasks->front().spec);
  for (const auto& entry : *entries) EXPECT_THAT(ledger.Apply(entry), IsOk());
  // A partial sum and its contributors are there together, each device counted once.
  const auto partials = testing::PartialsOf(store, key);
  ASSERT_THAT(partials, IsOk());
  std::vector<std::string> devices;
  for (const Contribution& each : *store.Contributions(key)) {
    devices.push_back(each.device.str());
    EXPECT_EQ(testing::RoundsOf(store, task, each.device), 1U);
  }
  const std::vector<std::string> everyone = {"d1", "d2", "d3", "d4"};
  std::size_t summed = 0;
  for (const testing::Partial& partial : *partials) summed += DevicesIn(partial);
  if (!published) {
    EXPECT_EQ(devices.size(), summed);
  }
  // A lease is counted with its device.
  const std::size_t leases = store.CountedLeases(task)->size();
  EXPECT_TRUE(published || leases == std::min<std::size_t>(devices.size(), 1)) << leases;
  EXPECT_EQ(devices, std::vector<std::string>(everyone.begin(), everyone.begin() + static_cast<long>(devices.size())));
  EXPECT_EQ(store.ParticipationCounts(task)->size(), devices.size());
  // No file without its row.
  EXPECT_EQ(FilesIn(data_dir / "models").size(), published ? 2U : 1U);
  EXPECT_EQ(FilesIn(data_dir / "optimizer").size(), published ? 1U : 0U);
  EXPECT_EQ(FilesIn(data_dir / "partials").size(), partials->size());
  EXPECT_LE(FilesIn(data_dir / "keys").size(), published ? 0U : 1U) << "a key outlived its round";
  // A report is in the sums of its task, with all that it says, or not at all, and never twice.
  const bool reported = !store.ReportsOf(Device("phone"))->empty();
  const auto edge = store.EdgeOf(task, At(0), 10);
  ASSERT_THAT(edge, IsOk());
  EXPECT_EQ(edge->totals.counts.rows, reported ? 7U : 0U);
  EXPECT_EQ(edge->degradations.size(), reported ? 1U : 0U);
  // A device has the key and the token that admitted it, both of the same admission.
  if (const auto phone = store.Device(Device("phone"))) {
    const bool readmitted = phone->public_key_sha256 == NewDevice("phone", 2).public_key_sha256;
    EXPECT_EQ(phone->token_hash_hex, ToHex(TokenHash(readmitted ? 8 : 7)));
  }
  EXPECT_THAT(store.VerifyAudit(), IsOk());
}

TEST(Crash, AtAnyStepLeavesOneWholeStoryThatCanGoOn) {
  tacit::testing::TempDirectory directory(FastestDirectory());
  std::size_t steps = 0;
  ASSERT_EQ(RunUntil(directory.path() / "whole", 0, &steps), Life::Calls().size());
  ASSERT_GT(steps, 20U) << "the life has fewer steps than it should";
  for (std::size_t stop = 1; stop <= steps; ++stop) {
    SCOPED_TRACE("stopped at step " + std::to_string(stop));
    const fs::path data_dir = directory.path() / std::to_string(stop);
    std::size_t reached = 0;
    const std::size_t answered = RunUntil(data_dir, stop, &reached);
    ASSERT_EQ(reached, stop);
    auto opened = SqliteStore::Open({.data_dir = data_dir});
    ASSERT_THAT(opened, IsOk());
    SqliteStore& store = **opened;
    ExpectOneWholeStory(store, data_dir);

    // What was answered is there, and nothing beyond the one call that was interrupted.
    const std::vector<bool> done = DoneCalls(store);
    for (std::size_t call = 0; call < done.size(); ++call) {
      if (std::ranges::find(kUnseenCalls, call) != kUnseenCalls.end()) continue;
      if (call < answered) {
        EXPECT_TRUE(done[call]) << "call " << call << " was answered and is lost";
      }
      // A restart destroys the key of an ended round by itself.
      if (call > answered && call != kDestroyKeyCall) {
        EXPECT_FALSE(done[call]) << "call " << call << " was never made";
      }
    }

    // The server goes on from there to the same end.
    Life life(store);
    for (std::size_t call = answered; call < done.size(); ++call) {
      const auto outcome = (life.*Life::Calls()[call])();
      const bool repeated = call == answered;
      EXPECT_TRUE(outcome || (repeated && outcome.error().code == ErrorCode::kConflict) ||
                  (repeated && done[call] && outcome.error().code == ErrorCode::kGone))
          << "call " << call << ": " << outcome.error().message;
    }
    EXPECT_EQ(store.Ledger(Task(kTask))->size(), 4U);
    EXPECT_EQ(store.LatestModel(Task(kTask))->version, 1U);
    EXPECT_EQ(store.CountDevices()->revoked, 1U);
    EXPECT_EQ(store.Tasks()->front().state, TaskState::kStopped);
  }
}

TEST(Durability, EachStepHasSyncedWhatItWroteBeforeItCountsAsDone) {
  tacit::testing::TempDirectory directory(FastestDirectory());
  const std::string data = (directory.path() / "data").string();
  const std::string log = data + "/tacit.db-wal";
  // For each step: what must have been synced since the step before. A prefix, because files get their names last.
  const std::map<std::string, std::vector<std::string>, std::less<>> needs = {
      {"schema", {log}},
      {"sweep", {}},
      {"task_model_file", {data + "/models/", data + "/models"}},
      {"task_rows", {log}},
      {"round_row", {log}},
      {"ledger_reserve", {log}},
      {"owner_key", {data + "/", data}},
      {"round_key", {data + "/keys/", data + "/keys"}},
      {"partial_file", {data + "/partials/har/1/", data + "/partials/har/1"}},
      {"partial_rows", {log}},
      {"ledger_charge", {log}},
      {"ledger_void", {log}},
      {"merged_file", {data + "/partials/har/1/", data + "/partials/har/1"}},
      {"merged_rows", {log}},
      {"merged_files_removed", {}},  // a file that comes back is swept
      {"failed_file_removed", {log}},
      {"publish_model_file", {data + "/models/", data + "/models"}},
      {"publish_optimizer_file", {data + "/optimizer/", data + "/optimizer"}},
      {"publish_rows", {log}},
      {"round_key_overwritten", {data + "/keys/har-1.key"}},
      {"round_key_removed", {data + "/keys"}},
      {"partial_rows_dropped", {log}},
      {"partial_files_removed", {}},  // a file that comes back is swept
      {"leases_dropped", {log}},
      {"model_lease", {log}},
      {"edge_report", {log}},
      {"token_row", {log}},
      {"token_redeemed", {log}},
      {"token_repeated", {log}},
      {"token_revoked", {log}},
      {"device_row", {log}},
      {"device_revoked", {log}},
      {"device_certificate", {log}},
      {"devices_touched", {log}},
      {"access_token_row", {log}},
      {"access_token_revoked", {log}},
      {"audit_row", {log}},
      {"task_state", {log}},
  };
  std::set<std::string> seen;
  const auto check = [&](std::string_view step) {
    const auto needed = needs.find(step);
    ASSERT_NE(needed, needs.end()) << step << " has no expectation here";
    for (const std::string& path : needed->second) {
      const bool is_prefix = path.ends_with('/');
      EXPECT_TRUE(
          std::any_of(Synced().begin(), Synced().end(),
                      [&](const std::string& synced) { return is_prefix ? synced.starts_with(path) : synced == path; }))
          << step << " did not sync " << path;
    }
    seen.emplace(step);
    Synced().clear();
  };
  Synced().clear();
  auto opened = SqliteStore::Open({.data_dir = data, .after_step = check});
  ASSERT_THAT(opened, IsOk());
  Life life(**opened);
  for (const Life::Call call : Life::Calls()) EXPECT_THAT((life.*call)(), IsOk());
  // An adjustment of the noise is one entry more of the ledger, written like the others.
  seen.emplace("ledger_adjust");
  EXPECT_EQ(seen, std::set<std::string>(kSteps.begin(), kSteps.end())) << "a step was never reached";
}

TEST(Crash, WhileTheRestartSweepsIsSweptAtTheNext) {
  tacit::testing::TempDirectory directory(FastestDirectory());
  std::size_t steps = 0;
  const fs::path data_dir = directory.path() / "data";
  // Stops right after the first partial sum's file, before its rows.
  for (std::size_t stop = 1;; ++stop) {
    fs::remove_all(data_dir);
    RunUntil(data_dir, stop, &steps);
    if (!FilesIn(data_dir / "partials").empty()) break;
    ASSERT_LT(stop, 30U);
  }
  RunUntil(data_dir, 1, &steps);  // after the schema, before the sweep
  EXPECT_EQ(FilesIn(data_dir / "partials").size(), 1U);
  ASSERT_THAT(SqliteStore::Open({.data_dir = data_dir}), IsOk());
  EXPECT_TRUE(FilesIn(data_dir / "partials").empty());
}

}  // namespace
}  // namespace tacit::store
