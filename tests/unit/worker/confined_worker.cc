// A worker as an agent has it, but for its engine, which does what its input tells it to: see attempts.h.
// Usage: confined_worker MEASURES ... ; the kernel lacks what the measures, a list with commas or "-", need.

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <set>
#include <string_view>

#include "common/base/check.h"
#include "edge_agent/worker/bundle_model.h"
#include "edge_agent/worker/serve.h"
#include "edge_agent/worker/worker_process.h"
#include "tests/unit/protect/lacking_kernel.h"
#include "tests/unit/worker/attempts.h"
#include "tests/unit/worker/test_model.h"

namespace tacit::worker::testing {
namespace {

// Asked for once, before a filter is there.
pid_t Agent() {
  static const pid_t agent = ::getppid();
  return agent;
}

long Answer(long result) {
  return result < 0 ? -errno : result;
}

long TryConnect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/run/x");
  return ::connect(kWorkerSocket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

long TryExec() {
  char name[] = "/bin/true";
  char* const arguments[] = {name, nullptr};
  return ::execve(name, arguments, nullptr);
}

long TryReadAgentMemory() {
  char there = 0;
  iovec ours{.iov_base = &there, .iov_len = 1};
  iovec theirs{.iov_base = &there, .iov_len = 1};
  return ::process_vm_readv(Agent(), &ours, 1, &theirs, 1, 0);
}

long TryMap(int protection) {
  return reinterpret_cast<long>(::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

long TryMakeExecutable() {
  void* const page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return ::mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

long WriteWords() {
  constexpr std::string_view kWords = "\x1b[2J\xff first\nsecond";
  return ::write(STDERR_FILENO, kWords.data(), kWords.size());
}

long Lie() {
  std::array<std::uint8_t, 64> nonsense{};
  nonsense.fill(0xee);
  return ::write(kWorkerSocket, nonsense.data(), nonsense.size());
}

// Maps the pages of the weights once more, which no seal of the first mapping can forbid.
bool Tamper() {
  constexpr int kMostDescriptors = 16;
  for (int fd = kWorkerSocket + 1; fd < kMostDescriptors; ++fd) {
    void* const pages = ::mmap(nullptr, kTestModelSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (pages == MAP_FAILED) continue;
    std::uint32_t magic = 0;
    std::memcpy(&magic, pages, sizeof magic);
    if (magic != kTestMagic) continue;
    static_cast<std::uint8_t*>(pages)[kTestModelSize / 2] ^= 1U;
    return true;
  }
  return false;
}

void Hang() {
  for (;;) ::sched_yield();
}

long TryCall(Attempt attempt) {
  constexpr long kX32 = 0x40000000;
  switch (attempt) {
    case Attempt::kSocket:
      return ::socket(AF_INET, SOCK_STREAM, 0);
    case Attempt::kConnect:
      return TryConnect();
    case Attempt::kBind:
      return ::syscall(SYS_bind, kWorkerSocket, nullptr, 0);
    case Attempt::kExec:
      return TryExec();
    case Attempt::kFork:
      return ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    case Attempt::kThread:
      return ::syscall(SYS_clone3, nullptr, 0);
    case Attempt::kCreateFile:
      return ::open("/tmp/tacit-escaped", O_WRONLY | O_CREAT, 0600);
    case Attempt::kReadFile:
      return ::open("/etc/hostname", O_RDONLY);
    case Attempt::kRemoveFile:
      return ::syscall(SYS_unlinkat, AT_FDCWD, "/tmp/tacit-nothing", 0);
    case Attempt::kTraceAgent:
      return ::ptrace(PTRACE_ATTACH, Agent(), nullptr, nullptr);
    case Attempt::kReadAgentMemory:
      return TryReadAgentMemory();
    case Attempt::kWriteExecute:
      return TryMap(PROT_READ | PROT_WRITE | PROT_EXEC);
    case Attempt::kMakeExecutable:
      return TryMakeExecutable();
    case Attempt::kKillAgent:
      return ::kill(Agent(), 0);
    case Attempt::kRing:
      return ::syscall(SYS_io_uring_setup, 1, nullptr);
    case Attempt::kBecomeDumpable:
      return ::prctl(PR_SET_DUMPABLE, 1);
    case Attempt::kCatchRefusals:
      return ::signal(SIGSYS, SIG_IGN) == SIG_ERR ? -1 : 0;
    case Attempt::kForeignCall:
      return ::syscall(kX32 | SYS_getpid);
    case Attempt::kWriteWords:
      return WriteWords();
    case Attempt::kLie:
      return Lie();
    default:
      return 0;
  }
}

class AttemptingEngine final : public inference::Engine {
 public:
  Result<void> Load(ByteSpan model) override {
    TACIT_TRY(version_, ReadTestModel(model));
    signature_ = {.inputs = {{.name = "x", .element = graph::Element::kFloat32, .shape = {graph::kRows, kInputs}}},
                  .outputs = {{.name = "y", .element = graph::Element::kFloat32, .shape = {graph::kRows, 1}}}};
    return {};
  }
  [[nodiscard]] const inference::Signature& signature() const override { return signature_; }

  Result<void> Run(std::size_t rows, std::span<const ByteSpan> inputs,
                   std::span<const std::span<std::uint8_t>> outputs) override {
    if (inputs.size() != 1 || inputs[0].size() != rows * kInputs * sizeof(float)) {
      return Fail(ErrorCode::kInvalidArgument, "input 'x' has a wrong size");
    }
    for (std::size_t row = 0; row < rows; ++row) {
      std::array<float, kInputs> x{};
      std::memcpy(x.data(), inputs[0].data() + row * sizeof x, sizeof x);
      const float y = Compute(static_cast<Attempt>(static_cast<std::int32_t>(x[0])), x[1]);
      std::memcpy(outputs[0].data() + row * sizeof y, &y, sizeof y);
    }
    return {};
  }

  Result<void> InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                             std::span<float> gradient) override {
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      gradient[i] = 2 * input[i] + static_cast<float>(classes[i / kInputs]);
    }
    return {};
  }
  Result<double> TrainStep(const Step& /*step*/) override {
    return Fail(ErrorCode::kInvalidArgument, "no training here");
  }
  void Wipe() override {}

 private:
  [[nodiscard]] float Compute(Attempt attempt, float x) {
    switch (attempt) {
      case Attempt::kNone:
        return version_ == kBrokenVersion ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(version_) + x;
      case Attempt::kCrash:
        std::abort();
      case Attempt::kHang:
        Hang();
        return 0;
      case Attempt::kTamper:
        return Tamper() ? 0 : -1;
      case Attempt::kCloseWords:
        ::close(STDERR_FILENO);
        Hang();
        return 0;
      default:
        return static_cast<float>(Answer(TryCall(attempt)));
    }
  }

  inference::Signature signature_;
  std::uint32_t version_ = 0;
};

Result<OpenedModel> OpenEither(int file, ByteSpan opening, inference::Memory& weights) {
  const bool is_ticket = opening.size() == bundle::PayloadTicket::kEncodedSize;
  return is_ticket ? OpenBundledModel(file, opening, weights) : OpenTestModel(file, opening, weights);
}

std::set<protect::Measure> ReadLacking(std::string_view list) {
  std::set<protect::Measure> lacking;
  while (!list.empty() && list != "-") {
    const std::size_t comma = std::min(list.find(','), list.size());
    const auto measure = protect::ParseMeasure(list.substr(0, comma));
    TACIT_CHECK(measure, "a test names measures that there are");
    lacking.insert(*measure);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return lacking;
}

}  // namespace
}  // namespace tacit::worker::testing

int main(int argc, char** argv) {
  using namespace tacit;
  if (argc < 2) return 2;
  protect::testing::LackingKernel kernel(worker::testing::ReadLacking(argv[1]));
  const worker::WorkerParts parts{
      .open = worker::testing::OpenEither,
      .make_engine = [](inference::Memory&) { return std::make_unique<worker::testing::AttemptingEngine>(); },
      .prepare = [] { worker::testing::Agent(); }};
  worker::RunWorker({argv + 2, static_cast<std::size_t>(argc - 2)}, parts, kernel);
}
