#include "edge_agent/worker/serve.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/crypto/digest.h"
#include "common/crypto/secret.h"
#include "edge_agent/protect/protected_memory.h"
#include "edge_agent/protect/start_pages.h"
#include "edge_agent/worker/ending.h"
#include "edge_agent/worker/judging.h"
#include "edge_agent/worker/sandbox.h"
#include "edge_agent/worker/worker_process.h"

namespace tacit::worker {
namespace {

using protect::ProtectedMemory;
using protect::WeightWatch;

// An agent reads what it asked for; one that does not is stuck, and its worker of no use.
constexpr std::chrono::seconds kAnswerTime{60};

// A model, and whatever was computed by it.
class LoadedModel {
 public:
  LoadedModel(const ServeOptions& options, const WorkerParts& parts, protect::Kernel& kernel, const Clock& clock)
      : clock_(&clock),
        weights_(options.memory, kernel),
        workspace_(options.memory, kernel),
        engine_(parts.make_engine(workspace_)) {}

  Result<Loaded> Load(const Frame& frame, const WorkerParts& parts, const ServeOptions& options) {
    TACIT_TRY(const OpenedModel opened, parts.open(frame.file.get(), frame.body.bytes(), weights_));
    TACIT_TRY_VOID(weights_.Seal());
    TACIT_TRY_VOID(engine_->Load(opened.model));
    std::optional<LoadedDetectors> detectors;
    if (!opened.detectors.empty()) {
      TACIT_TRY(Judging judging, Judging::Create(opened, *engine_));
      detectors = judging.Describe();
      judging_.emplace(std::move(judging));
    }
    watch_.emplace(opened.model, options.watch, *clock_);
    return Loaded{.signature = engine_->signature(),
                  .digest = watch_->digest(),
                  .protections = protections(),
                  .detectors = detectors};
  }

  Result<std::vector<Bytes>> Infer(const Tensors& inputs, std::size_t answer_limit) {
    const auto& ports = engine_->signature().outputs;
    std::size_t row = 0;
    for (const inference::Port& port : ports) row += RowBytes(port);
    if (row > 0 && inputs.rows > answer_limit / row) {
      return Fail(ErrorCode::kTooLarge, "the outputs of so many rows are over the limit between agent and worker");
    }
    std::vector<Bytes> outputs;
    for (const inference::Port& port : ports) outputs.emplace_back(inputs.rows * RowBytes(port));
    const std::vector<std::span<std::uint8_t>> spans(outputs.begin(), outputs.end());
    TACIT_TRY_VOID(engine_->Run(inputs.rows, inputs.values, spans));
    return outputs;
  }

  // As Infer, of inputs at whose end the askers stand; the judgement stands at the end of the outputs.
  Result<std::vector<Bytes>> Judge(const Tensors& tensors, std::size_t answer_limit) {
    if (!judging_ || tensors.values.size() != 2) {
      return Fail(ErrorCode::kMalformed, "to be judged, rows need a model with detectors, and askers");
    }
    TACIT_TRY(const std::vector<detect::Asker> askers, ParseAskers(tensors.values[1], tensors.rows));
    const Tensors inputs{.rows = tensors.rows, .values = {tensors.values[0]}};
    // An eighth is left for verdicts of four bytes each.
    if (tensors.rows > answer_limit / 64) return Fail(ErrorCode::kTooLarge, "so many rows cannot be judged at once");
    TACIT_TRY(std::vector<Bytes> outputs, Infer(inputs, answer_limit - answer_limit / 8));
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock_->SteadyNow().time_since_epoch()).count();
    TACIT_TRY(
        const detect::Judgement judgement,
        Present(judging_, "asked above").Judge(inputs.values[0], outputs, askers, static_cast<std::uint64_t>(now)));
    outputs.push_back(EncodeJudgement(judgement));
    return outputs;
  }

  Result<std::vector<Bytes>> Gradient(const Tensors& inputs) {
    if (inputs.values.size() != 2) return Fail(ErrorCode::kMalformed, "a gradient is of an input, and of classes");
    const ByteSpan input = inputs.values[0];
    const ByteSpan classes = inputs.values[1];
    const auto& ports = engine_->signature().inputs;
    if (ports.size() != 1 || ports[0].element != graph::Element::kFloat32 ||
        classes.size() != inputs.rows * sizeof(std::uint32_t) || input.size() / RowBytes(ports[0]) != inputs.rows ||
        input.size() % RowBytes(ports[0]) != 0) {
      return Fail(ErrorCode::kInvalidArgument, "a gradient needs one input of float32, its rows, and a class for each");
    }
    Bytes gradient(input.size());
    TACIT_TRY_VOID(engine_->InputGradient({reinterpret_cast<const float*>(input.data()), input.size() / sizeof(float)},
                                          {reinterpret_cast<const std::uint32_t*>(classes.data()), inputs.rows},
                                          {reinterpret_cast<float*>(gradient.data()), input.size() / sizeof(float)}));
    std::vector<Bytes> result;
    result.push_back(std::move(gradient));
    return result;
  }

  void Wipe() {
    engine_->Wipe();
    workspace_.Wipe();
    weights_.Wipe();
  }
  [[nodiscard]] protect::Protections protections() const {
    protect::Protections both = weights_.protections();
    both.Add(workspace_.protections());
    return both;
  }
  std::optional<WeightWatch>& watch() { return watch_; }

 private:
  const Clock* clock_;
  ProtectedMemory weights_;
  ProtectedMemory workspace_;
  std::unique_ptr<inference::Engine> engine_;
  std::optional<Judging> judging_;  // of a model that has detectors
  std::optional<WeightWatch> watch_;
};

class Server {
 public:
  Server(Channel& channel, const WorkerParts& parts, const ServeOptions& options, protect::Protections protections,
         protect::Kernel& kernel, const Clock& clock)
      : channel_(channel),
        parts_(parts),
        options_(options),
        protections_(protections),
        model_(options, parts, kernel, clock) {}

