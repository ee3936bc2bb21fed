#include "edge_agent/worker/supervisor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "common/base/check.h"
#include "common/crypto/secret.h"

namespace tacit::worker {
namespace {

// A worker that was told to quit overwrites at most what it may hold: at 1 GB/s this is far more.
constexpr std::chrono::seconds kQuitTime{5};
// How long the keeper waits for the question that a replaced worker is at.
constexpr std::chrono::seconds kLastQuestionTime{60};

SteadyPoint Now() {
  return std::chrono::steady_clock::now();
}

struct LoadedUntil {
  Loaded model;
  SteadyPoint until;
};

// A worker with a model. `mutex` guards all but what is const.
struct Served {
  Served(std::unique_ptr<WorkerProcess> new_process, LoadedUntil loaded, std::shared_ptr<ModelSource> new_source)
      : process(std::move(new_process)),
        words_fd(process->words_fd()),
        model(std::move(loaded.model)),
        until(loaded.until),
        source(std::move(new_source)) {}

  std::timed_mutex mutex;
  std::unique_ptr<WorkerProcess> process;
  bool retired = false;
  const int words_fd;
  const Loaded model;
  const SteadyPoint until;
  const std::shared_ptr<ModelSource> source;
  const SteadyPoint since = Now();
};

bool AllFinite(ByteSpan bytes) {
  for (std::size_t at = 0; at + sizeof(float) <= bytes.size(); at += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    if (!std::isfinite(value)) return false;
  }
  return true;
}

Result<void> TakeOutputs(Tensors tensors, std::size_t rows, std::span<const inference::Port> ports, Answer& answer) {
  bool fits = tensors.rows == rows && tensors.values.size() == ports.size();
  for (std::size_t i = 0; fits && i < ports.size(); ++i) fits = tensors.values[i].size() == rows * RowBytes(ports[i]);
  if (!fits) return Fail(ErrorCode::kMalformed, "an inference worker's outputs are not of the model's signature");
  answer.rows = rows;
  answer.outputs = std::move(tensors.values);
  return {};
}

Result<Answer> ReadAnswer(AlignedBuffer body, std::size_t rows, std::span<const inference::Port> ports) {
  Answer answer;
  answer.memory = std::move(body);
  TACIT_TRY(Tensors tensors, ParseTensors(std::as_const(answer.memory).bytes()));
  TACIT_TRY_VOID(TakeOutputs(std::move(tensors), rows, ports, answer));
  return answer;
}

// Outputs, and behind them what is said of their rows.
Result<Answer> ReadJudged(AlignedBuffer body, std::size_t rows, const Loaded& model) {
  Answer answer;
  answer.memory = std::move(body);
  TACIT_TRY(Tensors tensors, ParseTensors(std::as_const(answer.memory).bytes()));
  if (tensors.values.empty()) return Fail(ErrorCode::kMalformed, "an inference worker judged nothing");
  TACIT_TRY(detect::Judgement judgement, ParseJudgement(tensors.values.back(), rows));
  tensors.values.pop_back();
  TACIT_TRY_VOID(TakeOutputs(std::move(tensors), rows, model.signature.outputs, answer));
  answer.judged = {.detectors = Present(model.detectors, "only a model with detectors is asked to judge"),
                   .judgement = std::move(judgement)};
  return answer;
}

Result<Answer> Ask(WorkerProcess& process, Kind kind, std::size_t rows, std::span<const ByteSpan> inputs,
                   std::span<const inference::Port> outputs, SteadyPoint deadline) {
  if (inputs.size() > kMostTensors) return Fail(ErrorCode::kInvalidArgument, "a model has fewer inputs than these");
  const TensorParts parts(rows, inputs);
  TACIT_TRY(AlignedBuffer body, process.Call({.kind = kind, .body = parts.parts()}, Kind::kTensors, deadline));
  auto answer = ReadAnswer(std::move(body), rows, outputs);
  if (!answer) process.Distrust();
  return answer;
}

// Of a model with detectors, which has one input.
Result<Answer> AskToJudge(WorkerProcess& process, const Loaded& model, std::size_t rows, ByteSpan input,
                          std::span<const detect::Asker> askers, SteadyPoint deadline) {
  const Bytes who = EncodeAskers(askers);
  const std::array<ByteSpan, 2> tensors = {input, who};
  const TensorParts parts(rows, tensors);
  TACIT_TRY(AlignedBuffer body, process.Call({.kind = Kind::kJudge, .body = parts.parts()}, Kind::kJudged, deadline));
  auto answer = ReadJudged(std::move(body), rows, model);
  if (!answer) process.Distrust();
  return answer;
}

// One row of zeros goes through, and what comes out are numbers.
Result<void> TestOnZeros(WorkerProcess& process, const Loaded& model, std::size_t frame_limit, SteadyPoint deadline) {
  std::size_t row = 0;
  for (const inference::Port& port : model.signature.inputs) row += RowBytes(port);
  if (row > frame_limit) return Fail(ErrorCode::kTooLarge, "one row of the model is over the limit of a frame");
  std::vector<Bytes> zeros;
  for (const inference::Port& port : model.signature.inputs) zeros.emplace_back(RowBytes(port));
  const std::vector<ByteSpan> inputs(zeros.begin(), zeros.end());
  TACIT_TRY(const Answer answer, Ask(process, Kind::kInfer, 1, inputs, model.signature.outputs, deadline));
  for (std::size_t i = 0; i < answer.outputs.size(); ++i) {
    if (model.signature.outputs[i].element == graph::Element::kFloat32 && !AllFinite(answer.outputs[i])) {
      return Fail(ErrorCode::kDataLoss,
                  "the model's output '" + model.signature.outputs[i].name + "' of a row of zeros is not finite");
    }
  }
  return {};
}

Result<LoadedUntil> LoadModel(WorkerProcess& process, ModelSource& source, SteadyPoint deadline) {
  TACIT_TRY(ModelSource::Opened opened, source.Open());
  const ByteSpan body(opened.opening);
  const auto answer = process.Call({.kind = Kind::kLoad, .body = std::span(&body, 1), .file = opened.file.get()},
                                   Kind::kLoaded, deadline);
  crypto::Zeroise(opened.opening);
  if (!answer) return std::unexpected(answer.error());
  TACIT_TRY(Loaded model, ParseLoaded(answer->bytes()));
  return LoadedUntil{.model = std::move(model), .until = opened.until.value_or(SteadyPoint::max())};
}

Result<void> CheckRequired(const protect::Protections& protections, std::span<const protect::Measure> required) {
  for (const protect::Measure measure : required) {
    if (!protections.Holds(measure)) {
      return Fail(ErrorCode::kUnavailable, "the protection " + std::string(NameOf(measure)) +
                                               " is required and does not hold: " + protections.Degradations());
    }
  }
  return {};
}

std::string Describe(const Error& error, WorkerProcess& process) {
  if (process.sound()) return error.message;
  const Ending ending = process.End();
  return error.message + (ending.detail.empty() ? "" : " (the worker: " + ending.detail + ")");
}

}  // namespace

std::string_view NameOf(EventKind kind) {
  constexpr std::array<std::string_view, 5> kNames = {"serving", "refused", "ended", "expired", "start_failed"};
  return kNames[static_cast<std::size_t>(kind)];
}

class Supervisor::Keeper {
 public:
  explicit Keeper(SupervisorOptions options)
      : options_(std::move(options)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    TACIT_CHECK(wake_, "a process that starts has descriptors left");
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  }
  ~Keeper() {
    thread_.request_stop();
    Wake();
  }
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  Result<void> Serve(std::shared_ptr<ModelSource> source) {
    Wish wish{.source = std::move(source), .outcome = {}};
    auto outcome = wish.outcome.get_future();
    {
      const std::scoped_lock lock(mutex_);
      wishes_.push_back(std::move(wish));
    }
    Wake();
    return outcome.get();
  }

