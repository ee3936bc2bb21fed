#include "edge_agent/keys/key_report.h"

#include <array>
#include <cstddef>

namespace tacit::keys {
namespace {

struct GapTraits {
  std::string_view name;
  std::string_view description;
};

constexpr std::array<GapTraits, 9> kGaps{{
    {"readable_file", "Whoever can read the state directory has the key."},
    {"secret_on_device", "Whoever can read the state directory and the secret that seals the key has the key."},
    {"key_in_memory", "The key is in the agent's memory while it runs."},
    {"restorable_state", "Whoever can put back an earlier state directory can have older models accepted again."},
    {"usable_by_root", "Whoever controls this machine can use the key on it, but not take it away."},
    {"not_bound_to_boot", "The key works whatever software this machine was started with."},
    {"pin_on_disk", "The PIN of the token is in a file of this machine."},
    {"unpinned_module", "The PKCS #11 module is whatever is at its path: no digest is configured."},
    {"extractable_key", "The token says that the key could be taken out of it."},
}};
constexpr std::array<std::string_view, 4> kTiers{"file", "sealed_file", "pkcs11", "tpm2"};

}  // namespace

std::string_view NameOf(KeyTier tier) {
  return kTiers[static_cast<std::size_t>(tier)];
}

std::string_view NameOf(KeyGap gap) {
  return kGaps[static_cast<std::size_t>(gap)].name;
}

std::string_view DescriptionOf(KeyGap gap) {
  return kGaps[static_cast<std::size_t>(gap)].description;
}

}  // namespace tacit::keys