  int Run() {
    if (!SendBytes(Kind::kReady, 0, EncodeState({.protections = protections_, .watch_passes = 0}))) return kFaultExit;
    std::optional<int> end;
    while (!end) end = Next();
    model_.Wipe();
    return *end;
  }

 private:
  // Answers a frame or, while there is none, looks at the weights; the code to leave with, when it is time.
  std::optional<int> Next() {
    auto& watch = model_.watch();
    const auto wait = watch ? watch->UntilDue() : Millis(std::chrono::hours(1));
    if (channel_.Wait(std::chrono::steady_clock::now() + wait)) {
      auto frame = channel_.Receive(std::chrono::steady_clock::now() + kAnswerTime);
      if (!frame) return kFaultExit;
      if (frame->kind == Kind::kQuit) return kQuitExit;
      const bool answered = Answer(*frame);
      crypto::Zeroise(frame->body.bytes());
      if (!answered) return kFaultExit;
    }
    // Also under load, after the answer and never before it.
    if (auto& loaded = model_.watch(); loaded && loaded->Tick() == WeightWatch::State::kTampered) return kTamperedExit;
    return std::nullopt;
  }

  bool AnswerHealth(const Frame& frame) {
    const auto& watch = model_.watch();
    return SendBytes(Kind::kState, frame.id,
                     EncodeState({.protections = protections_, .watch_passes = watch ? watch->passes() : 0}));
  }

  bool Answer(const Frame& frame) {
    switch (frame.kind) {
      case Kind::kLoad:
        return AnswerLoad(frame);
      case Kind::kInfer:
      case Kind::kGradient:
      case Kind::kJudge:
        return AnswerTensors(frame);
      case Kind::kHealth:
        return AnswerHealth(frame);
      default:
        return false;
    }
  }

  bool AnswerLoad(const Frame& frame) {
    // Its memory cannot be used twice: see ProtectedMemory.
    if (load_begun_) return SendFailure(frame.id, {ErrorCode::kConflict, "a worker loads one model"});
    load_begun_ = true;
    auto loaded = model_.Load(frame, parts_, options_);
    if (!loaded) {
      model_.Wipe();
      return SendFailure(frame.id, loaded.error());
    }
    protections_.Add(loaded->protections);
    loaded->protections = protections_;
    protect::LetGoOfStartPages();
    return SendBytes(Kind::kLoaded, frame.id, EncodeLoaded(*loaded));
  }

  bool AnswerTensors(const Frame& frame) {
    const auto results = Compute(frame);
    if (!results) return SendFailure(frame.id, results.error());
    const std::vector<ByteSpan> spans(results->begin(), results->end());
    const TensorParts parts(rows_, spans);
    const Kind answer = frame.kind == Kind::kJudge ? Kind::kJudged : Kind::kTensors;
    return Send({.kind = answer, .id = frame.id, .body = parts.parts()});
  }

  Result<std::vector<Bytes>> Compute(const Frame& frame) {
    if (!model_.watch()) return Fail(ErrorCode::kUnavailable, "this worker has no model yet");
    TACIT_TRY(const Tensors inputs, ParseTensors(frame.body.bytes()));
    rows_ = inputs.rows;
    if (frame.kind == Kind::kGradient) return model_.Gradient(inputs);
    return frame.kind == Kind::kJudge ? model_.Judge(inputs, channel_.body_limit())
                                      : model_.Infer(inputs, channel_.body_limit());
  }

  bool SendFailure(std::uint64_t id, const Error& error) { return SendBytes(Kind::kFailed, id, EncodeFailure(error)); }
  bool SendBytes(Kind kind, std::uint64_t id, ByteSpan body) {
    return Send({.kind = kind, .id = id, .body = std::span(&body, 1)});
  }
  bool Send(const Outgoing& frame) {
    return channel_.Send(frame, std::chrono::steady_clock::now() + kAnswerTime).has_value();
  }

  Channel& channel_;
  const WorkerParts& parts_;
  const ServeOptions& options_;
  protect::Protections protections_;
  LoadedModel model_;
  std::size_t rows_ = 0;
  bool load_begun_ = false;
};

}  // namespace

int Serve(Channel& channel, const WorkerParts& parts, const ServeOptions& options, protect::Protections protections,
          protect::Kernel& kernel, const Clock& clock) {
  return Server(channel, parts, options, protections, kernel, clock).Run();
}

void RunWorker(std::span<const char* const> arguments, const WorkerParts& parts, protect::Kernel& kernel) {
  const auto numbers = WorkerNumbers::Parse(arguments);
  // What the agent wants to interrupt is the agent; a worker ends with it.
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGTERM, SIG_IGN);
  if (!numbers) ::_exit(kFaultExit);
  // libcrypto reads its configuration and finds its algorithms when it is first used.
  static_cast<void>(crypto::Sha256({}));
  parts.prepare();
  const protect::Protections protections = EnterSandbox(kernel, {.agent = static_cast<pid_t>(numbers->agent),
                                                                 .memory = numbers->memory,
                                                                 .address_space = numbers->address_space});
  Channel channel(OwnedFd(kWorkerSocket), numbers->frame);
  const SystemClock clock;
  const ServeOptions options{.memory = numbers->memory, .watch = {.interval = Millis(numbers->watch_interval)}};
  ::_exit(Serve(channel, parts, options, protections, kernel, clock));
}

}  // namespace tacit::worker
