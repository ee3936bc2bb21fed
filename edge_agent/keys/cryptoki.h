#pragma once

#include <p11-kit/pkcs11.h>

#include <string_view>

#include "common/base/result.h"
#include "edge_agent/keys/key_place.h"

namespace tacit::keys {

/// A PKCS #11 module that is loaded, and initialised for as long as this lives. Source: OASIS PKCS #11, version 2.40.
class Cryptoki {
 public:
  /// Errors: kNotFound where it cannot be loaded; kPermissionDenied where it is not the file that its digest names;
  ///   kUnavailable where it does not work.
  static Result<Cryptoki> Load(const TokenPlace& place);

  Cryptoki(Cryptoki&& other) noexcept;
  Cryptoki& operator=(Cryptoki&&) = delete;
  Cryptoki(const Cryptoki&) = delete;
  Cryptoki& operator=(const Cryptoki&) = delete;
  ~Cryptoki();

  [[nodiscard]] const CK_FUNCTION_LIST& functions() const { return *functions_; }

 private:
  explicit Cryptoki(CK_FUNCTION_LIST* functions) : functions_(functions) {}
  Result<void> Initialise();

  CK_FUNCTION_LIST* functions_;
  bool finalise_ = false;  // not where another part of the process initialised it
};

/// What an answer of a module that is no success means: kPermissionDenied for what has to do with the PIN,
/// kInvalidArgument for a point that it does not take, kUnavailable for all else.
std::unexpected<Error> TokenFailure(CK_RV answer, std::string_view doing);

}  // namespace tacit::keys
