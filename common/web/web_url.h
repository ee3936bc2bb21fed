#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace tacit::web {

/// Where `http://` may go: whoever is on the way reads it, and answers in the server's place.
enum class PlainHttp : std::uint8_t {
  kRefused,
  kToThisMachine,  ///< To `localhost` and the loopback addresses only.
  kAllowed,
};

/// Scheme, host and port of a URL, `https://host:port`, the port only where it is written: what may be shown of it.
/// Errors: kInvalidArgument for what is no absolute URL, has another scheme, a user, a password or a fragment, or goes
/// in plain HTTP where `plain` does not let it.
Result<std::string> OriginOf(std::string_view url, PlainHttp plain);

/// `text` as one segment of a path, or one value of a query. Source: RFC 3986, section 2.3.
std::string PercentEncode(std::string_view text);

}  // namespace tacit::web
