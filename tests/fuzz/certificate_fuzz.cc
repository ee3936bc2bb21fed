#include "common/crypto/certificate.h"
#include "common/crypto/spiffe.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// Everything that is asked of a peer's certificate.
void Inspect(const tacit::crypto::Certificate& certificate) {
  if (const auto uri = certificate.SpiffeUri()) (void)tacit::crypto::SpiffeId::Parse(*uri);
  (void)certificate.CommonName();
  (void)(certificate.NotBefore() < certificate.NotAfter());
  (void)certificate.SerialHex();
  (void)certificate.Fingerprint();
  (void)certificate.PublicKeySha256();
  (void)certificate.IsCa();
  const auto again = tacit::crypto::Certificate::FromPem(certificate.ToPem());
  TACIT_CHECK(again.has_value(), "a certificate that was read can be written and read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tacit::ByteSpan bytes(data, size);
  if (const auto certificate = tacit::crypto::Certificate::FromDer(bytes)) Inspect(*certificate);
  if (const auto certificate = tacit::crypto::Certificate::FromPem(tacit::AsText(bytes))) Inspect(*certificate);
  return 0;
}
