#include "edge_agent/worker/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

namespace tacit::worker {
namespace {

constexpr std::size_t kMostWords = 1024;
// Above all descriptors that the worker gets, so that none is overwritten before it is used.
constexpr int kAboveWorkers = 10;
// From the end of its words to that of a process; far more than the kernel needs.
constexpr Millis kEndTime{2'000};
constexpr Millis kBetweenLooks{1};

std::unexpected<Error> CannotStart(int system_error) {
  return Fail(ErrorCode::kUnavailable,
              "an inference worker cannot be started: " + std::generic_category().message(system_error));
}

struct Pair {
  OwnedFd ours;
  OwnedFd theirs;
};

Result<Pair> MakeSocket() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return CannotStart(errno);
  const OwnedFd low(ends[1]);
  Pair pair{.ours = OwnedFd(ends[0]), .theirs = OwnedFd(::fcntl(ends[1], F_DUPFD_CLOEXEC, kAboveWorkers))};
  if (!pair.theirs) return CannotStart(errno);
  return pair;
}

Result<Pair> MakePipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return CannotStart(errno);
  const OwnedFd low(ends[1]);
  Pair pair{.ours = OwnedFd(ends[0]), .theirs = OwnedFd(::fcntl(ends[1], F_DUPFD_CLOEXEC, kAboveWorkers))};
  if (!pair.theirs || ::fcntl(pair.ours.get(), F_SETFL, O_NONBLOCK) != 0) return CannotStart(errno);
  return pair;
}

// What the child does between fork and exec, and how it starts. Source: posix_spawn(3).
class SpawnPlan {
 public:
  SpawnPlan(int socket, int words) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, words, STDERR_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, socket, kWorkerSocket);
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, kWorkerSocket + 1);
    ::posix_spawnattr_init(&attributes_);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  Result<pid_t> Run(const std::string& program, std::vector<std::string> arguments) const {
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    char* const no_environment[] = {nullptr};
    pid_t pid = 0;
    const int error = ::posix_spawn(&pid, program.c_str(), &actions_, &attributes_, pointers.data(), no_environment);
    if (error != 0) return CannotStart(error);
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

}  // namespace

std::vector<std::string> WorkerNumbers::Encode() const {
  std::vector<std::string> encoded;
  for (const std::size_t number : {agent, memory, frame, address_space, watch_interval}) {
    encoded.push_back(std::to_string(number));
  }
  return encoded;
}

Result<WorkerNumbers> WorkerNumbers::Parse(std::span<const char* const> arguments) {
  std::array<std::size_t, 5> numbers{};
  bool good = arguments.size() == numbers.size();
  for (std::size_t i = 0; good && i < numbers.size(); ++i) {
    const std::string_view text = arguments[i];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), numbers[i]);
    good = error == std::errc{} && end == text.data() + text.size();
  }
  if (!good) return Fail(ErrorCode::kInvalidArgument, "only an agent starts an inference worker");
  return WorkerNumbers{.agent = numbers[0],
                       .memory = numbers[1],
                       .frame = numbers[2],
                       .address_space = numbers[3],
                       .watch_interval = numbers[4]};
}

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(const WorkerProcessOptions& options) {
  TACIT_TRY(Pair socket, MakeSocket());
  TACIT_TRY(Pair words, MakePipe());
  const WorkerNumbers numbers{
      .agent = static_cast<std::size_t>(::getpid()),
      .memory = options.memory_limit,
      .frame = options.frame_limit,
      .address_space =
          options.overhead == 0 ? 0 : 2 * options.memory_limit + 4 * options.frame_limit + options.overhead,
      .watch_interval = static_cast<std::size_t>(options.watch_interval.count())};
  std::vector<std::string> arguments = {"tacit-agent"};
  arguments.insert(arguments.end(), options.command.begin(), options.command.end());
  for (std::string& number : numbers.Encode()) arguments.push_back(std::move(number));
  const SpawnPlan plan(socket.theirs.get(), words.theirs.get());
  TACIT_TRY(const pid_t pid, plan.Run(options.program, std::move(arguments)));
  return std::unique_ptr<WorkerProcess>(
      new WorkerProcess(pid, std::move(socket.ours), std::move(words.ours), options.frame_limit));
}

WorkerProcess::~WorkerProcess() {
  End();
}

Result<State> WorkerProcess::Greet(SteadyPoint deadline) {
  TACIT_TRY(const AlignedBuffer body, Expect(0, Kind::kReady, deadline));
  return ParseState(body.bytes());
}

Result<AlignedBuffer> WorkerProcess::Call(const Outgoing& question, Kind answer, SteadyPoint deadline) {
  Outgoing numbered = question;
  numbered.id = next_id_++;
  if (auto sent = channel_.Send(numbered, deadline); !sent) {
    if (sent.error().code != ErrorCode::kTooLarge) Break(sent.error().code);
    return std::unexpected(std::move(sent).error());
  }
  return Expect(numbered.id, answer, deadline);
}

Result<AlignedBuffer> WorkerProcess::Expect(std::uint64_t id, Kind answer, SteadyPoint deadline) {
  auto frame = channel_.Receive(deadline);
  if (frame && (frame->id != id || (frame->kind != answer && frame->kind != Kind::kFailed))) {
    frame = Fail(ErrorCode::kMalformed, "an inference worker answered what it was not asked");
  }
  if (!frame) {
    Break(frame.error().code);
    return std::unexpected(std::move(frame).error());
  }
  if (frame->kind == Kind::kFailed) return std::unexpected(ParseFailure(frame->body.bytes()));
  return std::move(frame->body);
}

void WorkerProcess::Break(ErrorCode why) {
  sound_ = false;
  stuck_ = why == ErrorCode::kDeadlineExceeded;
  // What ended by itself still has to say why.
  if (why != ErrorCode::kUnavailable) Kill();
}

void WorkerProcess::Kill() const {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

void WorkerProcess::Distrust() {
  sound_ = false;
  Kill();
}

bool WorkerProcess::ReadWords() {
  for (;;) {
    std::array<char, 256> part{};
    const ssize_t size = ::read(words_pipe_.get(), part.data(), part.size());
    if (size == 0) return false;
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    words_.append(part.data(), std::min(static_cast<std::size_t>(size), kMostWords - words_.size()));
  }
}

Ending WorkerProcess::Quit(SteadyPoint deadline) {
  if (auto sent = channel_.Send({.kind = Kind::kQuit}, deadline); !sent) return End();
  while (ReadWords()) {
    const auto left = std::chrono::ceil<Millis>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) {
      stuck_ = true;
      return End();
    }
    pollfd watched{.fd = words_fd(), .events = POLLIN, .revents = 0};
    ::poll(&watched, 1, static_cast<int>(std::min<long long>(left, 1000)));
  }
  return Reap();
}

Ending WorkerProcess::End() {
  if (pid_ == 0) return {};
  sound_ = false;
  // One that closed its words is ending by itself, which says how.
  if (ReadWords()) Kill();
  return Reap();
}

Ending WorkerProcess::Reap() {
  sound_ = false;
  int status = 0;
  const auto patience = std::chrono::steady_clock::now() + kEndTime;
  while (::waitpid(pid_, &status, WNOHANG) == 0) {
    // It closed its words and goes on: somebody else's doing.
    if (std::chrono::steady_clock::now() >= patience) Kill();
    std::this_thread::sleep_for(kBetweenLooks);
  }
  pid_ = 0;
  ReadWords();
  if (stuck_) return {EndCause::kStuck, "it did not answer before the deadline, and was killed"};
  return ReadEnding(status, words_);
}

}  // namespace tacit::worker
