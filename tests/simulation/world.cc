#include "tests/simulation/world.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "common/base/check.h"
#include "common/base/log.h"
#include "server/coordinator/coordinator.h"
#include "server/store/sqlite_store.h"
#include "server/task/task_spec.h"
#include "tests/support/task_text.h"

namespace tacit::simulation {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kDevices = 6;
constexpr std::uint64_t kMemory = 1ULL << 30U;
constexpr Millis kLongestPause{20};
constexpr Millis kLifetime = std::chrono::hours(2);
// From [rounds] on.
constexpr std::string_view kPlainTask = R"([rounds]
count = 4
[cohort]
size = 4
min = 2
deadline = "10s"
[privacy]
mechanism = "none"
clip_norm = 1.0
grid_radius = 1048576
)";
constexpr std::string_view kPrivateTask = R"([rounds]
count = 3
[cohort]
size = 4
min = 2
over_selection = 1.25
deadline = "8s"
[privacy]
mechanism = "gaussian"
clip_norm = 1.0
grid_radius = 1024
noise_multiplier = 4.0
delta = 1e-5
epsilon_budget = 12
population = 100
)";

constexpr std::string_view kBuffersTask = R"([rounds]
count = 6
[cohort]
size = 2
[asynchronous]
max_staleness = 100
concurrency = 4
lease_lifetime = "5s"
[privacy]
mechanism = "none"
clip_norm = 1.0
grid_radius = 1048576
)";

// Behind another task's text.
constexpr std::string_view kMark = R"([watermark]
triggers = 60
learning_rate = 0.05
)";

/// Bits that are all zero: the same "noise" in every round, which a check can take off again without drawing any.
class Zeros final : public Keystream {
 public:
  void Fill(std::uint64_t /*first*/, std::span<std::uint8_t> out) override { std::ranges::fill(out, 0); }
  Block MoreFor(std::uint64_t /*word*/) override { return {}; }
};

/// An executor of its own that runs when it is told to.
struct Lane {
  class Context final : public asio::io_context {
   public:
    Context() : asio::io_context(1) {}
    void DestroySuspended() { shutdown(); }
  };
  Context context;
  asio::executor_work_guard<asio::io_context::executor_type> open{context.get_executor()};
};

/// Where the logs go: nowhere, or to stderr for whoever looks at one seed.
int LogFile() {
  static const int file =
      std::getenv("TACIT_SIMULATION_LOG") != nullptr ? STDERR_FILENO : ::open("/dev/null", O_WRONLY);
  return file;
}

std::filesystem::path MakeDisk(const std::filesystem::path& root) {
  std::filesystem::create_directory(root / "disk");
  return root / "disk";
}

}  // namespace

