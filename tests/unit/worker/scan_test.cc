#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <unordered_map>

#include "edge_agent/protect/hardening.h"
#include "tests/support/matchers.h"
#include "tests/unit/worker/process_memory.h"
#include "tests/unit/worker/served_model.h"

// Looks for weights where none may be: no 32 bytes of them, at any multiple of 4, which is where numbers are.
namespace tacit::worker {
namespace {

using ::tacit::testing::IsOk;
using testing::ConfinedWorker;
using testing::Soon;

constexpr std::uint32_t kVersion = 77;
constexpr std::size_t kBlock = 32;

// All places in the weights by their first 8 bytes; kept under a mask, so that it is not itself what is looked for.
class WeightsIndex {
 public:
  WeightsIndex() {
    for (std::size_t at = 0; at + kBlock <= testing::kTestModelSize; at += 4) places_.emplace(Masked(At(at)), at);
  }

  /// How many blocks of the weights stand in `bytes`.
  [[nodiscard]] std::size_t Count(ByteSpan bytes) const {
    std::size_t found = 0;
    for (std::size_t at = 0; at + kBlock <= bytes.size(); at += 4) {
      const auto place = places_.find(Masked(Load(bytes, at)));
      if (place == places_.end()) continue;
      bool same = true;
      for (std::size_t i = 8; i < kBlock; i += 8) same = same && Load(bytes, at + i) == At(place->second + i);
      found += same ? 1U : 0U;
    }
    return found;
  }

 private:
  static std::uint64_t Masked(std::uint64_t word) { return word ^ 0x3c3c3c3c3c3c3c3c; }
  static std::uint64_t Load(ByteSpan bytes, std::size_t at) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    return word;
  }
  // The 8 bytes at a multiple of 4, of the words that the weights are made of.
  static std::uint64_t At(std::size_t at) {
    const std::uint64_t low = testing::ModelWord(kVersion, at / 8);
    if (at % 8 == 0) return low;
    const bool last = at + 8 > testing::kTestModelSize;
    return low >> 32U | (last ? 0 : testing::ModelWord(kVersion, at / 8 + 1) << 32U);
  }

  std::unordered_map<std::uint64_t, std::size_t> places_;
};

struct Scan {
  std::size_t read = 0;        ///< Bytes.
  std::size_t unreadable = 0;  ///< Pages that are mapped and may be read by the process itself, but not by us.
  std::size_t found = 0;       ///< Blocks of the weights.
};

Scan ScanProcess(pid_t pid, const WeightsIndex& weights) {
  Scan scan;
  const testing::ReadMemory memory =
      testing::ReadProcess(pid, [&](ByteSpan window) { scan.found += weights.Count(window); });
  scan.read = memory.bytes;
  scan.unreadable = memory.unreadable;
  return scan;
}

// A worker with its model, asked once.
class ScanTest : public ::testing::Test {
 protected:
  void Start(const std::string& lacking = "-") {
    auto process = WorkerProcess::Start(ConfinedWorker(lacking));
    ASSERT_THAT(process, IsOk());
    worker_ = std::move(*process);
    ASSERT_THAT(worker_->Greet(Soon()), IsOk());
    testing::TestSource source(directory_.path(), kVersion);
    const auto opened = source.Open();
    ASSERT_THAT(opened, IsOk());
    const ByteSpan key = opened->opening;
    const auto answer = worker_->Call({.kind = Kind::kLoad, .body = std::span(&key, 1), .file = opened->file.get()},
                                      Kind::kLoaded, Soon());
    ASSERT_THAT(answer, IsOk());
    const auto loaded = ParseLoaded(answer->bytes());
    ASSERT_THAT(loaded, IsOk());
    protections_ = loaded->protections;
  }

  const WeightsIndex weights_;
  ::tacit::testing::TempDirectory directory_;
  std::unique_ptr<WorkerProcess> worker_;
  protect::Protections protections_;
};

// Somebody without rights over the worker, of the same user as it is.
TEST_F(ScanTest, AnotherProcessOfTheSameUserCannotReadAWorkersMemory) {
  Start();
  const std::string memory = "/proc/" + std::to_string(worker_->pid()) + "/mem";
  const pid_t child = ::fork();
  if (child == 0) {
    protect::SystemKernel kernel;
    protect::LeaveRoot(kernel);
    const int fd = ::open(memory.c_str(), O_RDONLY);
    std::_Exit(fd < 0 && errno == EACCES ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(ScanTest, NotEvenRootReadsSecretPages) {
  if (::geteuid() != 0) GTEST_SKIP() << "reading a worker's memory at all takes root: the test above holds here";
  Start();
  if (::syscall(SYS_memfd_secret, 0) < 0 && errno == ENOSYS) GTEST_SKIP() << "this kernel has no secret memory";
  EXPECT_TRUE(protections_.Holds(protect::Measure::kSecretPages)) << protections_.Degradations();
  const Scan scan = ScanProcess(worker_->pid(), weights_);
  EXPECT_GT(scan.read, std::size_t{1} << 20U);
  EXPECT_GE(scan.unreadable, testing::kTestModelSize >> 16U);
  EXPECT_EQ(scan.found, 0U);
}

// That the scan finds what is there, and that it is the secret pages that hide it.
TEST_F(ScanTest, RootFindsWeightsInPlainPages) {
  if (::geteuid() != 0) GTEST_SKIP() << "reading a worker's memory takes root";
  Start("secret_pages");
  EXPECT_EQ(ScanProcess(worker_->pid(), weights_).found, testing::kTestModelSize / 4 - kBlock / 4 + 1);
}

TEST_F(ScanTest, TheAgentHoldsNoWeights) {
  Start();
  const Scan scan = ScanProcess(::getpid(), weights_);
  EXPECT_GT(scan.read, std::size_t{1} << 20U);
  EXPECT_EQ(scan.found, 0U);
}

// A core dump: the kernel leaves out what is marked, whatever the limits of core files are. Shown by the flags of the
// mappings that the worker has (proc(5): "dd", and "dc" for what no child gets), where they can be read.
TEST_F(ScanTest, NoMappingWithWeightsWouldBeInACoreDump) {
  if (::geteuid() != 0) GTEST_SKIP() << "reading a worker's mappings takes root";
  Start("secret_pages");
  std::ifstream maps("/proc/" + std::to_string(worker_->pid()) + "/smaps");
  std::size_t with_weights = 0;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:tacit") != std::string::npos) ours = true;
    if (!ours || !line.starts_with("VmFlags:")) continue;
    ours = false;
    ++with_weights;
    EXPECT_NE(line.find(" dd"), std::string::npos) << line;
    EXPECT_NE(line.find(" dc"), std::string::npos) << line;
    EXPECT_EQ(line.find(" wr"), std::string::npos) << line;
  }
  EXPECT_EQ(with_weights, 1U);
}

}  // namespace
}  // namespace tacit::worker
