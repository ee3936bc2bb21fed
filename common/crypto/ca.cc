#include "common/crypto/ca.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "common/crypto/csr.h"
#include "common/crypto/digest.h"
#include "common/crypto/openssl.h"
#include "common/crypto/random.h"
#include "common/crypto/spiffe.h"

namespace tacit::crypto {
namespace {

using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OsslDeleter<X509_EXTENSION_free>>;
using BignumPtr = std::unique_ptr<BIGNUM, OsslDeleter<BN_free>>;
using GeneralNamePtr = std::unique_ptr<GENERAL_NAME, OsslDeleter<GENERAL_NAME_free>>;
using OctetsPtr = std::unique_ptr<ASN1_OCTET_STRING, OsslDeleter<ASN1_OCTET_STRING_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OsslDeleter<GENERAL_NAMES_free>>;

constexpr std::chrono::minutes kClockLag{5};
constexpr std::size_t kLongestDnsName = 253;

struct FixedExtension {
  int nid;
  const char* value;
};
constexpr std::array<FixedExtension, 3> kRootExtensions{{
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    {NID_key_usage, "critical,keyCertSign,cRLSign"},
    {NID_subject_key_identifier, "hash"},
}};
constexpr std::array<FixedExtension, 5> kServerExtensions{{
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
}};
constexpr std::array<FixedExtension, 5> kClientExtensions{{
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "clientAuth"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
}};

std::unexpected<Error> IssueFailure() {
  return OpenSslFailure(ErrorCode::kInternal, "cannot make a certificate");
}

bool SetRandomSerial(X509* certificate) {
  std::array<std::uint8_t, 16> bytes{};
  OsRandom().Fill(bytes);
  bytes[0] |= 0x80U;  // never zero, and always 128 bits long
  const BignumPtr number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  return number != nullptr && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

std::time_t Seconds(WallTime time) {
  return std::chrono::system_clock::to_time_t(time);
}

struct Validity {
  WallTime from;
  WallTime until;
};

// What every certificate has: version, serial, times, subject and key.
Result<X509Ptr> StartCertificate(EVP_PKEY* key, std::string_view common_name, Validity validity) {
  X509Ptr certificate(X509_new());
  TACIT_CHECK(certificate != nullptr, "memory for a small object");
  X509* const raw = certificate.get();
  TACIT_TRY_VOID(SetCommonName(X509_get_subject_name(raw), common_name));
  const bool done = X509_set_version(raw, X509_VERSION_3) == 1 && SetRandomSerial(raw) &&
                    ASN1_TIME_set(X509_getm_notBefore(raw), Seconds(validity.from)) != nullptr &&
                    ASN1_TIME_set(X509_getm_notAfter(raw), Seconds(validity.until)) != nullptr &&
                    X509_set_pubkey(raw, key) == 1;
  if (!done) return IssueFailure();
  return certificate;
}

// Only constants of this file go through OpenSSL's text form of extensions: names from outside could carry its syntax.
Result<void> AddExtensions(X509* certificate, X509* issuer, std::span<const FixedExtension> extensions) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  for (const FixedExtension& wanted : extensions) {
    const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, wanted.nid, wanted.value));
    if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) return IssueFailure();
  }
  return {};
}

// Puts a name into the list, which then owns it.
Result<void> Append(GENERAL_NAMES* names, GeneralNamePtr name) {
  GENERAL_NAME* const raw = name.release();
  if (sk_GENERAL_NAME_push(names, raw) > 0) return {};
  GENERAL_NAME_free(raw);
  return IssueFailure();
}

Result<void> AppendTextName(GENERAL_NAMES* names, int type, std::string_view text) {
  GeneralNamePtr name(GENERAL_NAME_new());
  ASN1_IA5STRING* const value = ASN1_IA5STRING_new();
  TACIT_CHECK(name != nullptr && value != nullptr, "memory for a small object");
  GENERAL_NAME_set0_value(name.get(), type, value);
  if (ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) != 1) return IssueFailure();
  return Append(names, std::move(name));
}

Result<void> AppendAddress(GENERAL_NAMES* names, const std::string& address) {
  OctetsPtr octets(a2i_IPADDRESS(address.c_str()));
  if (octets == nullptr) return Fail(ErrorCode::kInvalidArgument, "'" + address + "' is not an IP address");
  GeneralNamePtr name(GENERAL_NAME_new());
  TACIT_CHECK(name != nullptr, "memory for a small object");
  GENERAL_NAME_set0_value(name.get(), GEN_IPADD, octets.release());
  return Append(names, std::move(name));
}

bool IsDnsName(std::string_view name) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; };
  return !name.empty() && name.size() <= kLongestDnsName && std::ranges::all_of(name, fits) && name.front() != '.' &&
         name.back() != '.' && !name.contains("..");
}

