#include "common/crypto/csr.h"

#include <openssl/pem.h>

#include "common/crypto/keys.h"

namespace tacit::crypto {
namespace {

constexpr std::size_t kLongestCommonName = 64;  // ub-common-name, RFC 5280, appendix A.1
constexpr std::size_t kLargestCsr = 16UL * 1024;

}  // namespace

Result<void> SetCommonName(X509_NAME* name, std::string_view common_name) {
  if (common_name.empty() || common_name.size() > kLongestCommonName) {
    return Fail(ErrorCode::kInvalidArgument, "a common name is 1 to 64 bytes");
  }
  const auto* text = reinterpret_cast<const unsigned char*>(common_name.data());
  const int size = static_cast<int>(common_name.size());
  if (X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, text, size, -1, 0) != 1) {
    return OpenSslFailure(ErrorCode::kInvalidArgument, "a common name is UTF-8 text");
  }
  return {};
}

Result<PkeyPtr> ReadCsrKey(std::string_view csr_pem) {
  if (csr_pem.size() > kLargestCsr) return Fail(ErrorCode::kTooLarge, "a certificate request is at most 16 KiB");
  ERR_clear_error();
  const BioPtr bio = ReadBio(csr_pem);
  const X509ReqPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (request == nullptr) return OpenSslFailure(ErrorCode::kMalformed, "not a certificate request in PEM");
  PkeyPtr key(X509_REQ_get_pubkey(request.get()));
  if (key == nullptr) return OpenSslFailure(ErrorCode::kMalformed, "a certificate request whose key does not parse");
  // The kind first: checking a signature by a huge key is slow, and its sender is not known yet.
  TACIT_TRY_VOID(CheckAcceptableKey(key.get()));
  if (X509_REQ_verify(request.get(), key.get()) != 1) {
    ERR_clear_error();
    return Fail(ErrorCode::kInvalidArgument, "the certificate request is not signed by its own key");
  }
  return key;
}

Result<std::string> MakeCsrPem(const PrivateKey& key, std::string_view common_name) {
  ERR_clear_error();
  const X509ReqPtr request(X509_REQ_new());
  TACIT_CHECK(request != nullptr, "memory for a small object");
  TACIT_TRY_VOID(SetCommonName(X509_REQ_get_subject_name(request.get()), common_name));
  // Ed25519 brings its own hash; the others take SHA-256.
  const EVP_MD* digest = EVP_PKEY_get_base_id(key.native()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  constexpr bool kPublic = false;
  const BioPtr bio = WriteBio(kPublic);
  const bool done = X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                    X509_REQ_set_pubkey(request.get(), key.native()) == 1 &&
                    X509_REQ_sign(request.get(), key.native(), digest) > 0 &&
                    PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1;
  if (!done) return OpenSslFailure(ErrorCode::kInternal, "cannot make a certificate request");
  return TextOf(bio.get());
}

}  // namespace tacit::crypto
