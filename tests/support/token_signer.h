#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "tests/support/base64url.h"

namespace tacit::testing {

/// A key pair with which an issuer signs, made and used by OpenSSL alone: nothing of the code under test is in it.
class TokenSigner {
 public:
  static TokenSigner Rsa(unsigned bits = 2048) { return TokenSigner(EVP_RSA_gen(bits), "RS256"); }
  static TokenSigner P256() { return TokenSigner(EVP_EC_gen("P-256"), "ES256"); }

  [[nodiscard]] const std::string& algorithm() const { return algorithm_; }

  /// A number of the public key, by its name in a JSON Web Key.
  [[nodiscard]] Bytes Number(std::string_view name) const {
    const char* parameter = name == "n"   ? OSSL_PKEY_PARAM_RSA_N
                            : name == "e" ? OSSL_PKEY_PARAM_RSA_E
                            : name == "x" ? OSSL_PKEY_PARAM_EC_PUB_X
                                          : OSSL_PKEY_PARAM_EC_PUB_Y;
    BIGNUM* number = nullptr;
    TACIT_CHECK(EVP_PKEY_get_bn_param(key_.get(), parameter, &number) == 1, "every such key has it");
    Bytes bytes(name == "x" || name == "y" ? kCoordinate : static_cast<std::size_t>(BN_num_bytes(number)));
    BN_bn2binpad(number, bytes.data(), static_cast<int>(bytes.size()));
    BN_free(number);
    return bytes;
  }

  [[nodiscard]] nlohmann::json Jwk(std::string_view id) const {
    nlohmann::json key = {{"kid", id}, {"use", "sig"}, {"alg", algorithm_}};
    if (algorithm_ == "RS256") {
      key["kty"] = "RSA";
      for (const char* name : {"n", "e"}) key[name] = Base64Url(Number(name));
    } else {
      key["kty"] = "EC";
      key["crv"] = "P-256";
      for (const char* name : {"x", "y"}) key[name] = Base64Url(Number(name));
    }
    return key;
  }

  [[nodiscard]] Bytes Sign(std::string_view text) const {
    const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t size = 0;
    EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get());
    EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size());
    Bytes signature(size);
    TACIT_CHECK(EVP_DigestSign(context.get(), signature.data(), &size, bytes, text.size()) == 1, "a key that signs");
    signature.resize(size);
    return algorithm_ == "RS256" ? signature : Fixed(signature);
  }

 private:
  static constexpr std::size_t kCoordinate = 32;

  TokenSigner(EVP_PKEY* key, std::string algorithm) : key_(key, &EVP_PKEY_free), algorithm_(std::move(algorithm)) {
    TACIT_CHECK(key != nullptr, "OpenSSL makes keys");
  }

  // r and s, of 32 bytes each.
  static Bytes Fixed(const Bytes& der) {
    const unsigned char* cursor = der.data();
    ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(der.size()));
    TACIT_CHECK(pair != nullptr, "what OpenSSL wrote");
    Bytes fixed(2 * kCoordinate);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), fixed.data(), kCoordinate);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), fixed.data() + kCoordinate, kCoordinate);
    ECDSA_SIG_free(pair);
    return fixed;
  }

  std::shared_ptr<EVP_PKEY> key_;
  std::string algorithm_;
};

}  // namespace tacit::testing
