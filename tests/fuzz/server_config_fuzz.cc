#include "server/app/config.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config = tacit::app::ParseConfig(tacit::AsText({data, size}), "tacitd.toml");
  if (!config) {
    TACIT_CHECK(!config.error().message.empty(), "a refusal says why");
    return 0;
  }
  TACIT_CHECK(config->io_threads >= 1 && config->compute_threads >= 1, "a server has threads");
  TACIT_CHECK(config->limits.max_update_bytes <= config->limits.upload_memory, "one update fits");
  if (const auto& oidc = config->oidc) {
    TACIT_CHECK(!oidc->roles.empty() && !oidc->issuer.empty() && !oidc->audience.empty(),
                "an issuer can let somebody in");
    TACIT_CHECK(oidc->keep >= oidc->refresh && oidc->leeway <= tacit::Millis(60'000), "keys are there when needed");
  }
  const auto plan = tacit::app::WorstCaseMemory(*config);
  const bool fits = plan.total() <= config->limits.memory_ceiling;
  TACIT_CHECK(tacit::app::CheckMemory(*config).has_value() == fits, "start-up fails when the worst case does not fit");
  return 0;
}
