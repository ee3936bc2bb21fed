#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "tests/support/base64url.h"
#include "tests/support/token_signer.h"

namespace tacit::identity::testing {

using tacit::testing::Base64Url;
using tacit::testing::TokenSigner;

/// Made once a process: RSA keys take long to make.
inline const TokenSigner& RsaSigner() {
  static const TokenSigner signer = TokenSigner::Rsa();
  return signer;
}
inline const TokenSigner& CurveSigner() {
  static const TokenSigner signer = TokenSigner::P256();
  return signer;
}

inline std::string KeySetText(std::initializer_list<nlohmann::json> keys) {
  nlohmann::json set = {{"keys", nlohmann::json::array()}};
  for (const nlohmann::json& key : keys) set["keys"].push_back(key);
  return set.dump();
}

/// Header and payload as they are given, signed.
inline std::string Signed(const TokenSigner& signer, std::string_view header, std::string_view payload) {
  const std::string text = Base64Url(header) + "." + Base64Url(payload);
  return text + "." + Base64Url(signer.Sign(text));
}

inline nlohmann::json HeaderOf(const TokenSigner& signer, std::string_view id) {
  return {{"alg", signer.algorithm()}, {"typ", "JWT"}, {"kid", id}};
}

/// Claims that are in order at `now`, in seconds since 1970, for five minutes.
inline nlohmann::json GoodClaims(std::int64_t now) {
  return {{"iss", "https://issuer.example/fleet"},
          {"aud", "tacit"},
          {"sub", "ada"},
          {"iat", now},
          {"exp", now + 300},
          {"roles", {"operators"}}};
}

}  // namespace tacit::identity::testing
