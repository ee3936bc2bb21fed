// The real server with the two seams that tests need: noise from a fixed key, and death at a chosen durable step.
// Nothing of this is linked into tacitd.

#include <unistd.h>

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

// TACIT_TEST_KILL_AT: "STEP" or "STEP:N": SIGKILL right after the N-th time that the store finished STEP ("*" is any).
struct KillSwitch {
  std::string step;
  long left = 1;

  void operator()(std::string_view done) {
    if (step.empty() || (step != "*" && step != done)) return;
    if (--left == 0) ::kill(::getpid(), SIGKILL);
  }
};

KillSwitch KillSwitchFromEnvironment() {
  const char* text = std::getenv("TACIT_TEST_KILL_AT");
  if (text == nullptr) return {};
  const std::string wish(text);
  const std::size_t colon = wish.find(':');
  if (colon == std::string::npos) return {.step = wish};
  return {.step = wish.substr(0, colon), .left = std::strtol(wish.c_str() + colon + 1, nullptr, 10)};
}

}  // namespace

int main(int argc, char** argv) {
  return app::RunServer(argc, argv,
                        {.noise_source = &NoiseFromEnvironment, .after_store_step = KillSwitchFromEnvironment()});
}