  Result<Answer> Ask(Kind kind, std::size_t rows, std::span<const ByteSpan> inputs,
                     std::span<const detect::Asker> askers, SteadyPoint deadline) {
    if (rows > options_.process.frame_limit) return Fail(ErrorCode::kInvalidArgument, "so many rows fit in no frame");
    for (;;) {
      const std::shared_ptr<Served> served = Current();
      if (!served) return Fail(ErrorCode::kUnavailable, "no inference worker serves a model at the moment");
      const std::unique_lock lock(served->mutex, deadline);
      if (!lock) return Fail(ErrorCode::kDeadlineExceeded, "the inference worker was busy until the deadline");
      if (served->retired) continue;  // another has taken its place
      auto answer = AskOne(*served, kind, rows, inputs, askers, deadline);
      if (!served->process->sound()) LetGo(*served);
      if (answer) answer->version = served->source->version();
      return answer;
    }
  }

  [[nodiscard]] SupervisorStatus status() const {
    const std::scoped_lock lock(mutex_);
    SupervisorStatus status{.serving = served_ != nullptr,
                            .version = source_ ? source_->version() : "",
                            .model = {},
                            .watch_passes = watch_passes_,
                            .restarts = restarts_,
                            .endings = endings_,
                            .changed_weights = changed_weights_,
                            .refused_calls = refused_calls_};
    if (served_) status.model = served_->model;
    return status;
  }

