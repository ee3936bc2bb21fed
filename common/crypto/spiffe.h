#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace tacit::crypto {

/// The identity in a certificate: spiffe://<trust-domain>/<kind>/<name>, and nothing looser, so that one identity has
/// one text.
struct SpiffeId {
  std::string trust_domain;  ///< [a-z0-9._-]{1,255}
  std::string kind;          ///< "device", "server", "monitor" or a person's role
  std::string name;          ///< 1 to 63 of a-z, 0-9 and '-', not starting with '-'

  /// Errors: kInvalidArgument, naming the part that breaks a rule.
  static Result<SpiffeId> Parse(std::string_view uri);
  [[nodiscard]] std::string ToUri() const;
  bool operator==(const SpiffeId&) const = default;
};

}  // namespace tacit::crypto