/// One process of the server: everything behind its listeners, and the fleet that talks to it.
class World::Process {
 public:
  explicit Process(World& world)
      : world_(world),
        log_(LogFile(), world.clock_, LogLevel::kInfo),
        compute_(executor(kCompute)),
        background_(executor(kControl), Group()),
        devices_(executor(kFleet), Group()) {}
  ~Process() {
    for (int pass = 0; pass < 2; ++pass)
      for (Lane& lane : lanes_) lane.context.DestroySuspended();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// False when it crashed before it served anybody.
  bool Start() {
    auto opened = store::SqliteStore::Open(
        {.data_dir = world_.disk_.directory() / "data",
         .after_step =
             [this](auto step) {
               if (step == "merged_rows") ++world_.merges_;
             },
         .owner_key = [] { return *crypto::SecretKey::FromBytes(Bytes(crypto::SecretKey::kSize, 5)); }});
    if (world_.disk_.crashed()) return false;
    if (!opened) return Complain("the store does not open: " + opened.error().message);
    store_ = *std::move(opened);
    world_.history_.Check(*store_);
    const Result<void> enrolled = world_.fleet_.Enrol(*store_);
    if (world_.disk_.crashed()) return false;
    if (!enrolled) return Complain("devices cannot be enrolled: " + enrolled.error().message);
    store_thread_.emplace(executor(kStore), *store_, metrics_);
    coordinator_ = std::make_unique<coordinator::Coordinator>(Services());
    Spawn(Begin());
    while (!began_ && !failed_ && RunStep()) {
    }
    if (began_) world_.fleet_.Meet(*coordinator_, devices_);
    return began_;
  }

  /// One step of one thread; when no thread has one, time passes. False once the process has crashed.
  bool RunStep() {
    if (world_.disk_.crashed()) return false;
    const std::size_t first = std::uniform_int_distribution<std::size_t>(0, lanes_.size() - 1)(world_.random_);
    for (std::size_t i = 0; i < lanes_.size(); ++i)
      if (lanes_.at((first + i) % lanes_.size()).context.poll_one() > 0) return !world_.disk_.crashed();
    world_.time_.Advance(Millis(std::uniform_int_distribution<std::int64_t>(1, kLongestPause.count())(world_.random_)));
    return true;
  }

  /// As after SIGTERM: what is under way ends, nothing new begins.
  void StopWell() {
    Spawn(End());
    while (!ended_ && !failed_ && RunStep()) {
    }
  }

  [[nodiscard]] store::Store& store() { return *store_; }

 private:
  enum LaneNumber : std::uint8_t { kControl, kStore, kCompute, kFleet };

  [[nodiscard]] net::asio::any_io_executor executor(LaneNumber lane) { return lanes_.at(lane).context.get_executor(); }
  net::TaskGroupOptions Group() {
    return {.max_tasks = 10'000,
            .on_exception = [this](std::string_view what) { Complain("an exception: " + std::string(what)); }};
  }
  coordinator::Services Services() {
    return {
        .control = executor(kControl),
        .store = Present(store_thread_, "made at the start"),
        .compute = compute_,
        .background = background_,
        .clock = world_.clock_,
        .log = log_,
        .metrics = metrics_,
        .noise_source = [this](const RoundKey& round, const crypto::SecretKey& secret) -> std::unique_ptr<Keystream> {
          world_.history_.Drawn(round, Bytes(secret.bytes().begin(), secret.bytes().end()));
          return std::make_unique<Zeros>();
        },
        .long_poll = Millis(3'000),
        .upload_memory = kMemory,
        .task_memory = kMemory,
        .max_parameters = 1'000'000,
        .most_partials = kPartialsAtMost};
  }
  bool Complain(std::string what) {
    world_.history_.Complain(std::move(what));
    failed_ = true;
    return false;
  }
  void Spawn(net::Task<void> task) {
    if (!devices_.Spawn(std::move(task))) Complain("nothing can be started");
  }

  net::Task<void> Begin() {
    const Result<void> started = co_await coordinator_->Start();
    if (!started) {
      Complain("the server does not start: " + started.error().message);
      co_return;
    }
    co_await Create(testing::SmallTask("buffers", kBuffersTask));
    co_await Create(testing::SmallTask("plain", kPlainTask));
    co_await Create(testing::SmallTask("marked", kPlainTask) + std::string(kMark));
    co_await Create(testing::SmallTask("private", kPrivateTask));
    began_ = true;
  }

  net::Task<void> Create(std::string toml) {
    auto spec = task::ParseTask(toml, "task.toml");
    if (!spec) {
      Complain(spec.error().message);
      co_return;
    }
    const TaskId id = spec->id;
    const auto created = co_await coordinator_->CreateTask(*std::move(spec), std::move(toml));
    if (created) {
      world_.history_.Created(id);
    } else if (created.error().code != ErrorCode::kConflict) {
      Complain("task " + id.str() + " cannot be created: " + created.error().message);
    }
  }

  net::Task<void> End() {
    co_await coordinator_->Stop();
    co_await net::CallOn(executor(kControl), [] {});
    ended_ = true;
  }

  World& world_;
  std::array<Lane, 4> lanes_;
  Logger log_;
  metrics::Metrics metrics_;
  std::unique_ptr<store::SqliteStore> store_;
  std::optional<coordinator::StoreThread> store_thread_;
  net::ComputePool compute_;
  net::TaskGroup background_;
  net::TaskGroup devices_;
  std::unique_ptr<coordinator::Coordinator> coordinator_;
  bool began_ = false;
  bool failed_ = false;
  bool ended_ = false;
};

World::World(WorldOptions options)
    : options_(options),
      random_(options.seed),
      root_(testing::FastestDirectory()),
      disk_(MakeDisk(root_.path()), random_),
      fleet_(kDevices, history_, random_, clock_) {
  if (options_.disk_lies) disk_.Lie();
}

World::Fate World::Fate::Drawn(std::mt19937_64& random) {
  const auto chance = [&](double probability) {
    return std::uniform_real_distribution<double>(0, 1)(random) < probability;
  };
  const auto number = [&](std::uint64_t most) { return std::uniform_int_distribution<std::uint64_t>(1, most)(random); };
  Fate fate{.steps = number(4'000), .stops_well = chance(0.2), .crash = chance(0.3) ? Crash::kKill : Crash::kPowerCut};
  if (chance(0.5)) fate.syncs = number(chance(0.2) ? 10 : 80);
  if (chance(0.3)) fate.disk_failure = chance(0.5) ? 0.02 : 0.4;
  return fate;
}

Outcome World::Run() {
  const std::uint64_t processes = std::uniform_int_distribution<std::uint64_t>(2, 6)(random_);
  for (std::uint64_t i = 0; i < processes && history_.violations().empty(); ++i) Live(Fate::Drawn(random_));
  if (history_.violations().empty()) LiveToTheEnd();
  return {.violations = history_.violations(),
          .crashes = crashes_,
          .merges = merges_,
          .acknowledged = history_.acknowledged(),
          .published = history_.published(),
          .stale = history_.stale(),
          .fingerprint = history_.Fingerprint()};
}

void World::Live(const Fate& fate) {
  {
    Process process(*this);
    if (fate.syncs > 0) disk_.CrashAtSync(fate.syncs, fate.crash);
    if (process.Start()) {
      disk_.Fail(fate.disk_failure);
      for (std::uint64_t step = 0; step < fate.steps && process.RunStep(); ++step) {
      }
      if (fate.stops_well) process.StopWell();
    }
    disk_.CrashNow(fate.stops_well ? Crash::kKill : fate.crash);
  }
  ++crashes_;
  disk_.Restart();
}

void World::LiveToTheEnd() {
  Process process(*this);
  if (!process.Start()) return;
  const Millis limit = time_.SinceStart() + kLifetime;
  for (std::uint64_t step = 1; step % 500 != 0 || !History::AllEnded(process.store()); ++step) {
    process.RunStep();
    if (time_.SinceStart() < limit) continue;
    history_.Complain("a task does not come to its end");
    break;
  }
  process.StopWell();
  history_.Check(process.store());
}

}  // namespace tacit::simulation
