#include <string>

#include <openssl/evp.h>

#include "common/crypto/csr.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// The PEM form of DER bytes: lets the search change the request itself and not its base64.
std::string AsPem(tacit::ByteSpan der) {
  std::string base64(4 * ((der.size() + 2) / 3) + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()), der.data(), static_cast<int>(der.size()));
  base64.resize(static_cast<std::size_t>(length));
  std::string pem = "-----BEGIN CERTIFICATE REQUEST-----\n";
  for (std::size_t at = 0; at < base64.size(); at += 64) pem += base64.substr(at, 64) + "\n";
  return pem + "-----END CERTIFICATE REQUEST-----\n";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tacit::ByteSpan bytes(data, size);
  (void)tacit::crypto::ReadCsrKey(tacit::AsText(bytes));
  (void)tacit::crypto::ReadCsrKey(AsPem(bytes));
  return 0;
}
