// The real server with the seams that tests need: noise from a fixed key, death or a full disk at a chosen durable
// step, and a disk that becomes read-only. Nothing of this is linked into tacitd.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "server/app/server.h"

namespace {

using namespace tacit;

// TACIT_TEST_NOISE: any text. The same text, task and round give the same noise. Without it, noise is as in tacitd.
std::unique_ptr<Keystream> NoiseFromEnvironment(const RoundKey& round, crypto::SecretKey secret) {
  const char* seed = std::getenv("TACIT_TEST_NOISE");
  if (seed == nullptr) return app::ProductionSeams().noise_source(round, std::move(secret));
  const Digest256 key = crypto::Sha256(ByteWriter().Text(seed).Text(round.task.str()).U64(round.round).bytes());
  return std::make_unique<crypto::AesKeystream>(*crypto::SecretKey::FromBytes(key));
}

// "STEP" or "STEP:N": the N-th time that the store finished STEP ("*" is any).
class Moment {
 public:
  explicit Moment(const char* variable) {
    const char* const text = std::getenv(variable);
    if (text == nullptr) return;
    step_ = text;
    const std::size_t colon = step_.find(':');
    if (colon == std::string::npos) return;
    left_ = std::strtol(step_.c_str() + colon + 1, nullptr, 10);
    step_.resize(colon);
  }
  /// Whether it is now.
  bool operator()(std::string_view done) {
    if (step_.empty() || (step_ != "*" && step_ != done)) return false;
    return --left_ == 0;
  }

 private:
  std::string step_;
  long left_ = 1;
};

// Takes all the room that a file system has left, and keeps it.
void Fill(const char* path) {
  const int file = ::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const std::array<char, 512> zeros{};
  while (::write(file, zeros.data(), zeros.size()) > 0) {
  }
  ::close(file);
}

// TACIT_TEST_KILL_AT: SIGKILL at that moment. TACIT_TEST_FILL_AT: the file TACIT_TEST_FILLER then fills its disk.
struct AfterStep {
  Moment kill{"TACIT_TEST_KILL_AT"};
  Moment fill{"TACIT_TEST_FILL_AT"};

  void operator()(std::string_view done) {
    if (kill(done)) ::kill(::getpid(), SIGKILL);
    if (fill(done)) Fill(std::getenv("TACIT_TEST_FILLER"));
  }
};

// TACIT_TEST_READ_ONLY: for as long as that file is there, no other file can be written, as after a disk's error has
// made the kernel mount it read-only. No mount can be made so from outside while files are open for writing.
bool MayWrite(int file) {
  static const char* const sign = std::getenv("TACIT_TEST_READ_ONLY");
  struct stat status{};
  if (sign == nullptr || ::access(sign, F_OK) != 0) return true;
  if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) return true;
  errno = EROFS;
  return false;
}

}  // namespace

// In front of libc's, for this program and for SQLite's library.
extern "C" ssize_t write(int file, const void* bytes, size_t count) {
  return MayWrite(file) ? ::syscall(SYS_write, file, bytes, count) : -1;
}
extern "C" ssize_t pwrite(int file, const void* bytes, size_t count, off_t at) {
  return MayWrite(file) ? ::syscall(SYS_pwrite64, file, bytes, count, at) : -1;
}
extern "C" ssize_t pwrite64(int file, const void* bytes, size_t count, off64_t at) {
  return pwrite(file, bytes, count, at);
}

int main(int argc, char** argv) {
  return app::RunServer(argc, argv, {.noise_source = &NoiseFromEnvironment, .after_store_step = AfterStep()});
}