 private:
  struct Wish {
    std::shared_ptr<ModelSource> source;
    std::promise<Result<void>> outcome;
  };

  // With the lock of `served`.
  static Result<Answer> AskOne(const Served& served, Kind kind, std::size_t rows, std::span<const ByteSpan> inputs,
                               std::span<const detect::Asker> askers, SteadyPoint deadline) {
    const Loaded& model = served.model;
    const auto& outputs = kind == Kind::kInfer ? model.signature.outputs : model.signature.inputs;
    const bool judges = kind == Kind::kInfer && model.detectors && !askers.empty() && inputs.size() == 1;
    return judges ? AskToJudge(*served.process, model, rows, inputs[0], askers, deadline)
                  : worker::Ask(*served.process, kind, rows, inputs, outputs, deadline);
  }

  // A worker that cannot be asked any more is the keeper's, at once.
  void LetGo(Served& served) {
    served.retired = true;
    {
      const std::scoped_lock lock(mutex_);
      if (served_.get() == &served) served_ = nullptr;
    }
    Wake();
  }

  void Wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  }
  [[nodiscard]] std::shared_ptr<Served> Current() const {
    const std::scoped_lock lock(mutex_);
    return served_;
  }
  void Run(const std::stop_token& stop);
  void Grant(Wish wish);
  Result<std::shared_ptr<Served>> StartOne(const std::shared_ptr<ModelSource>& source);
  Result<LoadedUntil> Prepare(WorkerProcess& process, ModelSource& source);
  void Install(std::shared_ptr<Served> next);
  void Retire(Served& old);
  void Expire();
  void Watch();
  void AskHealth(Served& served);
  void Bury(Served& served);
  void Count(const Ending& ending);
  void Restart();
  Millis Backoff();
  void Sleep() const;

  const SupervisorOptions options_;
  const OwnedFd wake_;

  mutable std::mutex mutex_;  // guards what follows, up to the next blank line
  std::vector<Wish> wishes_;
  std::shared_ptr<Served> served_;       // questions go here
  std::shared_ptr<ModelSource> source_;  // the last version that served
  std::uint64_t watch_passes_ = 0;
  std::uint64_t restarts_ = 0;
  std::uint64_t endings_ = 0;
  std::uint64_t changed_weights_ = 0;
  std::uint64_t refused_calls_ = 0;

