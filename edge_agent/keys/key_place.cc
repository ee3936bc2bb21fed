#include "edge_agent/keys/key_place.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <utility>

namespace tacit::keys {
namespace {

using Parameters = std::map<std::string, std::string, std::less<>>;

constexpr std::size_t kLongestText = 4096;
// What Linux offers through its resource manager, which keeps programs that share the TPM apart.
constexpr std::string_view kDefaultTcti = "device:/dev/tpmrm0";
constexpr std::array<std::string_view, 4> kTctis{"device", "swtpm", "mssim", "tabrmd"};

std::unexpected<Error> BadPlace(const std::string& what) {
  return Fail(ErrorCode::kInvalidArgument, "the place of the device's key: " + what);
}

// Source: RFC 3986, section 2.1.
Result<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      decoded += text[at];
      continue;
    }
    const auto byte = ParseHex(text.substr(at + 1, 2));
    if (!byte || byte->size() != 1 || byte->front() == 0)
      return BadPlace("'%' is to be followed by two hexadecimal digits, and not by 00");
    decoded += static_cast<char>(byte->front());
    at += 2;
  }
  return decoded;
}

Result<Parameters> ParseParameters(std::string_view query, std::initializer_list<std::string_view> known) {
  Parameters parameters;
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const std::size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    if (std::ranges::find(known, name) == known.end())
      return BadPlace("'" + std::string(name) + "' is no parameter of it");
    if (equals == std::string_view::npos || equals + 1 == part.size())
      return BadPlace("'" + std::string(name) + "' has no value");
    TACIT_TRY(std::string value, PercentDecode(part.substr(equals + 1)));
    if (!parameters.emplace(name, std::move(value)).second)
      return BadPlace("'" + std::string(name) + "' is there twice");
  }
  return parameters;
}

std::string ValueOf(const Parameters& parameters, std::string_view name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : found->second;
}

Result<KeyPlace> ParseFilePlace(std::string_view path, std::string_view query) {
  if (!path.empty()) return BadPlace("'file' takes no path: the key is in the state directory");
  TACIT_TRY(const Parameters parameters, ParseParameters(query, {"secret"}));
  return FilePlace{.secret = ValueOf(parameters, "secret")};
}

Result<KeyPlace> ParseTpmPlace(std::string_view tcti) {
  if (tcti.empty()) return TpmPlace{.tcti = std::string(kDefaultTcti)};
  const std::string_view name = tcti.substr(0, tcti.find(':'));
  if (std::ranges::find(kTctis, name) == kTctis.end())
    return BadPlace("'" + std::string(name) + "' is no way to a TPM: use device, swtpm, mssim or tabrmd");
  return TpmPlace{.tcti = std::string(tcti)};
}

Result<std::optional<Digest256>> ParseSha256(const std::string& hex) {
  if (hex.empty()) return std::nullopt;
  const auto bytes = ParseHex(hex);
  Digest256 digest{};
  if (!bytes || bytes->size() != digest.size()) return BadPlace("'sha256' is not 64 hexadecimal digits");
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

Result<KeyPlace> ParseTokenPlace(std::string_view module, std::string_view query) {
  TACIT_TRY(const Parameters parameters, ParseParameters(query, {"token", "pin-file", "sha256"}));
  TACIT_TRY(std::string path, PercentDecode(module));
  TokenPlace place{.module = std::move(path),
                   .token = ValueOf(parameters, "token"),
                   .pin_file = ValueOf(parameters, "pin-file"),
                   .module_sha256 = std::nullopt};
  if (!place.module.is_absolute()) return BadPlace("'pkcs11:' is to be followed by the module's absolute path");
  if (place.token.empty() || place.pin_file.empty())
    return BadPlace("'pkcs11:' needs 'token', the token's label, and 'pin-file', a file of mode 0600 with its PIN");
  TACIT_TRY(place.module_sha256, ParseSha256(ValueOf(parameters, "sha256")));
  return place;
}

}  // namespace

Result<KeyPlace> ParseKeyPlace(std::string_view text) {
  if (text.size() > kLongestText || text.find('\0') != std::string_view::npos)
    return BadPlace("is over 4096 bytes, or holds a zero byte");
  const std::string_view kind = text.substr(0, text.find_first_of(":?"));
  std::string_view rest = text.substr(kind.size());
  const bool has_path = rest.starts_with(':');
  if (has_path) rest.remove_prefix(1);
  if (kind == "tpm2" && (has_path || rest.empty())) return ParseTpmPlace(rest);
  const std::string_view path = rest.substr(0, rest.find('?'));
  const std::string_view query = rest.substr(std::min(path.size() + 1, rest.size()));
  if (kind == "file") return ParseFilePlace(path, query);
  if (kind == "pkcs11" && has_path) return ParseTokenPlace(path, query);
  return BadPlace("'" + std::string(text.substr(0, 40)) + "' does not begin with 'file', 'tpm2' or 'pkcs11:/'");
}

}  // namespace tacit::keys