Result<NamesPtr> ServerNames(const ServerCertificateRequest& request) {
  NamesPtr names(GENERAL_NAMES_new());
  TACIT_CHECK(names != nullptr, "memory for a small object");
  for (const std::string& name : request.dns_names) {
    if (!IsDnsName(name)) return Fail(ErrorCode::kInvalidArgument, "'" + name + "' is not a lower-case host name");
    TACIT_TRY_VOID(AppendTextName(names.get(), GEN_DNS, name));
  }
  for (const std::string& address : request.ip_addresses) TACIT_TRY_VOID(AppendAddress(names.get(), address));
  if (!request.spiffe_uri.empty()) {
    TACIT_TRY(const SpiffeId id, SpiffeId::Parse(request.spiffe_uri));
    TACIT_TRY_VOID(AppendTextName(names.get(), GEN_URI, id.ToUri()));
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) {
    return Fail(ErrorCode::kInvalidArgument, "a server certificate needs a host name or address");
  }
  return names;
}

Result<NamesPtr> ClientNames(const ClientCertificateRequest& request) {
  TACIT_TRY(const SpiffeId id, SpiffeId::Parse(request.spiffe_uri));
  NamesPtr names(GENERAL_NAMES_new());
  TACIT_CHECK(names != nullptr, "memory for a small object");
  TACIT_TRY_VOID(AppendTextName(names.get(), GEN_URI, id.ToUri()));
  return names;
}

Result<Certificate> Sign(X509* certificate, EVP_PKEY* key) {
  const EVP_MD* digest = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  if (X509_sign(certificate, key, digest) <= 0) return IssueFailure();
  return Certificate::FromNative(certificate);
}

struct Issuer {
  X509* certificate;
  EVP_PKEY* key;
};

// From five minutes ago to the end of the lifetime, or of the root when that is sooner.
Result<Validity> LeafValidity(const Certificate& root, WallTime now, std::chrono::seconds lifetime) {
  if (lifetime <= std::chrono::seconds(0))
    return Fail(ErrorCode::kInvalidArgument, "a certificate's lifetime is positive");
  if (now < root.NotBefore() || now >= root.NotAfter()) {
    return Fail(ErrorCode::kUnavailable, "the CA certificate is not valid now (" + FormatRfc3339(root.NotBefore()) +
                                             " to " + FormatRfc3339(root.NotAfter()) +
                                             "): check the clock, or renew the CA");
  }
  return Validity{now - kClockLag, std::min<WallTime>(now + lifetime, root.NotAfter())};
}

template <typename Request>
Result<Certificate> IssueLeaf(const Request& request, const Certificate& root, EVP_PKEY* root_key, GENERAL_NAMES* names,
                              std::span<const FixedExtension> extensions) {
  TACIT_TRY(const PkeyPtr key, ReadCsrKey(request.csr_pem));
  TACIT_TRY(const Validity validity, LeafValidity(root, request.now, request.lifetime));
  TACIT_TRY(const X509Ptr certificate, StartCertificate(key.get(), request.common_name, validity));
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(root.native())) != 1) return IssueFailure();
  TACIT_TRY_VOID(AddExtensions(certificate.get(), root.native(), extensions));
  if (X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1)
    return IssueFailure();
  return Sign(certificate.get(), root_key);
}

}  // namespace

Result<CertificateAuthority> CertificateAuthority::CreateSelfSigned(const SelfSignedOptions& options) {
  ERR_clear_error();
  if (options.lifetime <= std::chrono::seconds(0))
    return Fail(ErrorCode::kInvalidArgument, "a CA's lifetime is positive");
  TACIT_TRY(PrivateKey key, PrivateKey::GenerateP256());
  const Validity validity{options.now - kClockLag, options.now + options.lifetime};
  TACIT_TRY(const X509Ptr root, StartCertificate(key.native(), options.common_name, validity));
  if (X509_set_issuer_name(root.get(), X509_get_subject_name(root.get())) != 1) return IssueFailure();
  TACIT_TRY_VOID(AddExtensions(root.get(), root.get(), kRootExtensions));
  TACIT_TRY(Certificate certificate, Sign(root.get(), key.native()));
  return CertificateAuthority(std::move(certificate), std::move(key));
}

Result<CertificateAuthority> CertificateAuthority::Load(std::string_view certificate_pem, std::string_view key_pem) {
  TACIT_TRY(Certificate certificate, Certificate::FromPem(certificate_pem));
  TACIT_TRY(PrivateKey key, PrivateKey::FromPem(key_pem));
  if (!certificate.IsCa()) return Fail(ErrorCode::kInvalidArgument, "the certificate is not one of a CA");
  if (certificate.PublicKeySha256() != key.PublicKeySha256()) {
    return Fail(ErrorCode::kInvalidArgument, "the key is not the key of the CA certificate");
  }
  return CertificateAuthority(std::move(certificate), std::move(key));
}

Result<Certificate> CertificateAuthority::IssueServer(const ServerCertificateRequest& request) const {
  ERR_clear_error();
  TACIT_TRY(const NamesPtr names, ServerNames(request));
  return IssueLeaf(request, certificate_, key_.native(), names.get(), kServerExtensions);
}

Result<Certificate> CertificateAuthority::IssueClient(const ClientCertificateRequest& request) const {
  ERR_clear_error();
  TACIT_TRY(const NamesPtr names, ClientNames(request));
  return IssueLeaf(request, certificate_, key_.native(), names.get(), kClientExtensions);
}

}  // namespace tacit::crypto
