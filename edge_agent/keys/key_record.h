#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "common/base/bytes.h"
#include "common/crypto/agreement_key.h"
#include "common/crypto/pass_phrase.h"
#include "edge_agent/keys/secret_file.h"

// What `device_key` in the state directory holds: the key, or what leads to it.
namespace tacit::keys {

/// The key itself, in PKCS #8, readable by whoever can read the file.
struct ClearKey {
  SecretBytes pkcs8;
};

/// The key in PKCS #8, sealed under a secret that is kept elsewhere.
struct SealedKey {
  crypto::PassPhraseSalt salt;
  Bytes sealed;
};

/// The name of an object in a TPM: an algorithm and a SHA-256 digest. Source: TPM 2.0 library, part 1, section 16.
using TpmName = std::array<std::uint8_t, 34>;

/// A key that only one TPM can load.
struct TpmKeyRecord {
  Bytes public_area;   ///< A TPM2B_PUBLIC, marshalled.
  Bytes private_area;  ///< A TPM2B_PRIVATE, marshalled: encrypted by the TPM.
  TpmName parent;      ///< Of the storage key that it hangs from; another one is another TPM, or one that was cleared.
  std::uint32_t counter;  ///< The NV index of the rollback counter.
  crypto::P256Point public_key;
};

/// A key inside a PKCS #11 token.
struct TokenKeyRecord {
  std::array<std::uint8_t, 16> id;  ///< Its CKA_ID.
  crypto::P256Point public_key;
};

using KeyRecord = std::variant<ClearKey, SealedKey, TpmKeyRecord, TokenKeyRecord>;

/// Over the largest record, which is a TPM's.
inline constexpr std::size_t kLargestKeyRecord = 4096;
/// Over what PKCS #8 takes for P-256.
inline constexpr std::size_t kLargestPkcs8 = 512;
/// Over a TPM2B_PUBLIC or TPM2B_PRIVATE of a P-256 key.
inline constexpr std::size_t kLargestTpmArea = 1024;

/// What the file holds. It ends with a digest that finds accidents; who may write it is the directory's matter.
SecretBytes FormatKeyRecord(const KeyRecord& record);
/// Errors: kMalformed, to be read behind the file's name, for anything but what FormatKeyRecord makes.
Result<KeyRecord> ParseKeyRecord(ByteSpan file);

/// `file`, `tpm2` or `pkcs11`: what the place of such a key begins with.
std::string PlaceOf(const KeyRecord& record);

}  // namespace tacit::keys
