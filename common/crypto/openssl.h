#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/result.h"

// Owners of OpenSSL objects and the one way its errors become ours. Private to common/crypto.
namespace tacit::crypto {

// EVP takes sizes as int; a power of two well inside it keeps every step on a block boundary.
inline constexpr std::size_t kLargestStep = std::size_t{1} << 30U;

template <auto Free>
struct OsslDeleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OsslDeleter<BIO_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, OsslDeleter<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, OsslDeleter<X509_free>>;
using X509ReqPtr = std::unique_ptr<X509_REQ, OsslDeleter<X509_REQ_free>>;
using CipherContextPtr = std::unique_ptr<EVP_CIPHER_CTX, OsslDeleter<EVP_CIPHER_CTX_free>>;

/// What OpenSSL says went wrong, newest first; empties its queue, so that the next failure does not report this one.
inline std::string TakeOpenSslReason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

inline std::unexpected<Error> OpenSslFailure(ErrorCode code, std::string_view what) {
  return Fail(code, std::string(what) + ": " + TakeOpenSslReason());
}

/// A read-only BIO over `text`, which must outlive it.
inline BioPtr ReadBio(std::string_view text) {
  TACIT_CHECK(text.size() <= 0x7fffffff, "callers bound what they parse");
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  TACIT_CHECK(bio != nullptr, "memory for a small object");
  return bio;
}

/// A BIO that takes what is written, and overwrites it at the end when `Secret`.
inline BioPtr WriteBio(bool secret) {
  BioPtr bio(BIO_new(secret ? BIO_s_secmem() : BIO_s_mem()));
  TACIT_CHECK(bio != nullptr, "memory for a small object");
  return bio;
}

inline std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<std::size_t>(size));
}

/// SHA-256 of a public key's SubjectPublicKeyInfo.
Digest256 PublicKeyDigest(EVP_PKEY* key);

/// Whether a key is of a kind and size that a certificate may be issued for: P-256, P-384, Ed25519, RSA of 2048 to 8192
/// bits (more is a way to make every handshake slow). Errors: kInvalidArgument.
Result<void> CheckAcceptableKey(EVP_PKEY* key);

/// A public key of P-256 from its point, uncompressed. Errors: kInvalidArgument for what is no point of the curve.
Result<PkeyPtr> ReadP256Point(std::span<const std::uint8_t, 65> point);

/// Pass-phrase callback that has none, so that an encrypted PEM is an error and not a question at a terminal.
int NoPassPhrase(char* buffer, int size, int writing, void* context);

}  // namespace tacit::crypto
