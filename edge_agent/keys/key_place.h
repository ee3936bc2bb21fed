#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/bytes.h"

namespace tacit::keys {

/// In a file of the state directory.
struct FilePlace {
  std::filesystem::path secret;  ///< The file whose content seals the key; empty: nothing does.
  bool operator==(const FilePlace&) const = default;
};

/// In a TPM 2.0.
struct TpmPlace {
  std::string tcti;  ///< How to reach it, as tpm2-tss names it: `device:/dev/tpmrm0`, `swtpm:host=...,port=...`.
  bool operator==(const TpmPlace&) const = default;
};

/// In a token that a PKCS #11 module speaks to.
struct TokenPlace {
  std::filesystem::path module;
  std::string token;  ///< The label of the token.
  std::filesystem::path pin_file;
  std::optional<Digest256> module_sha256;  ///< What the module's file must hash to.
  bool operator==(const TokenPlace&) const = default;
};

/// Where a device keeps the key that its models are encrypted to.
using KeyPlace = std::variant<FilePlace, TpmPlace, TokenPlace>;

/// Reads `file`, `file?secret=PATH`, `tpm2`, `tpm2:TCTI`, or
/// `pkcs11:MODULE?token=LABEL&pin-file=PATH[&sha256=HEX]`; in values behind '?', %XX stands for a byte.
/// A TCTI must be one of device, swtpm, mssim and tabrmd: others load any library, or run a command.
/// Errors: kInvalidArgument, saying what is wrong.
Result<KeyPlace> ParseKeyPlace(std::string_view text);

}  // namespace tacit::keys