  // Of the keeper's thread only.
  std::shared_ptr<Served> watched_;  // as served_, also after it failed
  SteadyPoint next_health_ = SteadyPoint::max();
  std::optional<SteadyPoint> restart_at_;
  Millis backoff_{0};

  std::jthread thread_;  // the last member: it uses all others
};

void Supervisor::Keeper::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<Wish> wishes;
    {
      const std::scoped_lock lock(mutex_);
      wishes.swap(wishes_);
    }
    for (Wish& wish : wishes) Grant(std::move(wish));
    Expire();
    Watch();
    if (restart_at_ && Now() >= *restart_at_) Restart();
    Sleep();
  }
  std::shared_ptr<Served> last;
  {
    const std::scoped_lock lock(mutex_);
    last = std::exchange(served_, nullptr);
    for (Wish& wish : wishes_) wish.outcome.set_value(Fail(ErrorCode::kUnavailable, "the agent is ending"));
  }
  if (last) Retire(*last);
}

void Supervisor::Keeper::Sleep() const {
  SteadyPoint until = Now() + std::chrono::hours(1);
  if (watched_) until = std::min({until, next_health_, watched_->until});
  if (restart_at_) until = std::min(until, *restart_at_);
  const auto wait = std::max<long long>(std::chrono::ceil<Millis>(until - Now()).count(), 0);
  std::array<pollfd, 2> watched = {{{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                                    {.fd = watched_ ? watched_->words_fd : -1, .events = POLLIN, .revents = 0}}};
  ::poll(watched.data(), watched.size(), static_cast<int>(wait));
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t size = ::read(wake_.get(), &count, sizeof count);
}

void Supervisor::Keeper::Grant(Wish wish) {
  auto next = StartOne(wish.source);
  if (!next) {
    options_.on_event({.kind = EventKind::kRefused, .version = wish.source->version(), .detail = next.error().message});
    wish.outcome.set_value(std::unexpected(std::move(next).error()));
    return;
  }
  backoff_ = Millis(0);
  Install(*std::move(next));
  wish.outcome.set_value({});
}

Result<std::shared_ptr<Served>> Supervisor::Keeper::StartOne(const std::shared_ptr<ModelSource>& source) {
  TACIT_TRY(std::unique_ptr<WorkerProcess> process, WorkerProcess::Start(options_.process));
  auto loaded = Prepare(*process, *source);
  if (!loaded) return Fail(loaded.error().code, Describe(loaded.error(), *process));
  return std::make_shared<Served>(std::move(process), *std::move(loaded), source);
}

Result<LoadedUntil> Supervisor::Keeper::Prepare(WorkerProcess& process, ModelSource& source) {
  const SteadyPoint deadline = Now() + options_.load_deadline;
  TACIT_TRY_VOID(process.Greet(deadline));
  TACIT_TRY(LoadedUntil loaded, LoadModel(process, source, deadline));
  TACIT_TRY_VOID(CheckRequired(loaded.model.protections, options_.required));
  TACIT_TRY_VOID(TestOnZeros(process, loaded.model, options_.process.frame_limit, deadline));
  return loaded;
}

void Supervisor::Keeper::Install(std::shared_ptr<Served> next) {
  std::shared_ptr<Served> old;
  {
    const std::scoped_lock lock(mutex_);
    old = std::exchange(served_, next);
    source_ = next->source;
    watch_passes_ = 0;
  }
  if (old) Retire(*old);
  watched_ = std::move(next);
  restart_at_.reset();
  next_health_ = Now() + options_.health_interval;
  options_.on_event({.kind = EventKind::kServing,
                     .version = watched_->source->version(),
                     .detail = watched_->model.protections.Degradations()});
}

void Supervisor::Keeper::Retire(Served& old) {
  const std::unique_lock lock(old.mutex, Now() + kLastQuestionTime);
  // Without the lock its question has taken too long: its process goes with the last who asks.
  if (!lock) return;
  old.retired = true;
  old.process->Quit(Now() + kQuitTime);
}

void Supervisor::Keeper::Expire() {
  const std::shared_ptr<Served> served = watched_;
  if (!served || Now() < served->until) return;
  {
    const std::scoped_lock lock(mutex_);
    if (served_ == served) served_ = nullptr;
  }
  watched_.reset();
  Retire(*served);
  options_.on_event({.kind = EventKind::kExpired,
                     .version = served->source->version(),
                     .detail = "the time in which the model may be used is over"});
}

void Supervisor::Keeper::Watch() {
  const std::shared_ptr<Served> served = watched_;
  if (!served) return;
  const bool ended = !served->process->ReadWords();
  // Whoever is asking it is not left to wait for a worker that only closed its last words.
  if (ended) served->process->Kill();
  std::unique_lock lock(served->mutex, std::defer_lock);
  const bool due = Now() >= next_health_;
  if (due) next_health_ = Now() + options_.health_interval;
  if (ended) {
    lock.lock();
  } else if (!lock.try_lock()) {
    return;  // who asks it sees how it is
  }
  if (!ended && due && served->process->sound()) AskHealth(*served);
  if (ended || !served->process->sound()) Bury(*served);
}

void Supervisor::Keeper::AskHealth(Served& served) {
  const auto body = served.process->Call({.kind = Kind::kHealth}, Kind::kState, Now() + options_.health_deadline);
  if (!body) return;
  const auto state = ParseState(body->bytes());
  if (!state) return;
  const std::scoped_lock lock(mutex_);
  watch_passes_ = state->watch_passes;
}

// With its lock.
void Supervisor::Keeper::Bury(Served& served) {
  LetGo(served);
  watched_.reset();
  const Ending ending = served.process->End();
  Count(ending);
  if (Now() - served.since >= options_.longest_backoff) backoff_ = Millis(0);
  const Millis retry = Backoff();
  restart_at_ = Now() + retry;
  options_.on_event({.kind = EventKind::kEnded,
                     .version = served.source->version(),
                     .detail = ending.detail,
                     .ending = ending,
                     .retry = retry});
}

void Supervisor::Keeper::Count(const Ending& ending) {
  const std::scoped_lock lock(mutex_);
  ++endings_;
  if (ending.cause == EndCause::kTampered) ++changed_weights_;
  if (ending.cause == EndCause::kRefusedCall) ++refused_calls_;
}

void Supervisor::Keeper::Restart() {
  std::shared_ptr<ModelSource> source;
  {
    const std::scoped_lock lock(mutex_);
    source = source_;
    ++restarts_;
  }
  auto next = StartOne(source);
  if (next) {
    Install(*std::move(next));
    return;
  }
  const Millis retry = Backoff();
  restart_at_ = Now() + retry;
  options_.on_event(
      {.kind = EventKind::kStartFailed, .version = source->version(), .detail = next.error().message, .retry = retry});
}

Millis Supervisor::Keeper::Backoff() {
  backoff_ = std::clamp(backoff_ * 2, options_.first_backoff, options_.longest_backoff);
  return backoff_;
}

Supervisor::Supervisor(SupervisorOptions options) : keeper_(std::make_unique<Keeper>(std::move(options))) {}
Supervisor::~Supervisor() = default;

Result<void> Supervisor::Serve(std::shared_ptr<ModelSource> source) {
  return keeper_->Serve(std::move(source));
}

Result<Answer> Supervisor::Infer(std::size_t rows, std::span<const ByteSpan> inputs,
                                 std::span<const detect::Asker> askers, SteadyPoint deadline) {
  return keeper_->Ask(Kind::kInfer, rows, inputs, askers, deadline);
}

Result<Answer> Supervisor::Gradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                                    SteadyPoint deadline) {
  const std::array<ByteSpan, 2> inputs = {AsBytes(input), AsBytes(classes)};
  return keeper_->Ask(Kind::kGradient, classes.size(), inputs, {}, deadline);
}

SupervisorStatus Supervisor::status() const {
  return keeper_->status();
}

}  // namespace tacit::worker
