#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/crypto/public_key.h"

// What an issuer publishes of itself.
namespace tacit::identity {

/// The most bytes of a document of an issuer.
inline constexpr std::size_t kLargestDocument = std::size_t{256} * 1024;

/// The keys that an issuer signs with, by their ids.
class KeySet {
 public:
  static constexpr std::size_t kMost = 100;

  /// Keys that are no use here (of another kind, too short, for encryption, without an id) are left out: an issuer may
  /// have them for others. Symmetric ones are among these: who checks with one could sign with it.
  /// Errors: kMalformed, also for two keys of one kind with one id; kTooLarge. Source: RFC 7517.
  static Result<KeySet> Parse(std::string_view json);

  /// The key with that id for that kind of signature, or null.
  [[nodiscard]] const crypto::PublicKey* Find(std::string_view id, crypto::TokenSignature signature) const;
  /// Whether there is a key of that id, of any kind.
  [[nodiscard]] bool Has(std::string_view id) const;
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  [[nodiscard]] std::size_t left_out() const { return left_out_; }

 private:
  struct Entry {
    std::string id;
    crypto::PublicKey key;
  };
  std::vector<Entry> keys_;
  std::size_t left_out_ = 0;
};

/// Where the issuer's description of itself is. Source: OpenID Connect Discovery 1.0, section 4.
std::string DiscoveryUrl(std::string_view issuer);

/// The URL of the keys in that description. Errors: kMalformed; kInvalidArgument for the description of another issuer,
/// or for keys that are not at an https URL; kTooLarge. Source: OpenID Connect Discovery 1.0, section 4.3.
Result<std::string> ParseDiscovery(std::string_view json, std::string_view issuer);

}  // namespace tacit::identity
