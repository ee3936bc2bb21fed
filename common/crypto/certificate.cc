#include "common/crypto/certificate.h"

#include <ctime>
#include <string>
#include <vector>

#include <openssl/pem.h>

#include "common/crypto/digest.h"
#include "common/crypto/openssl.h"

namespace tacit::crypto {
namespace {

using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OsslDeleter<GENERAL_NAMES_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OsslDeleter<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OsslDeleter<X509_STORE_CTX_free>>;

constexpr std::string_view kFingerprintPrefix = "sha256:";

WallTime ToWallTime(const ASN1_TIME* time) {
  std::tm fields{};
  TACIT_CHECK(ASN1_TIME_to_tm(time, &fields) == 1, "times are checked when a certificate is read");
  return WallTime(std::chrono::seconds(::timegm(&fields)));
}

// Copies the certificate's times once, so that accessors cannot fail later.
Result<Certificate> CheckTimes(X509Ptr certificate) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(X509_get0_notBefore(certificate.get()), &fields) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &fields) != 1) {
    return OpenSslFailure(ErrorCode::kMalformed, "a certificate with a time that is none");
  }
  if (X509_get0_pubkey(certificate.get()) == nullptr) {
    return OpenSslFailure(ErrorCode::kMalformed, "a certificate with a public key that does not parse");
  }
  return Certificate::FromNative(certificate.get());
}

}  // namespace

Certificate::Certificate(x509_st* owned) : certificate_(owned, [](x509_st* certificate) { X509_free(certificate); }) {}

Certificate Certificate::FromNative(x509_st* borrowed) {
  TACIT_CHECK(borrowed != nullptr && X509_up_ref(borrowed) == 1, "the caller holds a certificate");
  return Certificate(borrowed);
}

Result<Certificate> Certificate::FromPem(std::string_view pem) {
  ERR_clear_error();
  const BioPtr bio = ReadBio(pem);
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (certificate == nullptr) return OpenSslFailure(ErrorCode::kMalformed, "not a certificate in PEM");
  return CheckTimes(std::move(certificate));
}

Result<Certificate> Certificate::FromDer(ByteSpan der) {
  ERR_clear_error();
  const unsigned char* cursor = der.data();
  X509Ptr certificate(d2i_X509(nullptr, &cursor, static_cast<long>(der.size())));
  if (certificate == nullptr) return OpenSslFailure(ErrorCode::kMalformed, "not a certificate in DER");
  if (cursor != der.data() + der.size())
    return Fail(ErrorCode::kMalformed, "bytes after the end of a certificate in DER");
  return CheckTimes(std::move(certificate));
}

std::string Certificate::ToPem() const {
  constexpr bool kPublic = false;
  const BioPtr bio = WriteBio(kPublic);
  TACIT_CHECK(PEM_write_bio_X509(bio.get(), certificate_.get()) == 1, "what was parsed can be written");
  return TextOf(bio.get());
}

Bytes Certificate::ToDer() const {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate_.get(), &der);
  TACIT_CHECK(size > 0, "what was parsed can be written");
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

std::optional<std::string> Certificate::SpiffeUri() const {
  // Null also when the extension is there twice or does not parse: then no reader of it can be believed.
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate_.get(), NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr) return std::nullopt;
  std::optional<std::string> uri;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    if (uri) return std::nullopt;
    const ASN1_IA5STRING* text = name->d.uniformResourceIdentifier;
    uri.emplace(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  if (uri && (!uri->starts_with("spiffe://") || uri->contains('\0'))) return std::nullopt;
  return uri;
}

std::string Certificate::CommonName() const {
  const X509_NAME* subject = X509_get_subject_name(certificate_.get());
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index < 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return name;
}

WallTime Certificate::NotBefore() const {
  return ToWallTime(X509_get0_notBefore(certificate_.get()));
}
WallTime Certificate::NotAfter() const {
  return ToWallTime(X509_get0_notAfter(certificate_.get()));
}

std::string Certificate::SerialHex() const {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate_.get());
  return ToHex({ASN1_STRING_get0_data(serial), static_cast<std::size_t>(ASN1_STRING_length(serial))});
}

Digest256 Certificate::Fingerprint() const {
  return Sha256(ToDer());
}

Digest256 Certificate::PublicKeySha256() const {
  return PublicKeyDigest(X509_get0_pubkey(certificate_.get()));
}

bool Certificate::IsCa() const {
  return X509_check_ca(certificate_.get()) == 1;
}

Result<void> VerifyCertificate(const Certificate& leaf, const Certificate& root, CertificatePurpose purpose,
                               WallTime now) {
  ERR_clear_error();
  const StorePtr store(X509_STORE_new());
  const StoreContextPtr context(X509_STORE_CTX_new());
  const bool ready =
      store != nullptr && context != nullptr && X509_STORE_add_cert(store.get(), root.native()) == 1 &&
      X509_STORE_CTX_init(context.get(), store.get(), leaf.native(), nullptr) == 1 &&
      X509_STORE_CTX_set_purpose(context.get(), purpose == CertificatePurpose::kServer ? X509_PURPOSE_SSL_SERVER
                                                                                       : X509_PURPOSE_SSL_CLIENT) == 1;
  if (!ready) return OpenSslFailure(ErrorCode::kInternal, "cannot prepare the check of a certificate");
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_X509_STRICT);
  X509_STORE_CTX_set_time(context.get(), 0, std::chrono::system_clock::to_time_t(now));
  if (X509_verify_cert(context.get()) == 1) return {};
  ERR_clear_error();
  return Fail(ErrorCode::kUnauthenticated, std::string("the certificate is not to be believed: ") +
                                               X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
}

std::string FormatFingerprint(const Digest256& fingerprint) {
  return std::string(kFingerprintPrefix) + ToHex(fingerprint);
}

Result<Digest256> ParseFingerprint(std::string_view text) {
  const auto refuse = [] {
    return Fail(ErrorCode::kInvalidArgument, "a fingerprint is 'sha256:' and 64 hexadecimal digits");
  };
  if (!text.starts_with(kFingerprintPrefix)) return refuse();
  std::string digits(text.substr(kFingerprintPrefix.size()));
  std::erase(digits, ':');
  const Result<Bytes> bytes = ParseHex(digits);
  Digest256 fingerprint;
  if (!bytes || bytes->size() != fingerprint.size()) return refuse();
  std::ranges::copy(*bytes, fingerprint.begin());
  return fingerprint;
}

}  // namespace tacit::crypto
