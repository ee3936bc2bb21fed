#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace tacit::keys {

/// Where a key really is, weakest first.
enum class KeyTier : std::uint8_t { kFile, kSealedFile, kToken, kTpm };

/// What a place of a key does not protect against.
enum class KeyGap : std::uint8_t {
  kReadableFile,     ///< Whoever reads the state directory has the key.
  kSecretOnDevice,   ///< Whoever reads the state directory and the secret that seals it has the key.
  kKeyInMemory,      ///< The key is in the agent's memory while it runs.
  kRestorableState,  ///< Whoever puts back an earlier state directory has older versions accepted again.
  kUsableByRoot,     ///< Whoever controls this machine can use the key on it, though not take it away.
  kNotBoundToBoot,   ///< The key works whatever software was started.
  kPinOnDisk,        ///< The PIN of the token is in a file of this machine.
  kUnpinnedModule,   ///< The PKCS #11 module is whatever is at its path.
  kExtractableKey,   ///< The token says that the key could be taken out.
};

/// Stable, `snake_case`: what reports to a server and `--json` say.
std::string_view NameOf(KeyTier tier);
std::string_view NameOf(KeyGap gap);
/// One sentence for a person.
std::string_view DescriptionOf(KeyGap gap);

/// How well a device's key is kept. Privacy: says nothing of the key, and no path.
struct KeyReport {
  KeyTier tier = KeyTier::kFile;
  std::vector<KeyGap> gaps;
  bool operator==(const KeyReport&) const = default;
};

}  // namespace tacit::keys
