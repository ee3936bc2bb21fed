#include "server/simulate/run.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/crypto/secret.h"
#include "common/net/compute_pool.h"
#include "common/net/simulated_time.h"
#include "common/net/task_group.h"
#include "dp/clip.h"
#include "dp/local_noise.h"
#include "dp/update.h"
#include "edge_agent/training/trainer.h"
#include "server/coordinator/coordinator.h"
#include "server/metrics/metrics.h"
#include "server/simulate/workers.h"
#include "server/store/sqlite_store.h"

namespace tacit::simulate {
namespace {

// Any day: nothing is made of it but times in rows that nobody reads.
constexpr WallTime kStart{std::chrono::days(20'000)};
constexpr std::uint64_t kMemory = std::uint64_t{16} << 30U;
constexpr std::size_t kMostAtOnce = std::size_t{1} << 21U;
// Of updates that are made before the first of them is sent.
constexpr std::uint64_t kBytesAtOnce = std::uint64_t{128} << 20U;
constexpr std::size_t kMostUpdatesAtOnce = 256;
constexpr std::uint64_t kMostAbandoned = 10;  // in a row
constexpr Millis kIdle{1'000};
constexpr int kMostIdle = 60;  // in a row

/// A directory for one run, in memory where that is possible: what a disk would cost is not simulated. Its name says
/// whose it is, for whoever finds one that a killed process left.
class ScratchDirectory {
 public:
  static Result<ScratchDirectory> Make() {
    const std::filesystem::path memory = "/dev/shm";
    std::error_code failure;
    const std::filesystem::path parent =
        ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path(failure);
    std::string pattern = (parent / ("tacit-simulate-" + std::to_string(::getpid()) + "-XXXXXX")).string();
    if (failure || ::mkdtemp(pattern.data()) == nullptr) {
      return Fail(ErrorCode::kUnavailable,
                  "cannot make a directory in " + parent.string() + ": " + std::system_category().message(errno));
    }
    return ScratchDirectory(std::move(pattern));
  }
  ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  explicit ScratchDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

/// What chance is made of: a stream of its own for each purpose, device and round.
class Chance {
 public:
  explicit Chance(std::uint64_t seed)
      : seed_(seed), key_(*crypto::SecretKey::FromBytes(crypto::Sha256(Label("all", {}, 0).bytes()))) {}

  [[nodiscard]] SplitMix64 Stream(std::string_view purpose, const RoundKey& round, std::uint64_t device = 0) const {
    const Digest128 digest = Xxh3(Label(purpose, round.task.str(), round.round).U64(device).bytes());
    std::uint64_t value = 0;
    std::memcpy(&value, digest.data(), sizeof value);
    return SplitMix64(value);
  }
  /// The noise of the round is made from it.
  [[nodiscard]] crypto::SecretKey Key(std::string_view purpose, const RoundKey& round, std::uint64_t device = 0) const {
    return key_.Derive(Label(purpose, round.task.str(), round.round).U64(device).bytes());
  }

 private:
  [[nodiscard]] ByteWriter Label(std::string_view purpose, std::string_view task, RoundNumber round) const {
    ByteWriter label;
    label.Text("tacit-simulate/1").Text(purpose).Text(task).U64(seed_).U64(round);
    return label;
  }

  std::uint64_t seed_;
  crypto::SecretKey key_;
};

struct Device {
  DeviceId id;
  Digest256 key;
};

Device DeviceAt(std::uint64_t index) {
  Digest256 key{};
  std::memcpy(key.data(), &index, sizeof index);
  const auto id = DeviceId::Parse("device-" + std::to_string(index));
  TACIT_CHECK(id.has_value(), "such a name is one");
  return {*id, key};
}

struct Lease {
  std::uint64_t device = 0;
  coordinator::LeaseView view;
};

std::optional<training::Adversarial> AdversarialOf(const task::Training& training) {
  if (!training.adversarial) return std::nullopt;
  const task::Adversarial& hard = *training.adversarial;
  return training::Adversarial{.epsilon = hard.epsilon,
                               .steps = hard.steps,
                               .step_size = hard.step_size,
                               .share = hard.share,
                               .input_min = hard.input_min,
                               .input_max = hard.input_max};
}

training::TrainingOptions OptionsOf(const task::Training& training) {
  return {.epochs = training.epochs,
          .batch_size = training.batch_size,
          .learning_rate = training.learning_rate,
          .momentum = training.momentum,
          .proximal_mu = training.proximal_mu,
          .adversarial = AdversarialOf(training),
          .seed = 0};
}

/// One task on one server, from its creation to its end.
class Simulation {
 public:
  Simulation(const task::TaskSpec& spec, const RunOptions& options, ScratchDirectory directory)
      : spec_(spec),
        options_(options),
        chance_(options.seed),
        directory_(std::move(directory)),
        compute_(time_.executor()),
        background_(time_.executor(), Group()),
        senders_(time_.executor(), Group()) {}
  ~Simulation() { time_.DestroySuspended(); }
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  Result<RunOutcome> Run(const std::string& toml) {
    TACIT_TRY_VOID(Begin(toml));
    std::uint64_t abandoned = 0;
    int idle = 0;
    while (outcome_.rounds.size() < spec_.rounds) {
      TACIT_TRY(const auto row, PlayRound());
      if (!row) {
        // The store says nothing of a round that is not open yet: the task has ended, or nobody may come.
        TACIT_TRY(const auto over, WhyOver());
        if (over || ++idle >= kMostIdle) return End(over ? *over : "no device got a lease: " + last_reason_);
        LetPass(kIdle);
        continue;
      }
      idle = 0;
      if (row->phase == store::RoundPhase::kPublished) {
        abandoned = 0;
        TACIT_TRY_VOID(Measure(*row));
        continue;
      }
      ++outcome_.abandoned;
      TACIT_TRY(const auto over, WhyOver());
      if (over) return End(*over);
      if (++abandoned >= kMostAbandoned)
        return End(std::to_string(kMostAbandoned) + " rounds in a row were abandoned: " + row->reason +
                   training_fault_);
    }
    return End("");
  }

 private:
  net::TaskGroupOptions Group() {
    return {.max_tasks = kMostAtOnce,
            .on_exception = [this](std::string_view what) { fault_ = "an exception: " + std::string(what); }};
  }

  Result<void> Begin(const std::string& toml) {
    TACIT_TRY(store_, store::SqliteStore::Open(
                          {.data_dir = directory_.path() / "data",
                           .after_step = [this](std::string_view /*step*/) { stored_ = true; },
                           .round_key = [this](const RoundKey& round) { return chance_.Key("round", round); },
                           .owner_key = [this] { return chance_.Key("owner", {spec_.id, 0}); }}));
    store_thread_.emplace(time_.executor(), *store_, metrics_);
    coordinator_ = std::make_unique<coordinator::Coordinator>(Services());
    for (std::size_t i = 0; i < std::max<std::size_t>(options_.threads, 1); ++i) {
      TACIT_TRY(auto trainer,
                training::Trainer::Create(spec_.model, options_.examples.rows, OptionsOf(spec_.training)));
      trainers_.push_back(std::move(trainer));
    }
    TACIT_TRY_VOID(time_.Run(coordinator_->Start()));
    for (std::uint64_t i = 0; i < options_.fleet.devices; ++i) {
      devices_.push_back(DeviceAt(i));
      coordinator_->devices().Admit(devices_.back().id, devices_.back().key, time_.clock().Now());
    }
    TACIT_TRY_VOID(time_.Run(coordinator_->CreateTask(spec_, toml)));
    return {};
  }

  coordinator::Services Services() {
    return {.control = time_.executor(),
            .store = Present(store_thread_, "made at the start"),
            .compute = compute_,
            .background = background_,
            .clock = time_.clock(),
            .log = log_,
            .metrics = metrics_,
            .noise_source = &coordinator::NoiseOfSecret,
            .long_poll = Millis(10'000),
            .upload_memory = kMemory,
            .task_memory = kMemory,
            .max_parameters = model::ModelSpec::kMaxParameters};
  }

  /// The row of the round, once it has ended; nothing where no device got a lease.
  Result<std::optional<store::RoundRecord>> PlayRound() {
    TACIT_TRY(const std::vector<Lease> leases, Gather());
    if (leases.empty()) return std::optional<store::RoundRecord>();
    const RoundKey round = leases.front().view.round;
    TACIT_TRY_VOID(LoadModel(leases.front().view.model_digest));
    std::vector<Lease> answered;
    for (const Lease& lease : leases)
      if (chance_.Stream("dropout", round, lease.device).Uniform() >= options_.fleet.dropout) answered.push_back(lease);
    const std::span<const Lease> all = answered;
    closed_ = false;
    for (std::size_t first = 0; first < all.size() && !closed_; first += AtOnce()) {
      if (options_.stopped()) return Fail(ErrorCode::kUnavailable, "the simulation was stopped");
      TACIT_TRY_VOID(TrainAndSend(all.subspan(first, std::min(AtOnce(), all.size() - first))));
    }
    return AwaitEnd(round);
  }

  [[nodiscard]] std::size_t AtOnce() const {
    const std::uint64_t bytes = spec_.model.ParameterCount() * sizeof(float);
    return std::clamp<std::size_t>(kBytesAtOnce / bytes, trainers_.size(), kMostUpdatesAtOnce);
  }

  /// Lets devices ask, in an order that is chance, until no place is left or all have asked.
  Result<std::vector<Lease>> Gather() {
    std::vector<std::uint64_t> order(devices_.size());
    std::iota(order.begin(), order.end(), std::uint64_t{0});
    SplitMix64 random = chance_.Stream("order", {spec_.id, ++gathered_});
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
    std::vector<Lease> leases;
    std::vector<std::uint64_t> early;  // came before the round was open, and was told to wait
    bool full = false;
    for (const std::uint64_t device : order) {
      if (full) break;
      TACIT_TRY(full, Ask(device, leases, early));
    }
    for (const std::uint64_t device : std::exchange(early, {})) {
      if (full) break;
      TACIT_TRY(full, Ask(device, leases, early));
    }
    return leases;
  }

  /// Whether no place is left.
  Result<bool> Ask(std::uint64_t device, std::vector<Lease>& leases, std::vector<std::uint64_t>& early) {
    const auto query =
        std::make_shared<coordinator::CheckInQuery>(coordinator::CheckInQuery{.device = devices_[device].id,
                                                                              .key = devices_[device].key,
                                                                              .task = spec_.id,
                                                                              .declined = {},
                                                                              .trains_layers = true,
                                                                              .trains_hardened = true});
    TACIT_TRY(coordinator::CheckInReply reply, time_.Run(coordinator_->CheckIn(query)));
    if (auto* const lease = std::get_if<coordinator::LeaseView>(&reply)) {
      leases.push_back({device, std::move(*lease)});
      return false;
    }
    const auto& wait = std::get<coordinator::WaitView>(reply);
    if (leases.empty()) early.push_back(device);
    last_reason_ = wait.reason;
    return wait.lacks_place;
  }

  Result<void> LoadModel(const Digest256& digest) {
    TACIT_TRY(const SharedBytes model, time_.Run(coordinator_->CurrentModel(digest)));
    start_.resize(model.bytes.size() / sizeof(float));
    std::memcpy(start_.data(), model.bytes.data(), model.bytes.size());
    return {};
  }

  // Trained on all threads, and sent in their order: what a device sends depends on nothing but its lease.
  Result<void> TrainAndSend(std::span<const Lease> leases) {
    std::vector<std::optional<Result<coordinator::Submission>>> made(leases.size());
    ForEach({.count = leases.size(), .threads = trainers_.size()},
            [&](std::size_t worker, std::size_t i) { made[i].emplace(Train(trainers_[worker], leases[i])); });
    sent_ = 0;
    heard_ = 0;
    for (auto& slot : made) {
      Result<coordinator::Submission>& each = Present(slot, "every lease was worked on");
      if (!each) {
        training_fault_ = "; " + each.error().message;
        continue;
      }
      TACIT_TRY_VOID(senders_.Spawn(Send(*std::move(each))));
      ++sent_;
    }
    const bool all = time_.RunUntil([this] { return heard_ == sent_ || !fault_.empty(); });
    if (all && fault_.empty()) return {};
    return Fail(ErrorCode::kInternal, fault_.empty() ? "an update was never answered" : fault_);
  }

  net::Task<void> Send(coordinator::Submission submission) {
    const Result<void> answer = co_await coordinator_->Submit(std::move(submission));
    ++heard_;
    if (answer) co_return;
    // Who comes after the last one that is wanted hears that the round is over.
    if (answer.error().code == ErrorCode::kGone) {
      closed_ = true;
    } else {
      fault_ = "an update was refused: " + answer.error().message;
    }
  }

  /// What the agent of the device sends. Threads: any, each with a trainer of its own.
  Result<coordinator::Submission> Train(training::Trainer& trainer, const Lease& lease) const {
    const RoundKey& round = lease.view.round;
    const std::vector<std::uint32_t>& rows = options_.examples.ShareOf(lease.device);
    TACIT_TRY(const training::Trained trained,
              trainer.Train(start_, rows, chance_.Stream("training", round, lease.device)()));
    TACIT_TRY(dp::VerifiedUpdate update, MakeUpdate(lease, trained.delta));
    return coordinator::Submission{.round = round,
                                   .device = devices_[lease.device].id,
                                   .key = devices_[lease.device].key,
                                   .digest = Xxh3(AsBytes(trained.delta)),
                                   .update = std::move(update),
                                   .weight = std::clamp<std::uint64_t>(rows.size(), 1, spec_.aggregation.max_examples)};
  }

  [[nodiscard]] Result<dp::VerifiedUpdate> MakeUpdate(const Lease& lease, std::span<const float> delta) const {
    const task::Privacy& privacy = spec_.privacy;
    const dp::UpdateTerms terms{
        .mechanism = privacy.mechanism, .grid_radius = privacy.grid_radius, .entry_bound = privacy.entry_bound()};
    AlignedBuffer memory(delta.size_bytes());
    if (!privacy.local) {
      std::memcpy(memory.data(), delta.data(), delta.size_bytes());
      dp::UpdateIntake intake(std::move(memory), dp::UpdateIntake::Entries::kFloats, terms);
      intake.Received(delta.size_bytes());
      return std::move(intake).Clip(lease.view.clip_norm);
    }
    std::vector<std::int32_t> grid(delta.size());
    TACIT_TRY_VOID(
        dp::ClipToGrid(delta, lease.view.clip_norm, privacy.grid_radius, dp::NormOf(privacy.local->mechanism), grid));
    crypto::AesKeystream bits(chance_.Key("local", lease.view.round, lease.device));
    TACIT_TRY_VOID(dp::AddLocalNoise(*privacy.local, privacy.grid_radius, bits, grid));
    std::memcpy(memory.data(), grid.data(), delta.size_bytes());
    dp::UpdateIntake intake(std::move(memory), dp::UpdateIntake::Entries::kGrid, terms);
    intake.Received(delta.size_bytes());
    return std::move(intake).Verify(dp::Fit::kWithinClip);
  }

  Result<std::optional<store::RoundRecord>> AwaitEnd(const RoundKey& round) {
    std::optional<store::RoundRecord> row;
    std::optional<Error> error;
    const auto ended = [&] {
      if (!std::exchange(stored_, false)) return false;
      auto latest = store_->LatestRound(spec_.id);
      if (!latest) {
        error = latest.error();
        return true;
      }
      row = *std::move(latest);
      return row && row->key == round && store::HasEnded(row->phase);
    };
    stored_ = true;
    const bool came = time_.RunUntil([&] { return ended() || !fault_.empty(); });
    if (error) return std::unexpected(*error);
    if (came && fault_.empty()) return row;
    return Fail(ErrorCode::kInternal, fault_.empty() ? "the round does not end" : fault_);
  }

  Result<void> Measure(const store::RoundRecord& row) {
    TACIT_TRY(const store::ModelRecord record, store_->LatestModel(spec_.id));
    TACIT_TRY(const SharedBytes model, store_->MapModel(record.digest));
    std::vector<float> parameters(model.bytes.size() / sizeof(float));
    std::memcpy(parameters.data(), model.bytes.data(), model.bytes.size());
    const std::vector<data::Dataset>& pieces = options_.examples.held_out;
    std::vector<Result<training::Evaluation>> measured(pieces.size(), training::Evaluation{});
    ForEach({.count = pieces.size(), .threads = trainers_.size()}, [&](std::size_t /*worker*/, std::size_t i) {
      measured[i] = training::Evaluate(spec_.model, parameters, pieces[i]);
    });
    double rows = 0;
    RoundPoint point{.round = row.key.round, .counted = row.counted, .epsilon = EpsilonOf(row)};
    for (const auto& each : measured) {
      TACIT_TRY_VOID(each);
      const auto weight = static_cast<double>(each->rows);
      point.accuracy += each->accuracy * weight;
      point.loss += each->loss * weight;
      rows += weight;
    }
    point.accuracy /= rows;
    point.loss /= rows;
    outcome_.model = record.digest;
    outcome_.rounds.push_back(point);
    if (options_.on_round) options_.on_round(point);
    return {};
  }

  [[nodiscard]] std::optional<double> EpsilonOf(const store::RoundRecord& row) const {
    if (spec_.privacy.mechanism != dp::Mechanism::kNone) return row.epsilon_after;
    if (!spec_.privacy.local) return std::nullopt;
    return dp::LocalCost(*spec_.privacy.local, std::min(row.key.round, spec_.Compositions())).epsilon;
  }

  /// Why the task has ended; nothing while it has not.
  Result<std::optional<std::string>> WhyOver() {
    if (options_.stopped()) return Fail(ErrorCode::kUnavailable, "the simulation was stopped");
    TACIT_TRY(const coordinator::TaskView view, time_.Run(coordinator_->Task(spec_.id)));
    if (view.record.state == store::TaskState::kActive) return std::optional<std::string>();
    return std::optional(view.record.state_reason);
  }

  void LetPass(Millis time) {
    const SteadyTime until = time_.clock().SteadyNow() + time;
    time_.RunUntil([&] { return time_.clock().SteadyNow() >= until; });
  }

  RunOutcome End(std::string why) {
    outcome_.ended = std::move(why);
    time_.Run(coordinator_->Stop());
    time_.Run(background_.JoinAll());
    return std::move(outcome_);
  }

  const task::TaskSpec& spec_;
  const RunOptions& options_;
  const Chance chance_;
  const ScratchDirectory directory_;
  net::SimulatedTime time_{kStart};
  // What goes wrong is in the rows, and is told from there.
  Logger log_{-1, time_.clock(), LogLevel::kError};
  metrics::Metrics metrics_;
  std::unique_ptr<store::SqliteStore> store_;
  std::optional<coordinator::StoreThread> store_thread_;
  net::ComputePool compute_;
  net::TaskGroup background_;
  net::TaskGroup senders_;
  std::unique_ptr<coordinator::Coordinator> coordinator_;

  std::vector<Device> devices_;
  std::vector<training::Trainer> trainers_;
  std::vector<float> start_;  // the model that the round is for
  std::uint64_t gathered_ = 0;
  std::size_t sent_ = 0;   // of the updates that were made together
  std::size_t heard_ = 0;  // answers to them
  bool closed_ = false;    // the round takes no more
  bool stored_ = false;    // since the rows were last looked at
  std::string fault_;
  std::string last_reason_;
  std::string training_fault_;
  RunOutcome outcome_;
};

}  // namespace

Result<RunOutcome> RunTask(const task::TaskSpec& spec, const std::string& toml, const RunOptions& options) {
  TACIT_TRY_VOID(CheckFleet(spec, options.fleet));
  TACIT_CHECK(!options.examples.shares.empty(), "a fleet has rows to train on");
  TACIT_TRY(ScratchDirectory directory, ScratchDirectory::Make());
  Simulation simulation(spec, options, std::move(directory));
  return simulation.Run(toml);
}

}  // namespace tacit::simulate
